package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// shopping are events whose properties filters and queries ask for. Every fourth is of another team and would match all of
// them.
func shopping(n int) []event {
	m := newEventMaker(11)
	events := m.within(epoch, 2*time.Hour, n)
	for i := range events {
		e := &events[i]
		e.Name = []string{"purchase", "refund", "sign up", "purchase'; DROP TABLE events; --"}[i%4]
		plan := []string{"pro", "Pro Plus", "free", `it's "quoted"`, ""}[i%5]
		properties := map[string]any{"n": i % 13, "price": float64(i%7) + 0.25, "plan": plan, "paid": i%2 == 0, "a.b": map[string]any{"c": i}}
		if plan == "" {
			delete(properties, "plan")
		}
		text, _ := json.Marshal(properties) // of such values it never fails
		e.Properties, e.PersonProperties, e.PersonID = string(text), `{"email":"someone@example.com"}`, uuid.NewSHA1(uuid.NameSpaceOID, e.UUID[:]).String()
		if i%4 == 3 && i%3 == 0 {
			e.Team = 2
		}
	}
	return events
}

// A shopQuery is an export of those events, and which of them it delivers.
type shopQuery struct {
	settings map[string]any
	config   map[string]any
	wanted   func(name string, properties map[string]any) bool
}

var shopQueries = map[string]shopQuery{
	"filters": {
		settings: map[string]any{"filters": []any{
			map[string]any{"key": "plan", "type": "event", "operator": "icontains", "value": []any{"PRO", `"quoted"`}},
			map[string]any{"key": "n", "type": "event", "operator": "gte", "value": 3},
			map[string]any{"key": "email", "type": "person", "operator": "is_set"},
			map[string]any{"key": "event != 'refund'", "type": "hogql"},
		}},
		wanted: func(name string, p map[string]any) bool {
			plan, _ := p["plan"].(string)
			return (strings.Contains(strings.ToLower(plan), "pro") || strings.Contains(plan, `"quoted"`)) && p["n"].(float64) >= 3 && name != "refund"
		},
	},
	"names": {
		config: map[string]any{"include_events": []any{"purchase", "refund", "purchase'; DROP TABLE events; --"}, "exclude_events": []any{"refund"}},
		wanted: func(name string, _ map[string]any) bool { return strings.HasPrefix(name, "purchase") },
	},
	"columns": {
		settings: map[string]any{"hogql_query": "SELECT uuid AS `id\\`; --`, event, properties.plan AS plan, toInt(properties.n) * 2 AS twice, toFloat(properties.price) AS price, " +
			"properties.`a.b`.c AS deep, toDate(timestamp) AS day, properties, {data_interval_end} AS until FROM events WHERE properties.paid = true"},
		wanted: func(_ string, p map[string]any) bool { return p["paid"] == true },
	},
	"select": {
		settings: map[string]any{
			"model": "hogql", "primary_key": []any{"uuid"},
			"hogql_query": "SELECT uuid, lower(event) AS what, coalesce(properties.plan, 'none') AS plan, timestamp FROM events WHERE event IN ('purchase', 'refund') AND inserted_at >= {data_interval_start}",
		},
		wanted: func(name string, _ map[string]any) bool { return name == "purchase" || name == "refund" },
	},
}

// Filters and queries deliver the same rows from every source, and never one of another team.
func TestFiltersAndQueriesDeliverTheSameFromEverySource(t *testing.T) {
	t.Parallel()
	events := shopping(600)
	found := map[string]map[string][]string{}
	for name, args := range map[string]func(t *testing.T) []string{
		"embedded":   func(t *testing.T) []string { return []string{"--load", writeJSONLines(t, "events.jsonl", events)} }, //nolint:thelper // it is a table
		"PostgreSQL": func(t *testing.T) []string { return []string{"--source", inPostgres(t, events)} },                   //nolint:thelper // it is a table
		"ClickHouse": func(t *testing.T) []string { return []string{"--source", inClickHouse(t, events)} },                 //nolint:thelper // it is a table
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			found[name] = startDev(t, dir, args(t)...).shop(dir, events)
		})
	}
	for name, lines := range found { //nolint:paralleltest // there are no tests in it
		require.Equal(t, found["embedded"], lines, name)
	}
}

// shop delivers all of the queries, and returns the lines of each, sorted.
func (c *caller) shop(dir string, events []event) map[string][]string {
	c.t.Helper()
	from, to := epoch.Format(time.RFC3339), epoch.Add(2*time.Hour).Format(time.RFC3339)
	lines := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(shopQueries)) {
		q := shopQueries[name]
		settings := fileExport(name, "hour", name)
		maps.Copy(settings, q.settings)
		maps.Copy(settings["destination"].(map[string]any)["config"].(map[string]any), q.config)
		want := wantedBy(c.t, events, q)

		preview := maps.Clone(settings)
		preview["data_interval_start"], preview["data_interval_end"] = from, to
		var told struct {
			Records *int64 `json:"total_records_count"`
			Results []json.RawMessage
			Files   []struct{ Key string }
		}
		c.do(http.MethodPost, exports+"/preview", preview, &told)
		require.NoDirExists(c.t, filepath.Join(dir, "exports", name), "a preview writes nothing")
		require.Len(c.t, told.Results, 20)
		if name != "select" { // whose rows depend on each interval
			require.EqualValues(c.t, len(want), *told.Records)
		}

		export := c.create(settings)
		b := c.completed(export, c.backfill(export, from, to), workPatience)
		require.EqualValues(c.t, len(want), *b.Records, name)
		for _, f := range told.Files {
			lines[name] = append(lines[name], linesOf(c.t, filepath.Join(dir, "exports", filepath.FromSlash(f.Key)))...)
		}
		slices.Sort(lines[name])
		require.Equal(c.t, want, idsOf(c.t, lines[name]), name)
		for _, row := range told.Results {
			require.Contains(c.t, lines[name], string(row), "the preview shows rows as they are delivered")
		}
	}
	return lines
}

// wantedBy are the ids of the rows of the first team that the query wants, sorted.
func wantedBy(t *testing.T, events []event, q shopQuery) []string {
	t.Helper()
	var ids []string
	for _, e := range events {
		var properties map[string]any
		require.NoError(t, json.Unmarshal([]byte(e.Properties), &properties))
		if e.Team == 1 && q.wanted(e.Name, properties) {
			ids = append(ids, e.UUID.String())
		}
	}
	require.NotEmpty(t, ids)
	slices.Sort(ids)
	return ids
}

// linesOf are the lines of a gzipped file.
func linesOf(t *testing.T, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return linesIn(t, content)
}

// idsOf are the uuids of lines, under whatever name, sorted.
func idsOf(t *testing.T, lines []string) []string {
	t.Helper()
	var ids []string
	for _, line := range lines {
		var row map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &row))
		id, ok := row["uuid"]
		if !ok {
			id = row["id`; --"]
		}
		ids = append(ids, fmt.Sprint(id))
	}
	slices.Sort(ids)
	return ids
}
