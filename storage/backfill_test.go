package storage_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// createBackfill puts a backfill of the hours into the database.
func createBackfill(t *testing.T, db *storage.DB, e batch.Export, from, to int) batch.Backfill {
	t.Helper()
	b := storagetest.Backfill(e, storagetest.Hour(from).Start, storagetest.Hour(to).End)
	require.NoError(t, db.CreateBackfill(t.Context(), b, 100))
	return b
}

// backfillRun puts a finished run of the backfill into the database.
func backfillRun(t *testing.T, db *storage.DB, b batch.Backfill, i batch.Interval, s batch.RunStatus, rows int64) {
	t.Helper()
	r := storagetest.Run(batch.Export{ID: b.ExportID, TeamID: b.TeamID}, i)
	r.BackfillID, r.Status = &b.ID, s
	if rows > 0 {
		r.RowsCompleted, r.RowsFailed = &rows, ptr(int64(1))
	}
	_, _, err := db.BeginRun(t.Context(), r)
	require.NoError(t, err)
}

func TestABackfillIsReadAsItWasCreated(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		b := createBackfill(t, db, e, 1, 5)
		open := storagetest.Backfill(e, storagetest.Noon, storagetest.Noon)
		open.StartAt, open.EndAt, open.TotalRuns = nil, nil, ptr(int64(0))
		require.NoError(t, db.CreateBackfill(t.Context(), open, 100))
		for _, want := range []batch.Backfill{b, open} {
			got, err := db.Backfill(t.Context(), e.TeamID, e.ID, want.ID)
			require.NoError(t, err)
			require.Equal(t, want, got)
			got, err = db.BackfillByID(t.Context(), want.ID)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		_, err := db.Backfill(t.Context(), e.TeamID+1, e.ID, b.ID)
		require.ErrorIs(t, err, batch.ErrNotFound)
		_, err = db.Backfill(t.Context(), e.TeamID, uuid.New(), b.ID)
		require.ErrorIs(t, err, batch.ErrNotFound)
	})
}

func TestTheNumberOfOpenBackfillsIsLimited(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		first := createBackfill(t, db, e, 0, 1)
		retry := storagetest.Backfill(e, storagetest.Noon, storagetest.Noon.Add(time.Hour))
		retry.Retry = true
		require.NoError(t, db.CreateBackfill(t.Context(), retry, 1), "retries are always allowed")
		second := storagetest.Backfill(e, storagetest.Hour(5).Start, storagetest.Hour(6).End)
		require.ErrorIs(t, db.CreateBackfill(t.Context(), second, 1), batch.ErrTooManyBackfills)
		require.NoError(t, db.CreateBackfill(t.Context(), second, 2), "retries do not count")

		foreign := storagetest.Export()
		foreign.TeamID = 2
		require.NoError(t, db.CreateExport(t.Context(), foreign))
		require.NoError(t, db.CreateBackfill(t.Context(), storagetest.Backfill(foreign, storagetest.Noon, storagetest.Noon), 1))
		for _, b := range []batch.Backfill{first, second} {
			_, err := db.UpdateBackfill(t.Context(), b.ID, func(b *batch.Backfill) error {
				b.Status = batch.BackfillCompleted
				return nil
			})
			require.NoError(t, err)
		}
		createBackfill(t, db, e, 0, 1)
	})
}

func TestTheSameRangeIsNotBackfilledTwiceAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		first := createBackfill(t, db, e, 0, 1)
		again := storagetest.Backfill(e, *first.StartAt, *first.EndAt)
		require.ErrorIs(t, db.CreateBackfill(t.Context(), again, 9), batch.ErrDuplicateBackfill)
		again.Retry = true
		require.ErrorIs(t, db.CreateBackfill(t.Context(), again, 9), batch.ErrDuplicateBackfill)
		again.EndAt = nil
		require.NoError(t, db.CreateBackfill(t.Context(), again, 9))
		again.ID = storagetest.NewID()
		require.ErrorIs(t, db.CreateBackfill(t.Context(), again, 9), batch.ErrDuplicateBackfill, "both without an end")
		other := storagetest.Backfill(createExport(t, db), *first.StartAt, *first.EndAt)
		require.NoError(t, db.CreateBackfill(t.Context(), other, 9), "another export")

		_, err := db.UpdateBackfill(t.Context(), first.ID, func(b *batch.Backfill) error {
			b.Status = batch.BackfillCancelled
			return nil
		})
		require.NoError(t, err)
		createBackfill(t, db, e, 0, 1)
	})
}

