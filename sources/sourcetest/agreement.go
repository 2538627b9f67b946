package sourcetest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/query"
	"tranche/query/querytest"
	"tranche/sources"
)

// Agree tests that a source computes filters and queries as querytest does, and so as every other source does. The data
// are of two teams. The source's catalog is PostHog's.
func Agree(t *testing.T, start func(t *testing.T) Fixture) {
	t.Helper()
	f := start(t)
	a := agreement{Fixture: f, rows: agreementRows()}
	f.Seed(t, a.rows)
	ctx := t.Context()
	for _, text := range expressions {
		t.Run(text, func(t *testing.T) { a.expression(ctx, t, text) })
	}
	for _, text := range filters {
		t.Run(text, func(t *testing.T) { a.filters(ctx, t, text) })
	}
	t.Run("odd values", func(t *testing.T) { testOddities(ctx, t, start(t)) })
	t.Run("odd escapes", func(t *testing.T) { testEscapes(ctx, t, start(t)) })
	t.Run("conditions that nobody thought of", func(t *testing.T) { a.random(ctx, t) })
	t.Run("hostile text changes no query", func(t *testing.T) { a.hostile(ctx, t) })
	f.Allocator.AssertSize(t, 0)
}

// An agreement compares a source with the reference over rows.
type agreement struct {
	Fixture
	rows []Row
}

