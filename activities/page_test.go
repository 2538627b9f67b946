package activities_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/activities"
	"tranche/batch"
	"tranche/storage/storagetest"
)

// pages walks through a backfill as its workflow does.
func (w *process) pages(id uuid.UUID) (pages []activities.Page) {
	w.Helper()
	in := activities.NextInput{BackfillID: id}
	for {
		value, err := w.env.ExecuteActivity(w.activities.NextIntervals, in)
		require.NoError(w, err)
		var page activities.Page
		require.NoError(w, value.Get(&page))
		pages = append(pages, page)
		if page.Next == nil {
			return pages
		}
		in.From = page.Next
	}
}

func intervalsOf(pages []activities.Page) (all []batch.Interval) {
	for _, p := range pages {
		all = append(all, p.Intervals...)
	}
	return all
}

// create puts a backfill into the database.
func (p *place) create(b batch.Backfill, change func(*batch.Backfill)) batch.Backfill {
	p.Helper()
	b.CreatedAt = time.Now().UTC()
	if change != nil {
		change(&b)
	}
	require.NoError(p, p.db.CreateBackfill(p.Context(), b, 10))
	return b
}

// TestTenYearsByTheHour is the whole of a backfill of 87,600 intervals, but for its runs.
func TestTenYearsByTheHour(t *testing.T) {
	t.Parallel()
	for _, order := range batch.BackfillOrders {
		t.Run(string(order)+" first", func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			w := p.process()
			start := time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)
			p.source.add(batch.Interval{Start: start, End: start.Add(time.Hour)}, 1)
			b := p.create(storagetest.Backfill(p.export, start, start.Add(87_600*time.Hour)), func(b *batch.Backfill) { b.Order = order })
			require.EqualValues(t, 87_600, w.prepareBackfill(b.ID).Runs)
			pages := w.pages(b.ID)
			require.Len(t, pages, 438)
			all := intervalsOf(pages)
			if order == batch.NewestFirst {
				slices.Reverse(all)
			}
			require.Len(t, all, 87_600)
			for n, i := range all {
				require.True(t, i.Start.Equal(start.Add(time.Duration(n)*time.Hour)))
				require.Equal(t, time.Hour, i.Duration())
			}
			for _, page := range pages {
				require.LessOrEqual(t, len(page.Intervals), 200)
				require.Equal(t, order == batch.NewestFirst, page.NewestFirst)
			}
		})
	}
}

func TestABackfillLeavesOutWhatIsDelivered(t *testing.T) {
	t.Parallel()
	for _, order := range batch.BackfillOrders {
		t.Run(string(order)+" first", func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.source.add(batch.Interval{Start: interval.Start, End: interval.Start.Add(6 * time.Hour)}, 6)
			w := p.process()
			hour := func(n int) batch.Interval {
				start := interval.Start.Add(time.Duration(n) * time.Hour)
				return batch.Interval{Start: start, End: start.Add(time.Hour)}
			}
			w.deliverOf(hour(1), nil)
			w.deliverOf(batch.Interval{Start: hour(3).Start, End: hour(4).End}, nil) // of another length, but all of both hours
			b := p.create(storagetest.Backfill(p.export, hour(0).Start, hour(5).End), func(b *batch.Backfill) {
				b.Order, b.SkipDelivered = order, true
			})
			require.EqualValues(t, 3, w.prepareBackfill(b.ID).Runs)
			got := intervalsOf(w.pages(b.ID))
			want := []batch.Interval{hour(0), hour(2), hour(5)}
			if order == batch.NewestFirst {
				slices.Reverse(want)
			}
			require.Equal(t, want, got)

			w.deliverOf(hour(0), &b)
			w.deliverOf(hour(2), &b)
			require.Equal(t, batch.BackfillFailed, w.finishBackfill(b.ID), "one is missing")
			again := p.create(storagetest.Backfill(p.export, hour(0).Start, hour(5).End), func(b *batch.Backfill) { b.SkipDelivered = true })
			require.EqualValues(t, 1, w.prepareBackfill(again.ID).Runs)
			w.deliverOf(hour(5), &again)
			require.Equal(t, batch.BackfillCompleted, w.finishBackfill(again.ID))
			full := p.create(storagetest.Backfill(p.export, hour(0).Start, hour(5).End), func(b *batch.Backfill) { b.SkipDelivered = true })
			require.True(t, w.prepareBackfill(full.ID).Done)
			require.Equal(t, batch.BackfillCompleted, w.finishBackfill(full.ID))
		})
	}
}

func TestABackfillOverDeliveriesOfAnotherLengthFailsBeforeItsFirstRun(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(bothHours, 5)
	w := p.process()
	w.deliverOf(bothHours, nil) // since the API looked
	b := p.startBackfill(2)
	_, err := w.env.ExecuteActivity(w.activities.PrepareBackfill, activities.BackfillInput{BackfillID: b.ID})
	requireCode(t, err, batch.CodeOverlap)
	value, err := w.env.ExecuteActivity(w.activities.FinishBackfill,
		activities.FinishBackfillInput{BackfillID: b.ID, Status: batch.BackfillFailed, Message: "the range overlaps"})
	require.NoError(t, err)
	require.True(t, value.HasValue())
	got, err := p.db.BackfillByID(t.Context(), b.ID)
	require.NoError(t, err)
	require.Equal(t, batch.BackfillFailed, got.Status)
	require.Equal(t, "the range overlaps", got.LatestError)
	require.True(t, p.logs.has(batch.LogError, "The reason: the range overlaps."))
}

