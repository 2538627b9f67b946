package postgres_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tranche/batch"
	"tranche/destinations"
)

func TestTextThatPostgreSQLRefusesIsMendedAndCounted(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	published, err := p.deliver(p.run(batch.ModelEvents, 0), reader(t,
		event{uuid: number(1), properties: `{"a":"x\u0000y","\ud83d":"\ud83d\ude00"}`},
		event{uuid: number(2), event: "zero\x00byte", properties: "{}"},
		event{uuid: number(3), properties: strings.Repeat("[", 5000) + strings.Repeat("]", 5000)},
		event{uuid: number(4), properties: `{"n":1e400000,"m":-1e5}`},
		event{uuid: number(5), properties: `{"broken`, elements: "\xff"},
		event{uuid: number(6), properties: `{"$set":{"a":"\u0000"}}`, person: `"\udead"`},
	))
	require.NoError(t, err)
	require.Len(t, published.Warnings, 1)
	require.Contains(t, published.Warnings[0], "9 values held characters or forms")
	require.Equal(t, []string{
		`{"": "😀", "a": "xy"}`, `{}`, `"` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `"`, `{"m": -100000, "n": "1e400000"}`,
		`"{\"broken"`, `{"$set": {"a": ""}}`,
	}, p.texts(`SELECT properties::text`+byUUID))
	require.Equal(t, []string{"zerobyte", "\"\uFFFD\"", `{"a": ""}`, `""`},
		p.texts(`SELECT unnest(ARRAY[(SELECT event FROM shop.events WHERE uuid = $1), (SELECT elements::text FROM shop.events WHERE uuid = $2),
			(SELECT set::text FROM shop.events WHERE uuid = $3), (SELECT person_properties::text FROM shop.events WHERE uuid = $3)])`, number(2), number(5), number(6)))
}

// TestPostgreSQLTakesWhateverTextAnEventHolds draws texts of the kinds that break parsers.
func TestPostgreSQLTakesWhateverTextAnEventHolds(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	d := p.open(laptop)
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{
			`"`, `\`, `\u0000`, `\ud800`, `\udfff`, `\ud83d\ude00`, `{`, `}`, `[`, `]`, `,`, `:`, `"a"`, `{"a":`, `1e99999`, `-0.1E-400`, `1e+131073`, `0`,
			"\x00", "\xff", "\xed\xa0\x80", `"$set":`, `"$ip":"`, `null`, "\u2028",
		}), rapid.String(), rapid.StringMatching(`-?(0|[1-9][0-9]{0,400})(\.[0-9]{1,200})?([eE][+-]?[0-9]{1,6})?`))
	rapid.Check(t, func(r *rapid.T) {
		var events []event
		for i := range rapid.IntRange(1, 5).Draw(r, "rows") {
			text := func(name string) string { return strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(r, name), "") }
			events = append(events, event{
				uuid: number(i), event: string([]rune(text("event"))[:0]) + "e", properties: rapid.SampledFrom([]string{"", `{"v":`, "["}).Draw(r, "open") + text("properties") +
					rapid.SampledFrom([]string{"", "}", "]"}).Draw(r, "close"), elements: text("elements"), person: text("person"),
			})
		}
		run, j := p.run(batch.ModelEvents, 0), &journal{}
		receipt, err := d.Stage(t.Context(), job(run, 1, j), reader(t, events...))
		require.NoError(r, err, "%q", events)
		published, err := d.Commit(t.Context(), run, []destinations.Receipt{receipt}, nil)
		require.NoError(r, err)
		require.Equal(r, int64(len(events)), published.Rows)
	})
}
