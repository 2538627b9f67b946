package storage_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// createRuns puts runs into the database with ties in both orders, and one from the beginning.
func createRuns(t *testing.T, db *storage.DB, e batch.Export) []batch.Run {
	t.Helper()
	var runs []batch.Run
	for i := range 9 {
		r := storagetest.Run(e, storagetest.Hour(i/2))
		if i == 5 {
			r.Interval.Start = time.Time{}
		}
		r.CreatedAt = storagetest.Noon.Add(time.Duration(i/3) * time.Minute)
		r, _, err := db.BeginRun(t.Context(), r)
		require.NoError(t, err)
		runs = append(runs, r)
	}
	return runs
}

func byID(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }

func ids(runs []batch.Run) []uuid.UUID {
	all := make([]uuid.UUID, len(runs))
	for i, r := range runs {
		all[i] = r.ID
	}
	return all
}

func TestEachRunShowsUpOnceOnThePages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		runs := createRuns(t, db, e)
		for _, order := range []batch.Order{batch.OrderCreatedAt, batch.OrderIntervalStart} {
			value := func(r batch.Run) *time.Time {
				switch {
				case order == batch.OrderCreatedAt:
					return &r.CreatedAt
				case r.Interval.Start.IsZero():
					return nil
				}
				return &r.Interval.Start
			}
			want := slices.SortedFunc(slices.Values(runs), func(a, b batch.Run) int {
				x, y := value(a), value(b)
				if x == nil || y == nil {
					x, y = &a.Interval.Start, &b.Interval.Start // zero = the earliest
				}
				if c := x.Compare(*y); c != 0 {
					return c
				}
				return byID(a.ID, b.ID)
			})
			for _, desc := range []bool{false, true} {
				if desc {
					slices.Reverse(want)
				}
				f := batch.RunFilter{TeamID: 1, ExportID: e.ID, OrderBy: order, Desc: desc, Limit: 2}
				var got []batch.Run
				for {
					page, err := db.ListRuns(t.Context(), f)
					require.NoError(t, err)
					got = append(got, page...)
					if len(page) < f.Limit {
						break
					}
					last := page[len(page)-1]
					f.After = &batch.Position{Value: value(last), ID: last.ID}
				}
				require.Equal(t, ids(want), ids(got), "%s desc=%t", order, desc)
			}
		}
	})
}

func TestRunsAreFiltered(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		runs := createRuns(t, db, e)
		finish(t, db, runs[0], batch.RunFailed, storagetest.Noon)
		b := storagetest.Backfill(e, storagetest.Noon, storagetest.Noon.Add(time.Hour))
		require.NoError(t, db.CreateBackfill(t.Context(), b, 1))
		filled := storagetest.Run(e, storagetest.Hour(40))
		filled.BackfillID = &b.ID
		filled, _, err := db.BeginRun(t.Context(), filled)
		require.NoError(t, err)

		created := func(i int) *time.Time { return &runs[i].CreatedAt }
		tests := map[string]struct {
			filter batch.RunFilter
			want   []batch.Run
		}{
			"of a backfill":               {batch.RunFilter{BackfillID: &b.ID}, []batch.Run{filled}},
			"by status":                   {batch.RunFilter{Statuses: []batch.RunStatus{batch.RunFailed, batch.RunTimedOut}}, runs[:1]},
			"created, both inclusive":     {batch.RunFilter{CreatedAfter: created(3), CreatedBefore: created(5)}, runs[3:6]},
			"interval within":             {batch.RunFilter{Start: &runs[2].Interval.Start, End: &runs[4].Interval.End}, []batch.Run{runs[2], runs[3], runs[4]}},
			"an open start ends in time":  {batch.RunFilter{End: &runs[5].Interval.End}, runs[:6]},
			"of another team's namespace": {batch.RunFilter{TeamID: 2}, []batch.Run{}},
		}
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test.filter.ExportID = e.ID
				if test.filter.TeamID == 0 {
					test.filter.TeamID = 1
				}
				got, err := db.ListRuns(t.Context(), test.filter)
				require.NoError(t, err)
				require.ElementsMatch(t, ids(test.want), ids(got))
			})
		}
	})
}

