package storage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// withoutIDs drops what the database gave.
func withoutIDs(refs []destinations.Journaled) []destinations.Journaled {
	for i := range refs {
		refs[i].ID = 0
	}
	return refs
}

func refIDs(refs []destinations.Journaled) []int64 {
	var all []int64
	for _, r := range refs {
		all = append(all, r.ID)
	}
	return all
}

func TestTheJournalHasEachRefOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		r := planned(t, db, createExport(t, db), storagetest.Hour(0))
		long := strings.Repeat("ü", 5000) // longer than an index allows
		require.NoError(t, db.RecordRef(t.Context(), refRow(r, 0, 1, "folder")))
		require.NoError(t, db.RecordRef(t.Context(), refRow(r, 0, 1, "folder")), "a repeat")
		require.NoError(t, db.RecordRef(t.Context(), refRow(r, 1, 1, long)))
		require.NoError(t, db.RecordRef(t.Context(), refRow(r, 0, 2, "folder")), "a later attempt takes it over")
		refs, err := db.Refs(t.Context(), r.ID)
		require.NoError(t, err)
		require.Positive(t, refs[0].ID)
		forget := refIDs(refs)
		require.Equal(t, []destinations.Journaled{refRow(r, 0, 2, "folder"), refRow(r, 1, 1, long)}, withoutIDs(refs))

		require.NoError(t, db.ForgetRefs(t.Context(), forget[:1]))
		require.NoError(t, db.ForgetRefs(t.Context(), forget[:1]), "a repeat")
		require.NoError(t, db.ForgetRefs(t.Context(), nil))
		refs, err = db.Refs(t.Context(), r.ID)
		require.NoError(t, err)
		require.Equal(t, forget[1:], refIDs(refs))
	})
}

func TestARefIsRefusedWhenNothingMayBeStaged(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		unplanned := beginRun(t, db, e, storagetest.Hour(0))
		requireCode(t, batch.CodeSuperseded, db.RecordRef(t.Context(), refRow(unplanned, 0, 1, "x")))
		for _, status := range []batch.RunStatus{batch.RunCompleted, batch.RunFailed, batch.RunCancelled} {
			r := planned(t, db, e, storagetest.Hour(1))
			finish(t, db, r, status, storagetest.Noon)
			requireCode(t, batch.CodeSuperseded, db.RecordRef(t.Context(), refRow(r, 0, 1, "x")))
			refs, err := db.Refs(t.Context(), r.ID)
			require.NoError(t, err)
			require.Empty(t, refs)
		}
		missing := storagetest.Run(e, storagetest.Hour(2))
		require.ErrorIs(t, db.RecordRef(t.Context(), refRow(missing, 0, 1, "x")), batch.ErrNotFound)
	})
}

func TestDanglingRefsAreThoseOfRunsThatAreOver(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		now := storagetest.Noon.Add(24 * time.Hour)
		db = db.WithClock(func() time.Time { return now })
		e := createExport(t, db)
		var want []int64
		for n, status := range []batch.RunStatus{batch.RunFailed, batch.RunCancelled, batch.RunFailed, batch.RunRunning} {
			r := planned(t, db, e, storagetest.Hour(n))
			require.NoError(t, db.RecordRef(t.Context(), refRow(r, 0, 1, "x")))
			refs, err := db.Refs(t.Context(), r.ID)
			require.NoError(t, err)
			if status != batch.RunRunning {
				finish(t, db, r, status, storagetest.Noon.Add(time.Duration(n)*time.Hour))
			}
			if n < 2 {
				want = append(want, refs[0].ID)
			}
		}
		before := storagetest.Noon.Add(2 * time.Hour)
		dangling := func(limit int) []int64 {
			refs, err := db.DanglingRefs(t.Context(), before, limit)
			require.NoError(t, err)
			return refIDs(refs)
		}
		require.Equal(t, want, dangling(10))
		require.Equal(t, want[:1], dangling(1))
		require.NoError(t, db.PostponeRefs(t.Context(), want[:1], now.Add(time.Hour)))
		require.Equal(t, want[1:], dangling(10))
		now = now.Add(time.Hour)
		require.Equal(t, want, dangling(10))
	})
}

func TestRefsOfAnUnknownRunAreNone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		refs, err := db.Refs(t.Context(), uuid.New())
		require.NoError(t, err)
		require.Empty(t, refs)
	})
}
