package storage_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/storagetest"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		now := storagetest.Noon
		db = db.WithClock(func() time.Time { return now })
		claim := batch.Claim{Key: "k", Request: "r", Until: now.Add(time.Hour), AbandonedAt: now.Add(time.Minute)}
		take := func(request string) (*batch.Answer, error) {
			c := claim
			c.Request, c.Until, c.AbandonedAt = request, now.Add(time.Hour), now.Add(time.Minute)
			return db.ClaimAnswer(t.Context(), c)
		}
		answer, err := take("r")
		require.NoError(t, err)
		require.Nil(t, answer)
		_, err = take("r")
		require.ErrorIs(t, err, batch.ErrClaimed)
		_, err = take("other")
		require.ErrorIs(t, err, batch.ErrOtherRequest)

		require.NoError(t, db.ReleaseAnswer(t.Context(), claim))
		_, err = take("r")
		require.NoError(t, err)
		now = now.Add(2 * time.Minute)
		_, err = take("r")
		require.NoError(t, err, "the first one was cut off")

		want := batch.Answer{Status: 201, Body: []byte(`{"id": 1}`), ETag: `"x"`}
		require.NoError(t, db.SaveAnswer(t.Context(), claim, want))
		require.NoError(t, db.ReleaseAnswer(t.Context(), claim), "what is answered stays")
		answer, err = take("r")
		require.NoError(t, err)
		require.Equal(t, &want, answer)
		_, err = take("other")
		require.ErrorIs(t, err, batch.ErrOtherRequest)

		now = now.Add(2 * time.Hour)
		answer, err = take("other")
		require.NoError(t, err)
		require.Nil(t, answer)
		n, err := db.DeleteAnswers(t.Context(), now.Add(2*time.Hour), 10)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	})
}

func TestOneOfManyClaimsAKey(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		var group sync.WaitGroup
		var won atomic.Int32
		for range 8 {
			group.Go(func() {
				_, err := db.ClaimAnswer(t.Context(), batch.Claim{Key: "k", Request: "r", Until: time.Now().Add(time.Hour), AbandonedAt: time.Now().Add(time.Hour)})
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, batch.ErrClaimed) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		require.EqualValues(t, 1, won.Load())
	})
}
