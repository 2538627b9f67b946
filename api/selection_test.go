package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// aQuery is a SELECT that clients may send.
const aQuery = `SELECT uuid AS id, event, toInt(properties.n) AS n, timestamp FROM events WHERE event != 'x'`

func TestFiltersAreKeptAsTheyWereSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const sent = `[
		{"key": "$browser", "type": "event", "operator": "exact", "value": ["Chrome", "Safari"], "label": "Browser"},
		{"key": "n", "type": "event", "value": 9007199254740993}, {"key": "n", "type": "person", "operator": "gt", "value": 0.5},
		{"key": "email", "type": "person", "operator": "is_set"}, {"key": "properties.n > 1 AND event != 'x'", "type": "hogql"},
		{"key": "at", "type": "event", "operator": "is_date_before", "value": "2026-01-31"}, {"key": "on", "type": "event", "operator": null, "value": true}
	]`
	path := exports + "/" + w.export(t).String()
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPatch, path, `{"filters": `+sent+`}`).Code)
	shown := func(answer answer) string {
		var body struct{ Filters json.RawMessage }
		require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &body))
		return string(body.Filters)
	}
	require.JSONEq(t, sent, shown(w.call(t, http.MethodGet, path, "")))
	require.Contains(t, shown(w.call(t, http.MethodGet, path, "")), "9007199254740993", "whole numbers stay exact")
	require.JSONEq(t, sent, shown(w.call(t, http.MethodPatch, path, `{"name": "other"}`)), "what is not sent stays")
	require.JSONEq(t, sent, shown(w.call(t, http.MethodPut, path, draft())), "so it does when the export is replaced")
	require.Contains(t, shown(w.call(t, http.MethodPost, exports, draft(`"filters": `+sent))), `"label":"Browser"`)
	require.JSONEq(t, `[{"key": "a", "type": "event", "value": 1}]`, shown(w.call(t, http.MethodPatch, path, `{"filters": [{"key": "a", "type": "event", "value": 1}]}`)))
	require.Equal(t, "null", shown(w.call(t, http.MethodPatch, path, `{"filters": []}`)))
}

func TestFiltersThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stored := exports + "/" + w.export(t).String()
	const whichType = "Each filter must have a 'type' of one of: 'event', 'hogql', 'person'"
	for name, tt := range map[string]struct{ filters, detail, attr string }{
		"an item is no object":      {`["x"]`, "Each filter must be an object", "filters__0"},
		"no type":                   {`[{"key": "a", "value": 1}]`, whichType, "filters__0"},
		"a cohort, in second place": {`[{"key": "a", "type": "event", "value": 1}, {"key": "a", "type": "cohort", "value": 1}]`, whichType, "filters__1"},
		"an attribute of a run": {
			`[{"key": "data_interval_start", "type": "event", "value": "x"}]`,
			"'data_interval_start' and 'data_interval_end' are attributes of a run and not 'filters': trigger a backfill to export another range", "filters__0",
		},
		"no key":                   {`[{"type": "event", "value": 1}]`, "Each filter must have a 'key'", "filters__0"},
		"no value":                 {`[{"key": "a", "type": "event"}]`, "The filter on 'a' needs a 'value'", "filters__0"},
		"a value of another kind":  {`[{"key": "a", "type": "event", "value": {}}]`, "The values of the filter on 'a' must be text, numbers or truth values", "filters__0"},
		"a pattern that is none":   {`[{"key": "a", "type": "event", "operator": "regex", "value": "("}]`, "The filter on 'a' cannot work: ", "filters__0"},
		"a date that is none":      {`[{"key": "a", "type": "event", "operator": "is_date_before", "value": "soon"}]`, "The filter on 'a' cannot work: 'soon' is not a date such as 2026-01-31 or 2026-01-31T12:30:00Z", "filters__0"},
		"a condition that is none": {`[{"key": "properties.n >", "type": "hogql"}]`, "The filter on 'properties.n >' cannot work: ", "filters__0"},
		"too many":                 {`[` + strings.Repeat(`{"key": "a", "type": "event", "value": 1}, `, 100) + `{"key": "a", "type": "event", "value": 1}]`, "There can be at most 100 filters", "filters"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for method, path := range map[string]string{http.MethodPost: exports, http.MethodPut: stored} {
				answer := w.call(t, method, path, draft(`"filters": `+tt.filters))
				require.Equal(t, http.StatusBadRequest, answer.Code, answer.Body)
				require.Contains(t, answer.text("detail"), tt.detail)
				require.Equal(t, tt.attr, answer.text("attr"))
				require.Equal(t, "invalid_input", answer.text("code"))
			}
			w.call(t, http.MethodPatch, stored, `{"filters": `+tt.filters+`}`)
			require.Nil(t, w.call(t, http.MethodGet, stored, "").json()["filters"], "a refused change changes nothing")
		})
	}
}

