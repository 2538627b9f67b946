package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/storagetest"
)

func TestProgressIsTheSumOfAGenerationsSplits(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		r := planned(t, db, createExport(t, db), storagetest.Hour(0))
		shows := func(rows, bytes int64) {
			t.Helper()
			got, err := db.RunByID(t.Context(), r.ID)
			require.NoError(t, err)
			require.NotNil(t, got.RowsCompleted)
			require.Equal(t, []int64{rows, bytes}, []int64{*got.RowsCompleted, *got.Bytes})
		}
		require.NoError(t, db.SaveProgress(t.Context(), r.ID, 1, 0, 1, 100, 1000))
		shows(100, 1000)
		require.NoError(t, db.SaveProgress(t.Context(), r.ID, 1, 1, 1, 50, 500))
		shows(150, 1500)
		require.NoError(t, db.SaveProgress(t.Context(), r.ID, 1, 0, 2, 10, 100), "a split that begins again")
		shows(60, 600)

		require.NoError(t, db.SaveReceipt(t.Context(), r.ID, 1, 2, receipt(0, 200)))
		requireCode(t, batch.CodeSuperseded, db.SaveProgress(t.Context(), r.ID, 1, 0, 1, 120, 1200))
		shows(60, 600)
		requireCode(t, batch.CodeSuperseded, db.SaveProgress(t.Context(), r.ID, 2, 0, 1, 1, 1))

		finish(t, db, r, batch.RunCancelled, storagetest.Noon)
		requireCode(t, batch.CodeSuperseded, db.SaveProgress(t.Context(), r.ID, 1, 0, 3, 1, 1))
	})
}
