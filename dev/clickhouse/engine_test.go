package clickhouse_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
	"tranche/sources/clickhouse"
)

var day = batch.Interval{Start: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)}

// asked are the columns of most tests here.
var asked = query.Query{TeamID: 1, Model: batch.ModelEvents, Interval: day, Columns: []query.Column{
	{Name: "id", Field: query.FieldUUID},
	{Name: "event", Field: query.FieldEvent},
	{Name: "at", Field: query.FieldTimestamp},
	{Name: "props", Field: query.FieldProperties},
	{Name: "person", Field: query.FieldPersonProperties},
	{Name: "chain", Field: query.FieldElementsChain},
}}

// read reads the rows of a part as text.
func read(ctx context.Context, s sources.Source, q query.Query, part batch.Interval) ([]string, error) {
	r, err := s.Open(ctx, q, sources.Split{Range: part})
	if err != nil {
		return nil, err
	}
	defer r.Release()
	var all []string
	for r.Next() {
		for row := range int(r.RecordBatch().NumRows()) {
			var values []string
			for i := range q.Columns {
				values = append(values, r.RecordBatch().Column(i).ValueStr(row))
			}
			all = append(all, strings.Join(values, " | "))
		}
	}
	return all, r.Err()
}

// start makes a source of a database with the statements' tables.
func start(t *testing.T, o clickhouse.Options, statements ...string) *clickhouse.Source {
	t.Helper()
	o.DSN = server.Database(t) + o.DSN
	address, _, _ := strings.Cut(o.DSN, "?")
	for _, statement := range statements {
		server.Execute(t, address, statement)
	}
	s, err := clickhouse.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// few is a table of a few columns; the rest has substitutes.
const few = `CREATE TABLE events (uuid UUID, team_id Int64, event String, distinct_id String, timestamp DateTime64(6, 'UTC'),
	inserted_at DateTime64(6, 'UTC')) ENGINE = MergeTree ORDER BY (team_id, event)`

// lacking says so.
var lacking = map[query.Field]string{
	query.FieldCreatedAt: "", query.FieldProperties: "", query.FieldPersonProperties: "", query.FieldPersonID: "", query.FieldElementsChain: "",
}

// with are PostHog's models with other columns for events.
func with(columns map[query.Field]string) query.Catalog {
	events, _ := query.PostHog().Model(batch.ModelEvents)
	return query.PostHog().With(events.At(nil, columns))
}

func TestColumnsThatTheTableLacksHaveSubstitutes(t *testing.T) {
	t.Parallel()
	s := start(t, clickhouse.Options{Models: with(lacking)}, few, `INSERT INTO events VALUES
		('00000000-0000-0000-0000-00000000000a', 1, 'e', 'd', '2026-03-01 11:00:00', '2026-03-01 12:00:00')`)
	rows, err := read(t.Context(), s, asked, day)
	require.NoError(t, err)
	require.Equal(t, []string{"00000000-0000-0000-0000-00000000000a | e | 2026-03-01T11:00:00Z | {} | (null) | "}, rows)
}

func TestTypesOfClickHouse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ column, kind, value, want string }{
		"a JSON object":        {"properties", "JSON", `'{"a":{"b":[1,null]}}'`, `{"a":{"b":[1,null]}}`},
		"a map":                {"properties", "Map(String, String)", `map('it\'s', 'a "b"')`, `{"it's":"a \"b\""}`},
		"a tuple":              {"properties", "Tuple(n Int64, s String)", `(1, 'x')`, `{"n":1,"s":"x"}`},
		"an array":             {"properties", "Array(Nullable(Int32))", `[1, NULL]`, `[1,null]`},
		"text as it is":        {"properties", "String", `'{ "a" : 1.0 }'`, `{ "a" : 1.0 }`},
		"text of few kinds":    {"properties", "LowCardinality(String)", `'{"a":1}'`, `{"a":1}`},
		"text that is missing": {"properties", "LowCardinality(Nullable(String))", `NULL`, `(null)`},
		"an enumeration":       {"event", "Enum8('signed up' = 1)", `'signed up'`, `signed up`},
		"a decimal":            {"event", "Decimal(18, 4)", `toDecimal64('12.3400', 4)`, `12.34`},
		"a fixed text":         {"event", "FixedString(3)", `'abc'`, `abc`},
		"seconds":              {"timestamp", "DateTime('Asia/Tokyo')", `toDateTime('2026-03-01 12:00:00', 'UTC')`, `2026-03-01T12:00:00Z`},
		"milliseconds":         {"timestamp", "DateTime64(3)", `toDateTime64('2026-03-01 12:00:00.123', 3, 'UTC')`, `2026-03-01T12:00:00.123Z`},
		"nanoseconds":          {"timestamp", "Nullable(DateTime64(9, 'UTC'))", `toDateTime64('2026-03-01 12:00:00.123456789', 9, 'UTC')`, `2026-03-01T12:00:00.123456Z`},
		"no time":              {"timestamp", "Nullable(DateTime64(9, 'UTC'))", `NULL`, `(null)`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kinds := map[string]string{"event": "String", "timestamp": "DateTime64(6, 'UTC')", "properties": "String"}
			values := map[string]string{"event": "'e'", "timestamp": "now64()", "properties": "'{}'"}
			kinds[test.column], values[test.column] = test.kind, test.value
			columns := map[query.Field]string{query.FieldCreatedAt: "", query.FieldPersonProperties: "", query.FieldPersonID: "", query.FieldElementsChain: ""}
			s := start(t, clickhouse.Options{Models: with(columns)},
				fmt.Sprintf(`CREATE TABLE events (uuid UUID, team_id Int64, event %s, distinct_id String, timestamp %s, inserted_at DateTime64(6, 'UTC'), properties %s)
					ENGINE = MergeTree ORDER BY team_id`, kinds["event"], kinds["timestamp"], kinds["properties"]),
				fmt.Sprintf(`INSERT INTO events SELECT generateUUIDv4(), 1, %s, 'd', %s, toDateTime64('2026-03-01 12:00:00', 6, 'UTC'), %s`,
					values["event"], values["timestamp"], values["properties"]))
			q := asked
			q.Columns = []query.Column{{Name: "x", Field: query.Field(test.column)}}
			rows, err := read(t.Context(), s, q, day)
			require.NoError(t, err)
			require.Equal(t, []string{test.want}, rows)
		})
	}
}