func TestTheLatestRunsOfManyExports(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		a, b, without := createExport(t, db), createExport(t, db), createExport(t, db)
		want := map[uuid.UUID][]uuid.UUID{}
		for i := range 5 {
			for _, e := range []batch.Export{a, b} {
				r := beginRun(t, db, e, storagetest.Hour(i))
				want[e.ID] = append([]uuid.UUID{r.ID}, want[e.ID]...)
			}
		}
		got, err := db.LatestRuns(t.Context(), []uuid.UUID{a.ID, b.ID, without.ID, uuid.New()}, 3)
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.Equal(t, want[a.ID][:3], ids(got[a.ID]))
		require.Equal(t, want[b.ID][:3], ids(got[b.ID]))
		got, err = db.LatestRuns(t.Context(), nil, 3)
		require.NoError(t, err)
		require.Empty(t, got)
	})
}

func TestOpenRuns(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e, other := createExport(t, db), createExport(t, db)
		b := storagetest.Backfill(e, storagetest.Noon, storagetest.Noon.Add(time.Hour))
		require.NoError(t, db.CreateBackfill(t.Context(), b, 1))
		starting := storagetest.Run(e, storagetest.Hour(0))
		starting.Status, starting.BackfillID = batch.RunStarting, &b.ID
		_, _, err := db.BeginRun(t.Context(), starting)
		require.NoError(t, err)
		running, over := beginRun(t, db, e, storagetest.Hour(1)), beginRun(t, db, e, storagetest.Hour(2))
		elsewhere := beginRun(t, db, other, storagetest.Hour(1))
		finish(t, db, over, batch.RunCompleted, storagetest.Noon)

		want := []uuid.UUID{starting.ID, running.ID, elsewhere.ID}
		slices.SortFunc(want, byID)
		first, err := db.OpenRuns(t.Context(), uuid.Nil, 2)
		require.NoError(t, err)
		rest, err := db.OpenRuns(t.Context(), first[1].ID, 2)
		require.NoError(t, err)
		require.Equal(t, want, append(ids(first), ids(rest)...))

		got, err := db.OpenRunsOf(t.Context(), e.ID, nil)
		require.NoError(t, err)
		require.ElementsMatch(t, []uuid.UUID{starting.ID, running.ID}, ids(got))
		got, err = db.OpenRunsOf(t.Context(), e.ID, &b.ID)
		require.NoError(t, err)
		require.Equal(t, []uuid.UUID{starting.ID}, ids(got))
	})
}

func TestALatestRunHasEverythingThatARunHas(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		bare := beginRun(t, db, e, storagetest.Hour(1))
		full := storagetest.Run(e, storagetest.Hour(0))
		full.CreatedAt = bare.CreatedAt.Add(-time.Hour)
		full.LatestError, full.ErrorCode, full.WaitingFor, full.Status = "it is late", batch.CodeTimeout, "a permit", batch.RunFailed
		full.NextRetryAt, full.CommitStartedAt, full.FinishedAt = ptr(storagetest.Noon), ptr(storagetest.Noon.Add(time.Second)), ptr(storagetest.Noon.Add(time.Minute))
		full.RowsTotal, full.RowsCompleted, full.RowsFailed, full.Bytes, full.Files = ptr(int64(1)), ptr(int64(2)), ptr(int64(3)), ptr(int64(4)), ptr(int64(5))
		backfill := storagetest.Backfill(e, storagetest.Noon, storagetest.Noon.Add(time.Hour))
		require.NoError(t, db.CreateBackfill(t.Context(), backfill, 5))
		full.BackfillID = &backfill.ID
		_, _, err := db.BeginRun(t.Context(), full)
		require.NoError(t, err)
		latest, err := db.LatestRuns(t.Context(), []uuid.UUID{e.ID}, 10)
		require.NoError(t, err)
		for _, got := range latest[e.ID] {
			want, err := db.RunByID(t.Context(), got.ID)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		require.Len(t, latest[e.ID], 2)
	})
}
