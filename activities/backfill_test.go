package activities_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/activities"
	"tranche/batch"
	"tranche/storage/storagetest"
)

// An owner is the execution of an interval that is somebody else's: it is over when Await returns.
type owner struct {
	ends func()
}

// Put is the Executions'.
func (owner) Put(context.Context, batch.Export) error { return nil }

// StartInterval is the Executions'.
func (owner) StartInterval(context.Context, batch.Export, batch.Interval) error { return nil }

// Await is the Executions'.
func (o owner) Await(context.Context, string) error {
	o.ends()
	return nil
}

// startBackfill puts a backfill of so many hours into the database, the first of which is interval.
func (p *place) startBackfill(hours int) batch.Backfill {
	p.Helper()
	b := storagetest.Backfill(p.export, interval.Start, interval.Start.Add(time.Duration(hours)*time.Hour))
	b.CreatedAt = time.Now().UTC()
	require.NoError(p, p.db.CreateBackfill(p.Context(), b, 10))
	return b
}

func (w *process) prepareBackfill(id uuid.UUID) activities.Prepared {
	w.Helper()
	value, err := w.env.ExecuteActivity(w.activities.PrepareBackfill, activities.BackfillInput{BackfillID: id})
	require.NoError(w, err)
	var prepared activities.Prepared
	require.NoError(w, value.Get(&prepared))
	return prepared
}

func (w *process) finishBackfill(id uuid.UUID) batch.BackfillStatus {
	w.Helper()
	value, err := w.env.ExecuteActivity(w.activities.FinishBackfill,
		activities.FinishBackfillInput{BackfillID: id, Status: batch.BackfillCompleted})
	require.NoError(w, err)
	var finished activities.FinishedBackfill
	require.NoError(w, value.Get(&finished))
	return finished.Status
}

func TestABackfillIsCompletedWhenEveryIntervalWasDeliveredSince(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 3)
	w := p.process()
	w.deliver() // before the backfill
	b := p.startBackfill(1)
	w.prepareBackfill(b.ID)
	w.deliver() // by whomever
	require.Equal(t, batch.BackfillCompleted, w.finishBackfill(b.ID))
}

func TestABackfillFailsWhenSomebodyElsesRunOfItsIntervalFailed(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 3)
	w := p.process()
	w.deliver() // before the backfill
	b := p.startBackfill(1)
	w.prepareBackfill(b.ID)
	id := w.begin()
	w.finish(activities.FinishInput{RunID: id, Status: batch.RunFailed, Code: batch.CodePermission, Message: "no"})
	require.Equal(t, batch.BackfillFailed, w.finishBackfill(b.ID))
	require.True(t, p.logs.has(batch.LogError, "1 intervals not delivered"))
}

func TestABackfillRunsAnIntervalWhoseOwnerLeftItUndelivered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ends func(w *process)
		want bool
	}{
		"it delivered": {func(w *process) { w.deliver() }, false},
		"it failed": {func(w *process) {
			w.finish(activities.FinishInput{RunID: w.begin(), Status: batch.RunFailed, Code: batch.CodePermission, Message: "no"})
		}, true},
		"it was terminated before it began": {func(*process) {}, true},
		"somebody cancelled it": {func(w *process) {
			w.finish(activities.FinishInput{RunID: w.begin(), Status: batch.RunCancelled})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.source.add(interval, 3)
			w := p.process()
			b := p.startBackfill(1)
			w.activities.Executions = owner{func() { c.ends(p.process()) }}
			value, err := w.env.ExecuteActivity(w.activities.AwaitInterval, activities.AwaitInput{
				WorkflowID: batch.WorkflowID(p.export.ID, interval.End), BackfillID: b.ID, Interval: interval,
			})
			require.NoError(t, err)
			var awaited activities.Awaited
			require.NoError(t, value.Get(&awaited))
			require.Equal(t, c.want, awaited.Again)
		})
	}
}

func TestABackfillStartsWithTheEarliestRow(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	third := batch.Interval{Start: interval.Start.Add(2 * time.Hour), End: interval.Start.Add(3 * time.Hour)}
	w := p.process()

	empty := p.startBackfill(5)
	require.True(t, w.prepareBackfill(empty.ID).Done)
	require.Equal(t, batch.BackfillCompleted, w.finishBackfill(empty.ID))

	p.source.add(third, 4)
	b := p.startBackfill(5)
	prepared := w.prepareBackfill(b.ID)
	require.False(t, prepared.Done)
	require.EqualValues(t, 3, prepared.Runs)
	got, err := p.db.BackfillByID(t.Context(), b.ID)
	require.NoError(t, err)
	require.True(t, got.AdjustedStartAt.Equal(third.Start))
	require.EqualValues(t, 4, *got.TotalRecords)

	value, err := w.env.ExecuteActivity(w.activities.NextIntervals, activities.NextInput{BackfillID: b.ID})
	require.NoError(t, err)
	var page activities.Page
	require.NoError(t, value.Get(&page))
	require.Len(t, page.Intervals, 3)
	require.Nil(t, page.Next)
}
