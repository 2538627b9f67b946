package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
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

// lagged is a LagStore.
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

func TestLagCollectorTellsLagsAndTheirMaximum(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	store := &lagged{lags: []batch.Lag{
		{ExportID: uuid.MustParse("00000000-0000-7000-8000-000000000001"), End: now.Add(-90 * time.Second)},
		{ExportID: uuid.MustParse("00000000-0000-7000-8000-000000000002"), End: now.Add(time.Second)},
	}}
	c := NewLagCollector(store, func() time.Time { return now })
	want := `
# HELP tranche_delivery_lag_max_seconds The largest delivery lag of the most recent active exports.
# TYPE tranche_delivery_lag_max_seconds gauge
tranche_delivery_lag_max_seconds 90
# HELP tranche_delivery_lag_seconds Time since the end of the last delivered interval, of the most recent active exports.
# TYPE tranche_delivery_lag_seconds gauge
tranche_delivery_lag_seconds{batch_export_id="00000000-0000-7000-8000-000000000001"} 90
tranche_delivery_lag_seconds{batch_export_id="00000000-0000-7000-8000-000000000002"} 0
`
	require.NoError(t, testutil.CollectAndCompare(c, bytes.NewBufferString(want)))
	require.Equal(t, lagExports, store.limit)

	testutil.CollectAndCount(c)
	require.Equal(t, 1, store.asked, "scrapes within the cache's time share a query")
	now = now.Add(lagFresh)
	testutil.CollectAndCount(c)
	require.Equal(t, 2, store.asked)
}

func TestAScrapeSurvivesADatabaseThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	reg := NewRegistry()
	metrics := NewMetrics(reg)
	metrics.RunEnded(batch.RunCompleted, "File", batch.ModelEvents)
	metrics.Delivered("File", batch.ModelEvents, 3, 400)
	metrics.LateRows(2)
	metrics.ActivityRetried(batch.CodeTimeout)
	metrics.RequestServed("GET", "/x/:id", 200, time.Millisecond)
	reg.MustRegister(NewLagCollector(&lagged{err: errors.New("down")}, time.Now))
	rec := httptest.NewRecorder()
	Handler(reg).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, 200, rec.Code)
	for _, line := range []string{
		`tranche_runs_total{destination="File",model="events",status="Completed"} 1`,
		`tranche_rows_total{destination="File",model="events"} 3`,
		`tranche_bytes_total{destination="File",model="events"} 400`,
		`tranche_late_rows_total 2`,
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
