package storage_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/storagetest"
)

func TestCoverageFindsWhatOverlapsARange(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e, other := createExport(t, db), createExport(t, db)
		within := batch.Interval{Start: storagetest.Hour(3).Start, End: storagetest.Hour(5).End}
		intervals := map[string]batch.Interval{
			"before":                        storagetest.Hour(2),
			"first":                         storagetest.Hour(3),
			"last":                          storagetest.Hour(5),
			"after":                         storagetest.Hour(6),
			"longer":                        {Start: storagetest.Hour(-20).Start, End: storagetest.Hour(40).End},
			"reaches into it":               {Start: storagetest.Hour(1).Start, End: storagetest.Hour(4).Start},
			"from the beginning into it":    {End: storagetest.Hour(4).End},
			"from the beginning to later":   {End: storagetest.Hour(24 * 60).End},
			"from the beginning to earlier": {End: storagetest.Hour(2).End},
		}
		var want []batch.Interval
		for name, i := range intervals {
			deliver(t, db, planned(t, db, e, i))
			if !slices.Contains([]string{"before", "after", "from the beginning to earlier"}, name) {
				want = append(want, i)
			}
		}
		deliver(t, db, planned(t, db, other, storagetest.Hour(4)))

		deliveries, err := db.DeliveriesWithin(t.Context(), e.ID, within)
		require.NoError(t, err)
		var got []batch.Interval
		for _, d := range deliveries {
			got = append(got, d.Interval)
			full, err := db.Delivery(t.Context(), e.ID, d.Interval)
			require.NoError(t, err)
			require.Positive(t, d.Rows)
			full.Objects = nil
			require.Equal(t, *full, d)
		}
		require.ElementsMatch(t, want, got)

		runs, err := db.RunsWithin(t.Context(), e.ID, within, 5)
		require.NoError(t, err)
		got = nil
		for _, r := range runs {
			got = append(got, r.Interval)
		}
		require.ElementsMatch(t, want, got)

		first, err := db.FirstDelivered(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, storagetest.Hour(2).End, *first)
		none, err := db.FirstDelivered(t.Context(), createExport(t, db).ID)
		require.NoError(t, err)
		require.Nil(t, none)
	})
}

func TestCoverageShowsTheNewestRunsOfEachInterval(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		newest := map[uuid.UUID]bool{}
		for _, i := range []batch.Interval{storagetest.Hour(1), storagetest.Hour(2)} {
			for n := range 4 {
				r := storagetest.Run(e, i)
				r.CreatedAt = i.End.Add(time.Duration(n) * time.Minute)
				_, _, err := db.BeginRun(t.Context(), r)
				require.NoError(t, err)
				if n >= 2 {
					newest[r.ID] = true
				}
			}
		}
		runs, err := db.RunsWithin(t.Context(), e.ID, batch.Interval{Start: storagetest.Hour(1).Start, End: storagetest.Hour(2).End}, 2)
		require.NoError(t, err)
		got := map[uuid.UUID]bool{}
		for _, r := range runs {
			got[r.ID] = true
		}
		require.Equal(t, newest, got)
	})
}

func TestABackfillThatFoundNothingLeavesAVoid(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		hour := func(n int) time.Time { return storagetest.Hour(n).Start }
		for _, b := range []struct {
			from, to int
			change   func(*batch.Backfill)
		}{
			{0, 10, func(b *batch.Backfill) { b.TotalRuns, b.Status = new(int64(0)), batch.BackfillCompleted }},
			{20, 30, func(b *batch.Backfill) { b.AdjustedStartAt, b.Status = new(hour(25)), batch.BackfillFailed }},
			{40, 50, func(b *batch.Backfill) { b.AdjustedStartAt, b.Status = new(hour(45)), batch.BackfillCancelled }},
			{60, 70, func(b *batch.Backfill) { b.TotalRuns, b.Status = new(int64(10)), batch.BackfillCompleted }},
			{80, 81, func(b *batch.Backfill) { b.TotalRuns, b.Status, b.Retry = new(int64(0)), batch.BackfillCompleted, true }},
			{100, 110, func(b *batch.Backfill) { b.TotalRuns, b.Status = new(int64(0)), batch.BackfillCompleted }},
		} {
			backfill := storagetest.Backfill(e, hour(b.from), hour(b.to))
			require.NoError(t, db.CreateBackfill(t.Context(), backfill, 100))
			_, err := db.UpdateBackfill(t.Context(), backfill.ID, func(row *batch.Backfill) error { b.change(row); return nil })
			require.NoError(t, err)
		}
		void, err := db.VoidWithin(t.Context(), e.ID, batch.Interval{Start: hour(5), End: hour(100)})
		require.NoError(t, err)
		require.ElementsMatch(t, []batch.Interval{{Start: hour(0), End: hour(10)}, {Start: hour(20), End: hour(25)}}, void)
	})
}

func TestTheCalendarsThatAnExportHad(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		for _, f := range []batch.Frequency{batch.Hourly, batch.Daily, batch.Weekly} {
			_, err := db.UpdateExport(t.Context(), e.TeamID, e.ID, func(e *batch.Export) error { e.Frequency, e.Timezone = f, "Europe/Berlin"; return nil })
			require.NoError(t, err)
		}
		past, err := db.CalendarChanges(t.Context(), e.ID)
		require.NoError(t, err)
		var names []string
		for n, p := range past {
			names = append(names, p.Calendar.String())
			require.False(t, n > 0 && p.Until.Before(past[n-1].Until))
		}
		require.Equal(t, []string{"hour", "hour", "day at 00:00 Europe/Berlin"}, names)
	})
}
