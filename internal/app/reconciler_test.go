package app_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"tranche/batch"
	"tranche/internal/app"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// noon is when the tests' exports are created; their intervals are hours.
var noon = storagetest.Noon

// A world is the reconciler over a real database, with Temporal faked.
type world struct {
	*storage.DB
	*app.Reconciler
	temporal *temporal
	export   batch.Export
	now      time.Time

	mu    sync.Mutex
	lines []batch.LogEntry
}

// newWorld makes a world with one active export at a time so many hours after noon.
func newWorld(t *testing.T, hours float64) *world {
	t.Helper()
	w := &world{temporal: newTemporal(), export: storagetest.Export()}
	w.now = noon.Add(time.Duration(hours * float64(time.Hour)))
	clock := func() time.Time { return w.now }
	w.DB = storagetest.SQLite(t).WithClock(clock)
	require.NoError(t, w.CreateExport(t.Context(), w.export))
	w.Reconciler = &app.Reconciler{
		Store: w.DB, Workflows: w.temporal, Logs: w, Metrics: silence{}, Log: zap.NewNop(), Now: clock,
		Grace: time.Minute, CatchUp: 30 * 24 * time.Hour, Installation: uuid.New(),
	}
	return w
}

// Log is the Logger's.
func (w *world) Log(e batch.LogEntry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, e)
}

func (w *world) said(text string) bool {
	return slices.ContainsFunc(w.lines, func(e batch.LogEntry) bool { return strings.Contains(e.Message, text) })
}

func (w *world) reconcile(t *testing.T) app.Repairs {
	t.Helper()
	done, err := w.Reconcile(t.Context())
	require.NoError(t, err)
	return done
}

func (w *world) update(t *testing.T, change func(e *batch.Export)) {
	t.Helper()
	e, err := w.UpdateExport(t.Context(), w.export.TeamID, w.export.ID, func(e *batch.Export) error {
		change(e)
		return nil
	})
	require.NoError(t, err)
	w.export = e
}

// run puts a run of the interval into the database.
func (w *world) run(t *testing.T, i batch.Interval, status batch.RunStatus, backfill bool) batch.Run {
	t.Helper()
	r := storagetest.Run(w.export, i)
	if backfill {
		b := storagetest.Backfill(w.export, i.Start, i.End)
		b.Status = batch.BackfillFailed
		require.NoError(t, w.CreateBackfill(t.Context(), b, 100))
		r.BackfillID = &b.ID
	}
	r.Status = status
	_, _, err := w.BeginRun(t.Context(), r)
	require.NoError(t, err)
	return r
}

// displaced puts runs of the schedule into the database that others have fenced.
func (w *world) displaced(t *testing.T, i batch.Interval, times int) {
	t.Helper()
	for range times {
		r := w.run(t, i, batch.RunRunning, false)
		_, err := w.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error {
			r.Status, r.ErrorCode = batch.RunFailed, batch.CodeSuperseded
			return nil
		})
		require.NoError(t, err)
	}
}

// deliver puts a delivery of the interval into the database.
func (w *world) deliver(t *testing.T, i batch.Interval) {
	t.Helper()
	r := w.run(t, i, batch.RunRunning, false)
	require.NoError(t, w.SavePlan(t.Context(), r.ID, 1, nil))
	token, err := w.AcquireLease(t.Context(), r.ExportID, i, r.ID, time.Minute)
	require.NoError(t, err)
	require.NoError(t, w.RecordDelivery(t.Context(), batch.Delivery{ExportID: r.ExportID, Interval: i, RunID: r.ID, Generation: 1, Token: token}))
	_, err = w.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error {
		r.Status = batch.RunCompleted
		return nil
	})
	require.NoError(t, err)
}