// expressions are computed as a column.
var expressions = []string{
	"event", "properties.plan", "properties.nested.deep", "properties['with space']", "properties.`a.b`", "person.properties.email",
	"properties.list", "properties.nested", "properties.n", "properties.flag", "properties.nothing", "properties.nested.missing.more",
	"properties['0']", "properties.list['0']", "properties['it''s']", "properties['\"quoted\"']", "properties['a/b~c']", "properties.n.x",
	"JSONExtractRaw(properties, 'nested')", "JSONExtractRaw(properties, 'text')", "JSONExtractInt(properties, 'n')", "JSONExtractFloat(properties, 'price')",
	"JSONExtractBool(properties, 'flag')", "JSONHas(properties, 'n')", "JSONHas(properties, 'null')", "properties", "person_id", "team_id", "timestamp",
	"1 + 2 * 3", "7 / 2", "intDiv(-7, 2)", "-7 % 3", "7 / 0", "1.5 + 1", "999999999999999999 + 1", "999999999999999999 * 999999999999999999", "-5 - -5", "abs(-3)", "abs(-3.5)", "if(event = 'purchase', abs(toInt(properties.n)), 2)",
	"floor(-1.5)", "ceil(1.2)", "round(2.5)", "round(-2.5)", "round(1.2345, 2)", "properties.price * 2", "properties.n + properties.n", "-toFloat(properties.price)",
	"toInt(properties.n)", "toInt(properties.price)", "toInt(toFloat(properties.price))", "toInt('12')", "toInt('12x')", "toInt(true)", "toFloat('1e3')", "toFloat('1e999')", "toFloat('-0.5')",
	"toFloat('nan')", "toFloat(' 1')", "toFloat('1_000')", "toFloat('')", "toFloat('.5')", "toBool('true')", "toBool(properties.flag)", "toBool('yes')", "toBool(0)",
	"toString(1 + 1)", "toString(true)", "toString(timestamp)", "toString(toDate(timestamp))", "toString(1.5)", "toString(2.0)", "CAST(properties.n AS Int)", "properties.n::float",
	"lower(event)", "upper(properties.text)", "lower('ÀÉ Ж')", "length(properties.text)", "length('日本語')", "trim('  x y  ')", "trim(properties.text)", "concat(event, '-', distinct_id)", "event || properties.missing",
	"substring('日本語です', 2, 2)", "substring(event, 3)", "substring('abc', 10)", "substring('abc', 1, 0)", "replaceAll('a.b.c', '.', '$&')", "replace(event, 'a', '')",
	"startsWith(event, '$')", "endsWith(event, 'w')", "endsWith(event, '')", "position('日本語', '語')", "position('abc', 'z')", "contains(event, 'page')", "contains(event, '')", "sha256Hex(event)",
	"event = 'purchase'", "event != 'purchase'", "event < 'm'", "event >= 'Z'", "'a' < 'B'", "'é' > 'z'", "properties.n > 5", "properties.n = 5", "5 < properties.n", "properties.n = '5'", "properties.flag = true",
	"event IN ('purchase', 'sign up')", "event NOT IN ('purchase')", "properties.n IN (1, 2, 5)", "properties.plan IS NULL", "properties.plan IS NOT NULL", "properties.n BETWEEN 2 AND 6",
	"event LIKE '$page%'", "event LIKE '%\\_%'", `event LIKE '%\\%%'`, `properties.text LIKE '%\\\\%'`, `'a\\b' LIKE 'a\\\\b'`, `'a%' LIKE 'a\\%'`, `'a' LIKE 'a\\'`, "event ILIKE 'PURCH%'", "event NOT ILIKE '%E%'", "'日本' LIKE '__'", "'a\nb' LIKE 'a%b'",
	"match(event, '^\\$')", "event =~ 'p.*e'", "event !~ '^p'", "match('a\nb', 'a.b')", "match('a\nb', '(?s)a.b')", "match('a\nb', '(?m)^b$')", "match('a\nb', '^b')", "match('a\n', 'a$')", "match('Straße', '(?i)STRASSE')", "match('K', '(?i)k')", "match('x1', '\\\\bx1\\\\b')", "match('éx', '\\\\bx')", "match('foo bar', 'o\\\\Bo')",
	"match('ab', '[^a]$')", "match('日', '^.$')", "match('', '')", "match('aaa', '^a{2,3}$')", "match('aaaa', '^a{2,3}?$')", "match('x', '\\\\pL')", "match('*', '[*]')", "match('a]b', '[\\\\]]')", "match('(?i)A', '\\\\(\\\\?i\\\\)a')",
	"if(properties.n > 5, 'big', 'small')", "multiIf(event = 'purchase', 1, event = 'sign up', 2, 3)", "CASE WHEN properties.n > 5 THEN 'big' END", "CASE event WHEN 'purchase' THEN 1 ELSE 0.5 END", "coalesce(properties.missing, properties.plan, 'none')", "properties.missing ?? 'x'", "nullIf(event, 'purchase')", "ifNull(properties.plan, '')",
	"NOT properties.flag = true", "properties.n > 3 AND properties.plan = 'pro'", "properties.n > 3 OR properties.plan = 'pro'", "NULL", "NULL = 1", "isNull(NULL)", "empty(properties.plan)", "notEmpty(properties.plan)",
	"toYear(timestamp)", "toMonth(timestamp)", "toDayOfMonth(timestamp)", "toDayOfWeek(timestamp)", "toHour(timestamp)", "toMinute(timestamp)", "toSecond(timestamp)", "toUnixTimestamp(timestamp)", "fromUnixTimestamp(1700000000)", "fromUnixTimestamp(99999999999999)",
	"dateTrunc('second', timestamp)", "dateTrunc('minute', timestamp)", "toStartOfHour(timestamp)", "toStartOfDay(timestamp)", "toMonday(timestamp)", "toStartOfMonth(timestamp)", "toStartOfYear(timestamp)", "addDays(timestamp, 3)", "addHours(timestamp, -30)", "dateDiff('day', timestamp, {data_interval_end})", "dateDiff('hour', toDateTime('1969-12-31 23:59:59'), toDateTime('1970-01-01'))", "dateDiff('second', timestamp, inserted_at)",
	"toDateTime(properties.at)", "toDate(properties.at)", "toDateTime('2024-02-29T12:30:00+02:00')", "toDateTime(concat('2023-02-', '29'))", "toDateTime(concat('2024-02-', '29 01:02:03.5'))", "toDateTime(concat('2024-02-01T10:00', 'Z'))", "toDate('2024-05-06')", "toDate(timestamp) = '2026-03-01'", "timestamp >= '2026-03-01 12:30:00'", "timestamp >= {data_interval_start} AND timestamp < {data_interval_end}", "properties.at > '2024-01-01'", "toDateTime(toDate(timestamp)) < timestamp",
}

