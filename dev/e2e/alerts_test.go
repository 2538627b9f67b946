package e2e

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/file"
	"tranche/destinations/objects"
	"tranche/dev/duckdb"
	"tranche/dev/stack"
	"tranche/query"
	"tranche/sources"
)

// Every rule of deploy/prometheus/rules.yml is caused here in the running service, seen by promtool in what Prometheus
// would have scraped, mended as docs/runbook.md says, and seen to end. Figures are those of the processes; only the time
// between scrapes is stretched to the minutes that a rule wants.

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(text)
}

// watching watches an embedded stack, which is api and worker in one.
func (s *inProcess) watching() *watch {
	return &watch{caller: s.caller, processes: map[string]string{"tranche-dev": s.URL()}}
}

// has says whether a metric has a value of at least least.
func has(metric string, least float64, labels ...string) func(scrape) bool {
	return func(s scrape) bool {
		value, any := s.sum(metric, labels...)
		return any && value >= least
	}
}

// is says whether a metric has exactly the value.
func is(metric string, want float64, labels ...string) func(scrape) bool {
	return func(s scrape) bool {
		value, any := s.sum(metric, labels...)
		return any && value == want
	}
}

// An export has been active for 15 hours and nobody has seen to its intervals: some are given up, the reconciler starts
// the others, and they stand at the gate.
func TestAlertsOnWhatIsLateMissedAndRepaired(t *testing.T) {
	t.Parallel()
	hour := time.Now().UTC().Truncate(time.Hour)
	events := newEventMaker(54).within(hour.Add(-16*time.Hour), 16*time.Hour, 300) // without rows, nothing is staged
	s := startStackWith(t, events, func(o *stack.Options) { o.CatchUp = 12*time.Hour + 30*time.Minute })
	w := s.watching()
	w.aside = "TrancheQueueStarving" // what stands at the gate keeps others waiting, if for long
	w.begin()
	w.until("all to be well", well)
	w.end(15)

	w.begin()
	created := hour.Add(-15*time.Hour + time.Minute)
	e := s.since(created, func(e *batch.Export) { e.Destination.Type = gateType })
	s.atGate(1)
	w.until("the export to be late", func(sc scrape) bool {
		return is("tranche_exports_late", 1)(sc) && has("tranche_repairs_total", 11, `kind="interval_started"`)(sc) &&
			has("tranche_repairs_total", 1, `kind="interval_missed"`)(sc)
	})
	w.end(15, "TrancheExportsLate", "TrancheReconcilerBusy", "TrancheIntervalsMissed")
	require.InDelta(t, 1, first(scrapeAll(w.caller, w.processes).sum("tranche_freshness_breach", e.ID.String())), 0)

	w.begin()
	s.gate.open()                                                           // the destination answers again
	s.do(http.MethodPost, at(e.ID)+"/coverage/fill", map[string]any{}, nil) // and what was given up is filled in
	w.until("the export to be in time", well)
	w.end(400)
	w.requireAlerts()
	w.requireShown(1, "Late exports")
	w.requireShown(2, "Lag against objective")
}

// well says that nothing is late, nothing waits and somebody works.
func well(s scrape) bool {
	return is("tranche_exports_late", 0)(s) && has("tranche_queue_pollers", 6)(s) && is("tranche_queue_backlog_tasks", 0)(s)
}

func first(value float64, _ bool) float64 { return value }

const brokenType = "Broken"

// breaking is a destination that refuses with the code that its prefix names, until it is mended.
func breaking(files destinations.Plugin, mended *atomic.Bool) destinations.Plugin {
	return destinations.Define(destinations.Definition[file.Config]{
		Type: brokenType, Name: "a refusal", Guarantee: destinations.AtomicObjects,
		Columns: func(_ file.Config, m query.Model) ([]query.Column, error) { return objects.Columns(m) },
		Open: func(ctx context.Context, c file.Config) (destinations.Destination, error) {
			if !mended.Load() {
				return nil, batch.Errorf(batch.Code(c.Prefix), nil, "the destination refuses")
			}
			return files.Open(ctx, map[string]any{"prefix": c.Prefix, "file_format": "JSONLines", "compression": "gzip"})
		},
	})
}

