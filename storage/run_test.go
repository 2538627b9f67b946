package storage_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/storagetest"
)

func TestARepeatedBeginningFindsItsRun(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		first := beginRun(t, db, e, batch.Interval{End: storagetest.Noon}) // from the beginning
		again := first
		again.Status, again.Attempt = batch.RunStarting, 9
		got, created, err := db.BeginRun(t.Context(), again)
		require.NoError(t, err)
		require.False(t, created)
		require.Equal(t, first, got)
		require.True(t, got.Interval.Start.IsZero())

		got, err = db.Run(t.Context(), e.TeamID, e.ID, first.ID)
		require.NoError(t, err)
		require.Equal(t, first, got)
		_, err = db.Run(t.Context(), e.TeamID+1, e.ID, first.ID)
		require.ErrorIs(t, err, batch.ErrNotFound)
		_, err = db.Run(t.Context(), e.TeamID, uuid.New(), first.ID)
		require.ErrorIs(t, err, batch.ErrNotFound)
		got, err = db.RunByID(t.Context(), first.ID)
		require.NoError(t, err)
		require.Equal(t, first, got)
		_, err = db.RunByID(t.Context(), uuid.New())
		require.ErrorIs(t, err, batch.ErrNotFound)
	})
}

func TestOneOfSeveralBeginningsCreatesTheRun(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		r := storagetest.Run(createExport(t, db), storagetest.Hour(0))
		created := make(chan bool, 6)
		var group sync.WaitGroup
		for range cap(created) {
			group.Go(func() {
				_, c, err := db.BeginRun(t.Context(), r)
				if err != nil {
					t.Error(err)
				}
				created <- c
			})
		}
		group.Wait()
		close(created)
		var n int
		for c := range created {
			if c {
				n++
			}
		}
		require.Equal(t, 1, n)
	})
}

func TestARunOfAnExportThatDoesNotExistIsRefused(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		_, _, err := db.BeginRun(t.Context(), storagetest.Run(storagetest.Export(), storagetest.Hour(0)))
		require.ErrorIs(t, err, batch.ErrNotFound)
	})
}

func TestARunIsUpdated(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		now := storagetest.Noon.Add(time.Hour)
		db = db.WithClock(func() time.Time { return now })
		r := beginRun(t, db, createExport(t, db), storagetest.Hour(0))
		updated, err := db.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error {
			r.LatestError, r.ErrorCode, r.RowsTotal = "bad \x00 bytes \xff", batch.CodeTimeout, ptr(int64(0))
			r.ID, r.TeamID = uuid.New(), 99 // not theirs to change
			return nil
		})
		require.NoError(t, err)
		want := r
		want.LatestError, want.ErrorCode, want.RowsTotal = "bad  bytes \uFFFD", batch.CodeTimeout, ptr(int64(0))
		want.LastUpdatedAt = now
		require.Equal(t, want, updated)

		now = now.Add(time.Hour)
		returned, err := db.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error {
			*r.RowsTotal = 7
			return batch.ErrUnchanged
		})
		require.NoError(t, err)
		require.Equal(t, want.LastUpdatedAt, returned.LastUpdatedAt)
		got, err := db.RunByID(t.Context(), r.ID)
		require.NoError(t, err)
		require.Equal(t, want, got)
		_, err = db.UpdateRun(t.Context(), uuid.New(), func(*batch.Run) error { return nil })
		require.ErrorIs(t, err, batch.ErrNotFound)
	})
}

func TestAFinalStatusStays(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		set := func(r batch.Run, s batch.RunStatus) error {
			_, err := db.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error { r.Status = s; return nil })
			return err
		}
		e := createExport(t, db)
		r := beginRun(t, db, e, storagetest.Hour(0))
		require.NoError(t, set(r, batch.RunFailed))
		require.NoError(t, set(r, batch.RunFailed), "a repeat")
		requireCode(t, batch.CodeSuperseded, set(r, batch.RunCompleted))
		requireCode(t, batch.CodeSuperseded, set(r, batch.RunRunning))

		r = beginRun(t, db, e, storagetest.Hour(1))
		require.NoError(t, set(r, batch.RunCancelled))
		requireCode(t, batch.CodeSuperseded, set(r, batch.RunCompleted))

		r = beginRun(t, db, e, storagetest.Hour(2))
		_, err := db.BeginCommit(t.Context(), r.ID)
		require.NoError(t, err)
		require.NoError(t, set(r, batch.RunCancelled))
		require.NoError(t, set(r, batch.RunCompleted), "the commit had begun")
	})
}

func TestACommitBeginsOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		now := storagetest.Noon.Add(time.Hour)
		db = db.WithClock(func() time.Time { return now })
		e := createExport(t, db)
		r := beginRun(t, db, e, storagetest.Hour(0))
		begun, err := db.BeginCommit(t.Context(), r.ID)
		require.NoError(t, err)
		require.Equal(t, &now, begun.CommitStartedAt)
		first := now
		now = now.Add(time.Hour)
		begun, err = db.BeginCommit(t.Context(), r.ID)
		require.NoError(t, err)
		require.Equal(t, &first, begun.CommitStartedAt)
		got, err := db.RunByID(t.Context(), r.ID)
		require.NoError(t, err)
		require.Equal(t, begun, got)

		for status, want := range map[batch.RunStatus]batch.Code{
			batch.RunCancelled: batch.CodeCancelled, batch.RunFailed: batch.CodeSuperseded,
			batch.RunCompleted: batch.CodeSuperseded, batch.RunTerminated: batch.CodeSuperseded,
		} {
			r := beginRun(t, db, e, storagetest.Hour(1))
			finish(t, db, r, status, now)
			_, err := db.BeginCommit(t.Context(), r.ID)
			requireCode(t, want, err)
		}
		_, err = db.BeginCommit(t.Context(), uuid.New())
		require.ErrorIs(t, err, batch.ErrNotFound)
	})
}

func TestACommitAndACancelDoNotBothWin(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		errTooLate := batch.Errorf(batch.CodeBusy, nil, "the commit has begun")
		for range 15 {
			r := beginRun(t, db, e, storagetest.Hour(0))
			var commit, cancel error
			var group sync.WaitGroup
			group.Go(func() { _, commit = db.BeginCommit(t.Context(), r.ID) })
			group.Go(func() {
				_, cancel = db.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error {
					if r.CommitStartedAt != nil {
						return errTooLate
					}
					r.Status = batch.RunCancelled
					return nil
				})
			})
			group.Wait()
			got, err := db.RunByID(t.Context(), r.ID)
			require.NoError(t, err)
			if commit == nil {
				require.ErrorIs(t, cancel, errTooLate)
				require.Equal(t, batch.RunRunning, got.Status)
			} else {
				requireCode(t, batch.CodeCancelled, commit)
				require.NoError(t, cancel)
				require.Nil(t, got.CommitStartedAt)
			}
		}
	})
}
