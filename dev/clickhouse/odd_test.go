package clickhouse_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/query"
	"tranche/sources/clickhouse"
)

// Filters and paths go into columns of JSON whatever type they have, as they go into text.
func TestPropertiesOfEveryTypeOfJSON(t *testing.T) {
	t.Parallel()
	for kind, value := range map[string]string{
		"JSON": `'{"plan":"pro","n":5}'`, "Map(String, String)": `map('plan', 'pro', 'n', '5')`, "Tuple(plan String, n Int64)": `('pro', 5)`,
		"LowCardinality(String)": `'{"plan":"pro","n":5}'`, "Nullable(String)": `'{"plan":"pro","n":5}'`, "FixedString(21)": `'{"plan":"pro","n":5}'`,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			columns := map[query.Field]string{query.FieldCreatedAt: "", query.FieldPersonProperties: "", query.FieldPersonID: "", query.FieldElementsChain: ""}
			s := start(t, clickhouse.Options{Models: with(columns)},
				`CREATE TABLE events (uuid UUID, team_id Int64, event String, distinct_id String, timestamp DateTime64(6, 'UTC'), inserted_at DateTime64(6, 'UTC'), properties `+kind+`)
					ENGINE = MergeTree ORDER BY team_id`,
				`INSERT INTO events SELECT generateUUIDv4(), 1, 'e', 'd', now64(), toDateTime64('2026-03-01 12:00:00', 6, 'UTC'), `+value)
			parsed, err := query.ParseSelect("SELECT properties.plan AS plan, toInt(properties.n) AS n FROM events WHERE properties.plan = 'pro' AND properties.n > 4 AND properties.missing IS NULL", query.PostHog())
			require.NoError(t, err)
			q := asked
			q.Columns, q.Where = parsed.Columns, parsed.Where
			n, err := s.Count(t.Context(), q)
			require.NoError(t, err)
			require.EqualValues(t, 1, n)
			rows, err := read(t.Context(), s, q, day)
			require.NoError(t, err)
			require.Equal(t, []string{"pro | 5"}, rows)
		})
	}
}

// numbers is a model of one integer.
func numbers() query.Catalog {
	return query.Catalog{{
		Name: "numbers", Table: []string{"numbers"}, Tenant: "team", Ingested: "at", Fields: []query.FieldSpec{
			{Name: "team", Type: query.TypeInteger, Required: true, Column: "team"},
			{Name: "at", Type: query.TypeInstant, Required: true, Column: "at"},
			{Name: "n", Type: query.TypeInteger, Column: "n"},
		},
	}}
}

// A number that does not fit is told of. It never becomes another one.
func TestNumbersThatDoNotFit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ kind, value, want string }{
		"the largest":             {"UInt64", "9223372036854775807", "9223372036854775807"},
		"no sign and too large":   {"UInt64", "18446744073709551615", ""},
		"a wide one that fits":    {"Int256", "-42", "-42"},
		"a wide one":              {"Int128", "toInt128('9223372036854775808')", ""},
		"a decimal":               {"Decimal(38, 2)", "toDecimal128('42.75', 2)", "42"},
		"a decimal that is large": {"Decimal(38, 0)", "toDecimal128('9223372036854775808', 0)", ""},
		"a truth":                 {"Bool", "true", "1"},
		"an enumeration":          {"Enum8('a' = -3)", "'a'", "-3"},
		"of few kinds":            {"LowCardinality(Nullable(UInt32))", "4294967295", "4294967295"},
		"nothing":                 {"Nullable(UInt64)", "NULL", "(null)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, clickhouse.Options{Models: numbers()},
				"CREATE TABLE numbers (team Int64, at DateTime64(6, 'UTC'), n "+test.kind+") ENGINE = MergeTree ORDER BY team SETTINGS allow_suspicious_low_cardinality_types = 1",
				"INSERT INTO numbers SELECT 1, toDateTime64('2026-03-01 12:00:00', 6, 'UTC'), "+test.value)
			require.NoError(t, s.Check(t.Context(), numbers()))
			q := query.Query{TeamID: 1, Model: "numbers", Interval: day, Columns: []query.Column{{Name: "n", Field: "n"}}}
			rows, err := read(t.Context(), s, q, day)
			if test.want == "" {
				require.Equal(t, batch.CodeSchema, batch.CodeOf(err), "%v %v", rows, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, []string{test.want}, rows)
		})
	}
}

