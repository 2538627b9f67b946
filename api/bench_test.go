package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"tranche/api"
	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/file"
	"tranche/internal/app"
	"tranche/internal/auth"
	"tranche/internal/telemetry"
	"tranche/query"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// The size of the database that is measured. A tenth of the runs, and of all else, belongs to one export.
const (
	benchExports   = 10_000
	benchRuns      = 1_000_000
	benchBackfills = 100_000
	benchLogs      = 1_000_000
)

// fill makes the rows below the exports. $1 is the export that has a tenth of them.
var fill = []string{
	fmt.Sprintf(`INSERT INTO backfills (id, export_id, team_id, start_at, end_at, retry, status, concurrency, total_runs, created_at, finished_at, last_updated_at)
SELECT gen_random_uuid(), e.id, 1, t, t + interval '1 day', false, CASE WHEN n %% 50 = 0 THEN 'Failed' ELSE 'Completed' END, 2, 24, t, t, t
FROM (SELECT n, timestamptz '2026-05-01 00:00Z' - n * interval '1 minute' AS t FROM generate_series(0::bigint, %[1]d - 1) n) s
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM exports) e
  ON e.place = CASE WHEN n %% 10 = 0 THEN (SELECT p FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS p FROM exports) x WHERE id = $1) ELSE n %% %[2]d END`,
		benchBackfills, benchExports),
	// Every hour has one run of the busy export and nine of others; of ten thousand runs one was cancelled.
	fmt.Sprintf(`INSERT INTO runs (id, export_id, team_id, backfill_id, interval_start, interval_end, status, revision, workflow_id, temporal_run_id,
  generation, attempt, latest_error, error_code, rows_total, rows_completed, rows_failed, bytes, files, created_at, finished_at, last_updated_at)
SELECT gen_random_uuid(), e.id, 1, NULL, t - interval '1 hour', t,
  CASE WHEN n / 10 %% 10000 = 7 THEN 'Cancelled' WHEN n / 10 %% 50 = 0 THEN 'Failed' ELSE 'Completed' END,
  1, e.id || '-' || t, gen_random_uuid(), 1, 1, CASE WHEN n / 10 %% 50 = 0 THEN 'the bucket "b" refused our credentials' ELSE '' END, '',
  1000, 1000, 0, 123456, 1, t + interval '1 minute', t + interval '2 minutes', t + interval '2 minutes'
FROM (SELECT n, timestamptz '2026-05-01 00:00Z' - (n / 10) * interval '1 hour' AS t FROM generate_series(0::bigint, %[1]d - 1) n) s
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM exports) e
  ON e.place = CASE WHEN n %% 10 = 0 THEN (SELECT p FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS p FROM exports) x WHERE id = $1) ELSE n * 7919 %% %[2]d END`,
		benchRuns, benchExports),
	fmt.Sprintf(`INSERT INTO logs (team_id, export_id, run_id, timestamp, level, message)
SELECT 1, export_id, id, created_at, CASE WHEN status = 'Completed' THEN 'INFO' ELSE 'ERROR' END, 'Batch export for range ' || interval_start || ' finished.'
FROM runs LIMIT %d`, benchLogs),
}

// A bench is the API over a PostgreSQL that is full.
type bench struct {
	dsn    string
	sealer *storage.Sealer
	db     *storage.DB
	busy   uuid.UUID // the export that has a tenth of everything
}

// openBench fills a database.
func openBench(b *testing.B) *bench {
	b.Helper()
	x := &bench{dsn: postgresql.Database(b), sealer: storagetest.Sealer(b)}
	var err error
	x.db, err = storage.Open(b.Context(), x.dsn, x.sealer)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, x.db.Close()) })
	require.NoError(b, x.db.Migrate(b.Context()))
	require.NoError(b, x.db.EnsureProject(b.Context(), 1, 1, 1))
	require.NoError(b, x.db.CreateKey(b.Context(), auth.Key{
		ID: uuid.New(), Hash: auth.Hash(allKey), OrganizationID: 1, UserID: 1, Scopes: []auth.Scope{auth.ScopeAll}, CreatedAt: start,
	}))
	x.createExports(b)
	conn, err := pgx.Connect(b.Context(), x.dsn)
	require.NoError(b, err)
	defer conn.Close(context.WithoutCancel(b.Context()))
	for i, statement := range fill {
		args := []any{x.busy}
		if !strings.Contains(statement, "$1") {
			args = nil
		}
		began := time.Now()
		done, err := conn.Exec(b.Context(), statement, args...)
		require.NoError(b, err)
		b.Logf("step %d: %d rows in %s", i+1, done.RowsAffected(), time.Since(began).Round(time.Millisecond))
	}
	_, err = conn.Exec(b.Context(), "VACUUM ANALYZE")
	require.NoError(b, err)
	return x
}

// createExports makes exports with sealed settings, which no statement can do.
func (x *bench) createExports(b *testing.B) {
	b.Helper()
	var group errgroup.Group
	group.SetLimit(8)
	for i := range benchExports {
		id := uuid.Must(uuid.NewV7())
		if i == benchExports/2 {
			x.busy = id
		}
		at := start.Add(time.Duration(i-benchExports) * time.Minute)
		group.Go(func() error {
			return x.db.CreateExport(b.Context(), batch.Export{
				ID: id, TeamID: 1, Name: fmt.Sprintf("export %d", i), Model: batch.ModelEvents, Frequency: batch.Hourly, Timezone: "UTC",
				Destination: batch.Destination{Type: file.Type, Config: map[string]any{"prefix": "p", "file_format": "JSONLines"}},
				Revision:    1, ScheduledRevision: 1, CreatedAt: at, LastUpdatedAt: at,
			})
		})
	}
	require.NoError(b, group.Wait())
}

