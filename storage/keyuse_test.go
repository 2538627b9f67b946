package storage_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/storagetest"
)

func TestKeysThatDoNotOpenWhatIsStoredAreNamed(t *testing.T) {
	t.Parallel()
	eachReopened(t, func(t *testing.T, open opener, _ func() []byte) {
		k1, k2, other := masterKey(t, "k1"), masterKey(t, "k2"), masterKey(t, "k1")
		db := open(t, k1)
		require.NoError(t, db.CheckKeys(t.Context()), "an empty database takes any key")
		e := storagetest.Export()
		require.NoError(t, db.CreateExport(t.Context(), e))
		require.NoError(t, db.CheckKeys(t.Context()))

		var problem *storage.KeyError
		err := open(t, k2).CheckKeys(t.Context())
		require.ErrorAs(t, err, &problem)
		require.ErrorIs(t, err, storage.ErrSealed)
		require.Equal(t, []string{"k1"}, problem.Missing)
		require.ErrorContains(t, err, `["k1"], which are not here`)

		err = open(t, other).CheckKeys(t.Context())
		require.ErrorAs(t, err, &problem)
		require.Equal(t, []string{"k1"}, problem.Wrong)
		require.ErrorContains(t, err, "are others than those that sealed")

		both := open(t, k2, k1)
		require.NoError(t, both.CheckKeys(t.Context()))
		_, _, err = both.BeginRun(t.Context(), storagetest.Run(e, storagetest.Hour(0))) // a run keeps the definition that it began with
		require.NoError(t, err)
		_, err = both.UpdateExport(t.Context(), e.TeamID, e.ID, func(e *batch.Export) error {
			e.Destination.Config["password"] = planted
			return nil
		})
		require.NoError(t, err)
		err = open(t, k2).CheckKeys(t.Context())
		require.ErrorAs(t, err, &problem, "a replaced definition counts, too")
		require.Equal(t, []string{"k1"}, problem.Missing)
		uses, err := both.KeyUses(t.Context())
		require.NoError(t, err)
		require.Equal(t, []storage.KeyUse{
			{ID: "k2", Records: 1, Held: true, Newest: true}, {ID: "k1", Records: 1, Held: true},
		}, uses)
		uses, err = open(t, k2).KeyUses(t.Context())
		require.NoError(t, err)
		require.Equal(t, storage.KeyUse{ID: "k1", Records: 1}, uses[1])

		n, err := both.Rotate(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		require.NoError(t, open(t, k2).CheckKeys(t.Context()))
	})
}

// Others write while the keys are rotated: nothing is lost, and nothing stays behind under the old key.
func TestRotationIsSafeBesideWriters(t *testing.T) {
	t.Parallel()
	eachReopened(t, func(t *testing.T, open opener, _ func() []byte) {
		const exports, changes = 20, 10
		k1, k2 := masterKey(t, "k1"), masterKey(t, "k2")
		old := open(t, k1)
		var all []batch.Export
		for range exports {
			e := storagetest.Export()
			require.NoError(t, old.CreateExport(t.Context(), e))
			all = append(all, e)
		}
		db := open(t, k2, k1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var group sync.WaitGroup
		for _, e := range all {
			group.Go(func() {
				for n := range changes {
					_, err := db.UpdateExport(ctx, e.TeamID, e.ID, func(e *batch.Export) error {
						e.Destination.Config["password"] = fmt.Sprint(planted, n)
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		for range 5 {
			_, err := db.Rotate(ctx)
			require.NoError(t, err)
		}
		group.Wait()
		_, err := db.Rotate(ctx)
		require.NoError(t, err)
		rotated := open(t, k2)
		require.NoError(t, rotated.CheckKeys(ctx))
		for _, e := range all {
			got, err := rotated.ExportByID(ctx, e.ID)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(planted, changes-1), got.Destination.Config["password"])
		}
	})
}

// A backup is a dump. With other keys nothing in it opens: not for whoever stole it, and not for us.
func TestABackupWithoutItsKeysIsUseless(t *testing.T) {
	t.Parallel()
	eachReopened(t, func(t *testing.T, open opener, _ func() []byte) {
		e := storagetest.Export()
		e.Destination.Config["password"] = planted
		require.NoError(t, open(t, masterKey(t, "k1")).CreateExport(t.Context(), e))
		thief := open(t, masterKey(t, "k1"))
		_, err := thief.ExportByID(t.Context(), e.ID)
		require.ErrorIs(t, err, storage.ErrSealed)
		require.NotContains(t, err.Error(), planted)
		_, err = thief.Rotate(t.Context())
		require.NoError(t, err, "its records are under the newest id already")
		_, err = open(t, masterKey(t, "k2")).Rotate(t.Context())
		require.ErrorIs(t, err, storage.ErrSealed)
		require.ErrorIs(t, thief.CheckKeys(t.Context()), storage.ErrSealed)
	})
}

func TestSubscriptionsCountAmongWhatIsSealed(t *testing.T) {
	t.Parallel()
	eachReopened(t, func(t *testing.T, open opener, _ func() []byte) {
		k1, k2 := masterKey(t, "k1"), masterKey(t, "k2")
		subscribe(t, open(t, k1), uuid.Nil, batch.EventFailed)
		require.ErrorIs(t, open(t, k2).CheckKeys(t.Context()), storage.ErrSealed)
		both := open(t, k2, k1)
		uses, err := both.KeyUses(t.Context())
		require.NoError(t, err)
		require.Equal(t, storage.KeyUse{ID: "k1", Records: 1, Held: true}, uses[1])
		n, err := both.Rotate(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		require.NoError(t, open(t, k2).CheckKeys(t.Context()))
	})
}
