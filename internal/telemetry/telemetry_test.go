package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"tranche/batch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// memory is a LogStore that can be told to refuse or to block.
type memory struct {
	mu      sync.Mutex
	entries []batch.LogEntry
	writes  int
	refuse  int // writes to refuse, from the first
	gate    chan struct{}
}

func (s *memory) AppendLogs(ctx context.Context, entries []batch.LogEntry) error {
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.writes <= s.refuse {
		return errors.New("refused")
	}
	s.entries = append(s.entries, entries...)
	return nil
}

func (s *memory) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, len(s.entries))
	for i, e := range s.entries {
		out[i] = e.Message
	}
	return out
}

func lines(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func logAll(l *RunLog, messages []string) {
	for _, m := range messages {
		l.Log(batch.LogEntry{Message: m})
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestRunLogWritesEveryLineInOrder(t *testing.T) {
	t.Parallel()
	store := &memory{}
	l := NewRunLog(store, NewMetrics(prometheus.NewRegistry()), zap.NewNop())
	logAll(l, lines(3*runLogBatch+1))
	require.NoError(t, l.Close(within(t)))
	require.Equal(t, lines(3*runLogBatch+1), store.messages())
	require.GreaterOrEqual(t, store.writes, 4, "no write may be larger than a batch")
}

func TestRunLogWritesWithoutBeingClosed(t *testing.T) {
	t.Parallel()
	store := &memory{}
	l := newRunLog(store, NewMetrics(prometheus.NewRegistry()), zap.NewNop(), 10, time.Millisecond)
	defer func() { require.NoError(t, l.Close(within(t))) }()
	logAll(l, []string{"one"})
	require.Eventually(t, func() bool { return len(store.messages()) == 1 }, patience, time.Millisecond)
}

func TestRunLogCutsALineThatIsTooLongAndSaysSo(t *testing.T) {
	t.Parallel()
	store := &memory{}
	l := NewRunLog(store, NewMetrics(prometheus.NewRegistry()), zap.NewNop())
	fits := strings.Repeat("x", runLogLine)
	logAll(l, []string{fits, "é" + strings.Repeat("é", runLogLine), fits[1:] + "é"})
	require.NoError(t, l.Close(within(t)))
	require.Equal(t, []string{
		fits, strings.Repeat("é", runLogLine/2) + fmt.Sprintf("… (%d more bytes are left out)", runLogLine+2), fits[1:] + "… (2 more bytes are left out)",
	}, store.messages())
}

func TestRunLogDropsAndCountsWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	metrics := NewMetrics(prometheus.NewRegistry())
	store := &memory{gate: make(chan struct{})}
	l := newRunLog(store, metrics, zap.NewNop(), 10, time.Hour)
	logAll(l, lines(runLogBatch+100)) // the writer holds at most a batch, the queue 10: something must give
	dropped := testutil.ToFloat64(metrics.droppedLogs)
	require.Positive(t, dropped)
	close(store.gate)
	require.NoError(t, l.Close(within(t)))
	require.Len(t, store.messages(), runLogBatch+100-int(dropped))
}

func TestRunLogTriesAgain(t *testing.T) {
	t.Parallel()
	metrics := NewMetrics(prometheus.NewRegistry())
	store := &memory{refuse: runLogTries - 1}
	l := NewRunLog(store, metrics, zap.NewNop())
	logAll(l, lines(3))
	require.NoError(t, l.Close(within(t)))
	require.Equal(t, lines(3), store.messages())
	require.Zero(t, testutil.ToFloat64(metrics.droppedLogs))
}

func TestRunLogCountsWhatTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	metrics := NewMetrics(prometheus.NewRegistry())
	l := NewRunLog(&memory{refuse: runLogTries}, metrics, zap.NewNop())
	logAll(l, lines(3))
	require.NoError(t, l.Close(within(t)))
	require.InDelta(t, 3, testutil.ToFloat64(metrics.droppedLogs), 0)
}

func TestRunLogClosesInTimeWhenTheDatabaseHangs(t *testing.T) {
	t.Parallel()
	metrics := NewMetrics(prometheus.NewRegistry())
	l := NewRunLog(&memory{gate: make(chan struct{})}, metrics, zap.NewNop())
	logAll(l, lines(3))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, l.Close(ctx), context.DeadlineExceeded)
	require.InDelta(t, 3, testutil.ToFloat64(metrics.droppedLogs), 0)
	l.Log(batch.LogEntry{Message: "late"})
	require.InDelta(t, 4, testutil.ToFloat64(metrics.droppedLogs), 0, "a line after Close is dropped and counted")
}

func TestRunLogTakesLinesFromManyWhileItCloses(t *testing.T) {
	t.Parallel()
	metrics := NewMetrics(prometheus.NewRegistry())
	store := &memory{}
	l := newRunLog(store, metrics, zap.NewNop(), 16, time.Millisecond)
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() { logAll(l, lines(200)) })
	}
	require.NoError(t, l.Close(within(t)))
	writers.Wait()
	require.Equal(t, 8*200, len(store.messages())+int(testutil.ToFloat64(metrics.droppedLogs)), "every line is written or counted")
}