// shops is a model with a list, in more than one batch.
func shops(t *testing.T) (query.Catalog, query.Query) {
	t.Helper()
	m := query.Model{
		Name: "shops", Table: []string{"shops"}, Tenant: "team", Ingested: "at", Fields: []query.FieldSpec{
			{Name: "team", Type: query.TypeInteger, Required: true, Column: "team"},
			{Name: "at", Type: query.TypeInstant, Required: true, Column: "at"},
			{Name: "n", Type: query.TypeInteger, Column: "n"},
			{Name: "tags", Type: query.TypeStrings, Column: "tags"},
		},
	}
	return query.Catalog{m}, query.Query{TeamID: 1, Model: m.Name, Interval: day, Columns: []query.Column{{Name: "n", Field: "n"}, {Name: "tags", Field: "tags"}}}
}

// ClickHouse says of a list's items whether any may be null, and of its texts how they are kept: as a field they are one type.
func TestListsOfTexts(t *testing.T) {
	t.Parallel()
	const rows = 20_000
	for name, test := range map[string]struct{ kind, lists string }{
		"never null":            {"Array(String)", `multiIf(number % 3 = 0, [], number % 3 = 1, ['a "b"', ''], ['it\'s', toString(number)])`},
		"of few kinds":          {"Array(LowCardinality(String))", `multiIf(number % 3 = 0, [], number % 3 = 1, ['a "b"', ''], ['it\'s', toString(number)])`},
		"null or not":           {"Array(Nullable(String))", `multiIf(number % 3 = 0, [], number % 3 = 1, ['a "b"', NULL], ['it\'s', toString(number)])`},
		"of few kinds, or null": {"Array(LowCardinality(Nullable(String)))", `multiIf(number % 3 = 0, [], number % 3 = 1, ['a "b"', NULL], ['it\'s', toString(number)])`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			models, q := shops(t)
			allocator := memory.NewCheckedAllocator(memory.NewGoAllocator())
			t.Cleanup(func() { allocator.AssertSize(t, 0) })
			s := start(t, clickhouse.Options{Models: models, Allocator: allocator},
				"CREATE TABLE shops (team Int64, at DateTime64(6, 'UTC'), n Int64, tags "+test.kind+") ENGINE = MergeTree ORDER BY (team, n)",
				fmt.Sprintf("INSERT INTO shops SELECT 1, toDateTime64('2026-03-01 12:00:00', 6, 'UTC'), number, %s FROM numbers(%d)", test.lists, rows))
			require.NoError(t, s.Check(t.Context(), models))
			want := func(n int) string {
				switch second := `""`; n % 3 {
				case 0:
					return "[]"
				case 1:
					if strings.Contains(test.kind, "Nullable") {
						second = "null"
					}
					return `["a \"b\"",` + second + `]`
				default:
					return fmt.Sprintf(`["it's","%d"]`, n)
				}
			}
			found, batches := map[string]string{}, 0
			r, err := s.Open(t.Context(), q, sources.Split{Range: day})
			require.NoError(t, err)
			defer r.Release()
			for ; r.Next(); batches++ {
				require.True(t, r.RecordBatch().Schema().Equal(r.Schema()))
				require.True(t, arrow.TypeEqual(r.Schema().Field(1).Type, r.RecordBatch().Column(1).DataType()))
				for row := range int(r.RecordBatch().NumRows()) {
					found[r.RecordBatch().Column(0).ValueStr(row)] = r.RecordBatch().Column(1).ValueStr(row)
				}
			}
			require.NoError(t, r.Err())
			require.Greater(t, batches, 1)
			require.Len(t, found, rows)
			for n := range rows {
				require.JSONEq(t, want(n), found[strconv.Itoa(n)], "row %d", n)
			}
		})
	}
}

