package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/activities"
	"tranche/batch"
	"tranche/storage/storagetest"
)

// delivered makes a delivery of the world's interval, by a run of the backfill; nil = by the schedule.
func (w *world) delivered(t *testing.T, rows int64, of *batch.Backfill) {
	t.Helper()
	run := storagetest.Run(w.export, w.interval)
	if of != nil {
		require.NoError(t, w.db.CreateBackfill(t.Context(), *of, 5))
		run.BackfillID = &of.ID
	}
	run, _, err := w.db.BeginRun(t.Context(), run)
	require.NoError(t, err)
	token, err := w.db.AcquireLease(t.Context(), w.export.ID, w.interval, run.ID, time.Minute)
	require.NoError(t, err)
	require.NoError(t, w.db.RecordDelivery(t.Context(), batch.Delivery{
		ExportID: w.export.ID, Interval: w.interval, RunID: run.ID, Generation: 1, Token: token, Rows: rows, CommittedAt: w.interval.End,
	}))
	require.NoError(t, w.db.ReleaseLease(t.Context(), w.export.ID, w.interval, token))
}

func TestRowsThatArriveAfterTheDeliveryAreCountedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rows := &table{}
	w.Source = rows
	w.Now = func() time.Time { return w.interval.End.Add(90 * time.Minute) }
	rows.add(w.interval, 5)
	w.delivered(t, 5, nil)
	rows.add(w.interval, 2)

	late := func() int64 {
		t.Helper()
		within, err := w.db.DeliveriesWithin(t.Context(), w.export.ID, w.interval)
		require.NoError(t, err)
		require.Len(t, within, 1)
		return within[0].LateRows
	}
	for name, c := range map[string]struct {
		after time.Duration
		want  int64
	}{"off": {0, 0}, "not due": {2 * time.Hour, 0}} {
		require.NoError(t, (&activities.Recounter{Activities: w.Activities, Store: w.db, After: c.after}).Recount(t.Context()))
		require.Equal(t, c.want, late(), name)
	}
	r := &activities.Recounter{Activities: w.Activities, Store: w.db, After: time.Hour}
	require.NoError(t, r.Recount(t.Context()))
	require.EqualValues(t, 2, late())
	rows.add(w.interval, 1)
	require.NoError(t, r.Recount(t.Context()))
	require.EqualValues(t, 2, late(), "once")
	w.delivered(t, 8, nil)
	require.Zero(t, late(), "a new delivery has them")
}

func TestTimesOfSelectionDoNotMix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Source = &table{splits: 1}
	byTimestamp := storagetest.Backfill(w.export, w.interval.Start, w.interval.End)
	byTimestamp.By = batch.ByTimestamp
	w.delivered(t, 3, &byTimestamp)

	scheduled := w.begin(t)
	_, err := w.env.ExecuteActivity(w.Plan, activities.RunInput{RunID: scheduled, Generation: 1})
	require.ErrorContains(t, err, `was delivered with its rows chosen by "timestamp"`)

	replacing := storagetest.Backfill(w.export, w.interval.Start, w.interval.End.Add(time.Hour))
	replacing.Replace = true
	require.NoError(t, w.db.CreateBackfill(t.Context(), replacing, 5))
	run := storagetest.Run(w.export, w.interval)
	run.BackfillID = &replacing.ID
	_, _, err = w.db.BeginRun(t.Context(), run)
	require.NoError(t, err)
	w.do(t, w.Plan, activities.RunInput{RunID: run.ID, Generation: 1})
}
