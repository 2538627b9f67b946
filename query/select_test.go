package query_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/query"
)

func TestQueriesOverEventsAreRefusedInTheWordsThatClientsKnow(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"SELECT":                                                                      "Failed to parse query",
		"SELECT event FROM events WHERE (":                                            "Failed to parse query",
		"SELECT 'event FROM events":                                                   "Failed to parse query",
		"SELECT event FROM events; DROP TABLE x":                                      "Failed to parse query",
		"SELECT unknown_field FROM events":                                            "Invalid HogQL query: Unable to resolve field: unknown_field",
		"SELECT event FROM events JOIN persons":                                       "JOINs are not supported",
		"SELECT event FROM events, persons":                                           "JOINs are not supported",
		"SELECT event FROM events UNION ALL SELECT":                                   "UNIONs are not supported",
		"WITH x AS (SELECT 1) SELECT event FROM x":                                    "CTEs are not supported",
		"SELECT event FROM (SELECT 1)":                                                "Subqueries are not supported",
		"SELECT (SELECT 1) FROM events":                                               "Subqueries in SELECT expressions are not supported",
		"SELECT event FROM events WHERE event IN (SELECT 1)":                          "Subqueries are not supported",
		"SELECT event FROM events WHERE exists(SELECT 1)":                             "Subqueries are not supported",
		"SELECT event FROM events WHERE event = ANY (SELECT distinct_id FROM events)": "Subqueries are not supported",
		"SELECT max(SELECT 1) AS x FROM events":                                       "Subqueries in SELECT expressions are not supported",
		"SELECT 1":                                                                    "Query must SELECT FROM events",
		"SELECT event FROM persons":                                                   "Query must only SELECT FROM events",
		"SELECT event FROM numbers(3)":                                                "Query must only SELECT FROM events",
		"SELECT event FROM events GROUP BY event":                                     "Unsupported HogQL query",
		"SELECT inserted_at FROM events":                                              "Batch exports cannot read these fields: inserted_at. Supported fields are: created_at, distinct_id, elements_chain, event, person_id, person_properties, properties, team_id, timestamp, uuid",
		"SELECT sleep(3) FROM events":                                                 "Invalid HogQL query: Unsupported function call 'sleep(...)'",
		"SELECT event, event FROM events":                                             "Invalid HogQL query: two columns have the name 'event'",
		"SELECT event FROM events WHERE event = {x}":                                  "Unknown placeholder '{x}'. Only {data_interval_start} and {data_interval_end} are supported.",
		"SELECT event FROM events WHERE event = {1 + 1}":                              "Unsupported placeholder. Only {data_interval_start} and {data_interval_end} are supported.",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			_, err := query.ParseEvents(text, query.PostHog())
			var refused *query.RefusalError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, want, refused.Message)
		})
	}
}

func TestPatternsThatNoSourceTakesAreRefused(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		strings.Repeat(`(\pL|\pN)*`, 90): "too many classes", strings.Repeat("x", 1001): "at most 1000 characters", "x{256}": "repeats at most 255 times",
		"(x": "not a regular expression", `\1`: "not a regular expression", "(?=x)": "not a regular expression", "x++": "not a regular expression",
	} {
		_, err := query.ParseRegexp(pattern)
		require.ErrorContains(t, err, want)
	}
	_, err := query.ParseRegexp(`^[\pL\pN]+$`)
	require.NoError(t, err)
}

func TestTheSchemaShowsWhatAQueryBecame(t *testing.T) {
	t.Parallel()
	s, err := query.ParseEvents("SELECT toString(uuid) AS uuid, 'test' AS test, toInt(1+1) AS n, team_id AS `a ``b`, 1, properties.$browser AS browser FROM events", query.PostHog())
	require.NoError(t, err)
	require.Equal(t, query.Schema{
		Fields: []query.SchemaField{
			{Expression: "toString(events.uuid)", Alias: "uuid"},
			{Expression: "%(hogql_val_0)s", Alias: "test"},
			{Expression: "accurateCastOrNull(plus(1, 1), %(hogql_val_1)s)", Alias: "n"},
			{Expression: "events.team_id", Alias: "`a \\`b`"},
			{Expression: "1", Alias: "`1`"},
			{Expression: `replaceRegexpAll(nullIf(nullIf(JSONExtractRaw(events.properties, %(hogql_val_2)s), ''), 'null'), '^"|"$', '')`, Alias: "browser"},
		},
		Values: map[string]any{"hogql_val_0": "test", "hogql_val_1": "Int64", "hogql_val_2": "$browser"},
		Query:  "SELECT toString(uuid) AS uuid, 'test' AS test, toInt(plus(1, 1)) AS n, team_id AS `a \\`b`, 1, properties.$browser AS browser FROM events",
	}, s.Schema())
}

// FuzzAQueryInItsNormalFormIsTheSameQuery: whatever the parser accepts, it reads again as the same tree.
func FuzzAQueryInItsNormalFormIsTheSameQuery(f *testing.F) {
	for _, text := range []string{
		"SELECT event FROM events", "SELECT `a``\\``.b['c''d'] AS \"x\"\"y\" FROM events", "SELECT -1.5e3 * (2 - -x) FROM events WHERE NOT a IN ('''', \"b\") /* c */ -- d",
		"SELECT CASE a WHEN 1 THEN 'x' END, CAST(a AS int), a::float, properties.`$x y` FROM events e WHERE a BETWEEN 1 AND 2 OR b !~ 'c' AND {data_interval_end} > d",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := query.ParseSelect(text, query.PostHog())
		if err != nil {
			return
		}
		again, err := query.ParseSelect(s.Text, query.PostHog())
		require.NoError(t, err, s.Text)
		require.Equal(t, s.Text, again.Text)
		require.Equal(t, s.Where, again.Where)
		for i, c := range s.Columns {
			require.Equal(t, c.Expr, again.Columns[i].Expr)
		}
	})
}
