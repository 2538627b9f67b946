package sourcetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
)

// planned plans and reads all splits, and checks that together they are the rows wanted.
func planned(ctx context.Context, t *testing.T, f Fixture, q query.Query, limit int, want []Row) []sources.Split {
	t.Helper()
	n, err := f.Source.Count(ctx, q)
	require.NoError(t, err)
	require.Equal(t, int64(len(want)), n)
	splits, err := f.Source.Plan(ctx, q, limit)
	require.NoError(t, err)
	if len(want) == 0 {
		require.Empty(t, splits)
		return nil
	}
	requireSplits(t, q.Interval, limit, splits)
	var got []Row
	for _, s := range splits {
		got = append(got, readSplit(ctx, t, f.Source, q, s)...)
	}
	requireRows(t, want, got)
	return splits
}

func testSplits(ctx context.Context, t *testing.T, f Fixture) {
	want := rows(20*SplitRows, hour)
	// Half of the rows fall into one second, so that equal stretches of time would not do.
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same data at every run
	for i := range len(want) / 2 {
		want[2*i].InsertedAt = start.Add(time.Minute + time.Duration(random.Int64N(1_000_000))*time.Microsecond)
	}
	f.Seed(t, want)
	for _, limit := range []int{1, 2, 7, 20, 1000} {
		t.Run(fmt.Sprintf("at most %d", limit), func(t *testing.T) {
			splits := planned(ctx, t, f, events(hour), limit, want)
			require.GreaterOrEqual(t, len(splits), min(limit, 10), "there are enough rows for more splits")
			for _, s := range splits {
				inside := slices.DeleteFunc(slices.Clone(want), func(r Row) bool { return !s.Range.Contains(r.InsertedAt) })
				require.LessOrEqual(t, len(inside), 3*len(want)/len(splits), "split %v is far bigger than the others", s)
			}
		})
	}
}

func testOneInstant(ctx context.Context, t *testing.T, f Fixture) {
	at := start.Add(30 * time.Minute)
	want := make([]Row, 5*SplitRows)
	for i := range want {
		want[i] = row(i, at)
	}
	f.Seed(t, want)
	planned(ctx, t, f, events(hour), 10, want)
	planned(ctx, t, f, events(batch.Interval{Start: at, End: at.Add(time.Microsecond)}), 10, want)
	planned(ctx, t, f, events(batch.Interval{Start: start, End: at}), 10, nil)
}

func testEmpty(ctx context.Context, t *testing.T, f Fixture) {
	planned(ctx, t, f, events(hour), 5, nil)
	f.Seed(t, []Row{row(1, hour.End), row(2, start.Add(-time.Microsecond))})
	planned(ctx, t, f, events(hour), 5, nil)
	require.Empty(t, readInterval(ctx, t, f.Source, events(hour)))
}

func testOneRow(ctx context.Context, t *testing.T, f Fixture) {
	want := []Row{row(1, start.Add(time.Minute))}
	f.Seed(t, want)
	require.Len(t, planned(ctx, t, f, events(hour), 5, want), 1)
}

func testBounds(ctx context.Context, t *testing.T, f Fixture) {
	all := []Row{
		row(1, start.Add(-time.Microsecond)), row(2, start), row(3, start.Add(time.Microsecond)),
		row(4, hour.End.Add(-time.Microsecond)), row(5, hour.End), row(6, hour.End.Add(time.Microsecond)),
	}
	f.Seed(t, all)
	for name, test := range map[string]struct {
		interval batch.Interval
		want     []Row
	}{
		"the hour":              {hour, all[1:4]},
		"the hour before":       {batch.Interval{Start: start.Add(-time.Hour), End: start}, all[:1]},
		"the hour after":        {batch.Interval{Start: hour.End, End: hour.End.Add(time.Hour)}, all[4:]},
		"one microsecond":       {batch.Interval{Start: start, End: start.Add(time.Microsecond)}, all[1:2]},
		"bounds in other zones": {batch.Interval{Start: start.In(time.FixedZone("", 5*3600)), End: hour.End.In(time.FixedZone("", -8*3600))}, all[1:4]},
	} {
		t.Run(name, func(t *testing.T) {
			planned(ctx, t, f, events(test.interval), 3, test.want)
		})
	}
}

func testOpenStart(ctx context.Context, t *testing.T, f Fixture) {
	want := append(rows(3*SplitRows, hour), row(100_000, time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)))
	f.Seed(t, append(slices.Clone(want), row(100_001, hour.End)))
	planned(ctx, t, f, events(batch.Interval{End: hour.End}), 3, want)
}
