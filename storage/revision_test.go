package storage_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/sources"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// moved changes the prefix of an export n times.
func moved(t *testing.T, db *storage.DB, e batch.Export, prefixes ...string) {
	t.Helper()
	for _, prefix := range prefixes {
		_, err := db.UpdateExport(t.Context(), e.TeamID, e.ID, func(e *batch.Export) error {
			e.Destination.Config["prefix"] = prefix
			e.Frequency, e.OffsetHour = batch.Daily, nil
			return nil
		})
		require.NoError(t, err)
	}
}

func TestEveryRevisionCanBeRead(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := storagetest.Export()
		require.NoError(t, db.CreateExport(t.Context(), e))
		moved(t, db, e, "second", "third")
		first, err := db.ExportAt(t.Context(), e.ID, 1)
		require.NoError(t, err)
		require.Equal(t, e.Destination, first.Destination)
		require.Equal(t, batch.Hourly, first.Frequency)
		require.EqualValues(t, 1, first.Revision)
		for revision, prefix := range map[int64]string{2: "second", 3: "third"} {
			got, err := db.ExportAt(t.Context(), e.ID, revision)
			require.NoError(t, err)
			require.Equal(t, prefix, got.Destination.Config["prefix"])
			require.Equal(t, batch.Daily, got.Frequency)
		}
		_, err = db.ExportAt(t.Context(), e.ID, 4)
		require.ErrorIs(t, err, batch.ErrNotFound)
		_, err = db.ExportAt(t.Context(), uuid.New(), 1)
		require.ErrorIs(t, err, batch.ErrNotFound)
	})
}

func TestRevisionsAreDeletedWhenNothingNeedsThem(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := storagetest.Export()
		require.NoError(t, db.CreateExport(t.Context(), e))
		moved(t, db, e, "second", "third", "fourth")
		// Revision 1: a run is under way. Revision 2: what a run staged is still there. Revision 3: nothing.
		open, over := storagetest.Run(e, storagetest.Hour(0)), storagetest.Run(e, storagetest.Hour(1))
		over.Revision = 2
		for _, r := range []batch.Run{open, over} {
			_, _, err := db.BeginRun(t.Context(), r)
			require.NoError(t, err)
		}
		require.NoError(t, db.SavePlan(t.Context(), over.ID, 1, []sources.Split{{Range: over.Interval}}))
		require.NoError(t, db.RecordRef(t.Context(), destinations.Journaled{
			RunID: over.ID, ExportID: e.ID, Interval: over.Interval, Generation: 1, Attempt: 1, Ref: "x",
		}))
		fail := func(r batch.Run) {
			_, err := db.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error { r.Status = batch.RunFailed; return nil })
			require.NoError(t, err)
		}
		fail(over)
		deleted := func(before time.Time) int64 {
			n, err := db.DeleteRevisions(t.Context(), before, 10)
			require.NoError(t, err)
			return n
		}
		later := time.Now().Add(time.Hour)
		require.Zero(t, deleted(time.Now().Add(-time.Hour)), "they may be about to be used")
		require.EqualValues(t, 1, deleted(later))
		_, err := db.ExportAt(t.Context(), e.ID, 3)
		require.ErrorIs(t, err, batch.ErrNotFound)

		fail(open)
		refs, err := db.Refs(t.Context(), over.ID)
		require.NoError(t, err)
		require.NoError(t, db.ForgetRefs(t.Context(), []int64{refs[0].ID}))
		require.EqualValues(t, 2, deleted(later))
		got, err := db.ExportAt(t.Context(), e.ID, 4)
		require.NoError(t, err)
		require.Equal(t, "fourth", got.Destination.Config["prefix"])
	})
}

func TestRotationReachesReplacedDefinitions(t *testing.T) {
	t.Parallel()
	eachReopened(t, func(t *testing.T, open opener, _ func() []byte) {
		k1, k2 := masterKey(t, "k1"), masterKey(t, "k2")
		db, e := open(t, k1), storagetest.Export()
		require.NoError(t, db.CreateExport(t.Context(), e))
		moved(t, db, e, "second", "third")
		n, err := open(t, k2, k1).Rotate(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
		for revision := range int64(3) {
			_, err := open(t, k2).ExportAt(t.Context(), e.ID, revision+1)
			require.NoError(t, err)
		}
	})
}
