package storage_test

import (
	"errors"
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

func TestAnswers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		now := storagetest.Noon
		db = db.WithClock(func() time.Time { return now })
		var claim batch.Claim // the last one
		take := func(request string) (batch.Claimed, error) {
			claim = batch.Claim{
				Key: "k", Request: request, Until: now.Add(time.Hour), AbandonedAt: now.Add(time.Minute), Makes: uuid.New(),
			}
			return db.ClaimAnswer(t.Context(), claim)
		}
		first, err := take("r")
		require.NoError(t, err)
		require.Nil(t, first.Answer)
		require.Equal(t, claim.Makes, first.Makes)
		held := claim
		_, err = take("r")
		require.ErrorIs(t, err, batch.ErrClaimed)
		_, err = take("other")
		require.ErrorIs(t, err, batch.ErrOtherRequest)

		require.NoError(t, db.ReleaseAnswer(t.Context(), held))
		second, err := take("r")
		require.NoError(t, err)
		require.NotEqual(t, first.Makes, second.Makes, "the first one had no effect")
		held = claim
		now = now.Add(2 * time.Minute)
		third, err := take("r")
		require.NoError(t, err, "the one before was cut off")
		require.Equal(t, second.Makes, third.Makes, "it may have had its effect")
		require.NoError(t, db.ReleaseAnswer(t.Context(), held), "whoever was taken over has nothing to give back")
		require.NoError(t, db.AbandonAnswer(t.Context(), held))
		held = claim
		_, err = take("r")
		require.ErrorIs(t, err, batch.ErrClaimed)
		require.NoError(t, db.AbandonAnswer(t.Context(), held))
		fourth, err := take("r")
		require.NoError(t, err, "at once")
		require.Equal(t, second.Makes, fourth.Makes)

		want := batch.Answer{Status: 201, Body: []byte(`{"id": 1}`), ETag: `"x"`}
		require.NoError(t, db.SaveAnswer(t.Context(), claim, want))
		require.NoError(t, db.ReleaseAnswer(t.Context(), claim), "what is answered stays")
		fifth, err := take("r")
		require.NoError(t, err)
		require.Equal(t, &want, fifth.Answer)
		_, err = take("other")
		require.ErrorIs(t, err, batch.ErrOtherRequest)

		now = now.Add(2 * time.Hour)
		sixth, err := take("other")
		require.NoError(t, err)
		require.Nil(t, sixth.Answer)
		require.NotEqual(t, second.Makes, sixth.Makes)
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
