package e2e

import (
	"cmp"
	"context"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"

	"tranche/activities"
	"tranche/batch"
	"tranche/destinations"
	"tranche/dev/temporal"
	"tranche/internal/telemetry"
	"tranche/query"
	"tranche/sources"
	"tranche/storage"
	"tranche/storage/storagetest"
	"tranche/workflows"
)

// longestHistory is what no history of a backfill may exceed; Temporal warns at 10,240 events.
const longestHistory = 10_000

// A longBackfill is a backfill on a real Temporal server and a real database whose runs do nothing.
type longBackfill struct {
	t        *testing.T
	client   client.Client
	db       *storage.DB
	backfill batch.Backfill

	mu  sync.Mutex
	ran map[time.Time]int
}

func startLongBackfill(t *testing.T, hours int, order batch.BackfillOrder) *longBackfill {
	t.Helper()
	server := temporal.StartForTest(t, workflows.SearchAttributes())
	c, err := client.DialContext(t.Context(), client.Options{HostPort: server.HostPort(), Logger: nothing{}})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	l := &longBackfill{t: t, client: c, db: storagetest.SQLite(t), ran: map[time.Time]int{}}
	export := storagetest.Export()
	require.NoError(t, l.db.CreateExport(t.Context(), export))
	start := time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)
	l.backfill = storagetest.Backfill(export, start, start.Add(time.Duration(hours)*time.Hour))
	l.backfill.Order, l.backfill.Concurrency = order, 20
	require.NoError(t, l.db.CreateBackfill(t.Context(), l.backfill, 1))

	flows := &workflows.Client{Temporal: c}
	w := worker.New(c, workflows.QueueBackfills, worker.Options{})
	w.RegisterWorkflow(workflows.Backfill)
	w.RegisterWorkflowWithOptions(l.run, workflow.RegisterOptions{Name: "ExportInterval"})
	w.RegisterActivity(&activities.Activities{
		Store: l.db, Source: oneRow{at: start}, Models: query.PostHog(), Plugins: destinations.NewRegistry(), Executions: flows, Logs: nothing{},
		Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Log: zap.NewNop(), Limits: activities.Embedded(), Now: time.Now,
	})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	require.NoError(t, flows.StartBackfill(t.Context(), export, l.backfill))
	return l
}

// run stands in for ExportInterval.
func (l *longBackfill) run(_ workflow.Context, in workflows.ExportIntervalInput) (workflows.ExportIntervalResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ran[*in.End]++
	return workflows.ExportIntervalResult{Status: batch.RunCompleted}, nil
}

// intervals is how many intervals have run.
func (l *longBackfill) intervals() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ran)
}

// over waits for the last execution and returns how many events each of them has.
func (l *longBackfill) over() (events []int64) {
	l.t.Helper()
	id := batch.BackfillWorkflowID(l.backfill.ExportID, l.backfill.ID)
	first := l.client.GetWorkflow(l.t.Context(), id, "")
	// Its runs delivered nothing, so it fails in the end; what matters is that it got there.
	require.Error(l.t, first.Get(l.t.Context(), nil))
	last, err := l.client.DescribeWorkflowExecution(l.t.Context(), id, "")
	require.NoError(l.t, err)
	for run := last.GetWorkflowExecutionInfo().GetFirstRunId(); run != ""; {
		history := l.client.GetWorkflowHistory(l.t.Context(), id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		n := int64(0)
		for run = ""; history.HasNext(); {
			e, err := history.Next()
			require.NoError(l.t, err)
			n = e.GetEventId()
			run = e.GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
		}
		events = append(events, n)
	}
	return events
}

// requireWhole checks that each interval ran once, and that no history is long.
func (l *longBackfill) requireWhole(hours int, events []int64) {
	l.t.Helper()
	require.Len(l.t, l.ran, hours)
	for n := range hours {
		end := l.backfill.StartAt.Add(time.Duration(n+1) * time.Hour)
		require.Equal(l.t, 1, l.ran[end], end)
	}
	longest := int64(0)
	for _, n := range events {
		longest = max(longest, n)
	}
	l.t.Logf("%d intervals in %d executions; the longest history has %d events", hours, len(events), longest)
	require.LessOrEqual(l.t, longest, int64(longestHistory))
}

func TestHistoriesOfABackfillStayShort(t *testing.T) {
	t.Parallel()
	for _, order := range batch.BackfillOrders {
		t.Run(string(order)+" first", func(t *testing.T) {
			t.Parallel()
			const hours = 650
			l := startLongBackfill(t, hours, order)
			events := l.over()
			require.Len(t, events, 4)
			l.requireWhole(hours, events)
		})
	}
}

func TestABackfillThatIsSteeredAllTheTimeHasShortHistories(t *testing.T) {
	t.Parallel()
	const hours, signals = 150, 3_000
	l := startLongBackfill(t, hours, batch.NewestFirst)
	pause := func(paused bool) {
		_, err := l.db.UpdateBackfill(t.Context(), l.backfill.ID, func(b *batch.Backfill) error {
			b.PausedAt, b.Steering = nil, b.Steering+1
			if paused {
				b.PausedAt = &b.CreatedAt
			}
			return nil
		})
		require.NoError(t, err)
		require.NoError(t, (&workflows.Client{Temporal: l.client}).SteerBackfill(t.Context(), l.backfill))
	}
	until(t, workPatience, "the first runs", func() bool { return l.intervals() > 0 })
	pause(true)
	flows := &workflows.Client{Temporal: l.client}
	for range signals {
		require.NoError(t, flows.SteerBackfill(t.Context(), l.backfill))
	}
	require.Less(t, l.intervals(), hours, "it is paused")
	pause(false)
	events := l.over()
	require.Greater(t, len(events), 1, "it went on in another execution in the middle of a page")
	l.requireWhole(hours, events)
}

// soak skips a test that takes long.
func soak(t *testing.T) {
	t.Helper()
	if os.Getenv("SOAK") != "true" {
		t.Skip("a soak: make soak runs it")
	}
}

// TestSoakTenYearsByTheHour runs 87,600 intervals, which takes a while; TRANCHE_SOAK_YEARS sets fewer years.
func TestSoakTenYearsByTheHour(t *testing.T) {
	t.Parallel()
	soak(t)
	years, err := strconv.Atoi(cmp.Or(os.Getenv("TRANCHE_SOAK_YEARS"), "10"))
	require.NoError(t, err)
	hours := years * 8_760
	l := startLongBackfill(t, hours, batch.NewestFirst)
	progress := time.NewTicker(time.Minute)
	defer progress.Stop()
	over := make(chan struct{})
	defer close(over)
	go func() {
		for began := time.Now(); ; {
			select {
			case <-progress.C:
				t.Logf("%d of %d intervals after %s", l.intervals(), hours, time.Since(began).Round(time.Second))
			case <-over:
				return
			}
		}
	}()
	l.requireWhole(hours, l.over())
}

// oneRow is a source with one row.
type oneRow struct {
	sources.Source
	at time.Time
}

// Earliest is the Source's.
func (r oneRow) Earliest(context.Context, query.Query) (time.Time, bool, error) {
	return r.at, true, nil
}

// Count is the Source's.
func (oneRow) Count(context.Context, query.Query) (int64, error) { return 1, nil }

// nothing is a log that nobody reads.
type nothing struct{}

func (nothing) Log(batch.LogEntry)   {}
func (nothing) Debug(string, ...any) {}
func (nothing) Info(string, ...any)  {}
func (nothing) Warn(string, ...any)  {}
func (nothing) Error(string, ...any) {}