func TestADueIntervalIsStartedUnlessSomebodySeesToIt(t *testing.T) {
	t.Parallel()
	i := storagetest.Hour(1)
	halves := []batch.Interval{{Start: i.Start, End: i.Start.Add(30 * time.Minute)}, {Start: i.Start.Add(30 * time.Minute), End: i.End}}
	for name, c := range map[string]struct {
		given   func(t *testing.T, w *world)
		started bool
		again   bool // it is looked at in the next pass too
		says    string
	}{
		"nobody does":                    {func(*testing.T, *world) {}, true, true, "nobody had begun it"},
		"it was delivered":               {func(t *testing.T, w *world) { t.Helper(); w.deliver(t, i) }, false, false, ""},
		"it was delivered in two halves": {func(t *testing.T, w *world) { t.Helper(); w.deliver(t, halves[0]); w.deliver(t, halves[1]) }, false, false, ""},
		"half of it was delivered":       {func(t *testing.T, w *world) { t.Helper(); w.deliver(t, halves[1]) }, true, true, ""},
		"it was delivered within a longer interval": {
			func(t *testing.T, w *world) {
				t.Helper()
				w.deliver(t, batch.Interval{Start: i.Start.Add(-time.Hour), End: i.End.Add(time.Hour)})
			}, false, false, "",
		},
		"a copy from the beginning of time was delivered": {
			func(t *testing.T, w *world) { t.Helper(); w.deliver(t, batch.Interval{End: i.End.Add(time.Minute)}) }, true, true, "",
		},
		"a run is under way": {func(t *testing.T, w *world) {
			t.Helper()
			w.temporal.runs[w.run(t, i, batch.RunRunning, true).ID] = app.ExecutionRunning
		}, false, true, ""},
		"a user cancelled it":       {func(t *testing.T, w *world) { t.Helper(); w.run(t, i, batch.RunCancelled, true) }, false, false, ""},
		"somebody terminated it":    {func(t *testing.T, w *world) { t.Helper(); w.run(t, i, batch.RunTerminated, false) }, false, false, ""},
		"the schedule's run failed": {func(t *testing.T, w *world) { t.Helper(); w.run(t, i, batch.RunFailed, false) }, false, false, ""},
		"the schedule's run made room for one of another length, which ended without delivering it": {
			func(t *testing.T, w *world) { t.Helper(); w.displaced(t, i, 1) }, true, true, "",
		},
		"it had to make room again and again": {func(t *testing.T, w *world) { t.Helper(); w.displaced(t, i, 4) }, false, false, ""},
		"a backfill's run failed":             {func(t *testing.T, w *world) { t.Helper(); w.run(t, i, batch.RunFailed, true) }, true, true, ""},
		"a backfill's run timed out":          {func(t *testing.T, w *world) { t.Helper(); w.run(t, i, batch.RunTimedOut, true) }, true, true, ""},
		"a run of another length has its id":  {func(t *testing.T, w *world) { t.Helper(); w.run(t, halves[1], batch.RunFailed, false) }, true, true, ""},
		"it runs in Temporal and has no row yet": {
			func(_ *testing.T, w *world) { w.temporal.intervals[i.End.Unix()] = app.ExecutionRunning }, false, true, "",
		},
		"its execution ended and left nothing": {
			func(_ *testing.T, w *world) { w.temporal.intervals[i.End.Unix()] = app.ExecutionCompleted }, true, true, "",
		},
		"somebody stopped it in Temporal before it had a row": {
			func(_ *testing.T, w *world) { w.temporal.intervals[i.End.Unix()] = app.ExecutionTerminated }, false, false, "stopped in Temporal before it began",
		},
		"it is older than the catch-up window": {
			func(_ *testing.T, w *world) { w.CatchUp = 10 * time.Minute }, false, false, "longer ago than the catch-up window",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1.5)
			c.given(t, w)
			w.reconcile(t)
			if c.started {
				require.Equal(t, []batch.Interval{i}, w.temporal.started)
			} else {
				require.Empty(t, w.temporal.started)
			}
			require.Equal(t, c.says != "", c.says != "" && w.said(c.says), "%v", w.lines)
			spans, err := w.OverdueSpans(t.Context(), w.now.Add(2*time.Minute), 10)
			require.NoError(t, err)
			require.Equal(t, c.again, len(spans) == 1)
		})
	}
}

func TestOnlyWhatWasDueWhileTheExportWasActiveIsStarted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1.1) // the schedule has its time of jitter
	w.reconcile(t)
	require.Empty(t, w.temporal.started)
	w.update(t, func(e *batch.Export) { e.Paused = true })
	w.now = noon.Add(150 * time.Minute)
	w.update(t, func(e *batch.Export) { e.Paused = false })
	w.now = noon.Add(200 * time.Minute)
	w.reconcile(t)
	require.Equal(t, []batch.Interval{storagetest.Hour(1), storagetest.Hour(3)}, w.temporal.started)
}