func TestTheLimitHoldsWhenManyBackfillsAreCreatedAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		const limit = 3
		var created atomic.Int32
		var group sync.WaitGroup
		for n := range 10 {
			group.Go(func() {
				b := storagetest.Backfill(e, storagetest.Hour(n).Start, storagetest.Hour(n).End)
				err := db.CreateBackfill(t.Context(), b, limit)
				switch {
				case err == nil:
					created.Add(1)
				case !errors.Is(err, batch.ErrTooManyBackfills):
					t.Error(err)
				}
			})
		}
		group.Wait()
		require.EqualValues(t, limit, created.Load())
	})
}

func TestEachBackfillShowsUpOnceOnThePages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		var all []batch.Backfill
		for n := range 7 {
			b := storagetest.Backfill(e, storagetest.Hour(n/2).Start, storagetest.Hour(20+n).End)
			b.CreatedAt = storagetest.Noon.Add(time.Duration(-n/3) * time.Hour)
			if n > 4 {
				b.StartAt = nil
			}
			require.NoError(t, db.CreateBackfill(t.Context(), b, 100))
			all = append(all, b)
		}
		for _, order := range []batch.Order{batch.OrderCreatedAt, batch.OrderStartAt} {
			value := func(b batch.Backfill) *time.Time {
				if order == batch.OrderCreatedAt {
					return &b.CreatedAt
				}
				return b.StartAt
			}
			instant := func(b batch.Backfill) time.Time {
				if v := value(b); v != nil {
					return *v
				}
				return time.Time{}
			}
			want := slices.SortedFunc(slices.Values(all), func(a, b batch.Backfill) int {
				if c := instant(a).Compare(instant(b)); c != 0 {
					return c
				}
				return byID(a.ID, b.ID)
			})
			for _, desc := range []bool{false, true} {
				if desc {
					slices.Reverse(want)
				}
				f := batch.BackfillFilter{TeamID: 1, ExportID: e.ID, OrderBy: order, Desc: desc, Limit: 3}
				var got []batch.Backfill
				for {
					page, err := db.ListBackfills(t.Context(), f)
					require.NoError(t, err)
					got = append(got, page...)
					if len(page) < f.Limit {
						break
					}
					last := page[len(page)-1]
					f.After = &batch.Position{Value: value(last), ID: last.ID}
				}
				require.Equal(t, want, got, "%s desc=%t", order, desc)
			}
		}
	})
}

func TestABackfillIsUpdated(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		now := storagetest.Noon.Add(time.Hour)
		db = db.WithClock(func() time.Time { return now })
		b := createBackfill(t, db, createExport(t, db), 0, 3)
		backfillRun(t, db, b, storagetest.Hour(0), batch.RunCompleted, 1)
		updated, err := db.UpdateBackfill(t.Context(), b.ID, func(b *batch.Backfill) error {
			b.Status, b.TotalRecords, b.FinishedAt = batch.BackfillFailed, ptr(int64(7)), &now
			return nil
		})
		require.NoError(t, err)
		want := b
		want.Status, want.TotalRecords, want.FinishedAt = batch.BackfillFailed, ptr(int64(7)), &now
		want.LastUpdatedAt, want.Runs = now, batch.Tally{Completed: 1, Rows: 1}
		require.Equal(t, want, updated)
		returned, err := db.UpdateBackfill(t.Context(), b.ID, func(*batch.Backfill) error { return batch.ErrUnchanged })
		require.NoError(t, err)
		require.Equal(t, want, returned)
		_, err = db.UpdateBackfill(t.Context(), b.ID, func(b *batch.Backfill) error {
			b.Status = batch.BackfillCompleted
			return nil
		})
		requireCode(t, batch.CodeSuperseded, err)
		got, err := db.BackfillByID(t.Context(), b.ID)
		require.NoError(t, err)
		require.Equal(t, want, got)
		_, err = db.UpdateBackfill(t.Context(), uuid.New(), func(*batch.Backfill) error { return nil })
		require.ErrorIs(t, err, batch.ErrNotFound)
	})
}

