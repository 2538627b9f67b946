package sql_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/query"
	"tranche/query/sql"
	"tranche/sources/sourcetest"
)

// team is whose rows are asked for.
const team = 424242

var dialects = []sql.Dialect{sql.PostgreSQL(), sql.DuckDB(), sql.ClickHouse()}

// requireBound prints the query for every source, and again with other constants in the places of all texts: were anything
// of a text in the SQL, it would differ. The SQL must be whole, and ask for the team's rows whatever the condition is.
func requireBound(t *testing.T, columns []query.Column, where query.Expr) {
	t.Helper()
	m, _ := query.PostHog().Model(batch.ModelEvents)
	q := query.Query{
		TeamID: team, Model: batch.ModelEvents, Columns: columns, Where: where,
		Interval: batch.Interval{Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)},
	}
	other := q
	other.Columns = make([]query.Column, len(columns))
	for i, c := range columns {
		other.Columns[i] = query.Column{Name: "c", Expr: disguised(c.Expr)}
	}
	other.Where = disguised(where)
	for _, d := range dialects {
		for _, distinct := range [][]query.Field{nil, {query.FieldUUID}} {
			made, err := d.Select(sql.Table{Model: m, Distinct: distinct}, q, q.Interval)
			require.NoError(t, err)
			again, err := d.Select(sql.Table{Model: m, Distinct: distinct}, other, q.Interval)
			require.NoError(t, err)
			require.Equal(t, again.Text, made.Text, "%s: a text became SQL", d)
			requireWhole(t, made)
		}
	}
}

// disguised is the expression with other constants. Patterns are parsed and printed, units are words of ours: they stay.
func disguised(e query.Expr) query.Expr {
	switch e := e.(type) {
	case query.Literal:
		if _, text := e.Value.(string); text && e.Of == query.TypeString {
			return query.Text("disguised")
		}
	case query.Property:
		path := make([]string, len(e.Path))
		for i, key := range e.Path {
			path[i] = "disguised"
			if regexp.MustCompile(`^([+-]?[0-9]+|-)$`).MatchString(key) {
				path[i] = key // it is guarded, since it could be an index
			}
		}
		return query.Property{Object: disguised(e.Object), Path: path, Raw: e.Raw}
	case query.Call:
		if e.Function == query.FunctionMatch || e.Function == query.FunctionLike || e.Function == query.FunctionILike ||
			e.Function == query.FunctionDateTrunc || e.Function == query.FunctionDateDiff || e.Function == query.FunctionDateAdd {
			args := append([]query.Expr{}, e.Args...)
			for i, arg := range args {
				if _, constant := arg.(query.Literal); !constant {
					args[i] = disguised(arg)
				}
			}
			return query.Call{Function: e.Function, Args: args, Of: e.Of}
		}
		args := make([]query.Expr, len(e.Args))
		for i, arg := range e.Args {
			args[i] = disguised(arg)
		}
		return query.Call{Function: e.Function, Args: args, Of: e.Of}
	}
	return e
}

// requireWhole reads the SQL as a scanner does: quotes and parentheses close, nothing is commented out, there is one
// statement, and its last WHERE is a list of conditions that all must hold, the team's first.
func requireWhole(t *testing.T, s sql.Statement) {
	t.Helper()
	bare := unquoted(t, s.Text)
	for _, sign := range []string{"--", "/*", ";"} {
		require.NotContains(t, bare, sign, s.Text)
	}
	depth, where := 0, -1
	for i := range len(bare) {
		switch bare[i] {
		case '(':
			depth++
		case ')':
			depth--
		}
		require.GreaterOrEqual(t, depth, 0, s.Text)
		if depth == 0 && strings.HasPrefix(bare[i:], " WHERE ") {
			where = i
		}
		if depth <= 1 && where >= 0 && strings.HasPrefix(bare[i:], " OR ") {
			require.Fail(t, "a condition is beside the team's", s.Text)
		}
	}
	require.Zero(t, depth, s.Text)
	require.Positive(t, where, s.Text)
	// All conditions are in one pair of parentheses.
	require.Regexp(t, `^ WHERE \(["\x60]{2} = `, bare[where:], "the team comes first: %s", s.Text)
	ours := 0
	for _, v := range s.Values {
		if fmt.Sprint(v) == fmt.Sprint(team) {
			ours++
		}
	}
	require.Positive(t, ours, s.Text)
}