func TestAQueryOverEventsShowsWhatItBecame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body, err := json.Marshal(map[string]any{"hogql_query": "SELECT event, team_id AS my_team, properties, properties.$browser AS browser FROM events"})
	require.NoError(t, err)
	path := exports + "/" + w.export(t, strings.Trim(string(body), "{}")).String()
	shown := w.call(t, http.MethodGet, path, "").json()
	require.Equal(t, "SELECT event, team_id AS my_team, properties, properties.$browser AS browser FROM events", shown["hogql_query"])
	require.Equal(t, map[string]any{
		"fields": []any{
			map[string]any{"expression": "events.event", "alias": "event"},
			map[string]any{"expression": "events.team_id", "alias": "my_team"},
			map[string]any{"expression": "events.properties", "alias": "properties"},
			map[string]any{"expression": `replaceRegexpAll(nullIf(nullIf(JSONExtractRaw(events.properties, %(hogql_val_0)s), ''), 'null'), '^"|"$', '')`, "alias": "browser"},
		},
		"values":      map[string]any{"hogql_val_0": "$browser"},
		"hogql_query": "SELECT event, team_id AS my_team, properties, properties.$browser AS browser FROM events",
	}, shown["schema"])
	cleared := w.call(t, http.MethodPatch, path, `{"hogql_query": null}`).json()
	require.Nil(t, cleared["schema"])
	require.Nil(t, cleared["hogql_query"])
}

func TestTheModelHogQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fields := `"model": "hogql", "hogql_query": "` + aQuery + `", "hogql_modifiers": {"x": 1}, "primary_key": ["id"], "version_key": ["timestamp"], "incremental_mode": "MERGE"`
	path := exports + "/" + w.export(t, fields).String()
	for _, shown := range []map[string]any{
		w.call(t, http.MethodGet, path, "").json(), w.call(t, http.MethodGet, exports, "").json()["results"].([]any)[0].(map[string]any),
	} {
		require.Equal(t, "hogql", shown["model"])
		require.Equal(t, aQuery, shown["hogql_query"])
		require.Equal(t, map[string]any{"x": 1.0}, shown["hogql_modifiers"])
		require.Equal(t, []any{"id"}, shown["primary_key"])
		require.Equal(t, []any{"timestamp"}, shown["version_key"])
		require.Equal(t, "MERGE", shown["incremental_mode"])
		require.Nil(t, shown["schema"])
	}
	w.call(t, http.MethodPatch, path, `{"primary_key": null}`).invalid("invalid_input", "'primary_key' is required when 'incremental_mode' is 'MERGE'", "primary_key")
	w.call(t, http.MethodPatch, path, `{"primary_key": ["gone"]}`).invalid("invalid_input", "'primary_key' contains columns that are not present in the query: gone", "primary_key")
	w.call(t, http.MethodPatch, path, `{"hogql_query": "SELECT event FROM events"}`).invalid("invalid_input", "'primary_key' contains columns that are not present in the query: id", "primary_key")
	w.call(t, http.MethodPatch, path, `{"hogql_query": null}`).invalid("invalid_input", "'hogql_query' is required when 'model' is 'hogql'", "hogql_query")
	changed := w.call(t, http.MethodPatch, path, `{"incremental_mode": "APPEND", "primary_key": null, "version_key": null, "hogql_modifiers": null}`).json()
	require.Nil(t, changed["primary_key"])
	require.Nil(t, changed["hogql_modifiers"])
	require.Equal(t, "APPEND", changed["incremental_mode"])
	w.call(t, http.MethodPatch, path, `{"model": "events"}`).invalid("invalid_input", "Changing models is not supported. Create a new batch export instead.", "model")
	replaced := w.call(t, http.MethodPut, path, draft()).json()
	require.Equal(t, aQuery, replaced["hogql_query"], "what is not sent stays")
}

func TestQueriesThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hogql := func(query string, more ...string) string {
		text, err := json.Marshal(query)
		require.NoError(t, err)
		return draft(append(more, `"model": "hogql"`, `"hogql_query": `+string(text))...)
	}
	events := func(query string) string {
		return strings.Replace(hogql(query), `"model":"hogql"`, `"model":"events"`, 1)
	}
	const onlyPlaceholders = "Only {data_interval_start} and {data_interval_end} are supported."
	for name, tt := range map[string]struct{ body, code, detail, attr string }{
		"events: a syntax error":             {events("SELECT event FROM"), "invalid_input", "Failed to parse query", "hogql_query"},
		"events: an unknown column":          {events("SELECT unknown_field FROM events"), "invalid_input", "Invalid HogQL query: Unable to resolve field: unknown_field", "hogql_query"},
		"events: a union":                    {events("SELECT event FROM events UNION ALL SELECT event FROM events"), "invalid_input", "UNIONs are not supported", "hogql_query"},
		"events: a CTE":                      {events("WITH x AS (SELECT 1) SELECT event FROM x"), "invalid_input", "CTEs are not supported", "hogql_query"},
		"events: a subquery":                 {events("SELECT event FROM (SELECT event FROM events)"), "invalid_input", "Subqueries are not supported", "hogql_query"},
		"events: another table":              {events("SELECT distinct_id FROM persons"), "invalid_input", "Query must only SELECT FROM events", "hogql_query"},
		"events: no table":                   {events("SELECT 1"), "invalid_input", "Query must SELECT FROM events", "hogql_query"},
		"events: no query but blanks":        {events("  "), "blank", "This field may not be blank.", "hogql_query"},
		"events: a query too long":           {events("SELECT event FROM events -- " + strings.Repeat("x", 17_000)), "max_length", "Ensure this field has no more than 16384 bytes.", "hogql_query"},
		"hogql: none":                        {draft(`"model": "hogql"`), "invalid_input", "'hogql_query' is required when 'model' is 'hogql'", "hogql_query"},
		"hogql: a syntax error":              {hogql("SELECT event FROM events WHERE ("), "invalid_input", "Failed to parse HogQL query: the query ends too early", "hogql_query"},
		"hogql: a join":                      {hogql("SELECT event FROM events JOIN persons ON 1 = 1"), "invalid_input", "JOINs are not supported", "hogql_query"},
		"hogql: an aggregate":                {hogql("SELECT count() AS n FROM events"), "invalid_input", "Invalid HogQL query: Unsupported function call 'count(...)'", "hogql_query"},
		"hogql: a placeholder":               {hogql("SELECT event FROM events WHERE event = {x}"), "invalid_input", "Unknown placeholder '{x}'. " + onlyPlaceholders, "hogql_query"},
		"hogql: a placeholder that computes": {hogql("SELECT event FROM events WHERE event = {1 + 1}"), "invalid_input", "Unsupported placeholder. " + onlyPlaceholders, "hogql_query"},
		"hogql: a column without a name":     {hogql("SELECT team_id + 1 FROM events"), "invalid_input", "Each column of the query must be a field or have an alias: 'plus(team_id, 1)' is neither", "hogql_query"},
		"hogql: filters":                     {hogql(aQuery, `"filters": [{"key": "a", "type": "event", "value": 1}]`), "invalid_input", "'filters' is only supported for 'events' not 'hogql' model", "filters"},
		"hogql: merge without a key":         {hogql(aQuery, `"incremental_mode": "MERGE"`), "invalid_input", "'primary_key' is required when 'incremental_mode' is 'MERGE'", "primary_key"},
		"hogql: a key that is absent":        {hogql(aQuery, `"primary_key": ["uuid", "id", "x"]`), "invalid_input", "'primary_key' contains columns that are not present in the query: uuid, x", "primary_key"},
		"hogql: a version that is":           {hogql(aQuery, `"version_key": ["v"]`), "invalid_input", "'version_key' contains columns that are not present in the query: v", "version_key"},
		"hogql: a key twice":                 {hogql(aQuery, `"primary_key": ["id", "id"]`), "invalid_input", "'primary_key' names the column 'id' twice", "primary_key"},
		"hogql: a key of JSON":               {hogql("SELECT properties FROM events", `"primary_key": ["properties"]`), "invalid_input", "'primary_key' contains columns that cannot be compared, such as JSON: properties", "primary_key"},
		"hogql: no key":                      {hogql(aQuery, `"primary_key": []`), "empty", "This list may not be empty.", "primary_key"},
		"hogql: a blank key":                 {hogql(aQuery, `"primary_key": ["id", "  "]`), "blank", "This field may not be blank.", "primary_key__1"},
		"hogql: a key of numbers":            {hogql(aQuery, `"version_key": [1]`), "invalid_input", "Not a valid string.", "version_key__0"},
		"hogql: a key that is text":          {hogql(aQuery, `"version_key": "id"`), "not_a_list", `Expected a list of items but got type "str".`, "version_key"},
		"hogql: modifiers in a list":         {hogql(aQuery, `"hogql_modifiers": []`), "invalid_input", "Invalid data. Expected a dictionary, but got list.", "hogql_modifiers"},
		"events: modifiers":                  {draft(`"hogql_modifiers": {}`), "invalid_input", "'hogql_modifiers' is only supported for 'hogql' not 'events' model", "hogql_modifiers"},
		"events: a version key":              {draft(`"version_key": ["a"]`), "invalid_input", "'version_key' is only supported for 'hogql' not 'events' model", "version_key"},
		"persons: a query":                   {strings.Replace(hogql(aQuery), `"model":"hogql"`, `"model":"persons"`, 1), "invalid_input", "'hogql_query' is only supported for 'hogql' not 'persons' model", "hogql_query"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.call(t, http.MethodPost, exports, tt.body).invalid(tt.code, tt.detail, tt.attr)
			require.Empty(t, w.call(t, http.MethodGet, exports, "").ids(), "what is refused leaves nothing behind")
		})
	}
}

func TestABackfillFromTheBeginningOfAQueryThatNeedsAStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	backfills := func(query string) string {
		return exports + "/" + w.export(t, `"model": "hogql", "hogql_query": "`+query+`"`).String() + "/backfills"
	}
	const fromTheBeginning = `{"start_at": null, "end_at": "2026-05-02T00:00:00Z"}`
	w.call(t, http.MethodPost, backfills("SELECT event FROM events WHERE timestamp >= {data_interval_start}"), fromTheBeginning).
		invalid("invalid_input", "The query uses {data_interval_start}: a backfill of it needs a 'start_at'", "start_at")
	require.Equal(t, http.StatusCreated, w.call(t, http.MethodPost, backfills("SELECT event FROM events WHERE timestamp < {data_interval_end}"), fromTheBeginning).Code)
}
