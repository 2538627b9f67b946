package storage_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/sqlite"
	"tranche/storage/storagetest"
)

func TestTheLogOfAMessage(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		at := storagetest.Noon
		db = db.WithClock(func() time.Time { return at })
		e := createExport(t, db)
		s := subscribe(t, db, e.ID)
		ends(t, db, e, 1, batch.RunFailed, 0)
		all, err := db.UnstartedNotifications(t.Context(), uuid.Nil, at, 10)
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.NoError(t, db.MarkNotificationStarted(t.Context(), all[0].ID))
		require.Empty(t, told(t, db, e))
		unfinished := func(before time.Time, after uuid.UUID) int {
			left, err := db.UnfinishedNotifications(t.Context(), before, after, 10)
			require.NoError(t, err)
			return len(left)
		}
		require.Equal(t, []int{1, 0, 0}, []int{unfinished(at, uuid.Nil), unfinished(at.Add(-time.Second), uuid.Nil), unfinished(at, all[0].ID)})
		ids, _, err := db.PendingMessages(t.Context(), all[0].ID)
		require.NoError(t, err)
		tries := []batch.Attempt{
			{Number: 1, At: at, StatusCode: 503, Duration: time.Second, Error: "the receiver answered 503"},
			{Number: 2, At: at.Add(time.Minute), StatusCode: 200, Duration: 20 * time.Millisecond},
		}
		for _, try := range tries {
			require.NoError(t, db.SaveAttempt(t.Context(), ids[0], try))
		}
		changed, err := db.GiveUpMessage(t.Context(), ids[0])
		require.NoError(t, err)
		require.False(t, changed, "it is delivered")
		require.Zero(t, unfinished(at, uuid.Nil))
		list, err := db.ListMessages(t.Context(), batch.MessageFilter{SubscriptionID: s.ID, Desc: true})
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, batch.MessageDelivered, list[0].Status)
		require.Equal(t, tries, list[0].Attempts)
		require.Equal(t, e.ID, list[0].ExportID)

		ends(t, db, e, 2, batch.RunFailed, 0)
		at = at.Add(25 * time.Hour)
		n, err := db.GiveUpMessages(t.Context(), at.Add(-time.Hour))
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		n, err = db.DeleteNotifications(t.Context(), at, 10)
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
		list, err = db.ListMessages(t.Context(), batch.MessageFilter{SubscriptionID: s.ID})
		require.NoError(t, err)
		require.Empty(t, list)
	})
}

// TestAddressesAreSealedAnewWithTheKeys rotates the master keys: an old one is not needed any more.
func TestAddressesAreSealedAnewWithTheKeys(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tranche.db")
	keys := make([]storage.MasterKey, 2)
	for i := range keys {
		var err error
		keys[i], err = storage.NewMasterKey(fmt.Sprintf("k%d", i))
		require.NoError(t, err)
	}
	open := func(keys ...storage.MasterKey) *storage.DB {
		sealer, err := storage.NewSealer(keys...)
		require.NoError(t, err)
		db, err := sqlite.Open(t.Context(), path, sealer)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		require.NoError(t, db.Migrate(t.Context()))
		return db
	}
	s := subscribe(t, open(keys[0]), uuid.Nil)
	_, err := open(keys[1]).Subscription(t.Context(), 1, uuid.Nil, s.ID)
	require.ErrorIs(t, err, storage.ErrSealed)
	n, err := open(keys[1], keys[0]).Rotate(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	got, err := open(keys[1]).Subscription(t.Context(), 1, uuid.Nil, s.ID)
	require.NoError(t, err)
	require.Equal(t, s, got)
}
