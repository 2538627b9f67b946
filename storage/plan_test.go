package storage_test

import (
	"encoding/json"
	"slices"
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

func receipt(split int, rows int64) destinations.Receipt {
	return destinations.Receipt{
		Split: split, Rows: rows, Bytes: 10 * rows, Schema: []destinations.Column{{Name: "uuid", Type: "string"}},
		Objects: []destinations.StagedObject{{
			Object: batch.Object{Key: "k", Rows: rows, Bytes: 10 * rows, SHA256: "00", MinTimestamp: &storagetest.Noon},
			Ref:    json.RawMessage(`{"upload": "u"}`),
		}},
	}
}

func TestAPlanMayChangeUntilASplitIsTaken(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		i := batch.Interval{End: storagetest.Noon} // from the beginning
		r := beginRun(t, db, createExport(t, db), i)
		whole, cut := []sources.Split{{Number: 0, Range: i}}, storagetest.Hour(0)
		require.NoError(t, db.SavePlan(t.Context(), r.ID, 1, halves(cut)))
		require.NoError(t, db.SavePlan(t.Context(), r.ID, 1, halves(cut)), "a repeat")
		require.NoError(t, db.SavePlan(t.Context(), r.ID, 1, nil), "the rows are gone")
		require.NoError(t, db.SavePlan(t.Context(), r.ID, 1, whole))

		whole[0].Snapshot = "of now"
		require.NoError(t, db.SavePlan(t.Context(), r.ID, 1, whole), "a repeat as of another moment")

		got, err := db.Split(t.Context(), r.ID, 1, 0)
		require.NoError(t, err)
		require.Equal(t, whole[0], got)
		later := []sources.Split{{Number: 0, Range: i, Snapshot: "of later"}}
		require.NoError(t, db.SavePlan(t.Context(), r.ID, 1, later), "a repeat")
		got, err = db.Split(t.Context(), r.ID, 1, 0)
		require.NoError(t, err)
		require.Equal(t, "of now", got.Snapshot, "what is being read stays as it is")
		requireCode(t, batch.CodeSuperseded, db.SavePlan(t.Context(), r.ID, 1, halves(cut)))
		moved := []sources.Split{{Number: 0, Range: cut}}
		requireCode(t, batch.CodeSuperseded, db.SavePlan(t.Context(), r.ID, 1, moved))
		require.NoError(t, db.SavePlan(t.Context(), r.ID, 2, moved), "another generation")

		_, err = db.Split(t.Context(), r.ID, 1, 1)
		require.ErrorIs(t, err, batch.ErrNotFound)
		_, err = db.Split(t.Context(), uuid.New(), 1, 0)
		require.ErrorIs(t, err, batch.ErrNotFound)
		finish(t, db, r, batch.RunFailed, storagetest.Noon)
		requireCode(t, batch.CodeSuperseded, db.SavePlan(t.Context(), r.ID, 2, moved))
	})
}

func TestReceiptsAreReadInTheOrderOfSplits(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		r := planned(t, db, createExport(t, db), storagetest.Hour(0))
		receipts, planned, err := db.Receipts(t.Context(), r.ID, 1)
		require.NoError(t, err)
		require.Empty(t, receipts)
		require.Equal(t, 2, planned)

		want := []destinations.Receipt{receipt(0, 5), receipt(1, 6)}
		for _, w := range slices.Backward(want) {
			require.NoError(t, db.SaveReceipt(t.Context(), r.ID, 1, 1, w))
		}
		receipts, _, err = db.Receipts(t.Context(), r.ID, 1)
		require.NoError(t, err)
		for i := range receipts {
			for j, o := range receipts[i].Objects {
				require.JSONEq(t, string(want[i].Objects[j].Ref), string(o.Ref))
				receipts[i].Objects[j].Ref = want[i].Objects[j].Ref // jsonb has a spelling of its own
			}
		}
		require.Equal(t, want, receipts)

		_, _, err = db.Receipts(t.Context(), r.ID, 2)
		require.ErrorIs(t, err, batch.ErrNotFound, "no plan is not the same as no rows")
		require.NoError(t, db.SavePlan(t.Context(), r.ID, 2, nil))
		receipts, planned, err = db.Receipts(t.Context(), r.ID, 2)
		require.NoError(t, err)
		require.Empty(t, receipts)
		require.Zero(t, planned)
	})
}

func TestAStaleAttemptCannotSaveItsReceipt(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		r := planned(t, db, createExport(t, db), storagetest.Hour(0))
		require.NoError(t, db.SaveReceipt(t.Context(), r.ID, 1, 2, receipt(0, 2)))
		require.NoError(t, db.SaveReceipt(t.Context(), r.ID, 1, 2, receipt(0, 2)), "a repeat")
		requireCode(t, batch.CodeSuperseded, db.SaveReceipt(t.Context(), r.ID, 1, 1, receipt(0, 1)))
		requireCode(t, batch.CodeSuperseded, db.RecordRef(t.Context(), refRow(r, 0, 1, "late")))
		receipts, _, err := db.Receipts(t.Context(), r.ID, 1)
		require.NoError(t, err)
		require.Len(t, receipts, 1)
		require.EqualValues(t, 2, receipts[0].Rows)

		require.NoError(t, db.RecordRef(t.Context(), refRow(r, 0, 3, "third")))
		receipts, _, err = db.Receipts(t.Context(), r.ID, 1)
		require.NoError(t, err)
		require.Empty(t, receipts, "attempt 3 replaces what attempt 2 staged")
		requireCode(t, batch.CodeSuperseded, db.SaveReceipt(t.Context(), r.ID, 1, 2, receipt(0, 2)))

		finish(t, db, r, batch.RunCancelled, storagetest.Noon)
		requireCode(t, batch.CodeSuperseded, db.SaveReceipt(t.Context(), r.ID, 1, 3, receipt(0, 3)))
		err = db.SaveReceipt(t.Context(), uuid.New(), 1, 3, receipt(0, 3))
		require.ErrorIs(t, err, batch.ErrNotFound)
	})
}

func TestPlansOfRunsThatAreOverAreDeleted(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		old, recent, open := planned(t, db, e, storagetest.Hour(0)), planned(t, db, e, storagetest.Hour(1)), planned(t, db, e, storagetest.Hour(2))
		finish(t, db, old, batch.RunFailed, storagetest.Noon)
		finish(t, db, recent, batch.RunFailed, storagetest.Noon.Add(time.Hour))
		n, err := db.DeletePlans(t.Context(), storagetest.Noon.Add(time.Minute), 10)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		_, _, err = db.Receipts(t.Context(), old.ID, 1)
		require.ErrorIs(t, err, batch.ErrNotFound)
		for _, r := range []batch.Run{recent, open} {
			_, planned, err := db.Receipts(t.Context(), r.ID, 1)
			require.NoError(t, err)
			require.Equal(t, 2, planned)
		}
	})
}