// What is no list of texts is refused, and told of at start.
func TestListsOfOtherThingsAreRefused(t *testing.T) {
	t.Parallel()
	models, q := shops(t)
	s := start(t, clickhouse.Options{Models: models},
		"CREATE TABLE shops (team Int64, at DateTime64(6, 'UTC'), n Int64, tags Array(UInt8)) ENGINE = MergeTree ORDER BY (team, n)",
		"INSERT INTO shops SELECT 1, toDateTime64('2026-03-01 12:00:00', 6, 'UTC'), 1, [1]")
	require.ErrorContains(t, s.Check(t.Context(), models), "has the type Array(UInt8), and the field tags of the model shops is a strings")
	_, err := read(t.Context(), s, q, day)
	require.Equal(t, batch.CodeSchema, batch.CodeOf(err), "%v", err)
}

// A source needs no more than to read and to send settings with its queries, and says so when it may not.
func TestUsersWhoMayOnlyRead(t *testing.T) {
	t.Parallel()
	address := server.Database(t)
	server.Execute(t, address, few)
	server.Execute(t, address, `INSERT INTO events VALUES (generateUUIDv4(), 1, 'e', 'd', '2026-03-01 11:00:00', '2026-03-01 12:00:00')`)
	for level, want := range map[int]batch.Code{1: batch.CodePermission, 2: ""} {
		t.Run(fmt.Sprint("readonly = ", level), func(t *testing.T) {
			t.Parallel()
			reader := server.ReadOnly(address, level)
			for _, statement := range []string{"INSERT INTO events SELECT * FROM events", "DROP TABLE events", "CREATE TABLE more (n Int64) ENGINE = Memory"} {
				status, text := server.Try(t, reader, statement)
				require.NotEqual(t, http.StatusOK, status)
				require.Contains(t, text, "READONLY", "the engine keeps to it")
			}
			s, err := clickhouse.New(clickhouse.Options{DSN: reader + "?max_threads=1", Models: with(lacking)})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			rows, err := read(t.Context(), s, asked, day)
			if want != "" {
				require.Equal(t, want, batch.CodeOf(err), "%v", err)
				require.ErrorContains(t, err, "readonly must be 0 or 2")
				return
			}
			require.NoError(t, err)
			require.Len(t, rows, 1)
			n, err := s.Count(t.Context(), asked)
			require.NoError(t, err)
			require.Equal(t, int64(1), n)
			require.NoError(t, s.Check(t.Context(), query.Catalog{with(lacking)[0]}))
		})
	}
}

// Rows of the engine come through a listener with TLS, whose authority is known to the address only.
func TestRowsOverTLS(t *testing.T) {
	t.Parallel()
	address := server.Database(t)
	server.Execute(t, address, few)
	server.Execute(t, address, `INSERT INTO events SELECT generateUUIDv4(), 1, 'e', 'd', '2026-03-01 11:00:00', '2026-03-01 12:00:00' FROM numbers(20000)`)
	u, err := url.Parse(address)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: u.Host})
	proxy.FlushInterval = -1
	front := httptest.NewTLSServer(proxy)
	t.Cleanup(front.Close)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600))
	u.Host = strings.TrimPrefix(front.URL, "https://")
	for parameters, want := range map[string]batch.Code{
		"?secure=true&ca_file=" + url.QueryEscape(authority): "",
		"?secure=true": batch.CodeConfig,
	} {
		s, err := clickhouse.New(clickhouse.Options{DSN: u.String() + parameters, Models: with(lacking)})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		rows, err := read(t.Context(), s, asked, day)
		if want != "" {
			require.Equal(t, want, batch.CodeOf(err), "%v", err)
			continue
		}
		require.NoError(t, err)
		require.Len(t, rows, 20_000)
	}
}