// growing is a source in which rows go on to become visible: each count finds one more.
type growing struct {
	sources.Source
	grows atomic.Bool
	extra atomic.Int64
}

// Count is the Source's.
func (g *growing) Count(ctx context.Context, q query.Query) (int64, error) {
	n, err := g.Source.Count(ctx, q)
	if g.grows.Load() {
		n += g.extra.Add(1)
	}
	return n, err
}

func TestAlertsOnRunsThatFailAndRowsThatAreTooLate(t *testing.T) {
	t.Parallel()
	var mended atomic.Bool
	source := &growing{}
	events := newEventMaker(51).within(epoch, time.Hour, 20)
	s := startStackWith(t, events, func(o *stack.Options) {
		o.Plugins = func(root string) []destinations.Plugin {
			files := file.Plugin(file.Server{Root: root})
			return []destinations.Plugin{files, breaking(files, &mended)}
		}
		o.Source = func(store *duckdb.Store) sources.Source {
			source.Source = store
			return source
		}
	})
	w := s.watching()
	w.aside = "TrancheReconcilerBusy" // it starts what is due of the past
	w.begin()
	w.until("all to be well", well)
	w.end(15)

	w.begin()
	refusing := func(code batch.Code) batch.Export {
		return s.since(time.Now().UTC().Truncate(15*time.Minute).Add(-74*time.Minute), func(e *batch.Export) {
			e.Destination.Type, e.Destination.Config["prefix"], e.Frequency = brokenType, string(code), batch.Every15Minutes
		})
	}
	theirs, ours := refusing(batch.CodePermission), refusing(batch.CodeVerification)
	source.grows.Store(true)
	late := s.create(fileExport("late rows", "hour", "late"))
	s.completed(late, s.backfill(late, epoch.Format(time.RFC3339), epoch.Add(time.Hour).Format(time.RFC3339)), workPatience)
	w.until("runs to fail, exports to be paused, rows to be late", func(sc scrape) bool {
		return has("tranche_auto_pauses_total", 2)(sc) && has("tranche_late_rows_total", 1)(sc) && is("tranche_exports_late", 0)(sc) &&
			has("tranche_run_failures_total", 4, `code="permission_denied"`)(sc) && has("tranche_run_failures_total", 4, `code="verification_failed"`)(sc)
	})
	w.end(14, "TrancheRunsFailing", "TrancheCustomersRunsFailing", "TrancheExportAutoPaused", "TrancheRowsTooLate")

	w.begin()
	mended.Store(true)
	source.grows.Store(false)
	for _, e := range []batch.Export{theirs, ours} {
		require.True(t, s.isPaused(e.ID))
		s.do(http.MethodPost, at(e.ID)+"/unpause", map[string]any{}, nil)
		s.do(http.MethodPost, at(e.ID)+"/coverage/fill", map[string]any{}, nil)
		until(t, workPatience, "what failed to be delivered", func() bool { return s.finished(e.ID) >= 4 })
	}
	var made struct {
		ID uuid.UUID `json:"backfill_id"`
	}
	s.do(http.MethodPost, at(late)+"/runs/"+s.runs(late)[0].ID.String()+"/retry", nil, &made)
	s.completed(late, made.ID, workPatience)
	w.until("all to be well", well)
	w.end(100)
	w.requireAlerts()
	w.requirePanels(1, "Late exports", "Lag against objective", "Retries, by code", "Calls that failed")
	text, err := metricsOf(s.caller, s.URL())
	require.NoError(t, err)
	requireDocumented(t, text)
}

func (c *caller) isPaused(export uuid.UUID) bool {
	c.t.Helper()
	var e struct{ Paused bool }
	c.do(http.MethodGet, at(export), nil, &e)
	return e.Paused
}

