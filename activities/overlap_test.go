package activities_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/activities"
	"tranche/batch"
	"tranche/sources"
	"tranche/storage/storagetest"
)

// nextHour follows interval; bothHours are the two as one interval of another length.
var (
	nextHour  = batch.Interval{Start: interval.End, End: interval.End.Add(time.Hour)}
	bothHours = batch.Interval{Start: interval.Start, End: nextHour.End}
)

// beginOf makes the row of a run of any interval, for a backfill or for none.
func (p *place) beginOf(i batch.Interval, b *batch.Backfill) uuid.UUID {
	p.Helper()
	r := storagetest.Run(p.export, i)
	if b != nil {
		r.BackfillID = &b.ID
	}
	_, _, err := p.db.BeginRun(p.Context(), r)
	require.NoError(p, err)
	return r.ID
}

// deliverOf does a whole run of any interval.
func (w *process) deliverOf(i batch.Interval, b *batch.Backfill) {
	w.Helper()
	id := w.beginOf(i, b)
	w.stage(id)
	require.NoError(w, w.commit(id, 1))
	w.finish(activities.FinishInput{RunID: id, Status: batch.RunCompleted})
}

// replacing is a backfill of the range that may take the place of deliveries.
func (p *place) replacing(i batch.Interval, end time.Time) batch.Backfill {
	p.Helper()
	b := storagetest.Backfill(p.export, i.Start, end)
	b.Replace, b.CreatedAt = true, time.Now().UTC()
	require.NoError(p, p.db.CreateBackfill(p.Context(), b, 10))
	return b
}

// deliveredAre requires that exactly the intervals count as delivered, and that the database knows of nothing else.
func (p *place) deliveredAre(want ...batch.Interval) {
	p.Helper()
	visible, err := p.db.Visible(p.Context(), p.export.ID, batch.Interval{End: bothHours.End.AddDate(1, 0, 0)})
	require.NoError(p, err)
	var got []batch.Interval
	for _, d := range visible {
		require.Nil(p, d.SupersededAt)
		got = append(got, d.Interval)
	}
	require.Equal(p, want, got)
}

func TestARunOverDeliveriesOfAnotherLengthIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 3)
	w := p.process()
	w.deliver()
	b := p.startBackfill(2)
	for name, id := range map[string]uuid.UUID{"of nobody's": p.beginOf(bothHours, nil), "of a backfill": p.beginOf(bothHours, &b)} {
		_, err := w.plan(id)
		require.Error(t, err, name)
		requireCode(t, err, batch.CodeOverlap)
	}
	p.sees(p.source.ids(interval))
	p.deliveredAre(interval)
}

// A delivery of another length may be recorded between the look at deliveries and the plan: then the run is refused at its
// commit, and what it would have fenced is delivered by its own run.
func TestARunThatIsRefusedAtItsCommitFencesNobody(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 3)
	p.source.add(nextHour, 4)
	w := p.process()
	refused := p.beginOf(bothHours, nil)
	w.deliverOf(interval, nil)
	require.NoError(t, p.db.SavePlan(t.Context(), refused, 1, []sources.Split{{Range: bothHours}}))
	w.stageAll(refused, activities.Planned{Generation: 1, Splits: 1})
	other := p.beginOf(nextHour, nil)
	w.stage(other)
	requireCode(t, w.commit(refused, 1), batch.CodeOverlap)
	require.NoError(t, w.commit(other, 1))
	p.deliveredAre(interval, nextHour)
}

func TestARunDoesNotReplaceADeliveryThatReachesBeyondItsBackfill(t *testing.T) {
	t.Parallel()
	late := batch.Interval{Start: interval.Start.Add(interval.End.Sub(interval.Start) / 2), End: nextHour.End}
	for name, c := range map[string]struct{ ours, theirs batch.Interval }{
		"beyond its end": {interval, bothHours}, "before its start": {late, interval},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.source.add(interval, 3)
			w := p.process()
			b := p.replacing(c.ours, c.ours.End) // before anything was delivered, so that nobody could be told
			w.deliverOf(c.theirs, nil)           // a schedule with other intervals delivers meanwhile
			_, err := w.plan(w.beginOf(c.ours, &b))
			requireCode(t, err, batch.CodeOverlap)
			p.deliveredAre(c.theirs)
			p.sees(p.source.ids(interval))
		})
	}
}

func TestARunThatReplacesTakesThePlaceOfDeliveriesOfAnotherLength(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]batch.Interval{"two hours at once": bothHours, "all from the beginning": {End: bothHours.End}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.source.add(interval, 3)
			p.source.add(nextHour, 4)
			w := p.process()
			w.deliverOf(interval, nil)
			w.deliverOf(nextHour, nil)
			b := p.replacing(from, from.End)
			w.deliverOf(from, &b)
			p.sees(p.source.ids(bothHours))
			p.deliveredAre(from)
			p.stagesNothing()
		})
	}
}