// repeated has uuids that come twice and three times, hours apart and at once, and one that differs by its event.
const repeated = `INSERT INTO events SELECT toUUID('00000000-0000-0000-0000-0000000000' || leftPad(toString(number % 70), 2, '0')), 1,
	if(number = 99, 'other', 'e'), 'd', toDateTime64('2026-03-01 00:00:00', 6, 'UTC'), toDateTime64('2026-03-01 00:00:00', 6, 'UTC') + toIntervalMinute(number * 14) FROM numbers(100)`

func TestARowThatComesTwiceIsReadOnce(t *testing.T) {
	t.Parallel()
	s := start(t, clickhouse.Options{Models: with(lacking), SplitRows: 10}, few, repeated, repeated)
	q := asked
	q.Columns = q.Columns[:2]
	n, err := s.Count(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, int64(71), n)
	splits, err := s.Plan(t.Context(), q, 5)
	require.NoError(t, err)
	require.Greater(t, len(splits), 2)
	seen := map[string]int{}
	for _, split := range splits {
		rows, err := read(t.Context(), s, q, split.Range)
		require.NoError(t, err)
		for _, row := range rows {
			seen[row]++
		}
	}
	require.Len(t, seen, 71)
	for row, times := range seen {
		require.Equal(t, 1, times, row)
	}

	s = start(t, clickhouse.Options{Models: with(lacking), Duplicates: true}, few, repeated, repeated)
	n, err = s.Count(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, int64(200), n)
	rows, err := read(t.Context(), s, q, day)
	require.NoError(t, err)
	require.Len(t, rows, 200)
}

func TestAnErrorInMidStreamIsNeverASuccess(t *testing.T) {
	t.Parallel()
	// Rows come until the 150,000th fails.
	s := start(t, clickhouse.Options{Models: with(lacking), Duplicates: true},
		`CREATE VIEW events AS SELECT generateUUIDv4() AS uuid, toInt64(1) AS team_id, toString(throwIf(number = 150000, 'the disk is on fire')) AS event,
			'd' AS distinct_id, toDateTime64('2026-03-01 12:00:00', 6, 'UTC') AS timestamp, timestamp AS inserted_at FROM numbers(200000)`)
	rows, err := read(t.Context(), s, asked, day)
	require.NotEmpty(t, rows, "it fails in mid-stream")
	require.Less(t, len(rows), 200_000)
	require.ErrorContains(t, err, "the ClickHouse source failed")
	require.Equal(t, batch.CodeInternal, batch.CodeOf(err), "%v", err)
}

func TestErrorsSayWhoMustAct(t *testing.T) {
	t.Parallel()
	const row = `INSERT INTO events VALUES (generateUUIDv4(), 1, 'e', 'd', '2026-03-01 11:00:00', '2026-03-01 12:00:00')`
	for name, test := range map[string]struct {
		options    clickhouse.Options
		edit       func(dsn string) string
		statements []string
		want       batch.Code
	}{
		"no table":        {want: batch.CodeNotFound},
		"no database":     {edit: func(s string) string { return strings.Replace(s, "/test_", "/nowhere_", 1) }, want: batch.CodeNotFound},
		"no user":         {edit: func(s string) string { return strings.Replace(s, "exporter:", "nobody:", 1) }, want: batch.CodeCredentials},
		"no server":       {edit: func(string) string { return "clickhouse://127.0.0.1:1/x" }, want: batch.CodeUnavailable},
		"no column":       {statements: []string{few}, want: batch.CodeConfig},
		"no such setting": {options: clickhouse.Options{Models: with(lacking), DSN: "?no_such_setting=1"}, statements: []string{few}, want: batch.CodeConfig},
		"a limit of rows": {options: clickhouse.Options{Models: with(lacking), DSN: "?max_rows_to_read=1"}, statements: []string{few, row, row}, want: batch.CodeConfig},
		"another type": {options: clickhouse.Options{Models: with(lacking)}, statements: []string{
			strings.Replace(few, "timestamp DateTime64(6, 'UTC')", "timestamp Array(String)", 1),
			`INSERT INTO events VALUES (generateUUIDv4(), 1, 'e', 'd', ['x'], '2026-03-01 12:00:00')`,
		}, want: batch.CodeSchema},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := server.Database(t)
			for _, statement := range test.statements {
				server.Execute(t, dsn, statement)
			}
			o := test.options
			o.DSN = dsn + o.DSN
			if test.edit != nil {
				o.DSN = test.edit(dsn)
			}
			s, err := clickhouse.New(o)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			_, err = read(t.Context(), s, asked, day)
			require.Equal(t, test.want, batch.CodeOf(err), "%v", err)
			require.NotContains(t, fmt.Sprintf("%+v", err), "ss'w")
		})
	}
}