func TestAPageTellsHowTheBackfillIsSteered(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 1)
	w := p.process()
	b := p.startBackfill(3)
	w.prepareBackfill(b.ID)
	require.Equal(t, activities.Steered{}, w.pages(b.ID)[0].Steered)
	_, err := p.db.UpdateBackfill(t.Context(), b.ID, func(b *batch.Backfill) error {
		b.PausedAt, b.Steering = &interval.End, 7
		return nil
	})
	require.NoError(t, err)
	value, err := w.env.ExecuteActivity(w.activities.SteerBackfill, activities.BackfillInput{BackfillID: b.ID})
	require.NoError(t, err)
	var steered activities.Steered
	require.NoError(t, value.Get(&steered))
	require.Equal(t, activities.Steered{Paused: true, Steering: 7}, steered)
	got, err := p.db.BackfillByID(t.Context(), b.ID)
	require.NoError(t, err)
	require.EqualValues(t, 7, got.Steered, "the reconciler need not tell the workflow again")
	require.Equal(t, steered, w.pages(b.ID)[0].Steered)

	_, err = p.db.UpdateBackfill(t.Context(), b.ID, func(b *batch.Backfill) error {
		b.Status = batch.BackfillCancelled
		return nil
	})
	require.NoError(t, err)
	value, err = w.env.ExecuteActivity(w.activities.SteerBackfill, activities.BackfillInput{BackfillID: b.ID})
	require.NoError(t, err)
	var over activities.Steered
	require.NoError(t, value.Get(&over))
	require.Equal(t, activities.Steered{Steering: 7}, over, "nobody resumes what is over")
}

// A keeper records what is put and started.
type keeper struct {
	owner
	mu      sync.Mutex
	paused  []bool
	started []batch.Interval
}

// Put is the Executions'.
func (s *keeper) Put(_ context.Context, e batch.Export) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = append(s.paused, e.Paused)
	return nil
}

// StartInterval is the Executions'.
func (s *keeper) StartInterval(_ context.Context, _ batch.Export, i batch.Interval) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = append(s.started, i)
	return nil
}

func TestABackfillWithoutAnEndCatchesUpAndUnpausesTheExport(t *testing.T) {
	t.Parallel()
	for name, fromBeginning := range map[string]bool{"from a start": false, "from the beginning": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.source.add(interval, 3)
			_, err := p.db.UpdateExport(t.Context(), 1, p.export.ID, func(e *batch.Export) error { e.Paused = true; return nil })
			require.NoError(t, err)
			w, now, executions := p.process(), interval.End.Add(90*time.Minute), &keeper{}
			w.activities.Now, w.activities.Executions = func() time.Time { return now }, executions
			b := p.create(storagetest.Backfill(p.export, interval.Start, interval.End), func(b *batch.Backfill) {
				b.EndAt, b.CreatedAt = nil, interval.Start
				if fromBeginning {
					b.StartAt = nil
				}
			})
			prepared := w.prepareBackfill(b.ID)
			require.False(t, prepared.Done)
			require.Zero(t, prepared.Runs, "not known: it has no end")
			next := func(from *time.Time) activities.Page {
				value, err := w.env.ExecuteActivity(w.activities.NextIntervals, activities.NextInput{BackfillID: b.ID, From: from})
				require.NoError(t, err)
				var page activities.Page
				require.NoError(t, value.Get(&page))
				for _, i := range page.Intervals {
					w.deliverOf(i, &b)
				}
				return page
			}
			first := next(nil)
			if fromBeginning {
				require.Equal(t, []batch.Interval{{End: nextHour.End}}, first.Intervals)
			} else {
				require.Equal(t, []batch.Interval{interval, nextHour}, first.Intervals)
			}
			now = now.Add(time.Hour) // meanwhile one more became due
			third := batch.Interval{Start: nextHour.End, End: nextHour.End.Add(time.Hour)}
			second := next(first.Next)
			require.Equal(t, []batch.Interval{third}, second.Intervals)
			last := next(second.Next)
			require.Empty(t, last.Intervals)
			require.Nil(t, last.Next)

			now = now.Add(time.Hour) // and one more before it ends
			require.Equal(t, batch.BackfillCompleted, w.finishBackfill(b.ID))
			require.Equal(t, []bool{false}, executions.paused)
			require.Equal(t, []batch.Interval{{Start: third.End, End: third.End.Add(time.Hour)}}, executions.started)
			e, err := p.db.ExportByID(t.Context(), p.export.ID)
			require.NoError(t, err)
			require.False(t, e.Paused)
			require.Equal(t, e.Revision, e.ScheduledRevision)
			got, err := p.db.BackfillByID(t.Context(), b.ID)
			require.NoError(t, err)
			require.Nil(t, got.EndAt)
			require.EqualValues(t, 3, *got.TotalRecords)
		})
	}
}

func TestABackfillWithoutAnEndThatFailedLeavesTheExportPaused(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 3)
	w, executions := p.process(), &keeper{}
	w.activities.Now, w.activities.Executions = func() time.Time { return nextHour.End }, executions
	b := p.create(storagetest.Backfill(p.export, interval.Start, interval.End), func(b *batch.Backfill) { b.EndAt = nil })
	w.prepareBackfill(b.ID)
	w.pages(b.ID)
	require.Equal(t, batch.BackfillFailed, w.finishBackfill(b.ID), "nobody delivered anything")
	require.Empty(t, executions.paused)
	require.Empty(t, executions.started)
}
