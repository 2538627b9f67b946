package storage_test

import (
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

// requireBusy fails unless another run holds the lease for at most the time.
func requireBusy(t *testing.T, err error, atMost time.Duration) {
	t.Helper()
	requireCode(t, batch.CodeBusy, err)
	var e *batch.Error
	require.ErrorAs(t, err, &e)
	require.Positive(t, e.RetryAfter)
	require.LessOrEqual(t, e.RetryAfter, atMost)
}

func TestALeaseHasOneHolder(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e, i := createExport(t, db), storagetest.Hour(0)
		a, b := uuid.New(), uuid.New()
		first, err := db.AcquireLease(t.Context(), e.ID, i, a, time.Minute)
		require.NoError(t, err)
		_, err = db.AcquireLease(t.Context(), e.ID, i, b, time.Minute)
		requireBusy(t, err, time.Minute)
		_, err = db.AcquireLease(t.Context(), e.ID, storagetest.Hour(1), b, time.Minute)
		require.NoError(t, err, "another interval")

		second, err := db.AcquireLease(t.Context(), e.ID, i, a, time.Hour)
		require.NoError(t, err, "its own")
		require.Greater(t, second, first)
		requireCode(t, batch.CodeSuperseded, db.KeepLease(t.Context(), e.ID, i, first, time.Minute))
		require.NoError(t, db.ReleaseLease(t.Context(), e.ID, i, first), "nothing of ours")
		_, err = db.AcquireLease(t.Context(), e.ID, i, b, time.Minute)
		requireBusy(t, err, time.Hour)

		require.NoError(t, db.KeepLease(t.Context(), e.ID, i, second, time.Minute))
		require.NoError(t, db.ReleaseLease(t.Context(), e.ID, i, second))
		require.NoError(t, db.ReleaseLease(t.Context(), e.ID, i, second), "a repeat")
		requireCode(t, batch.CodeSuperseded, db.KeepLease(t.Context(), e.ID, i, second, time.Minute))
		third, err := db.AcquireLease(t.Context(), e.ID, i, b, time.Minute)
		require.NoError(t, err)
		require.Greater(t, third, second, "tokens never restart")
	})
}

func TestALeaseExpires(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e, i := createExport(t, db), storagetest.Hour(0)
		first, err := db.AcquireLease(t.Context(), e.ID, i, uuid.New(), 50*time.Millisecond)
		require.NoError(t, err)
		b := uuid.New()
		var second int64
		require.Eventually(t, func() bool {
			second, err = db.AcquireLease(t.Context(), e.ID, i, b, time.Minute)
			return err == nil
		}, 10*time.Second, 5*time.Millisecond)
		require.Greater(t, second, first)
		requireCode(t, batch.CodeSuperseded, db.KeepLease(t.Context(), e.ID, i, first, time.Minute))
	})
}

func TestALeaseExpiresByTheInjectedClock(t *testing.T) {
	t.Parallel()
	now := storagetest.Noon
	db := storagetest.SQLite(t).WithClock(func() time.Time { return now })
	e, i := createExport(t, db), storagetest.Hour(0)
	token, err := db.AcquireLease(t.Context(), e.ID, i, uuid.New(), time.Minute)
	require.NoError(t, err)
	now = now.Add(59 * time.Second)
	_, err = db.AcquireLease(t.Context(), e.ID, i, uuid.New(), time.Minute)
	requireBusy(t, err, time.Second)
	require.NoError(t, db.KeepLease(t.Context(), e.ID, i, token, time.Minute))
	now = now.Add(59 * time.Second)
	_, err = db.AcquireLease(t.Context(), e.ID, i, uuid.New(), time.Minute)
	requireBusy(t, err, time.Second)
	now = now.Add(time.Second)
	_, err = db.AcquireLease(t.Context(), e.ID, i, uuid.New(), time.Minute)
	require.NoError(t, err)
}

func TestTheClocksOfWorkersDoNotMatterOnPostgreSQL(t *testing.T) {
	t.Parallel()
	db := storagetest.Postgres(t, &server)
	e, i := createExport(t, db), storagetest.Hour(0)
	_, err := db.AcquireLease(t.Context(), e.ID, i, uuid.New(), time.Minute)
	require.NoError(t, err)
	fast := db.WithClock(func() time.Time { return time.Now().Add(24 * time.Hour) })
	_, err = fast.AcquireLease(t.Context(), e.ID, i, uuid.New(), time.Minute)
	requireBusy(t, err, time.Minute)
}

func TestOneOfManyAcquiresTheLease(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		for hour := range 5 {
			i := storagetest.Hour(hour)
			var winners atomic.Int32
			var group sync.WaitGroup
			for range 6 {
				group.Go(func() {
					_, err := db.AcquireLease(t.Context(), e.ID, i, uuid.New(), time.Minute)
					switch {
					case err == nil:
						winners.Add(1)
					case batch.CodeOf(err) != batch.CodeBusy:
						t.Error(err)
					}
				})
			}
			group.Wait()
			require.EqualValues(t, 1, winners.Load())
		}
	})
}

func TestTokensOfARunThatTakesOverItselfAreDifferent(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e, run := createExport(t, db), uuid.New()
		var tokens sync.Map
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				token, err := db.AcquireLease(t.Context(), e.ID, storagetest.Hour(0), run, time.Minute)
				if err != nil {
					t.Error(err)
				}
				if _, twice := tokens.LoadOrStore(token, true); twice {
					t.Errorf("token %d was given twice", token)
				}
			})
		}
		group.Wait()
	})
}
