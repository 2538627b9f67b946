package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// storedModels are tables of persons and sessions that have a part of the fields, and of a model that nobody knows.
var storedModels = []struct {
	name, postgres, clickhouse string
	columns                    []string
}{
	{
		"persons", "team_id bigint, distinct_id text, person_id uuid, properties jsonb, person_distinct_id_version bigint, person_version bigint, created_at timestamptz, _inserted_at timestamptz, is_deleted boolean",
		"team_id Int64, distinct_id String, person_id UUID, properties String, person_distinct_id_version UInt64, person_version UInt64, created_at DateTime64(6, 'UTC'), _inserted_at DateTime64(6, 'UTC'), is_deleted Bool",
		[]string{"team_id", "distinct_id", "person_id", "properties", "person_distinct_id_version", "person_version", "created_at", "_inserted_at", "is_deleted"},
	},
	{
		"sessions", "team_id bigint, session_id text, distinct_id text, start_timestamp timestamptz, end_timestamp timestamptz, urls text[], pageview_count bigint, is_bounce boolean, vitals_lcp float8, _inserted_at timestamptz",
		"team_id Int64, session_id String, distinct_id String, start_timestamp DateTime64(6, 'UTC'), end_timestamp DateTime64(6, 'UTC'), urls Array(String), pageview_count Int64, is_bounce Bool, vitals_lcp Nullable(Float64), _inserted_at DateTime64(6, 'UTC')",
		[]string{"team_id", "session_id", "distinct_id", "start_timestamp", "end_timestamp", "urls", "pageview_count", "is_bounce", "vitals_lcp", "_inserted_at"},
	},
	{
		"orders", `"Order Id" text, shop bigint, total float8, day date, changed_at timestamptz, loaded_at timestamptz`,
		"`Order Id` String, shop Int64, total Float64, day Date, changed_at DateTime64(6, 'UTC'), loaded_at DateTime64(6, 'UTC')",
		[]string{"Order Id", "shop", "total", "day", "changed_at", "loaded_at"},
	},
}

// declaredModels tell the server which columns the tables lack, and what an order is.
const declaredModels = `
models:
  sessions:
    columns: {%s}
  orders:
    fields:
      - {name: id, type: string, column: Order Id}
      - {name: shop, type: integer}
      - {name: total, type: float}
      - {name: day, type: date}
      - {name: changed_at, type: timestamp}
      - {name: loaded_at, type: timestamp}
    key: [shop, id]
    version: [changed_at]
    tenant: shop
    ingested: loaded_at
    occurred: changed_at
`

// lackingSessions are the fields of sessions that the tables have no columns for.
var lackingSessions = strings.Fields(`session_id_v7 num_uniq_urls entry_current_url entry_pathname entry_hostname end_current_url end_pathname end_hostname
	entry_utm_source entry_utm_campaign entry_utm_medium entry_utm_term entry_utm_content entry_referring_domain entry_gclid entry_fbclid entry_gad_source
	autocapture_count screen_count channel_type session_duration duration last_external_click_url page_screen_autocapture_count_up_to exit_current_url
	exit_pathname entry_gclsrc entry_dclid entry_gbraid entry_wbraid entry_msclkid entry_twclid entry_li_fat_id entry_mc_cid entry_igshid entry_ttclid
	entry__kx entry_irclid`)

// modelRow is a row of one of them, by column.
type modelRow map[string]any