func TestRunsThatReplaceALongerDelivery(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 3)
	p.source.add(nextHour, 4)
	w := p.process()
	w.deliverOf(bothHours, nil)
	b := p.replacing(interval, nextHour.End)
	w.deliverOf(nextHour, &b)
	p.sees(p.source.ids(nextHour)) // never two copies: the rest follows with the next run
	p.deliveredAre(nextHour)
	w.deliverOf(interval, &b)
	p.sees(p.source.ids(bothHours))
	p.deliveredAre(interval, nextHour)
}

// TestWhoeverComesAfterARunThatDiedWhileItReplacedFinishesTheWork is what the reconciler relies on: the run that it
// starts belongs to no backfill.
func TestWhoeverComesAfterARunThatDiedWhileItReplacedFinishesTheWork(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"trash", "forget", "publish", "manifest", "record delivery"} {
		t.Run("died before "+step, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.source.add(interval, 3)
			p.source.add(nextHour, 4)
			dead, fresh := p.process(), p.process()
			fresh.deliverOf(interval, nil)
			fresh.deliverOf(nextHour, nil)
			b := p.replacing(bothHours, bothHours.End)
			id := p.beginOf(bothHours, &b)
			dead.stage(id)
			dead.gate.stopAt(step, die)
			require.Error(t, dead.commit(id, 1))
			_, err := p.db.UpdateRun(t.Context(), id, func(r *batch.Run) error { r.Status = batch.RunTerminated; return nil })
			require.NoError(t, err)

			again := p.beginOf(bothHours, nil)
			fresh.stage(again)
			require.Eventually(t, func() bool { return fresh.commit(again, 1) == nil }, 20*time.Second, 50*time.Millisecond)
			p.sees(p.source.ids(bothHours))
			p.deliveredAre(bothHours)
		})
	}
}

func TestWhatARunOfAnotherLengthPublishedWithoutRecordingItIsRemoved(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 3)
	p.source.add(nextHour, 4)
	stale, fresh := p.process(), p.process()
	old := p.beginOf(interval, nil)
	stale.stage(old)
	reached, goOn := stale.gate.stopAt("record delivery", freeze)
	done := make(chan error, 1)
	go func() { done <- stale.commit(old, 1) }()
	<-reached
	p.sees(p.source.ids(interval))

	longer := p.beginOf(bothHours, nil)
	fresh.stage(longer)
	// It waits for the lease under which the old one published.
	require.Eventually(t, func() bool { return fresh.commit(longer, 1) == nil }, 20*time.Second, 50*time.Millisecond)
	p.sees(p.source.ids(bothHours))
	goOn()
	requireCode(t, <-done, batch.CodeSuperseded)
	p.sees(p.source.ids(bothHours))
	p.deliveredAre(bothHours)
}

func TestACommitWhoseAnswerIsLostAndWhoseDeliveryIsReplacedIsOver(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 3)
	w := p.process()
	id := p.beginOf(interval, nil)
	w.stage(id)
	require.NoError(t, w.commit(id, 1))
	b := p.replacing(bothHours, bothHours.End)
	w.deliverOf(bothHours, &b)
	requireCode(t, w.commit(id, 1), batch.CodeSuperseded)
	p.deliveredAre(bothHours)
}

// Several runs may each have to remove the same delivery of another length.
func TestRunsThatReplaceTheSameDeliveryDoNotFenceEachOther(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 3)
	p.source.add(nextHour, 4)
	first, second := p.process(), p.process()
	first.deliverOf(bothHours, nil)
	b := p.replacing(interval, nextHour.End)
	one, other := p.beginOf(interval, &b), p.beginOf(nextHour, &b)
	first.stage(one)
	second.stage(other)
	reached, goOn := first.gate.stopAt("trash", stall)
	done := make(chan error, 1)
	go func() { done <- first.commit(one, 1) }()
	<-reached
	requireCode(t, second.commit(other, 1), batch.CodeBusy)
	goOn()
	require.NoError(t, <-done)
	require.Eventually(t, func() bool { return second.commit(other, 1) == nil }, 20*time.Second, 50*time.Millisecond)
	p.sees(p.source.ids(bothHours))
	p.deliveredAre(interval, nextHour)
	p.stagesNothing()
}

// Forget has a gate.
func (s *gatedStore) Forget(ctx context.Context, r batch.Run, token int64, d batch.Delivery) error {
	if err := s.gate.reach("forget"); err != nil {
		return err
	}
	return s.Store.Forget(ctx, r, token, d)
}
