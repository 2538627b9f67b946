package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/storagetest"
)

func TestDeliveriesOfAnotherLengthAreSupersededAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		hours := []batch.Interval{storagetest.Hour(-1), storagetest.Hour(0), storagetest.Hour(40)} // the last lies outside
		for _, i := range hours {
			deliver(t, db, planned(t, db, e, i))
		}
		before := deliver(t, db, planned(t, db, e, day()))
		r := planned(t, db, e, day())
		token := lease(t, db, r)
		bounds := func() []batch.Interval {
			t.Helper()
			bounds, err := db.DeliveredWithin(t.Context(), e.ID, day())
			require.NoError(t, err)
			return bounds
		}
		require.Equal(t, []batch.Interval{day(), hours[0], hours[1]}, bounds())

		requireCode(t, batch.CodeSuperseded, db.Supersede(t.Context(), r, token+1, hours[:2]))
		requireCode(t, batch.CodeBusy, db.Supersede(t.Context(), r, token, hours[:1]))
		require.Equal(t, []batch.Interval{day(), hours[0], hours[1]}, bounds(), "one of them came in between: none is superseded")
		require.NoError(t, db.Supersede(t.Context(), r, token, hours[:2]))
		require.NoError(t, db.Supersede(t.Context(), r, token, hours[:2]), "a repeat")
		require.Equal(t, []batch.Interval{day()}, bounds())
		gone, err := db.Delivery(t.Context(), e.ID, hours[0])
		require.NoError(t, err)
		require.Nil(t, gone)
		listed, err := db.Deliveries(t.Context(), e.ID, time.Time{}, day().End)
		require.NoError(t, err)
		require.Equal(t, []batch.Delivery{before}, listed)
		since, err := db.DeliveredSince(t.Context(), e.ID, day(), time.Time{})
		require.NoError(t, err)
		require.Equal(t, []batch.Interval{day()}, since)

		visible, err := db.Visible(t.Context(), e.ID, day())
		require.NoError(t, err)
		require.Len(t, visible, 3)
		require.Nil(t, visible[0].SupersededAt)
		for _, d := range visible[1:] {
			require.NotNil(t, d.SupersededAt)
		}
		requireCode(t, batch.CodeSuperseded, db.Forget(t.Context(), r, token+1, visible[1]))
		require.NoError(t, db.Forget(t.Context(), r, token, visible[0]), "it counts, so it stays")
		require.NoError(t, db.Forget(t.Context(), r, token, visible[1]))
		visible, err = db.Visible(t.Context(), e.ID, day())
		require.NoError(t, err)
		require.Len(t, visible, 2)
		outside, err := db.Delivery(t.Context(), e.ID, hours[2])
		require.NoError(t, err)
		require.NotNil(t, outside)
	})
}

func TestWhatIsSupersededDoesNotCountForTheLag(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		deliver(t, db, planned(t, db, e, storagetest.Hour(-1)))
		deliver(t, db, planned(t, db, e, storagetest.Hour(0)))
		delivered := func() time.Time {
			t.Helper()
			lags, err := db.LagOf(t.Context(), 10)
			require.NoError(t, err)
			require.Len(t, lags, 1)
			return lags[0].Delivered
		}
		require.Equal(t, storagetest.Hour(0).End, delivered())
		half := batch.Interval{Start: storagetest.Hour(0).Start, End: storagetest.Hour(0).Start.Add(30 * time.Minute)}
		r := planned(t, db, e, half)
		require.NoError(t, db.Supersede(t.Context(), r, lease(t, db, r), []batch.Interval{storagetest.Hour(0)}))
		require.Equal(t, storagetest.Hour(-1).End, delivered())
	})
}

func TestAnIntervalThatIsDeliveredAgainIsSupersededNoMore(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e, i := createExport(t, db), storagetest.Hour(-1)
		deliver(t, db, planned(t, db, e, i))
		longer := planned(t, db, e, day())
		token := lease(t, db, longer)
		require.NoError(t, db.Supersede(t.Context(), longer, token, []batch.Interval{i}))
		old, err := db.Visible(t.Context(), e.ID, i)
		require.NoError(t, err)
		want := deliver(t, db, planned(t, db, e, i))
		got, err := db.Delivery(t.Context(), e.ID, i)
		require.NoError(t, err)
		require.Equal(t, &want, got)
		require.NoError(t, db.Forget(t.Context(), longer, token, old[0]))
		got, err = db.Delivery(t.Context(), e.ID, i)
		require.NoError(t, err)
		require.Equal(t, &want, got, "what is there now is another's")
	})
}