// lagged is a FreshnessStore.
type lagged struct {
	lags  []batch.Lag
	err   error
	asked int
	limit int
}

func (s *lagged) LagOf(_ context.Context, limit int) ([]batch.Lag, error) {
	s.asked++
	s.limit = limit
	return s.lags, s.err
}

func lag(id string, delivered time.Time, endAt *time.Time) batch.Lag {
	return batch.Lag{ExportID: uuid.MustParse(id), Delivered: delivered, Span: batch.Span{
		Frequency: batch.Hourly, Timezone: "UTC", StartedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), EndAt: endAt,
	}}
}

func TestFreshnessIsTheLagItsObjectiveAndWhoIsLate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	over := now.Add(-10 * time.Hour)
	store := &lagged{lags: []batch.Lag{
		lag("00000000-0000-7000-8000-000000000001", now.Add(-2*time.Hour), nil),
		lag("00000000-0000-7000-8000-000000000002", now.Add(time.Second), nil),
		lag("00000000-0000-7000-8000-000000000003", time.Time{}, nil),
		lag("00000000-0000-7000-8000-000000000004", over, &over),
	}}
	c := NewFreshnessCollector(store, batch.DefaultFreshness, func() time.Time { return now })
	want := `
# HELP tranche_delivery_lag_max_seconds The largest delivery lag of all active exports whose schedule goes on.
# TYPE tranche_delivery_lag_max_seconds gauge
tranche_delivery_lag_max_seconds 7200
# HELP tranche_delivery_lag_seconds Time since the end of the last delivered interval, of the 1,000 most recent active exports.
# TYPE tranche_delivery_lag_seconds gauge
tranche_delivery_lag_seconds{batch_export_id="00000000-0000-7000-8000-000000000001"} 7200
tranche_delivery_lag_seconds{batch_export_id="00000000-0000-7000-8000-000000000002"} 0
tranche_delivery_lag_seconds{batch_export_id="00000000-0000-7000-8000-000000000004"} 36000
# HELP tranche_exports_late How many of all active exports should have delivered an interval by now and have not.
# TYPE tranche_exports_late gauge
tranche_exports_late 2
# HELP tranche_freshness_breach 1 for an export whose next interval should have been delivered by now, else 0; of the 1,000 most recent active exports.
# TYPE tranche_freshness_breach gauge
tranche_freshness_breach{batch_export_id="00000000-0000-7000-8000-000000000001"} 1
tranche_freshness_breach{batch_export_id="00000000-0000-7000-8000-000000000002"} 0
tranche_freshness_breach{batch_export_id="00000000-0000-7000-8000-000000000003"} 1
tranche_freshness_breach{batch_export_id="00000000-0000-7000-8000-000000000004"} 0
# HELP tranche_freshness_objective_seconds The largest delivery lag that is in order, of the 1,000 most recent active exports.
# TYPE tranche_freshness_objective_seconds gauge
tranche_freshness_objective_seconds{batch_export_id="00000000-0000-7000-8000-000000000001"} 5400
tranche_freshness_objective_seconds{batch_export_id="00000000-0000-7000-8000-000000000002"} 5400
tranche_freshness_objective_seconds{batch_export_id="00000000-0000-7000-8000-000000000003"} 5400
tranche_freshness_objective_seconds{batch_export_id="00000000-0000-7000-8000-000000000004"} 5400
`
	now = now.Add(-30 * time.Minute) // the slack of the first two is an hour and a half
	testutil.CollectAndCount(c)
	now = now.Add(30 * time.Minute)
	require.NoError(t, testutil.CollectAndCompare(c, bytes.NewBufferString(want)))
	require.Equal(t, freshnessWatched, store.limit)
	require.Equal(t, 2, store.asked)
	now = now.Add(freshnessCached - time.Second)
	testutil.CollectAndCount(c)
	require.Equal(t, 2, store.asked, "scrapes within the cache's time share a query")
}

// However many exports there are, a scrape has a thousand series of each; all count for what has no label.
func TestFreshnessHasABoundedNumberOfSeries(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	store := &lagged{}
	for range freshnessLabelled + 500 {
		store.lags = append(store.lags, lag(uuid.NewString(), now.Add(-5*time.Hour), nil))
	}
	store.lags[len(store.lags)-1].Delivered = now.Add(-9 * time.Hour)
	reg := prometheus.NewRegistry()
	reg.MustRegister(NewFreshnessCollector(store, batch.DefaultFreshness, func() time.Time { return now }))
	families, err := reg.Gather()
	require.NoError(t, err)
	series := map[string]int{}
	for _, f := range families {
		series[f.GetName()] = len(f.GetMetric())
		switch f.GetName() {
		case "tranche_exports_late":
			require.InDelta(t, freshnessLabelled+500, f.GetMetric()[0].GetGauge().GetValue(), 0)
		case "tranche_delivery_lag_max_seconds":
			require.InDelta(t, 9*time.Hour.Seconds(), f.GetMetric()[0].GetGauge().GetValue(), 0)
		}
	}
	require.Equal(t, map[string]int{
		"tranche_delivery_lag_seconds": freshnessLabelled, "tranche_freshness_breach": freshnessLabelled,
		"tranche_freshness_objective_seconds": freshnessLabelled, "tranche_delivery_lag_max_seconds": 1, "tranche_exports_late": 1,
	}, series)
}

