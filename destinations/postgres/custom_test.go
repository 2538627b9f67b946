package postgres_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/sources/sourcetest"
)

// customFields are what a source delivers of a customer's query.
var customFields = arrow.NewSchema([]arrow.Field{
	{Name: `who "is" it`, Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "price", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	{Name: "paid", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "at", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true},
	{Name: "day", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
	{Name: "all", Type: arrow.BinaryTypes.String, Nullable: true, Metadata: isJSON},
}, nil)

// custom is a run of a customer's query.
func custom(p *place, hour int, change func(*destinations.Run)) destinations.Run {
	run := p.run(batch.ModelHogQL, hour)
	run.Custom = true
	change(&run)
	return run
}

func TestTheColumnsOfACustomersQueryMakeTheTable(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	_, err := p.deliver(custom(p, 0, func(*destinations.Run) {}), table(t, customFields,
		`[{"who \"is\" it":"a","n":1,"price":0.5,"paid":true,"at":"2026-08-01T00:00:00Z","day":"1999-12-31","all":"{\"x\":1}"}, {}]`))
	require.NoError(t, err)
	require.Equal(t, []string{
		`who "is" it text`, "n bigint", "price double precision", "paid boolean", "at timestamp with time zone", "day date", "all jsonb",
	}, p.texts(`SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute
		WHERE attrelid = 'shop.events'::regclass AND attnum > 0 ORDER BY attnum`))
	require.Equal(t, []string{`(a,1,0.5,t,"2026-08-01 00:00:00+00",1999-12-31,"{""x"": 1}")`, `(,,,,,,)`}, p.texts(`SELECT e::text FROM shop.events e`))
}

func TestRowsOfAQueryAreAdded(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	deliver := func(hour int, key []string, rows string) destinations.Published {
		published, err := p.deliver(custom(p, hour, func(r *destinations.Run) { r.Key = key }), table(t, customFields, rows))
		require.NoError(t, err)
		return published
	}
	found := func() []string { return p.texts(`SELECT "who ""is"" it" || n FROM shop.events ORDER BY 1`) }
	id := []string{`who "is" it`}
	deliver(0, id, `[{"who \"is\" it":"a","n":1},{"who \"is\" it":"b","n":1}]`)
	deliver(1, id, `[{"who \"is\" it":"c","n":1}]`)
	require.Equal(t, []string{"a1", "b1", "c1"}, found())
	deliver(0, id, `[{"who \"is\" it":"a","n":2},{"who \"is\" it":"b","n":2}]`)
	require.Equal(t, []string{"a2", "b2", "c1"}, found(), "what tells rows apart lets them be replaced")
	again := deliver(1, nil, `[{"who \"is\" it":"c","n":2}]`)
	require.Equal(t, []string{"a2", "b2", "c1", "c2"}, found())
	require.Len(t, again.Warnings, 1)
	require.Contains(t, again.Warnings[0], "nothing tells its rows apart: 1 rows of earlier deliveries stay")
}

func TestRowsOfAQueryAreMergedByKeyAndVersion(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	deliver := func(hour int, rows string) {
		published, err := p.deliver(custom(p, hour, func(r *destinations.Run) {
			r.Merge, r.Key, r.Version = true, []string{`who "is" it`, "paid"}, []string{"at", "n"}
		}), table(t, customFields, rows))
		require.NoError(t, err)
		require.Positive(t, published.Rows)
	}
	row := func(who, at, n string) string {
		return `{"who \"is\" it":"` + who + `","paid":true,"at":` + at + `,"n":` + n + `}`
	}
	const early, late = `"2026-08-01T00:00:00Z"`, `"2026-08-02T00:00:00Z"`
	found := func() []string {
		return p.texts(`SELECT "who ""is"" it" || ' ' || coalesce(at::date::text, '-') || ' ' || coalesce(n::text, '-') FROM shop.events ORDER BY 1`)
	}
	deliver(0, "["+strings.Join([]string{row("a", early, "1"), row("a", late, "1"), row("a", early, "9"), row("b", early, "null"), row("c", "null", "5")}, ",")+"]")
	require.Equal(t, []string{"a 2026-08-02 1", "b 2026-08-01 -", "c - 5"}, found())
	deliver(1, "["+strings.Join([]string{row("a", early, "99"), row("b", early, "0"), row("c", "null", "4"), row("d", early, "1")}, ",")+"]")
	require.Equal(t, []string{"a 2026-08-02 1", "b 2026-08-01 0", "c - 5", "d 2026-08-01 1"}, found(), "older rows do not replace newer ones")
	p.sql(`UPDATE shop.events SET price = 7`)
	deliver(0, "["+row("a", late, "1")+"]")
	require.Equal(t, []string{"a "}, p.texts(`SELECT "who ""is"" it" || ' ' || coalesce(price::text, '') FROM shop.events WHERE price IS NULL`), "the same version counts as newer: the query may have changed")
}

func TestWithoutAVersionTheLastDeliveryCounts(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for hour, n := range []string{"2", "1"} {
		_, err := p.deliver(custom(p, hour, func(r *destinations.Run) { r.Merge, r.Key = true, []string{`who "is" it`} }),
			table(t, customFields, `[{"who \"is\" it":"a","n":`+n+`}]`))
		require.NoError(t, err)
	}
	require.Equal(t, []string{"a1"}, p.texts(`SELECT "who ""is"" it" || n FROM shop.events`))
}

// Of rows of one key that no version tells apart, the same one is taken in whatever order they come, and however the interval
// is cut into splits.
func TestWhichOfEqualRowsIsMergedDoesNotDependOnTheirOrder(t *testing.T) {
	t.Parallel()
	row := func(n int) string { return fmt.Sprintf(`{"who \"is\" it":"a","n":%d,"at":"2026-08-01T00:00:00Z"}`, n) }
	all := []string{row(1), row(2), row(3), row(4), row(5)}
	for name, version := range map[string][]string{"without a version": nil, "of one version": {"at"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			taken := map[string]bool{}
			for _, splits := range [][][]string{
				{all}, {{all[4], all[2], all[0], all[1], all[3]}}, {all[:2], all[2:]}, {all[3:], all[:1], all[1:3]}, {{all[0]}, {all[1]}, {all[2]}, {all[3]}, {all[4]}},
			} {
				p := newPlace(t)
				d := p.open(p.server)
				run := custom(p, 0, func(r *destinations.Run) { r.Merge, r.Key, r.Version = true, []string{`who "is" it`}, version })
				var receipts []destinations.Receipt
				for i, rows := range splits {
					j := job(run, 1, &journal{})
					j.Split, j.Splits = i, len(splits)
					receipt, err := d.Stage(t.Context(), j, table(t, customFields, "["+strings.Join(rows, ",")+"]"))
					require.NoError(t, err)
					receipts = append(receipts, receipt)
				}
				published, err := d.Commit(t.Context(), run, receipts, nil)
				require.NoError(t, err)
				require.EqualValues(t, 5, published.Rows)
				found := p.texts(`SELECT n::text FROM shop.events`)
				require.Len(t, found, 1)
				taken[found[0]] = true
			}
			require.Len(t, taken, 1, "always the same one")
		})
	}
}

func TestTablesThatDoNotFitAQuery(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		table  string
		fields *arrow.Schema
		change func(*destinations.Run)
		want   string
	}{
		"no unique index to merge by": {
			`CREATE TABLE shop.events (n bigint)`, customFields, func(r *destinations.Run) { r.Merge, r.Key = true, []string{"n"} },
			"the table needs a primary key or a unique index on (n): rows are merged by it",
		},
		"a column of another type": {
			`CREATE TABLE shop.events (n bigint, day integer)`, customFields, func(*destinations.Run) {},
			`the column "day" of the table has the type integer, but must be able to hold DATE`,
		},
		"a name that would be cut": {
			`CREATE TABLE shop.events (n bigint)`, arrow.NewSchema([]arrow.Field{{Name: strings.Repeat("n", 64), Type: arrow.PrimitiveTypes.Int64}}, nil), func(*destinations.Run) {},
			`the name of the column "` + strings.Repeat("n", 64) + `" is longer than 63 bytes: give it an alias`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.sql(`CREATE SCHEMA shop`, tt.table)
			rows := `[{"n":1}]`
			if tt.fields != customFields {
				rows = `[{"` + tt.fields.Field(0).Name + `":1}]`
			}
			_, err := p.deliver(custom(p, 0, tt.change), table(t, tt.fields, rows))
			require.Equal(t, batch.CodeSchema, batch.CodeOf(err), "%v", err)
			require.Equal(t, tt.want, batch.MessageOf(err))
		})
	}
}