// handler serves the database.
func (x *bench) handler(b *testing.B, db *storage.DB) http.Handler {
	b.Helper()
	temporal, reg, log := &temporal{}, telemetry.NewRegistry(), zap.NewNop()
	runs := &app.Runs{Store: db, Workflows: temporal, Logs: &journal{}, Log: log, Now: time.Now}
	backfills := &app.Backfills{Store: db, Workflows: temporal, Runs: runs, Log: log, Now: time.Now, Limit: 5, Concurrency: 2}
	server := &api.Server{
		Exports: &app.Exports{
			Store: db, Schedules: temporal, Models: query.PostHog(), Plugins: destinations.NewRegistry(file.Plugin(file.Server{Root: b.TempDir()})),
			Runs: runs, Backfills: backfills, Logs: &journal{}, Log: log, Now: time.Now,
		},
		Runs: runs, Backfills: backfills, Logs: &app.Logs{Store: db}, Keys: db, Answers: db,
		Scrape: telemetry.Handler(reg), Metrics: telemetry.NewMetrics(reg), Log: log, Now: time.Now, CursorKey: []byte("sixteen bytes or more"),
	}
	return server.Handler()
}

// get answers a request, which must succeed.
func get(b *testing.B, handler http.Handler, path string) []byte {
	b.Helper()
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, nil)
	r.Header.Set("Authorization", "Bearer "+allKey)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	require.Equal(b, http.StatusOK, w.Code, w.Body.String())
	return w.Body.Bytes()
}

// deep follows the cursors of a list to its tenth page and returns its address.
func deep(b *testing.B, handler http.Handler, path string) string {
	b.Helper()
	for range 9 {
		var page struct{ Next string }
		require.NoError(b, json.Unmarshal(get(b, handler, path), &page))
		u, err := url.Parse(page.Next)
		require.NoError(b, err)
		path = u.RequestURI()
	}
	return path
}

// BenchmarkLists measures lists, pages and details over HTTP on 10,000 exports and 1,000,000 runs in PostgreSQL, and
// logs which indexes they use.
func BenchmarkLists(b *testing.B) {
	x := openBench(b)
	handler := x.handler(b, x.db)
	db, plans := storagetest.Explained(b, x.dsn, x.sealer)
	explained := x.handler(b, db)
	export := exports + "/" + x.busy.String()
	var page struct{ Results []struct{ ID string } }
	require.NoError(b, json.Unmarshal(get(b, handler, export+"/runs"), &page))
	run := export + "/runs/" + page.Results[50].ID
	require.NoError(b, json.Unmarshal(get(b, handler, export+"/backfills"), &page))
	backfill := export + "/backfills/" + page.Results[20].ID
	for _, c := range []struct{ name, path string }{
		{"exports, the first page", exports},
		{"exports, the last page", exports + fmt.Sprintf("?offset=%d", benchExports-100)},
		{"exports, ten of them", exports + "?limit=10"},
		{"export", export},
		{"runs, the first page", export + "/runs"},
		{"runs, the tenth page", deep(b, handler, export+"/runs")},
		{"runs by interval, the tenth page", deep(b, handler, export+"/runs?ordering=data_interval_start")},
		{"runs of a time", export + "/runs?after=2020-01-01&before=2020-02-01"},
		{"runs of a range of intervals", export + "/runs?ordering=data_interval_start&start=2020-01-01&end=2020-02-01"},
		{"runs that failed", export + "/runs?status=Failed"},
		{"runs of a status that is rare", export + "/runs?status=Cancelled"},
		{"runs of a status that is rare, by interval", export + "/runs?status=Cancelled&ordering=-data_interval_start"},
		{"runs of two statuses that are rare", export + "/runs?status=Cancelled&status=TimedOut"},
		{"runs of a status that none has", export + "/runs?status=Terminated&ordering=data_interval_start"},
		{"run", run},
		{"backfills, the first page", export + "/backfills"},
		{"backfills by start, the tenth page", deep(b, handler, export+"/backfills?ordering=start_at")},
		{"backfill", backfill},
		{"logs of an export", export + "/logs?limit=500"},
		{"logs of an export, errors", export + "/logs?level=error"},
		{"logs of a run", run + "/logs"},
	} {
		b.Run(strings.ReplaceAll(c.name, " ", "_"), func(b *testing.B) {
			plans.Take()
			get(b, explained, c.path)
			for _, plan := range plans.Take() {
				b.Log(scansOf(plan))
			}
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				get(b, handler, c.path)
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
		})
	}
}

// scansOf is what a plan says of how it reads tables.
func scansOf(plan string) string {
	lines := strings.Split(plan, "\n")
	kept := lines[:1]
	for _, line := range lines {
		if strings.Contains(line, " Scan") || strings.Contains(line, "Removed by Filter") {
			kept = append(kept, strings.TrimSpace(line))
		}
	}
	return strings.Join(kept, "\n    ")
}
