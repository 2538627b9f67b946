package storage_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// delivered is what a run delivered under the token.
func delivered(r batch.Run, token int64) batch.Delivery {
	return batch.Delivery{
		ExportID: r.ExportID, Interval: r.Interval, RunID: r.ID, Generation: 1, Token: token, Rows: 3, Bytes: 30,
		Objects: []batch.Object{
			{Key: "b", Rows: 1, Bytes: 10, SHA256: "01", MinTimestamp: &storagetest.Noon, MaxTimestamp: &storagetest.Noon},
			{Key: "a", Rows: 2, Bytes: 20, SHA256: "02"},
		},
		Manifest: "m", CommittedAt: storagetest.Noon.Add(time.Hour),
	}
}

// deliver takes a run through its commit.
func deliver(t *testing.T, db *storage.DB, r batch.Run) batch.Delivery {
	t.Helper()
	token := lease(t, db, r)
	d := delivered(r, token)
	require.NoError(t, db.RecordDelivery(t.Context(), d))
	require.NoError(t, db.ReleaseLease(t.Context(), r.ExportID, r.Interval, token))
	return d
}

func TestADeliveryIsReplacedByALaterOne(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e, i := createExport(t, db), storagetest.Hour(0)
		first, second := planned(t, db, e, i), planned(t, db, e, i)
		none, err := db.Delivery(t.Context(), e.ID, i)
		require.NoError(t, err)
		require.Nil(t, none)

		token := lease(t, db, first)
		d := delivered(first, token)
		require.NoError(t, db.RecordDelivery(t.Context(), d))
		require.NoError(t, db.RecordDelivery(t.Context(), d), "a repeat")
		got, err := db.Delivery(t.Context(), e.ID, i)
		require.NoError(t, err)
		require.Equal(t, &d, got)
		_, _, err = db.Receipts(t.Context(), first.ID, 1)
		require.ErrorIs(t, err, batch.ErrNotFound, "its plan is done")
		requireCode(t, batch.CodeSuperseded, db.RecordRef(t.Context(), refRow(first, 0, 1, "x")))
		require.NoError(t, db.ReleaseLease(t.Context(), e.ID, i, token))
		requireCode(t, batch.CodeSuperseded, db.RecordDelivery(t.Context(), d))

		want := deliver(t, db, second)
		requireCode(t, batch.CodeSuperseded, db.RecordDelivery(t.Context(), d))
		got, err = db.Delivery(t.Context(), e.ID, i)
		require.NoError(t, err)
		require.Equal(t, &want, got)
	})
}

func TestDeliveriesOfAnotherLengthStandBesideEachOther(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		var all []batch.Delivery
		beginning := batch.Interval{End: storagetest.Noon.AddDate(0, 0, -1)}
		for _, i := range []batch.Interval{beginning, day(), storagetest.Hour(0), storagetest.Hour(1), storagetest.Hour(2)} {
			all = append(all, deliver(t, db, planned(t, db, e, i)))
		}
		deliver(t, db, planned(t, db, createExport(t, db), storagetest.Hour(0)))
		tests := map[string]struct {
			start, end time.Time
			want       []batch.Delivery
		}{
			"everything":                 {time.Time{}, storagetest.Noon.AddDate(1, 0, 0), all},
			"exactly an hour":            {storagetest.Hour(0).Start, storagetest.Hour(0).End, all[1:3]},
			"a moment":                   {storagetest.Noon, storagetest.Noon.Add(time.Microsecond), all[3:4]},
			"behind the end of the last": {storagetest.Hour(2).End, storagetest.Hour(9).End, []batch.Delivery{}},
			"before all but the first":   {time.Time{}, day().Start, all[:1]},
		}
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				got, err := db.Deliveries(t.Context(), e.ID, test.start, test.end)
				require.NoError(t, err)
				require.Equal(t, test.want, got)
			})
		}
		got, err := db.Delivery(t.Context(), e.ID, beginning)
		require.NoError(t, err)
		require.Equal(t, &all[0], got)
	})
}

func TestTheLagIsThatOfTheNewestActiveExports(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		var exports []batch.Export
		for n := range 5 {
			e := storagetest.Export()
			e.CreatedAt = storagetest.Noon.Add(time.Duration(n) * time.Hour)
			e.Paused = n == 1
			e.Deleted = n == 2
			require.NoError(t, db.CreateExport(t.Context(), e))
			if n != 3 { // delivers nothing
				deliver(t, db, planned(t, db, e, storagetest.Hour(n)))
				deliver(t, db, planned(t, db, e, storagetest.Hour(n-1)))
			}
			exports = append(exports, e)
		}
		came := func(limit int) map[uuid.UUID]time.Time {
			lags, err := db.LagOf(t.Context(), limit)
			require.NoError(t, err)
			all := map[uuid.UUID]time.Time{}
			for _, lag := range lags {
				require.Equal(t, int64(1), lag.TeamID)
				require.Equal(t, lag.ExportID, lag.Span.ExportID)
				require.Nil(t, lag.Span.EndedAt)
				all[lag.ExportID] = lag.Delivered
			}
			return all
		}
		require.Equal(t, map[uuid.UUID]time.Time{
			exports[0].ID: storagetest.Hour(0).End, exports[3].ID: {}, exports[4].ID: storagetest.Hour(4).End,
		}, came(10))
		require.Equal(t, map[uuid.UUID]time.Time{exports[4].ID: storagetest.Hour(4).End}, came(1))
	})
}