// modelRows are three versions of some keys, in two days, and rows of another team.
func modelRows() map[string][]modelRow {
	stamp := func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05.000000") }
	rows := map[string][]modelRow{}
	for i := range 30 {
		for version := range 3 {
			at := epoch.Add(time.Duration(i)*time.Minute + time.Duration(version)*14*time.Hour) // the third is a day later
			team := 1 + i/20
			rows["persons"] = append(rows["persons"], modelRow{
				"team_id": team, "distinct_id": fmt.Sprintf("d%d", i), "person_id": fmt.Sprintf("00000000-0000-0000-0000-%012d", i),
				"properties": fmt.Sprintf(`{"n": %d}`, version), "person_distinct_id_version": 7 - version%2, "person_version": version,
				"created_at": stamp(epoch), "_inserted_at": stamp(at), "is_deleted": version == 2 && i%5 == 0,
			})
			rows["sessions"] = append(rows["sessions"], modelRow{
				"team_id": team, "session_id": fmt.Sprintf("s%d", i), "distinct_id": fmt.Sprintf("d%d", i), "start_timestamp": stamp(epoch),
				"end_timestamp": stamp(at.Add(-time.Minute)), "urls": []string{"/", fmt.Sprintf("/%d's", version)}, "pageview_count": version,
				"is_bounce": version == 0, "vitals_lcp": float64(i) + 0.5, "_inserted_at": stamp(at),
			})
			rows["orders"] = append(rows["orders"], modelRow{
				"Order Id": fmt.Sprintf("o%d", i), "shop": team, "total": float64(version) + 0.25, "day": at.Format(time.DateOnly),
				"changed_at": stamp(at), "loaded_at": stamp(at),
			})
		}
	}
	return rows
}

// modelsIn are the arguments with which a server has the rows, by the kind of source.
func modelsIn(rows map[string][]modelRow) map[string]func(t *testing.T) []string {
	declared := func(t *testing.T) []string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "models.yaml")
		lacking := strings.Join(lackingSessions, ": ~, ") + ": ~"
		require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, declaredModels, lacking), 0o600))
		return []string{"--models", path}
	}
	lines := func(t *testing.T, rows []modelRow) string {
		t.Helper()
		var text strings.Builder
		encoder := json.NewEncoder(&text)
		for _, r := range rows {
			require.NoError(t, encoder.Encode(r))
		}
		return text.String()
	}
	return map[string]func(t *testing.T) []string{
		"embedded": func(t *testing.T) []string { //nolint:thelper // it is a table
			args := declared(t)
			for _, m := range storedModels {
				path := filepath.Join(t.TempDir(), m.name+".jsonl")
				// Files have the names of fields, whatever an operator's columns are called.
				text := strings.ReplaceAll(lines(t, rows[m.name]), `"Order Id"`, `"id"`)
				require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
				args = append(args, "--load-model", m.name+"="+path)
			}
			return args
		},
		"PostgreSQL": func(t *testing.T) []string { //nolint:thelper // it is a table
			address := postgres.Database(t)
			c, err := pgx.Connect(t.Context(), address)
			require.NoError(t, err)
			defer c.Close(t.Context())
			for _, m := range storedModels {
				_, err = c.Exec(t.Context(), "CREATE TABLE "+m.name+" ("+m.postgres+")")
				require.NoError(t, err)
				for _, r := range rows[m.name] {
					r = maps.Clone(r)
					if properties, ok := r["properties"].(string); ok {
						r["properties"] = json.RawMessage(properties) // a text would be a JSON string
					}
					text, err := json.Marshal(r)
					require.NoError(t, err)
					_, err = c.Exec(t.Context(), "INSERT INTO "+m.name+" SELECT * FROM json_populate_record(NULL::"+m.name+", $1)", text)
					require.NoError(t, err)
				}
			}
			return append(declared(t), "--source", address)
		},
		"ClickHouse": func(t *testing.T) []string { //nolint:thelper // it is a table
			address := clickhouse.Database(t)
			for _, m := range storedModels {
				clickhouse.Execute(t, address, "CREATE TABLE "+m.name+" ("+m.clickhouse+") ENGINE = MergeTree ORDER BY tuple()")
				clickhouse.Execute(t, address, "INSERT INTO "+m.name+" FORMAT JSONEachRow\n"+lines(t, rows[m.name]))
			}
			return append(declared(t), "--source", address)
		},
	}
}