func TestAChangeBetweenTheEndOfAnIntervalAndItsJitteredStartLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1.05)
	first := batch.Interval{Start: noon.Add(time.Hour), End: noon.Add(12 * time.Hour)}
	w.update(t, func(e *batch.Export) { e.Frequency, e.FirstInterval = batch.Daily, &first })
	w.now = noon.Add(13 * time.Hour)
	w.reconcile(t)
	require.Equal(t, []batch.Interval{storagetest.Hour(1), first}, w.temporal.started)
}

func TestAnOutageIsCaughtUpPassByPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.update(t, func(e *batch.Export) { e.Frequency = batch.Every5Minutes })
	w.now = noon.Add(100 * time.Hour) // 1,200 intervals
	want := 1200 - 1                  // the last one is not overdue yet
	for range 5 {
		w.reconcile(t)
		for _, i := range w.temporal.started {
			w.temporal.intervals[i.End.Unix()] = app.ExecutionRunning
		}
		if len(w.temporal.started) > 0 {
			for _, i := range w.temporal.started {
				if done, err := w.Delivery(t.Context(), w.export.ID, i); err == nil && done == nil {
					w.deliver(t, i)
				}
			}
		}
		w.now = w.now.Add(w.Grace)
	}
	require.GreaterOrEqual(t, len(w.temporal.started), want)
	ends := map[int64]bool{}
	for _, i := range w.temporal.started {
		require.False(t, ends[i.End.Unix()], "%s was started twice", i)
		ends[i.End.Unix()] = true
	}
}

func TestARunWithoutAWorkflowIsClosed(t *testing.T) {
	t.Parallel()
	i := storagetest.Hour(0)
	for name, c := range map[string]struct {
		execution  app.Execution
		backfill   bool
		committing bool
		want       batch.RunStatus
		anew       bool
	}{
		"terminated":                          {app.ExecutionTerminated, false, false, batch.RunTerminated, false},
		"terminated in its commit":            {app.ExecutionTerminated, false, true, batch.RunTerminated, true},
		"timed out":                           {app.ExecutionTimedOut, false, false, batch.RunTimedOut, false},
		"cancelled":                           {app.ExecutionCancelled, false, false, batch.RunCancelled, false},
		"failed without a word":               {app.ExecutionFailed, false, false, batch.RunFailed, false},
		"gone, and it was the schedule's":     {app.ExecutionGone, false, false, batch.RunFailed, true},
		"gone, and its backfill sees to it":   {app.ExecutionGone, true, false, batch.RunFailed, false},
		"running, so it is left as it is":     {app.ExecutionRunning, false, false, batch.RunRunning, false},
		"gone in its commit, of a backfill's": {app.ExecutionGone, true, true, batch.RunFailed, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 0.1)
			r := w.run(t, i, batch.RunRunning, c.backfill)
			if c.committing {
				_, err := w.BeginCommit(t.Context(), r.ID)
				require.NoError(t, err)
			}
			w.now = w.now.Add(5 * time.Minute)
			w.temporal.runs[r.ID] = c.execution
			w.reconcile(t)
			got, err := w.RunByID(t.Context(), r.ID)
			require.NoError(t, err)
			require.Equal(t, c.want, got.Status)
			require.Equal(t, c.want.Final(), got.FinishedAt != nil)
			require.Equal(t, c.anew, slices.Equal(w.temporal.anew, []batch.Interval{i}), "%v", w.temporal.anew)
		})
	}
}

func TestARunShowsThatItsWorkerDidNotAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0.1)
	r := w.run(t, storagetest.Hour(0), batch.RunRunning, false)
	w.temporal.runs[r.ID] = app.ExecutionRunning
	w.temporal.retries[r.ID] = &app.Retry{Attempt: 1, Next: w.now.Add(time.Minute)}
	for range 2 {
		w.reconcile(t)
	}
	got, err := w.RunByID(t.Context(), r.ID)
	require.NoError(t, err)
	require.Contains(t, got.LatestError, "did not answer")
	require.Equal(t, batch.CodeTimeout, got.ErrorCode)
	require.Equal(t, w.now.Add(time.Minute), *got.NextRetryAt)
	require.Len(t, w.lines, 1, "it is said once")

	_, err = w.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error {
		r.Attempt, r.LatestError = 2, "the destination does not answer"
		return nil
	})
	require.NoError(t, err)
	w.reconcile(t)
	got, err = w.RunByID(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, "the destination does not answer", got.LatestError, "what a later try says is newer")
}

type silence struct{}

func (silence) Repaired(string) {}
