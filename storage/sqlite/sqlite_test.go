package sqlite_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/sqlite"
	"tranche/storage/storagetest"
)

// open opens the file once more, as another process would.
func open(t *testing.T, path string, sealer *storage.Sealer) *storage.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sealer)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	return db
}

func TestNobodyFindsTheDatabaseBusy(t *testing.T) {
	t.Parallel()
	path, sealer := filepath.Join(t.TempDir(), "tranche.db"), storagetest.Sealer(t)
	processes := []*storage.DB{open(t, path, sealer), open(t, path, sealer)}
	e := storagetest.Export()
	require.NoError(t, processes[0].CreateExport(t.Context(), e))
	const writers, writes = 4, 25
	var group sync.WaitGroup
	for _, db := range processes {
		for range writers {
			group.Go(func() {
				for range writes {
					_, err := db.UpdateExport(t.Context(), e.TeamID, e.ID, func(e *batch.Export) error {
						e.LastModifiedBy++
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
			group.Go(func() {
				for range writes {
					if _, err := db.ActiveExports(t.Context(), uuid.Nil, 10); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	group.Wait()
	got, err := processes[1].Export(t.Context(), e.TeamID, e.ID)
	require.NoError(t, err)
	require.EqualValues(t, 1+len(processes)*writers*writes, got.Revision)
}

func TestAReaderDoesNotWaitForAWriter(t *testing.T) {
	t.Parallel()
	db := open(t, filepath.Join(t.TempDir(), "tranche.db"), storagetest.Sealer(t))
	e := storagetest.Export()
	require.NoError(t, db.CreateExport(t.Context(), e))
	_, err := db.UpdateExport(t.Context(), e.TeamID, e.ID, func(change *batch.Export) error {
		change.Name = "New"
		got, err := db.Export(t.Context(), e.TeamID, e.ID) // another connection, in the middle of the transaction
		require.NoError(t, err)
		require.Equal(t, e, got)
		return nil
	})
	require.NoError(t, err)
	got, err := db.Export(t.Context(), e.TeamID, e.ID)
	require.NoError(t, err)
	require.Equal(t, "New", got.Name, "what is committed is read at once")
}

func TestAPathThatCannotBeAFileIsAnError(t *testing.T) {
	t.Parallel()
	_, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "missing", "tranche.db"), storagetest.Sealer(t))
	require.Error(t, err)
}
