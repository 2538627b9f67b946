package app_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"tranche/batch"
	"tranche/internal/app"
	"tranche/storage/storagetest"
)

func TestASchedulesStateIsMendedOrCopied(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		have   app.Schedule
		listed bool
		age    time.Duration // of the export
		repair app.Repair
		put    bool
		paused bool // the export, afterwards
	}{
		"it is as it should be":            {have: app.Schedule{Found: true, Revision: 1}, listed: true},
		"somebody removed it":              {repair: app.RepairMissingSchedule, put: true},
		"it is about to be made":           {age: time.Second},
		"the list lags behind":             {have: app.Schedule{Found: true, Revision: 1}},
		"somebody changed it":              {have: app.Schedule{Found: true, Revision: 1, Drifted: true}, listed: true, repair: app.RepairDriftedSchedule, put: true},
		"it is of an older definition":     {have: app.Schedule{Found: true, Paused: true}, listed: true, repair: app.RepairStaleSchedule, put: true},
		"it is of a newer definition":      {have: app.Schedule{Found: true, Revision: 7, Paused: true}, listed: true, repair: app.RepairAheadSchedule, put: true},
		"somebody paused it in Temporal":   {have: app.Schedule{Found: true, Revision: 1, Paused: true}, listed: true, repair: app.RepairPause, put: true, paused: true},
		"somebody paused it and edited it": {have: app.Schedule{Found: true, Revision: 1, Paused: true, Drifted: true}, listed: true, repair: app.RepairPause, put: true, paused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 0)
			require.NoError(t, w.MarkScheduled(t.Context(), w.export.ID, 1))
			if w.now = noon.Add(10 * time.Minute); c.age > 0 {
				w.now = noon.Add(c.age)
			}
			w.temporal.schedule = c.have
			if c.listed {
				w.temporal.listed[w.export.ID] = c.have.Paused
			}
			done := w.reconcile(t)
			if c.repair == "" {
				require.Empty(t, done)
			} else {
				require.Equal(t, app.Repairs{c.repair: 1}, done)
			}
			require.Equal(t, c.put, len(w.temporal.put) == 1)
			e, err := w.ExportByID(t.Context(), w.export.ID)
			require.NoError(t, err)
			require.Equal(t, c.paused, e.Paused)
			if c.repair == app.RepairAheadSchedule {
				require.Equal(t, []int64{8, 8, 8}, []int64{e.Revision, e.ScheduledRevision, w.temporal.put[0].Revision})
				require.True(t, w.said("the database was restored"))
				_, err := w.ExportAt(t.Context(), e.ID, 1)
				require.NoError(t, err, "runs that began with it still find it")
			}
			require.Equal(t, c.repair == app.RepairPause, w.said("paused the batch export in Temporal"))
			if c.repair == app.RepairPause {
				require.Equal(t, w.now, *e.LastPausedAt)
				require.Equal(t, e.Revision, e.ScheduledRevision)
				require.True(t, w.temporal.put[0].Paused, "what is put is what was copied")
			}
		})
	}
}

func TestUnpausingInTemporalUnpausesTheExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.update(t, func(e *batch.Export) { e.Paused = true })
	require.NoError(t, w.MarkScheduled(t.Context(), w.export.ID, 2))
	w.now = noon.Add(2 * time.Hour)
	w.temporal.schedule, w.temporal.listed[w.export.ID] = app.Schedule{Found: true, Revision: 2}, false
	w.reconcile(t)
	require.True(t, w.said("Somebody unpaused the batch export in Temporal."))
	w.now = noon.Add(200 * time.Minute)
	w.reconcile(t)
	require.Equal(t, []batch.Interval{storagetest.Hour(3)}, w.temporal.started, "what ended while it was paused is not due")
}

func TestTheScheduleOfADeletedExportIsRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.update(t, func(e *batch.Export) { e.Deleted = true })
	require.NoError(t, w.MarkScheduled(t.Context(), w.export.ID, 2))
	w.temporal.listed[w.export.ID] = false
	require.Equal(t, app.Repairs{app.RepairOrphanedSchedule: 1}, w.reconcile(t))
	require.Equal(t, []uuid.UUID{w.export.ID}, w.temporal.removed)
}

func TestAScheduleOfWhichTheDatabaseKnowsNothingIsRemovedIfItIsOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	require.NoError(t, w.MarkScheduled(t.Context(), w.export.ID, 1))
	unknown := uuid.New()
	w.temporal.listed[unknown] = false
	w.temporal.schedule, w.temporal.listed[w.export.ID] = app.Schedule{Found: true, Revision: 1}, false
	require.Empty(t, w.reconcile(t), "it does not say whose it is")
	w.temporal.by[unknown] = uuid.New()
	require.Empty(t, w.reconcile(t), "it is another installation's")
	w.temporal.by[unknown] = w.Reconciler.Installation
	require.Equal(t, app.Repairs{app.RepairOrphanedSchedule: 1}, w.reconcile(t))
	require.Equal(t, []uuid.UUID{unknown}, w.temporal.removed)
}

func TestSchedulesOfOthersAreToldOfOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	core, lines := observer.New(zap.WarnLevel)
	w.Reconciler.Log = zap.New(core)
	for range 60 { // more than a pass looks at
		id := uuid.New()
		w.temporal.listed[id], w.temporal.by[id] = false, uuid.New()
	}
	for range 2 {
		require.Empty(t, w.reconcile(t))
	}
	require.Len(t, lines.FilterMessageSnippet("schedules that are not ours").FilterField(zap.Int("schedules", 60)).All(), 1)
	require.Empty(t, w.temporal.removed)
}

func TestAScheduleOfAKnownExportThatDoesNotSayWhoseItIsIsMarked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	require.NoError(t, w.MarkScheduled(t.Context(), w.export.ID, 1))
	w.temporal.schedule, w.temporal.listed[w.export.ID] = app.Schedule{Found: true, Revision: 1, Unmarked: true}, false
	require.Empty(t, w.reconcile(t), "nothing had come apart")
	require.Len(t, w.temporal.put, 1)
	w.reconcile(t)
	require.Len(t, w.temporal.put, 1, "once")
}

// A definition that was changed since we read it is not that of a database that was restored.
func TestAScheduleThatIsNewerThanWhatWasReadIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	require.NoError(t, w.MarkScheduled(t.Context(), w.export.ID, 1))
	w.now = noon.Add(10 * time.Minute)
	w.temporal.schedule, w.temporal.listed[w.export.ID] = app.Schedule{Found: true, Revision: 2}, false
	w.temporal.looked = func() {
		w.update(t, func(e *batch.Export) { e.Name = "changed meanwhile" })
		require.NoError(t, w.MarkScheduled(t.Context(), w.export.ID, 2))
	}
	require.Empty(t, w.reconcile(t))
	e, err := w.ExportByID(t.Context(), w.export.ID)
	require.NoError(t, err)
	require.EqualValues(t, 2, e.Revision)
	require.Empty(t, w.temporal.put)
}