// filters choose rows.
var filters = []string{
	`[{"key":"plan","type":"event","operator":"exact","value":"pro"}]`, `[{"key":"plan","type":"event","value":["pro","free"]}]`, `[{"key":"plan","type":"event","operator":"is_not","value":"pro"}]`,
	`[{"key":"plan","type":"event","operator":"is_not","value":["pro","free"]}]`, `[{"key":"plan","type":"event","operator":"icontains","value":"R"}]`, `[{"key":"plan","type":"event","operator":"icontains","value":["PR","ee"]}]`,
	`[{"key":"plan","type":"event","operator":"not_icontains","value":"R"}]`, `[{"key":"text","type":"event","operator":"icontains","value":"%"}]`, `[{"key":"text","type":"event","operator":"icontains","value":"É"}]`, `[{"key":"text","type":"event","operator":"icontains","value":"\\"}]`,
	`[{"key":"plan","type":"event","operator":"regex","value":"^p"}]`, `[{"key":"plan","type":"event","operator":"regex","value":["^p","e$"]}]`, `[{"key":"plan","type":"event","operator":"not_regex","value":"^p"}]`,
	`[{"key":"plan","type":"event","operator":"is_set"}]`, `[{"key":"plan","type":"event","operator":"is_not_set"}]`, `[{"key":"null","type":"event","operator":"is_set"}]`,
	`[{"key":"n","type":"event","operator":"gt","value":5}]`, `[{"key":"n","type":"event","operator":"gte","value":"5"}]`, `[{"key":"n","type":"event","operator":"lt","value":5.5}]`, `[{"key":"n","type":"event","operator":"lte","value":[2, 7]}]`, `[{"key":"plan","type":"event","operator":"gt","value":"g"}]`,
	`[{"key":"plan","type":"event","operator":"in","value":["pro"]}]`, `[{"key":"plan","type":"event","operator":"not_in","value":["pro"]}]`, `[{"key":"n","type":"event","value":5}]`, `[{"key":"n","type":"event","value":["5", 6]}]`, `[{"key":"n","type":"event","operator":"is_not","value":5}]`,
	`[{"key":"flag","type":"event","value":true}]`, `[{"key":"flag","type":"event","value":["true"]}]`, `[{"key":"at","type":"event","operator":"is_date_exact","value":"2024-05-06"}]`, `[{"key":"at","type":"event","operator":"is_date_before","value":"2024-05-06"}]`,
	`[{"key":"at","type":"event","operator":"is_date_after","value":"2024-05-06"}]`, `[{"key":"at","type":"event","operator":"is_date_after","value":"2024-05-06T07:00:00Z"}]`, `[{"key":"at","type":"event","operator":"is_date_exact","value":"2024-05-06T07:08:09Z"}]`,
	`[{"key":"email","type":"person","operator":"icontains","value":"@EXAMPLE"}]`, `[{"key":"email","type":"person","operator":"is_not_set"}]`, `[{"key":"plan","type":"event","value":"pro"},{"key":"n","type":"event","operator":"gt","value":3}]`,
	`[{"key":"properties.n > 5 AND event = 'purchase'","type":"hogql"}]`, `[{"key":"person.properties.email LIKE '%1%' OR team_id = 8","type":"hogql"}]`,
}

// agreementRows are events of two teams whose properties have one of everything.
func agreementRows() []Row {
	texts := []string{"plain", "ÀÉ Ж", `back\slash`, "per%cent", "under_score", "it's", `"q"`, "line\nbreak", "  spaces ", "日本語", ""}
	names := []string{"$pageview", "purchase", "sign up", "a_b", "100%", `c\d`, "Zoo"}
	plans := []any{"pro", "free", "Premium", nil, ""}
	all := make([]Row, 0, 140)
	for i := range 140 {
		at := start.Add(time.Duration(i*37) * time.Second).Add(time.Duration(i) * 1003 * time.Microsecond)
		r := row(i, hour.Start.Add(time.Duration(i)*time.Second))
		r.Event, r.Timestamp = names[i%len(names)], at.AddDate(0, 0, -i%50)
		properties := map[string]any{
			"n": i % 11, "price": float64(i%17) + 0.25, "flag": i%2 == 0, "text": texts[i%len(texts)], "null": nil, "list": []any{"x", i},
			"nested": map[string]any{"deep": texts[i%len(texts)]}, "with space": i, "a.b": "dotted", "0": "zero", "it's": 1, `"quoted"`: 2, "a/b~c": 3,
			"at": []string{"2024-05-06", "2024-05-06T07:08:09Z", "2024-05-05 23:59:59.999999", "2024-05-07T01:30:00+02:00", "soon", "2023-02-29"}[i%6],
		}
		if plan := plans[i%len(plans)]; plan != nil {
			properties["plan"] = plan
		}
		r.Properties = compact(properties)
		if i%3 != 0 {
			r.PersonID = uuid.NewSHA1(uuid.NameSpaceOID, []byte(r.UUID)).String()
			r.PersonProperties = compact(map[string]any{"email": fmt.Sprintf("user%d@Example.com", i%5), "n": i})
		}
		if i%4 == 3 {
			r.TeamID = otherTeam
		}
		all = append(all, r)
	}
	return all
}

// compact is JSON as a client writes it, without escapes that it need not have.
func compact(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSpace(b.String())
}

// reference is a row as querytest has it.
func reference(r Row) querytest.Row {
	null := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	return querytest.Row{
		query.FieldUUID: r.UUID, query.FieldTeamID: r.TeamID, query.FieldEvent: r.Event, query.FieldDistinctID: r.DistinctID,
		query.FieldTimestamp: r.Timestamp.UTC(), query.FieldInsertedAt: r.InsertedAt.UTC(), query.FieldCreatedAt: r.CreatedAt.UTC(),
		query.FieldProperties: r.Properties, query.FieldPersonProperties: null(r.PersonProperties), query.FieldPersonID: null(r.PersonID),
		query.FieldElementsChain: r.ElementsChain,
	}
}