// Rows without a name or an id are rows, and are counted as they are read.
func TestEventsWithoutAName(t *testing.T) {
	t.Parallel()
	s := start(t, clickhouse.Options{Models: with(lacking)},
		`CREATE TABLE events (uuid Nullable(UUID), team_id Int64, event Nullable(String), distinct_id Nullable(String), timestamp DateTime64(6, 'UTC'),
			inserted_at DateTime64(6, 'UTC')) ENGINE = MergeTree ORDER BY team_id`,
		`INSERT INTO events SELECT if(number % 3 = 0, NULL, toUUID('00000000-0000-0000-0000-00000000000a')), 1, if(number % 2 = 0, NULL, 'e'), 'd', toDateTime64('2026-03-01 11:00:00', 6, 'UTC'),
			toDateTime64('2026-03-01 12:00:00', 6, 'UTC') + toIntervalMinute(number) FROM numbers(12)`)
	whole, err := read(t.Context(), s, asked, day)
	require.NoError(t, err)
	require.Len(t, whole, 4, "%v", whole)
	n, err := s.Count(t.Context(), asked)
	require.NoError(t, err)
	require.EqualValues(t, len(whole), n)
	first, second := day, day
	first.End = day.Start.Add(12*60*60e9 + 2*60e9)
	second.Start = first.End
	var parts []string
	for _, part := range []batch.Interval{first, second} {
		rows, err := read(t.Context(), s, asked, part)
		require.NoError(t, err)
		parts = append(parts, rows...)
	}
	require.ElementsMatch(t, whole, parts)
}

// A limit that ends a query early ends the run.
func TestNoLimitCutsRowsOff(t *testing.T) {
	t.Parallel()
	address := server.Database(t)
	server.Execute(t, address, few)
	server.Execute(t, address, `INSERT INTO events SELECT generateUUIDv4(), 1, 'e', 'd', now64(), toDateTime64('2026-03-01 12:00:00', 6, 'UTC') FROM numbers(50000)`)
	s, err := clickhouse.New(clickhouse.Options{DSN: address + "?max_rows_to_read=100", Models: with(lacking)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err = s.Count(t.Context(), asked)
	require.Equal(t, batch.CodeConfig, batch.CodeOf(err), "%v", err)
}

// The most that an export can ask for can be asked.
func TestTheMostFilters(t *testing.T) {
	t.Parallel()
	const filters, values = 20, 1000
	s := start(t, clickhouse.Options{Models: with(map[query.Field]string{query.FieldCreatedAt: "", query.FieldPersonProperties: "", query.FieldPersonID: "", query.FieldElementsChain: ""})},
		`CREATE TABLE events (uuid UUID, team_id Int64, event String, distinct_id String, timestamp DateTime64(6, 'UTC'), inserted_at DateTime64(6, 'UTC'), properties String) ENGINE = MergeTree ORDER BY team_id`,
		`INSERT INTO events SELECT generateUUIDv4(), 1, 'e', 'd', now64(), toDateTime64('2026-03-01 12:00:00', 6, 'UTC'), '{"k":"v7"}'`)
	list := make([]any, values)
	for i := range list {
		list[i] = "v" + strconv.Itoa(i)
	}
	var sent []any
	for range filters {
		sent = append(sent, map[string]any{"key": "k", "type": "event", "operator": "exact", "value": list})
	}
	parsed, err := query.ParseFilters(sent)
	require.NoError(t, err)
	m, _ := query.PostHog().Model(batch.ModelEvents)
	q := asked
	q.Where, err = query.Compile(parsed, m)
	require.NoError(t, err)
	n, err := s.Count(t.Context(), q)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

// Names that statements give to what they read are never taken for columns of the table, such as the tenant's.
func TestColumnsWithNumbersForNames(t *testing.T) {
	t.Parallel()
	m := numbers()[0].At(nil, map[query.Field]string{"team": "0", "at": "1", "n": "2"})
	s := start(t, clickhouse.Options{Models: query.Catalog{m}},
		"CREATE TABLE numbers (`0` Int64, `1` DateTime64(6, 'UTC'), `2` Int64) ENGINE = MergeTree ORDER BY `0`",
		"INSERT INTO numbers SELECT number, toDateTime64('2026-03-01 12:00:00', 6, 'UTC'), 1 FROM numbers(3)")
	q := query.Query{TeamID: 1, Model: "numbers", Interval: day, Columns: []query.Column{{Name: "n", Field: "n"}, {Name: "t", Field: "team"}, {Name: "m", Field: "n"}}}
	rows, err := read(t.Context(), s, q, day)
	require.NoError(t, err)
	require.Equal(t, []string{"1 | 1 | 1"}, rows)
}
