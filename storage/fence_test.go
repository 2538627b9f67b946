package storage_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// lease acquires the lease of the run's interval.
func lease(t *testing.T, db *storage.DB, r batch.Run) int64 {
	t.Helper()
	token, err := db.AcquireLease(t.Context(), r.ExportID, r.Interval, r.ID, time.Minute)
	require.NoError(t, err)
	return token
}

// day is the day that ends at the noon of Hour(0).
func day() batch.Interval {
	return batch.Interval{Start: storagetest.Noon.AddDate(0, 0, -1), End: storagetest.Noon}
}

func TestAFenceEndsTheStagingOfOthers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		i := storagetest.Hour(0)
		winner, loser, overlapping := planned(t, db, e, i), planned(t, db, e, i), planned(t, db, e, day())
		over := planned(t, db, e, i)
		neighbour, foreign := planned(t, db, e, storagetest.Hour(1)), planned(t, db, createExport(t, db), i)
		require.NoError(t, db.SavePlan(t.Context(), winner.ID, 2, halves(i)))
		kept := refRow(winner, 0, 1, "winner, generation 2")
		kept.Generation = 2
		require.NoError(t, db.RecordRef(t.Context(), kept))
		want := []destinations.Journaled{}
		for _, r := range []batch.Run{winner, loser, overlapping, over} {
			ref := refRow(r, 0, 1, "x")
			require.NoError(t, db.RecordRef(t.Context(), ref))
			want = append(want, ref)
		}
		for _, r := range []batch.Run{neighbour, foreign} {
			require.NoError(t, db.RecordRef(t.Context(), refRow(r, 0, 1, "x")))
		}
		finish(t, db, over, batch.RunFailed, storagetest.Noon)

		token := lease(t, db, winner)
		refs, err := db.Fence(t.Context(), e.ID, i, token, winner.ID, 2)
		require.NoError(t, err)
		forget := refIDs(refs)
		require.Equal(t, want, withoutIDs(refs))
		refs, err = db.Fence(t.Context(), e.ID, i, token, winner.ID, 2)
		require.NoError(t, err)
		require.Equal(t, forget, refIDs(refs), "a repeat")
		require.NoError(t, db.ForgetRefs(t.Context(), forget))
		refs, err = db.Fence(t.Context(), e.ID, i, token, winner.ID, 2)
		require.NoError(t, err)
		require.Empty(t, refs)

		for _, r := range []batch.Run{winner, loser, overlapping} {
			requireCode(t, batch.CodeSuperseded, db.RecordRef(t.Context(), refRow(r, 0, 2, "y")))
			requireCode(t, batch.CodeSuperseded, db.SaveReceipt(t.Context(), r.ID, 1, 2, receipt(0, 1)))
			requireCode(t, batch.CodeSuperseded, db.SavePlan(t.Context(), r.ID, 1, nil))
			_, err = db.Split(t.Context(), r.ID, 1, 0)
			requireCode(t, batch.CodeSuperseded, err)
			_, _, err = db.Receipts(t.Context(), r.ID, 1)
			requireCode(t, batch.CodeSuperseded, err)
		}
		for _, r := range []batch.Run{neighbour, foreign} {
			require.NoError(t, db.RecordRef(t.Context(), refRow(r, 0, 2, "y")))
		}
		require.NoError(t, db.SaveReceipt(t.Context(), winner.ID, 2, 1, receipt(0, 1)))
		require.NoError(t, db.SavePlan(t.Context(), loser.ID, 2, nil), "a fenced run may stage anew")
	})
}

func TestAFenceNeedsTheLease(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		a, b := planned(t, db, e, storagetest.Hour(0)), planned(t, db, e, storagetest.Hour(0))
		token := lease(t, db, a)
		for _, wrong := range []int64{token - 1, token + 1} {
			_, err := db.Fence(t.Context(), e.ID, a.Interval, wrong, a.ID, 1)
			requireCode(t, batch.CodeSuperseded, err)
		}
		_, err := db.Fence(t.Context(), e.ID, storagetest.Hour(5), token, a.ID, 1)
		requireCode(t, batch.CodeSuperseded, err)
		require.NoError(t, db.ReleaseLease(t.Context(), e.ID, a.Interval, token))
		_, err = db.Fence(t.Context(), e.ID, a.Interval, token, a.ID, 1)
		requireCode(t, batch.CodeSuperseded, err)
		require.NoError(t, db.RecordRef(t.Context(), refRow(b, 0, 1, "x")), "nobody was fenced")
	})
}

func TestOfTwoOverlappingCommitsTheFirstToFenceWins(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		race := func() {
			// Different ends: both hold a lease.
			runs := []batch.Run{planned(t, db, e, storagetest.Hour(-3)), planned(t, db, e, day())}
			var outcome [2]error
			var group sync.WaitGroup
			for n, r := range runs {
				token := lease(t, db, r)
				defer func() { require.NoError(t, db.ReleaseLease(t.Context(), e.ID, r.Interval, token)) }()
				group.Go(func() {
					if _, outcome[n] = db.Fence(t.Context(), e.ID, r.Interval, token, r.ID, 1); outcome[n] != nil {
						return
					}
					outcome[n] = db.RecordDelivery(t.Context(), batch.Delivery{
						ExportID: e.ID, Interval: r.Interval, RunID: r.ID, Generation: 1, Token: token, CommittedAt: time.Now(),
					})
				})
			}
			group.Wait()
			for n, r := range runs {
				if outcome[n] != nil {
					requireCode(t, batch.CodeSuperseded, outcome[n])
				}
				finish(t, db, r, batch.RunFailed, storagetest.Noon)
			}
			require.False(t, outcome[0] != nil && outcome[1] != nil, "one must win")
		}
		for range 6 {
			race()
		}
	})
}

func TestNoRefSlipsThroughAFence(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		for n := range 10 {
			i := storagetest.Hour(n)
			winner, loser := planned(t, db, e, i), planned(t, db, e, i)
			token := lease(t, db, winner)
			recorded := make([]error, 4)
			var (
				seen []destinations.Journaled
				err  error
			)
			var group sync.WaitGroup
			for k := range recorded {
				group.Go(func() { recorded[k] = db.RecordRef(t.Context(), refRow(loser, k%2, 1, fmt.Sprint(k))) })
			}
			group.Go(func() { seen, err = db.Fence(t.Context(), e.ID, i, token, winner.ID, 1) })
			group.Wait()
			require.NoError(t, err)
			var accepted int
			for _, err := range recorded {
				if err == nil {
					accepted++
					continue
				}
				requireCode(t, batch.CodeSuperseded, err)
			}
			require.Len(t, seen, accepted, "what was accepted must have been seen")
		}
	})
}
