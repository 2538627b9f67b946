package storage_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// always is a range that every span overlaps.
var always = batch.Interval{Start: storagetest.Noon.AddDate(-1, 0, 0), End: storagetest.Noon.AddDate(1, 0, 0)}

// at returns the database with the clock at the hours after noon.
func at(db *storage.DB, hours float64) *storage.DB {
	now := storagetest.Noon.Add(time.Duration(hours * float64(time.Hour)))
	return db.WithClock(func() time.Time { return now })
}

func update(t *testing.T, db *storage.DB, e batch.Export, change func(e *batch.Export)) batch.Export {
	t.Helper()
	e, err := db.UpdateExport(t.Context(), e.TeamID, e.ID, func(e *batch.Export) error {
		change(e)
		return nil
	})
	require.NoError(t, err)
	return e
}

// due are the intervals that were due in any span until the hours after noon.
func due(t *testing.T, db *storage.DB, e batch.Export, hours float64) []batch.Interval {
	t.Helper()
	spans, err := db.Spans(t.Context(), e.ID, always)
	require.NoError(t, err)
	var all []batch.Interval
	for _, s := range spans {
		all = slices.AppendSeq(all, s.Due(s.StartedAt, storagetest.Noon.Add(time.Duration(hours*float64(time.Hour)))))
	}
	return all
}

func TestAnIntervalIsDueWhenItsEndLiesInATimeOfActivity(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db) // at noon
		e = update(t, at(db, 2.5), e, func(e *batch.Export) { e.Paused = true })
		e = update(t, at(db, 2.6), e, func(e *batch.Export) { e.Name = "renamed while paused" })
		e = update(t, at(db, 4.5), e, func(e *batch.Export) { e.Paused = false })
		e = update(t, at(db, 4.6), e, func(e *batch.Export) { e.Name = "renamed while active" })
		require.Equal(t, []batch.Interval{storagetest.Hour(1), storagetest.Hour(2), storagetest.Hour(5), storagetest.Hour(6)}, due(t, db, e, 6.5))
		end := storagetest.Noon.Add(6*time.Hour + 30*time.Minute)
		e = update(t, at(db, 6.2), e, func(e *batch.Export) { e.EndAt = &end })
		require.Len(t, due(t, db, e, 24), 4)
		update(t, at(db, 6.3), e, func(e *batch.Export) { e.Deleted = true })
		require.Len(t, due(t, db, e, 24), 4)
		overdue, err := db.OverdueSpans(t.Context(), storagetest.Noon.AddDate(0, 1, 0), 10)
		require.NoError(t, err)
		require.Len(t, overdue, 2, "of a deleted export only what was over before it is looked at")
	})
}

func TestAChangeOfTheCalendarJoinsTheSpans(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		first := batch.Interval{Start: storagetest.Noon.Add(2 * time.Hour), End: storagetest.Noon.Add(12 * time.Hour)}
		e = update(t, at(db, 2.5), e, func(e *batch.Export) { e.Frequency, e.FirstInterval = batch.Daily, &first })
		all := due(t, db, e, 40)
		require.Equal(t, []batch.Interval{
			storagetest.Hour(1), storagetest.Hour(2), first, {Start: first.End, End: first.End.Add(24 * time.Hour)},
		}, all)
		for _, i := range all {
			span, err := db.SpanAt(t.Context(), e.ID, i.End)
			require.NoError(t, err)
			require.NotNil(t, span, "%s", i)
			got, ok := span.Ending(i.End)
			require.True(t, ok)
			require.Equal(t, i, got)
		}
		span, err := db.SpanAt(t.Context(), e.ID, storagetest.Noon.Add(3*time.Hour))
		require.NoError(t, err)
		require.Nil(t, span, "an end of the old calendar after the change")
	})
}

func TestASpanIsLookedAtUntilItsIntervalsAreSettled(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		overdueAt := func(hours float64) []batch.Span {
			spans, err := db.OverdueSpans(t.Context(), storagetest.Noon.Add(time.Duration(hours*float64(time.Hour))), 10)
			require.NoError(t, err)
			return spans
		}
		require.Empty(t, overdueAt(1.2), "the schedule has its time of jitter")
		spans := overdueAt(1.3)
		require.Len(t, spans, 1)

		s := spans[0]
		s.SettledUntil = storagetest.Noon.Add(time.Hour)
		s.CheckAt = s.Overdue(s.SettledUntil, time.Minute)
		require.NoError(t, db.SettleSpan(t.Context(), s))
		require.Empty(t, overdueAt(2.2))
		require.NoError(t, db.SettleSpan(t.Context(), spans[0]), "one that is late does not turn it back")
		require.Len(t, overdueAt(2.3), 1)
		require.Equal(t, s.SettledUntil, overdueAt(2.3)[0].SettledUntil)

		stale := overdueAt(2.3)[0]
		update(t, at(db, 2.5), e, func(e *batch.Export) { e.Paused = true })
		stale.SettledUntil, stale.CheckAt = storagetest.Noon.Add(9*time.Hour), nil
		require.NoError(t, db.SettleSpan(t.Context(), stale))
		require.Len(t, overdueAt(2.3), 1, "a span that ended since it was read")
		s = overdueAt(2.3)[0]
		s.SettledUntil = storagetest.Noon.Add(2 * time.Hour)
		s.CheckAt = s.Overdue(s.SettledUntil, 0)
		require.Nil(t, s.CheckAt, "nothing is due after it")
		require.NoError(t, db.SettleSpan(t.Context(), s))
		require.Empty(t, overdueAt(1000))
	})
}