func TestTheIntervalsOfFencedRunsThatMayHavePublished(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		r := planned(t, db, e, storagetest.Hour(0))
		_, err := db.Split(t.Context(), r.ID, 1, 0)
		require.NoError(t, err)
		require.NoError(t, db.RecordRef(t.Context(), refRow(r, 0, 1, "x")))
		require.NoError(t, db.SaveReceipt(t.Context(), r.ID, 1, 1, receipt(0, 1)))
		longer := planned(t, db, e, day())
		_, err = db.Fence(t.Context(), e.ID, day(), lease(t, db, longer), longer.ID, 1)
		require.NoError(t, err)
		none, err := db.FencedIntervals(t.Context(), e.ID, day())
		require.NoError(t, err)
		require.Empty(t, none, "its commit had not begun")
		_, err = db.BeginCommit(t.Context(), r.ID)
		require.NoError(t, err)
		got, err := db.FencedIntervals(t.Context(), e.ID, day())
		require.NoError(t, err)
		require.Equal(t, []batch.Interval{storagetest.Hour(0)}, got)
		same, err := db.FencedIntervals(t.Context(), e.ID, storagetest.Hour(0))
		require.NoError(t, err)
		require.Empty(t, same, "FencedObjects tells of the interval itself")
		beside, err := db.FencedIntervals(t.Context(), e.ID, storagetest.Hour(1))
		require.NoError(t, err)
		require.Empty(t, beside)
	})
}

func TestTheSizeOfRowsIsThatOfTheNewestDeliveries(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		rows, bytes, err := db.DeliveredLately(t.Context(), e.ID, 2)
		require.NoError(t, err)
		require.Zero(t, rows+bytes)
		for n := range 4 {
			r := planned(t, db, e, storagetest.Hour(n))
			d := delivered(r, lease(t, db, r))
			d.Rows, d.Bytes = int64(n), int64(100*n)
			if n == 3 {
				d.Rows, d.Bytes = 0, 0 // an interval without rows says nothing
			}
			require.NoError(t, db.RecordDelivery(t.Context(), d))
		}
		rows, bytes, err = db.DeliveredLately(t.Context(), e.ID, 2)
		require.NoError(t, err)
		require.Equal(t, []int64{3, 300}, []int64{rows, bytes})
	})
}

func TestDeliveriesThatWereChosenByAnotherTime(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		hour := storagetest.Hour(0)
		b := storagetest.Backfill(e, hour.Start, hour.End)
		b.By = batch.ByTimestamp
		require.NoError(t, db.CreateBackfill(t.Context(), b, 5))
		found, err := db.BackfillByID(t.Context(), b.ID)
		require.NoError(t, err)
		require.Equal(t, batch.ByTimestamp, found.By)

		otherwise := func(by batch.Clock) *batch.Interval {
			t.Helper()
			i, err := db.DeliveredOtherwise(t.Context(), e.ID, day(), by)
			require.NoError(t, err)
			return i
		}
		require.Nil(t, otherwise(batch.ByTimestamp))
		scheduled := storagetest.Hour(-1)
		deliver(t, db, planned(t, db, e, scheduled))
		require.Nil(t, otherwise(batch.ByIngestion))
		require.Nil(t, otherwise(""))
		require.Equal(t, &scheduled, otherwise(batch.ByTimestamp))
		r := storagetest.Run(e, hour)
		r.BackfillID = &b.ID
		_, _, err = db.BeginRun(t.Context(), r)
		require.NoError(t, err)
		token := lease(t, db, r)
		require.NoError(t, db.RecordDelivery(t.Context(), batch.Delivery{
			ExportID: e.ID, Interval: hour, RunID: r.ID, Generation: 1, Token: token, CommittedAt: hour.End,
		}))
		require.Equal(t, &hour, otherwise(batch.ByIngestion))
	})
}

func TestLateRowsAreSavedByOneOfSeveral(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		d := deliver(t, db, planned(t, db, e, storagetest.Hour(0)))
		due := func(since, until time.Time) int {
			t.Helper()
			found, err := db.NotRecounted(t.Context(), since, until, 10)
			require.NoError(t, err)
			return len(found)
		}
		at := d.CommittedAt
		require.Equal(t, 1, due(at, at.Add(time.Second)))
		require.Zero(t, due(at.Add(time.Second), at.Add(time.Hour)))
		require.Zero(t, due(at.Add(-time.Hour), at))
		for n, first := range []bool{true, false} {
			marked, err := db.MarkRecounted(t.Context(), d, int64(7+n), at.Add(time.Hour))
			require.NoError(t, err)
			require.Equal(t, first, marked)
		}
		require.Zero(t, due(at, at.Add(time.Second)))
		within, err := db.DeliveriesWithin(t.Context(), e.ID, d.Interval)
		require.NoError(t, err)
		require.EqualValues(t, 7, within[0].LateRows)
	})
}