// Somebody takes tables away.
func TestAlertsOnADatabaseThatFails(t *testing.T) {
	t.Parallel()
	var dir string
	s := startStackWith(t, nil, func(o *stack.Options) { dir = o.DataDir })
	db, err := sql.Open("sqlite", filepath.Join(dir, "tranche.db")+"?_pragma=busy_timeout(20000)")
	require.NoError(t, err)
	defer db.Close()
	exec := func(statement string) {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	w := s.watching()
	ask := func(class int) {
		for range 30 {
			status, _ := s.call(http.MethodGet, exports, nil)
			require.Equal(t, class, status/100)
		}
	}
	w.begin()
	export := s.create(fileExport("logged", "hour", "logged"))
	ask(2)
	w.until("all to be well", well)
	w.end(15)

	exec("ALTER TABLE logs RENAME TO logs_away")
	until(t, workPatience, "housekeeping to fail", func() bool { return s.logged("Housekeeping could not do all of its work") })
	w.begin()
	s.completed(export, s.backfill(export, epoch.Format(time.RFC3339), epoch.Add(time.Hour).Format(time.RFC3339)), workPatience)
	ask(2)
	w.until("lines to be lost", func(sc scrape) bool { return well(sc) && has("tranche_run_log_dropped_total", 1)(sc) })
	w.stages[1].still = true
	w.end(30, "TrancheRunLogDropping", "TrancheHousekeepingStuck")

	exec("ALTER TABLE logs_away RENAME TO logs")
	w.begin()
	was, _ := w.stages[1].ended.sum("tranche_housekeeping_success_timestamp_seconds")
	ask(2)
	w.until("housekeeping to succeed", func(sc scrape) bool {
		return well(sc) && has("tranche_housekeeping_success_timestamp_seconds", was+0.001)(sc)
	})
	w.end(30)

	exec("ALTER TABLE exports RENAME TO exports_away")
	w.begin()
	ask(5)
	w.until("exports to be out of sight", func(sc scrape) bool {
		_, any := sc.sum("tranche_exports_late")
		return !any
	})
	w.end(12, "TrancheAPIFailing", "TrancheBlind")

	exec("ALTER TABLE exports_away RENAME TO exports")
	w.until("exports to be in sight", is("tranche_exports_late", 0))
	w.begin()
	ask(2)
	w.until("housekeeping to succeed", func(sc scrape) bool {
		at, _ := sc.sum("tranche_housekeeping_success_timestamp_seconds")
		began, _ := w.stages[len(w.stages)-1].began.sum("tranche_housekeeping_success_timestamp_seconds")
		return well(sc) && at > began
	})
	w.end(30)
	w.requireAlerts()
}

// logged says whether the stack logged a message.
func (s *inProcess) logged(message string) bool {
	for _, line := range s.logs.lines() {
		if strings.Contains(line, message) {
			return true
		}
	}
	return false
}

// An API without workers, and then with one that dies.
func TestAlertsOnWorkersThatAreGone(t *testing.T) {
	t.Parallel()
	d := tireless(t, newEventMaker(52).within(epoch, time.Hour, 20))
	d.start()
	w := &watch{caller: d.caller, processes: map[string]string{"tranche-api": d.base}}
	w.begin()
	export := d.create(fileExport("waiting", "hour", "waiting"))
	backfill := d.backfill(export, epoch.Format(time.RFC3339), epoch.Add(time.Hour).Format(time.RFC3339))
	w.until("a task to wait", func(sc scrape) bool {
		return has("tranche_queue_backlog_tasks", 1)(sc) && is("tranche_queue_pollers", 0)(sc) && is("tranche_queue_dispatched_tasks_per_second", 0)(sc)
	})
	w.end(15, "TrancheNoWorker", "TrancheQueueStarving")

	worker, address := d.serve("worker")
	w.processes["tranche-worker"] = address
	d.completed(export, backfill, workPatience)
	w.begin()
	w.until("workers to poll", func(sc scrape) bool {
		return has("tranche_queue_pollers", 6)(sc) && is("tranche_queue_backlog_tasks", 0)(sc) && is("up", 1, `"tranche-worker"`)(sc)
	})
	w.end(15)
	text, err := metricsOf(d.caller, address)
	require.NoError(t, err)
	requireDocumented(t, text)

	worker.Kill()
	w.begin()
	w.end(5, "TrancheProcessDown") // its last poll is not over yet

	_, w.processes["tranche-worker"] = d.serve("worker")
	d.requireReady(w.processes["tranche-worker"])
	w.begin()
	w.end(15)
	w.requireAlerts()
}