// expression compares the values of one expression. Text that nobody can parse is no test.
func (a agreement) expression(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	s, err := query.ParseSelect("SELECT uuid, "+text+" AS v FROM events", query.PostHog())
	require.NoError(t, err)
	a.compare(ctx, t, []query.Expr{s.Columns[1].Expr}, nil)
}

func (a agreement) filters(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	want, q := a.compare(ctx, t, nil, compiled(t, text))
	counted, err := a.Source.Count(ctx, q)
	require.NoError(t, err)
	require.Equal(t, want, counted)
}

func compiled(t *testing.T, text string) query.Expr {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var sent any
	require.NoError(t, decoder.Decode(&sent))
	sent = exact(sent)
	parsed, err := query.ParseFilters(sent)
	require.NoError(t, err)
	m, _ := query.PostHog().Model(batch.ModelEvents)
	where, err := query.Compile(parsed, m)
	require.NoError(t, err)
	return where
}

// exact makes whole numbers integers, as the API has them.
func exact(sent any) any {
	switch v := sent.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = exact(value)
		}
	case []any:
		for i, value := range v {
			v[i] = exact(value)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	}
	return sent
}

// compare reads the expressions of the rows that fulfil the condition, and expects what querytest says, of the team's rows
// alone.
func (a agreement) compare(ctx context.Context, t *testing.T, columns []query.Expr, where query.Expr) (int64, query.Query) {
	t.Helper()
	q := query.Query{TeamID: team, Model: batch.ModelEvents, Interval: hour, Where: where, Columns: []query.Column{{Name: "uuid", Field: query.FieldUUID}}}
	for i, e := range columns {
		q.Columns = append(q.Columns, query.Column{Name: fmt.Sprintf("v%d", i), Expr: e})
	}
	want := make(map[string][]any)
	for _, r := range a.rows {
		row := reference(r)
		if r.TeamID != team || where != nil && querytest.Evaluate(where, row, hour) != true {
			continue
		}
		values := make([]any, len(columns))
		for i, e := range columns {
			values[i] = sameJSON(querytest.Evaluate(e, row, hour))
		}
		want[r.UUID] = values
	}
	reader, err := a.Source.Open(ctx, q, sources.Split{Range: hour})
	require.NoError(t, err, "%v", columns)
	defer reader.Release()
	got := make(map[string][]any)
	for reader.Next() {
		records := reader.RecordBatch()
		for i := range int(records.NumRows()) {
			values := make([]any, len(columns))
			for c := range columns {
				values[c] = valueAt(t, records.Column(c+1), i)
			}
			got[textAt(t, records.Column(0), i)] = values
		}
	}
	require.NoError(t, reader.Err(), "%v", columns)
	wanted := int64(len(want))
	requireAgreement(t, want, got, "%v where %v", columns, where)
	return wanted, q
}

// requireAgreement shows the rows that differ and no others.
func requireAgreement(t *testing.T, want, got map[string][]any, about string, args ...any) {
	t.Helper()
	for id, values := range want {
		if reflect.DeepEqual(values, got[id]) {
			delete(want, id)
			delete(got, id)
		}
	}
	require.Equal(t, want, got, append([]any{about}, args...)...)
}

// valueAt is a value as querytest has it.
func valueAt(t *testing.T, column arrow.Array, i int) any {
	t.Helper()
	if column.IsNull(i) {
		return nil
	}
	switch column := column.(type) {
	case *array.String:
		return sameJSON(strings.Clone(column.Value(i)))
	case *array.Int64:
		return column.Value(i)
	case *array.Float64:
		return column.Value(i) + 0 // no negative zero
	case *array.Boolean:
		return column.Value(i)
	case *array.Timestamp:
		return column.Value(i).ToTime(arrow.Microsecond)
	case *array.Date32:
		return column.Value(i).ToTime()
	}
	require.Fail(t, "unexpected column", "%T", column)
	return nil
}

// sameJSON writes objects and lists in one way: sources may keep them in another.
func sameJSON(value any) any {
	text, ok := value.(string)
	if !ok || text == "" || text[0] != '{' && text[0] != '[' || !json.Valid([]byte(text)) {
		return value
	}
	var parsed any
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		return value
	}
	return compact(parsed)
}

// random compares expressions and conditions that are made at random.
func (a agreement) random(ctx context.Context, t *testing.T) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	for range randomQueries {
		columns := make([]query.Expr, randomColumns)
		for i := range columns {
			columns[i] = g.expression([]query.Type{query.TypeString, query.TypeInteger, query.TypeFloat, query.TypeBoolean, query.TypeInstant}[i%5], randomDepth)
		}
		a.compare(ctx, t, columns, g.expression(query.TypeBoolean, randomDepth))
	}
}

// What the fuzz of one run is.
const (
	randomQueries = 25
	randomColumns = 10
	randomDepth   = 4
)
