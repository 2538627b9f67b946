package e2e

import (
	"encoding/json"
	"net/http"

	"github.com/stretchr/testify/require"
)

// queried is a draft with a query, and whatever else.
func queried(p *tenant, query string, more ...string) string {
	text, err := json.Marshal(query)
	require.NoError(p.t, err)
	return draft(append(more, `"hogql_query": `+string(text))...)
}

const ofHogQL = `"model": "hogql"`

var behavioursOfQueries = behaviours{
	"C44: columns of the customer's own": func(p *tenant) {
		made := p.post(p.exports, queried(p, "SELECT event, team_id AS my_team, properties, properties.$browser AS browser FROM events")).is(http.StatusCreated)
		fields, _ := made.at("schema", "fields").([]any)
		require.Len(p.t, fields, 4)
		require.Equal(p.t, map[string]any{"expression": "events.event", "alias": "event"}, fields[0])
		require.Equal(p.t, map[string]any{"expression": "events.team_id", "alias": "my_team"}, fields[1])
		require.Contains(p.t, fields[3].(map[string]any)["expression"], "JSONExtractRaw(events.properties, %(hogql_val_0)s)")
		require.Equal(p.t, map[string]any{"hogql_val_0": "$browser"}, made.at("schema", "values"))
		require.Equal(p.t, "SELECT event, team_id AS my_team, properties, properties.$browser AS browser FROM events", made.at("schema", "hogql_query"))
	},
	"C45: a syntax error":    refusedQuery("SELECT event FROM events WHERE (", "Failed to parse query"),
	"C46: an unknown column": refusedQuery("SELECT unknown_field FROM events", "Invalid HogQL query: Unable to resolve field: unknown_field"),
	"C48: a union":           refusedQuery("SELECT event FROM events UNION ALL SELECT event FROM events", "UNIONs are not supported"),
	"C49: a CTE":             refusedQuery("WITH e AS (SELECT event FROM events) SELECT event FROM e", "CTEs are not supported"),
	"C50: a subquery":        refusedQuery("SELECT event FROM (SELECT event FROM events)", "Subqueries are not supported"),
	"C52: another table":     refusedQuery("SELECT distinct_id FROM persons", "Query must only SELECT FROM events"),
	"C53: no table":          refusedQuery("SELECT 1", "Query must SELECT FROM events"),
	"C54: a field out of reach": refusedQuery("SELECT inserted_at FROM events", "Batch exports cannot read these fields: inserted_at. "+
		"Supported fields are: created_at, distinct_id, elements_chain, event, person_id, person_properties, properties, team_id, timestamp, uuid"),
	"C56: an alias with SQL in it": func(p *tenant) {
		made := p.post(p.exports, queried(p, "SELECT event AS `a\\` FROM x; DROP TABLE events; --\"'` FROM events")).is(http.StatusCreated)
		require.Equal(p.t, "`a\\` FROM x; DROP TABLE events; --\"'`", made.at("schema", "fields").([]any)[0].(map[string]any)["alias"])
	},
	"C57: expressions without an alias": func(p *tenant) {
		made := p.post(p.exports, queried(p, "SELECT toString(uuid), 'test', 1 FROM events")).is(http.StatusCreated)
		var aliases []any
		for _, f := range made.at("schema", "fields").([]any) {
			aliases = append(aliases, f.(map[string]any)["alias"])
		}
		require.Equal(p.t, []any{"`toString(uuid)`", "test", "`1`"}, aliases)
	},
	"D64: a parse error of hogql": func(p *tenant) {
		p.refuses(queried(p, "SELECT event FROM events WHERE (", ofHogQL), "invalid_input", "Failed to parse HogQL query: the query ends too early", "hogql_query")
	},
	"D65: an unknown placeholder": func(p *tenant) {
		p.refuses(queried(p, "SELECT event FROM events WHERE event = {x}", ofHogQL), "invalid_input",
			"Unknown placeholder '{x}'. Only {data_interval_start} and {data_interval_end} are supported.", "hogql_query")
	},
	"D66: a placeholder that is an expression": func(p *tenant) {
		p.refuses(queried(p, "SELECT event FROM events WHERE event = {a + 1}", ofHogQL), "invalid_input",
			"Unsupported placeholder. Only {data_interval_start} and {data_interval_end} are supported.", "hogql_query")
	},
	"D69: merging without a key": func(p *tenant) {
		p.refuses(queried(p, "SELECT event FROM events", ofHogQL, `"incremental_mode": "MERGE"`), "invalid_input",
			"'primary_key' is required when 'incremental_mode' is 'MERGE'", "primary_key")
	},
	"D70: keys that are no columns": func(p *tenant) {
		for _, key := range []string{"primary_key", "version_key"} {
			keys := map[string]string{"primary_key": `["event"]`, "version_key": `["event"]`}
			keys[key] = `["event", "gone"]`
			p.refuses(queried(p, "SELECT event FROM events", ofHogQL, `"incremental_mode": "MERGE"`, `"primary_key": `+keys["primary_key"], `"version_key": `+keys["version_key"]),
				"invalid_input", "'"+key+"' contains columns that are not present in the query: gone", key)
		}
	},
	"D72: a key that is taken away": func(p *tenant) {
		for mode, status := range map[string]int{"MERGE": http.StatusBadRequest, "APPEND": http.StatusOK} {
			made := p.post(p.exports, queried(p, "SELECT event FROM events", ofHogQL, `"primary_key": ["event"]`, `"incremental_mode": "`+mode+`"`)).is(http.StatusCreated)
			p.patch(p.exports+"/"+made.text("id"), `{"primary_key": null}`).is(status)
		}
	},
	"D73: keys that are none": func(p *tenant) {
		p.refuses(queried(p, "SELECT event FROM events", ofHogQL, `"primary_key": []`), "empty", "This list may not be empty.", "primary_key")
		p.refuses(queried(p, "SELECT event FROM events", ofHogQL, `"primary_key": ["  "]`), "blank", "This field may not be blank.", "primary_key__0")
	},
	"D74: reading an export of a query": func(p *tenant) {
		made := p.post(p.exports, queried(p, "SELECT event FROM events", ofHogQL)).is(http.StatusCreated)
		require.Equal(p.t, "SELECT event FROM events", p.get(p.exports+"/"+made.text("id")).at("hogql_query"))
		require.Equal(p.t, "SELECT event FROM events", p.get(p.exports).at("results").([]any)[0].(map[string]any)["hogql_query"])
	},
	"I132: from the beginning of a query that needs a start": func(p *tenant) {
		made := p.post(p.exports, queried(p, "SELECT event FROM events WHERE timestamp > {data_interval_start}", ofHogQL)).is(http.StatusCreated)
		p.post(p.exports+"/"+made.text("id")+"/backfills", `{"start_at": null, "end_at": "2026-01-01T00:00:00Z"}`).
			invalid("invalid_input", "The query uses {data_interval_start}: a backfill of it needs a 'start_at'", "start_at")
	},
}

// refusedQuery is a query over events that is refused.
func refusedQuery(query, detail string) func(*tenant) {
	return func(p *tenant) { p.refuses(queried(p, query), "invalid_input", detail, "hogql_query") }
}