// unquoted is SQL without what is between its quotes, as all three sources read them.
func unquoted(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		quote := text[i]
		b.WriteByte(quote)
		if quote != '\'' && quote != '"' && quote != '`' {
			continue
		}
		closing := strings.IndexByte(text[i+1:], quote)
		require.GreaterOrEqual(t, closing, 0, "a quote stays open: %s", text)
		i += 1 + closing
		b.WriteByte(quote)
	}
	return b.String()
}

func TestNoTextOfACustomersBecomesSQL(t *testing.T) {
	t.Parallel()
	m, _ := query.PostHog().Model(batch.ModelEvents)
	for _, text := range sourcetest.Hostile() {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			name, constant := query.QuoteName(text), query.QuoteText(text)
			s, err := query.ParseSelect(fmt.Sprintf(
				"SELECT properties.%s.x AS %s, concat(event, %s) AS b, replaceAll(event, 'x', %s) AS c, multiIf(event = %s, %s, '') AS d, toDateTime(concat(%s, event)) AS e "+
					"FROM events AS %s WHERE event = %s OR match(event, %s) OR event LIKE %s OR properties[%s] IN (%s, 'y') OR 1 = 1",
				name, query.QuoteName("as "+text), constant, constant, constant, constant, constant, query.QuoteName("of "+text),
				constant, query.QuoteText(regexp.QuoteMeta(text)), constant, constant, constant), query.PostHog())
			require.NoError(t, err)
			requireBound(t, s.Columns, s.Where)
			again, err := query.ParseSelect(s.Text, query.PostHog())
			require.NoError(t, err, "its normal form is the same query")
			require.Equal(t, s.Where, again.Where)
			for _, operator := range query.Operators() {
				value := text
				switch {
				case strings.Contains(operator, "regex"):
					value = regexp.QuoteMeta(text)
				case strings.Contains(operator, "date"):
					value = "2026-01-01"
				}
				filters, err := query.ParseFilters([]any{map[string]any{"type": "event", "key": text, "operator": operator, "value": []any{value, "y"}}, map[string]any{"type": "person", "key": text, "operator": operator, "value": value}})
				if strings.Contains(operator, "date") {
					filters, err = query.ParseFilters([]any{map[string]any{"type": "event", "key": text, "operator": operator, "value": value}})
				}
				require.NoError(t, err)
				where, err := query.Compile(filters, m)
				require.NoError(t, err, operator)
				requireBound(t, []query.Column{{Name: text, Expr: m.Ref(query.FieldEvent)}}, where)
			}
		})
	}
}

// FuzzQueriesAreBound: whatever the parser accepts, nothing of its texts is in the SQL, and the team's condition holds.
func FuzzQueriesAreBound(f *testing.F) {
	f.Add("SELECT event AS `a\\`b`, properties.`'`.\"\\\"\" FROM events e WHERE event = ''' OR 1=1 --' OR e.team_id = 8 /* x */")
	f.Add("SELECT dateTrunc('day', timestamp) AS d, properties['0'] AS z FROM events WHERE NOT match(event, '\\\\\\'') AND {data_interval_end} > timestamp OR true")
	for _, text := range sourcetest.Hostile() {
		f.Add("SELECT properties." + query.QuoteName(text) + " AS x FROM events WHERE event = " + query.QuoteText(text) + " OR event " + text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := query.ParseSelect(text, query.PostHog()[:1])
		if err != nil {
			return
		}
		requireBound(t, s.Columns, s.Where)
	})
}

// FuzzFiltersAreBound is the same for filters, as the API decodes them.
func FuzzFiltersAreBound(f *testing.F) {
	f.Add(`[{"type":"event","key":"'","operator":"exact","value":["\"", 1, true]},{"type":"hogql","key":"event = '\\'' OR 1=1"}]`)
	for _, text := range sourcetest.Hostile() {
		for _, operator := range []string{"icontains", "regex", "gt", "is_set"} {
			sent, _ := json.Marshal([]any{map[string]any{"type": "event", "key": text, "operator": operator, "value": text}}) // of texts it never fails
			f.Add(string(sent))
		}
	}
	m, _ := query.PostHog().Model(batch.ModelEvents)
	f.Fuzz(func(t *testing.T, text string) {
		var sent any
		if json.Unmarshal([]byte(text), &sent) != nil {
			return
		}
		filters, err := query.ParseFilters(sent)
		if err != nil {
			return
		}
		where, err := query.Compile(filters, m)
		if err != nil {
			return
		}
		requireBound(t, []query.Column{{Name: "event", Field: query.FieldEvent, Expr: m.Ref(query.FieldEvent)}}, where)
	})
}