// Persons, sessions and declared models give the same files from every source, each key once in an interval in its newest
// version, and tables are merged by key.
func TestEverySourceDeliversTheSameOfEveryModel(t *testing.T) {
	t.Parallel()
	found := map[string]map[string][]string{}
	for name, args := range modelsIn(modelRows()) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			dev := startDev(t, dir, args(t)...)
			found[name] = map[string][]string{}
			for _, m := range storedModels {
				settings := fileExport(m.name, "day", m.name)
				settings["model"] = m.name
				dev.deliver(settings, 40)
				table := tableExport(t, m.name)
				dev.deliver(table.settings, 40)
				table.requireNewest(t)
			}
			for end, lines := range readDelivered(t, filepath.Join(dir, "exports")).sorted(t) {
				for _, line := range lines {
					found[name][end.String()] = append(found[name][end.String()], sameSpace(t, line))
				}
			}
		})
	}
	require.Len(t, found["embedded"], 2)
	for end, want := range found["embedded"] { //nolint:paralleltest // there are no tests in it
		require.Len(t, want, 60, "20 of each model until %s", end)
		for name := range found {
			require.Len(t, found[name], 2, name)
			require.Len(t, found[name][end], 60, "%s until %s", name, end)
			for i, line := range want {
				require.Equal(t, line, found[name][end][i], "%s until %s", name, end)
			}
		}
	}
}

// deliver backfills the two days of an export, and expects so many records.
func (c *caller) deliver(settings map[string]any, records int64) {
	c.t.Helper()
	export := c.create(settings)
	b := c.completed(export, c.backfill(export, epoch.Format(time.DateOnly), epoch.AddDate(0, 0, 2).Format(time.DateOnly)), workPatience)
	require.Equal(c.t, records, *b.Records)
}

// sameSpace is JSON without white space: jsonb has its own.
func sameSpace(t *testing.T, line string) string {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal([]byte(line), &v))
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

// A targetTable is a table in a database of its own that a model is exported to.
type targetTable struct {
	address, model string
	settings       map[string]any
}

func tableExport(t *testing.T, model string) targetTable {
	t.Helper()
	address := postgres.Database(t)
	u, err := url.Parse(address)
	require.NoError(t, err)
	return targetTable{address: address, model: model, settings: map[string]any{
		"name": model + " in a table", "interval": "day", "paused": true, "model": model,
		"destination": map[string]any{"type": "Postgres", "config": map[string]any{
			"host": u.Hostname(), "port": u.Port(), "user": u.User.Username(), "password": "the server asks for none",
			"ssl_mode": "disable", "database": strings.Trim(u.Path, "/"), "schema": "public", "table_name": model,
		}},
	}}
}

// newest are the columns of each model's table that differ between the versions of a key.
var newest = map[string]string{
	"persons":  "distinct_id, person_id::text, properties, person_version, person_distinct_id_version, is_deleted",
	"sessions": "session_id, distinct_id, pageview_count, is_bounce, urls, vitals_lcp",
	"orders":   "id, total, day",
}

// requireNewest expects each key of the team once, as it was last.
func (g targetTable) requireNewest(t *testing.T) {
	t.Helper()
	var want []string
	for i := range 20 {
		row := map[string]any{
			"persons": map[string]any{
				"distinct_id": fmt.Sprintf("d%d", i), "person_id": fmt.Sprintf("00000000-0000-0000-0000-%012d", i), "properties": map[string]int{"n": 2},
				"person_version": 2, "person_distinct_id_version": 7, "is_deleted": i%5 == 0,
			},
			"sessions": map[string]any{
				"session_id": fmt.Sprintf("s%d", i), "distinct_id": fmt.Sprintf("d%d", i), "pageview_count": 2, "is_bounce": false,
				"urls": []string{"/", "/2's"}, "vitals_lcp": float64(i) + 0.5,
			},
			"orders": map[string]any{"id": fmt.Sprintf("o%d", i), "total": 2.25, "day": epoch.AddDate(0, 0, 1).Format(time.DateOnly)},
		}[g.model]
		text, err := json.Marshal(row)
		require.NoError(t, err)
		want = append(want, string(text))
	}
	c, err := pgx.Connect(t.Context(), g.address)
	require.NoError(t, err)
	defer c.Close(t.Context())
	rows, err := c.Query(t.Context(), "SELECT to_jsonb(t)::text FROM (SELECT "+newest[g.model]+" FROM "+g.model+") t")
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	for i := range found {
		found[i] = sameSpace(t, found[i])
	}
	slices.Sort(want)
	slices.Sort(found)
	require.Len(t, found, len(want), g.model)
	for i := range want {
		require.Equal(t, want[i], found[i], g.model)
	}
}
