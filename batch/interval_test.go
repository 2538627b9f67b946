package batch_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tranche/batch"
)

func TestIntervalIsHalfOpen(t *testing.T) {
	t.Parallel()
	i := batch.Interval{Start: instant(t, "2024-01-01T00:00:00Z"), End: instant(t, "2024-01-01T01:00:00Z")}
	require.True(t, i.Contains(i.Start))
	require.True(t, i.Contains(i.End.Add(-time.Nanosecond)))
	require.False(t, i.Contains(i.End))
	require.False(t, i.Contains(i.Start.Add(-time.Nanosecond)))
	require.Equal(t, time.Hour, i.Duration())
}

// Two intervals overlap exactly when one of them contains the start of the other.
func TestIntervalOverlaps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		draw := func(label string) batch.Interval {
			start := time.Unix(rapid.Int64Range(0, 20).Draw(r, label), 0).UTC()
			return batch.Interval{Start: start, End: start.Add(time.Duration(rapid.IntRange(1, 10).Draw(r, label+", length")) * time.Second)}
		}
		a, b := draw("a"), draw("b")
		require.Equal(r, a.Contains(b.Start) || b.Contains(a.Start), a.Overlaps(b))
		require.Equal(r, a.Overlaps(b), b.Overlaps(a))
	})
}

func TestIntervalFromTheBeginning(t *testing.T) {
	t.Parallel()
	i := batch.Interval{End: instant(t, "2024-01-01T00:00:00Z")}
	require.Equal(t, "START - 2024-01-01T00:00:00Z", i.String())
	require.True(t, i.Contains(instant(t, "1970-01-01T00:00:00Z")))
}

func TestIntervalComparesInstants(t *testing.T) {
	t.Parallel()
	i := batch.Interval{Start: instant(t, "2024-01-01T00:00:00.5Z"), End: instant(t, "2024-01-01T01:00:00Z")}
	zone := time.FixedZone("", 2*3600)
	other := batch.Interval{Start: i.Start.In(zone), End: i.End.In(zone)}
	require.True(t, i.Equal(other))
	require.Equal(t, i, other.UTC())
	require.Equal(t, "2024-01-01T00:00:00.5Z - 2024-01-01T01:00:00Z", other.String())
	require.False(t, i.Equal(batch.Interval{Start: i.Start, End: i.End.Add(1)}))
}