func TestOpenBackfills(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e, other := createExport(t, db), createExport(t, db)
		a, over, c := createBackfill(t, db, e, 0, 1), createBackfill(t, db, e, 0, 2), createBackfill(t, db, other, 0, 1)
		_, err := db.UpdateBackfill(t.Context(), over.ID, func(b *batch.Backfill) error {
			b.Status = batch.BackfillTimedOut
			return nil
		})
		require.NoError(t, err)
		first, err := db.OpenBackfills(t.Context(), uuid.Nil, 1)
		require.NoError(t, err)
		require.Equal(t, []batch.Backfill{a}, first)
		rest, err := db.OpenBackfills(t.Context(), a.ID, 5)
		require.NoError(t, err)
		require.Equal(t, []batch.Backfill{c}, rest)
		got, err := db.OpenBackfillsOf(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, []batch.Backfill{a}, got)
	})
}

func TestWhatABackfillDelivered(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		before := deliver(t, db, planned(t, db, e, storagetest.Hour(3))) // before the backfill
		b := storagetest.Backfill(e, storagetest.Hour(0).Start, storagetest.Hour(9).End)
		b.CreatedAt = before.CommittedAt.Add(time.Microsecond)
		require.NoError(t, db.CreateBackfill(t.Context(), b, 1))
		records, err := db.BackfillRecords(t.Context(), b.ID)
		require.NoError(t, err)
		require.Zero(t, records)

		backfillRun(t, db, b, storagetest.Hour(0), batch.RunCompleted, 1<<40)
		backfillRun(t, db, b, storagetest.Hour(1), batch.RunCompleted, 0)
		backfillRun(t, db, b, storagetest.Hour(2), batch.RunFailed, 100)
		backfillRun(t, db, b, storagetest.Hour(3), batch.RunCancelled, 0)
		backfillRun(t, db, b, storagetest.Hour(4), batch.RunRunning, 0)
		records, err = db.BackfillRecords(t.Context(), b.ID)
		require.NoError(t, err)
		require.Equal(t, int64(1<<40+1), records)

		whole := batch.Interval{Start: *b.StartAt, End: *b.EndAt}
		for n, hour := range []int{5, 2, 12} { // the last one lies outside
			r := planned(t, db, e, storagetest.Hour(hour))
			d := delivered(r, lease(t, db, r))
			d.CommittedAt = b.CreatedAt.Add(time.Duration(n) * time.Hour)
			require.NoError(t, db.RecordDelivery(t.Context(), d))
		}
		since, err := db.DeliveredSince(t.Context(), e.ID, whole, b.CreatedAt)
		require.NoError(t, err)
		require.Equal(t, []batch.Interval{storagetest.Hour(2), storagetest.Hour(5)}, since)
		later, err := db.DeliveredSince(t.Context(), e.ID, whole, b.CreatedAt.Add(time.Microsecond))
		require.NoError(t, err)
		require.Equal(t, []batch.Interval{storagetest.Hour(2)}, later)

		list, err := db.ListBackfills(t.Context(), batch.BackfillFilter{TeamID: 1, ExportID: e.ID})
		require.NoError(t, err)
		require.Equal(t, batch.Tally{Open: 1, Completed: 2, Failed: 1, Cancelled: 1, Rows: 1 << 40}, list[0].Runs)
		require.EqualValues(t, 3, list[0].Runs.Finished())
	})
}