// Names of columns are the customer's text: they are names, whatever is in them.
func TestHostileNamesOfColumns(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	var fields []arrow.Field
	var names []string
	row := map[string]any{}
	for _, name := range sourcetest.Hostile() {
		fields = append(fields, arrow.Field{Name: name, Type: arrow.BinaryTypes.String, Nullable: true})
		names, row[name] = append(names, name), "the value of "+name
	}
	rows, err := json.Marshal([]any{row})
	require.NoError(t, err)
	for hour := range 2 {
		_, err := p.deliver(custom(p, hour, func(r *destinations.Run) { r.Merge, r.Key, r.Version = true, names[:3], names[3:6] }), table(t, arrow.NewSchema(fields, nil), string(rows)))
		require.NoError(t, err)
	}
	require.Equal(t, names, p.texts(`SELECT attname::text FROM pg_attribute WHERE attrelid = 'shop.events'::regclass AND attnum > 0 ORDER BY attnum`))
	require.Equal(t, []string{"1"}, p.texts(`SELECT count(*)::text FROM shop.events`), "both runs delivered the same row")
	require.Equal(t, []string{"events", "tranche_deliveries"}, p.texts(`SELECT relname::text FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r' ORDER BY 1`))
	require.Equal(t, []string{`the value of "; DROP TABLE events; --`}, p.texts(`SELECT """; DROP TABLE events; --" FROM shop.events`))
}