// queues is a QueueStore.
type queues []Queue

func (q queues) Queues(context.Context) ([]Queue, error) { return q, nil }

func TestQueuesTellWhatWaits(t *testing.T) {
	t.Parallel()
	c := NewQueueCollector(queues{{Name: "q", Kind: "activity", Pollers: 2, Backlog: 7, Age: 90 * time.Second, Dispatched: 1.5}}, time.Now)
	for name, value := range map[string]string{
		"tranche_queue_pollers": "2", "tranche_queue_backlog_tasks": "7", "tranche_queue_backlog_age_seconds": "90",
		"tranche_queue_dispatched_tasks_per_second": "1.5",
	} {
		text, err := testutil.CollectAndFormat(c, expfmt.TypeTextPlain, name)
		require.NoError(t, err)
		require.Contains(t, string(text), name+`{kind="activity",queue="q"} `+value)
	}
}

func TestABudgetIsTold(t *testing.T) {
	t.Parallel()
	c := NewBudgetCollector(func() Budget { return Budget{Limit: 100, Used: 40, Waiting: 3} })
	for name, value := range map[string]string{
		"tranche_memory_budget_bytes": "100", "tranche_memory_used_bytes": "40", "tranche_memory_waiting_splits": "3",
	} {
		text, err := testutil.CollectAndFormat(c, expfmt.TypeTextPlain, name)
		require.NoError(t, err)
		require.Contains(t, string(text), name+" "+value)
	}
}

func TestAScrapeSurvivesADatabaseThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	reg := NewRegistry()
	metrics := NewMetrics(reg)
	metrics.RunEnded(batch.RunCompleted, "", "File", batch.ModelEvents)
	metrics.RunEnded(batch.RunFailed, batch.CodePermission, "File", batch.ModelEvents)
	metrics.RunEnded(batch.RunFailed, "made up", "File", batch.ModelEvents)
	metrics.AutoPaused()
	metrics.ScheduledRunBegan(-time.Second)
	metrics.DestinationCalled("File", "stage", time.Second, nil)
	metrics.SourceCalled("duckdb", "count", time.Second, errors.New("down"))
	metrics.ExpectRepairs("run_closed")
	metrics.Delivered("File", batch.ModelEvents, 3, 400, 2)
	metrics.LateRows(2)
	metrics.ActivityRetried(batch.CodeTimeout)
	metrics.RequestServed("GET", "/x/:id", 200, time.Millisecond)
	reg.MustRegister(NewFreshnessCollector(&lagged{err: errors.New("down")}, 2, time.Now))
	rec := httptest.NewRecorder()
	Handler(reg).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, 200, rec.Code)
	for _, line := range []string{
		`tranche_runs_total{destination="File",model="events",status="Completed"} 1`,
		`tranche_rows_total{destination="File",model="events"} 3`,
		`tranche_bytes_total{destination="File",model="events"} 400`,
		`tranche_files_total{destination="File",model="events"} 2`,
		`tranche_late_rows_total 2`,
		`tranche_run_failures_total{code="permission_denied",fault="customer"} 1`,
		`tranche_run_failures_total{code="internal",fault="operator"} 1`,
		`tranche_run_failures_total{code="throttled",fault="nobody"} 0`,
		`tranche_auto_pauses_total 1`,
		`tranche_schedule_drift_seconds_sum 0`,
		`tranche_destination_duration_seconds_count{destination="File",operation="stage",outcome="ok"} 1`,
		`tranche_source_duration_seconds_count{operation="count",outcome="error",source="duckdb"} 1`,
		`tranche_repairs_total{kind="run_closed"} 0`,
		`tranche_activity_retries_total{code="timeout"} 1`,
		`tranche_api_request_duration_seconds_count{method="GET",route="/x/:id",status="200"} 1`,
		`tranche_run_log_dropped_total 0`,
	} {
		require.Contains(t, rec.Body.String(), line)
	}
}

func TestLoggerRefusesAnUnknownLevel(t *testing.T) {
	t.Parallel()
	_, err := NewLogger(true, "loud")
	require.Error(t, err)
	for _, json := range []bool{true, false} {
		log, err := NewLogger(json, "debug")
		require.NoError(t, err)
		require.True(t, log.Core().Enabled(zap.DebugLevel))
	}
}
