package batch_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tranche/batch"
)

// day is the midnight from which the hours of these tests count.
var day = time.Date(2026, 7, 28, 0, 0, 0, 0, time.UTC)

// hoursOf are the intervals of the hours from to to.
func hoursOf(from, to int) []batch.Interval {
	var all []batch.Interval
	for h := from; h < to; h++ {
		all = append(all, span(h, h+1))
	}
	return all
}

func span(from, to int) batch.Interval {
	return batch.Interval{Start: day.Add(time.Duration(from) * time.Hour), End: day.Add(time.Duration(to) * time.Hour)}
}

// attempt is a run that was made at the minute.
func attempt(i batch.Interval, status batch.RunStatus, minute int) batch.Run {
	return batch.Run{ID: uuid.New(), Interval: i, Status: status, CreatedAt: day.Add(time.Duration(minute) * time.Minute)}
}

func TestWhatBecameOfAnInterval(t *testing.T) {
	t.Parallel()
	hour, backfill := span(0, 1), uuid.New()
	delivered := batch.Delivery{Interval: hour, Rows: 7}
	of := func(r batch.Run) batch.Run { r.BackfillID = &backfill; return r }
	open := []batch.Backfill{{ID: backfill, StartAt: new(span(0, 3).Start), EndAt: new(span(0, 3).End)}}
	tests := map[string]struct {
		known batch.Evidence
		want  batch.CoverageStatus
	}{
		"nobody delivered it": {want: batch.CoverageMissing},
		"delivered":           {batch.Evidence{Deliveries: []batch.Delivery{delivered}}, batch.CoverageDelivered},
		"delivered, without rows": {
			batch.Evidence{Deliveries: []batch.Delivery{{Interval: hour}}}, batch.CoverageEmpty,
		},
		"delivered, and a later run failed": {
			batch.Evidence{Deliveries: []batch.Delivery{delivered}, Runs: []batch.Run{attempt(hour, batch.RunFailed, 90)}}, batch.CoverageDelivered,
		},
		"delivered, and a later run works": {
			batch.Evidence{Deliveries: []batch.Delivery{delivered}, Runs: []batch.Run{attempt(hour, batch.RunRunning, 90)}}, batch.CoverageDelivered,
		},
		"a run works":  {batch.Evidence{Runs: []batch.Run{attempt(hour, batch.RunStarting, 60)}}, batch.CoverageRunning},
		"a run failed": {batch.Evidence{Runs: []batch.Run{attempt(hour, batch.RunFailed, 60)}}, batch.CoverageFailed},
		"somebody terminated it": {
			batch.Evidence{Runs: []batch.Run{attempt(hour, batch.RunTerminated, 60)}}, batch.CoverageFailed,
		},
		"a run failed, a newer one works": {
			batch.Evidence{Runs: []batch.Run{attempt(hour, batch.RunFailed, 60), attempt(hour, batch.RunRunning, 70)}}, batch.CoverageRunning,
		},
		"a run failed, a newer one was cancelled": {
			batch.Evidence{Runs: []batch.Run{attempt(hour, batch.RunFailed, 60), attempt(hour, batch.RunCancelled, 70)}}, batch.CoverageMissing,
		},
		"a backfill will come to it": {batch.Evidence{Open: open}, batch.CoverageRunning},
		"a backfill will try again what failed before": {
			batch.Evidence{Open: open, Runs: []batch.Run{attempt(hour, batch.RunFailed, 60)}}, batch.CoverageRunning,
		},
		"it failed in a backfill that goes on": {
			batch.Evidence{Open: open, Runs: []batch.Run{of(attempt(hour, batch.RunFailed, 60))}}, batch.CoverageFailed,
		},
		"a backfill that begins later": {
			batch.Evidence{Open: []batch.Backfill{{ID: backfill, StartAt: new(day), AdjustedStartAt: new(span(1, 2).Start), EndAt: new(span(1, 2).End)}}},
			batch.CoverageMissing,
		},
		"a backfill found no rows": {batch.Evidence{Void: []batch.Interval{span(-5, 1)}}, batch.CoverageEmpty},
		"a backfill found no rows in half of it": {
			batch.Evidence{Void: []batch.Interval{{Start: day, End: day.Add(30 * time.Minute)}}}, batch.CoverageMissing,
		},
		"it fell due while the export was paused": {batch.Evidence{Paused: []batch.Interval{span(1, 9)}}, batch.CoveragePaused},
		"the pause began when it was due already": {
			batch.Evidence{Paused: []batch.Interval{{Start: hour.End.Add(time.Second), End: span(0, 9).End}}}, batch.CoverageMissing,
		},
		"paused, and somebody tried and failed": {
			batch.Evidence{Paused: []batch.Interval{span(1, 9)}, Runs: []batch.Run{attempt(hour, batch.RunFailed, 60)}}, batch.CoverageFailed,
		},
		"its schedule is about to": {batch.Evidence{Due: hour.End.Add(-time.Second)}, batch.CoverageRunning},
		"a longer run that contains it failed": {
			batch.Evidence{Runs: []batch.Run{attempt(span(0, 24), batch.RunFailed, 60)}}, batch.CoverageFailed,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.known.Due.IsZero() {
				tt.known.Due = hour.End
			}
			got := batch.Cover([]batch.Interval{hour}, tt.known)
			require.Len(t, got, 1)
			require.Equal(t, tt.want, got[0].Status)
			require.Equal(t, hour, got[0].Interval)
			require.Len(t, got[0].Runs, len(tt.known.Runs))
			require.Equal(t, len(tt.known.Deliveries) > 0, got[0].Delivery != nil)
		})
	}
}

func TestWhatWasDeliveredWithAnotherLengthStandsInItsPlace(t *testing.T) {
	t.Parallel()
	known := batch.Evidence{
		Deliveries: []batch.Delivery{{Interval: span(0, 24), Rows: 5}, {Interval: span(3, 4), Rows: 1}, {Interval: batch.Interval{End: span(0, 1).Start}, Rows: 2}},
		Runs:       []batch.Run{attempt(span(24, 48), batch.RunRunning, 0)},
		Due:        span(0, 100).End,
	}
	got := batch.Cover(hoursOf(0, 50), known)
	type line struct {
		interval string
		status   batch.CoverageStatus
		overlaps bool
	}
	var lines []line
	for _, e := range got {
		lines = append(lines, line{e.Interval.String(), e.Status, e.Overlaps})
	}
	want := []line{
		{batch.Interval{End: day}.String(), batch.CoverageDelivered, false},
		{span(0, 24).String(), batch.CoverageDelivered, true},
		{span(3, 4).String(), batch.CoverageDelivered, true},
		{span(24, 25).String(), batch.CoverageRunning, false},
		{span(24, 48).String(), batch.CoverageRunning, false},
	}
	for h := 25; h < 48; h++ {
		want = append(want, line{span(h, h+1).String(), batch.CoverageRunning, false})
	}
	want = append(want, line{span(48, 49).String(), batch.CoverageMissing, false}, line{span(49, 50).String(), batch.CoverageMissing, false})
	require.Equal(t, want, lines)
}

func TestGapsAreJoined(t *testing.T) {
	t.Parallel()
	known := batch.Evidence{
		Deliveries: []batch.Delivery{{Interval: span(2, 3), Rows: 1}},
		Runs:       []batch.Run{attempt(span(1, 2), batch.RunFailed, 0), attempt(span(5, 6), batch.RunRunning, 0)},
		Paused:     []batch.Interval{{Start: span(4, 5).End, End: span(4, 5).End.Add(time.Second)}},
		Due:        span(0, 100).End,
	}
	entries := batch.Cover(hoursOf(0, 8), known)
	require.Equal(t, [][]batch.Interval{hoursOf(0, 2), hoursOf(3, 4), hoursOf(6, 8)}, batch.Gaps(entries, false))
	require.Equal(t, [][]batch.Interval{hoursOf(0, 2), hoursOf(3, 5), hoursOf(6, 8)}, batch.Gaps(entries, true))
}

func TestAGapIsDividedByTheCalendar(t *testing.T) {
	t.Parallel()
	c := plain(t, batch.Daily, "UTC")
	tests := map[string]struct {
		gap           []batch.Interval
		before, after int
		middle        batch.Interval
	}{
		"hours around two days":        {hoursOf(-3, 53), 3, 5, span(0, 48)},
		"hours within a day":           {hoursOf(3, 20), 17, 0, batch.Interval{}},
		"hours around a midnight":      {hoursOf(20, 30), 10, 0, batch.Interval{}},
		"exactly a day":                {hoursOf(0, 24), 0, 0, span(0, 24)},
		"days":                         {[]batch.Interval{span(0, 24), span(24, 48)}, 0, 0, span(0, 48)},
		"a joint that covers midnight": {[]batch.Interval{span(20, 30), span(30, 48), span(48, 72)}, 2, 0, span(48, 72)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, middle, after := c.Divide(tt.gap)
			require.Len(t, before, tt.before)
			require.Equal(t, tt.middle, middle)
			require.Len(t, after, tt.after)
		})
	}
}

// Whatever was delivered, every instant of the timeline is in an entry, and a gap never overlaps what is delivered whole.
func TestCoverageLeavesNothingOut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var known batch.Evidence
		known.Due = span(0, 100).End
		seen := map[string]bool{}
		for n := range rapid.IntRange(0, 12).Draw(t, "deliveries") {
			from := rapid.IntRange(-5, 45).Draw(t, fmt.Sprintf("from %d", n))
			i := span(from, from+rapid.SampledFrom([]int{1, 1, 1, 6, 24}).Draw(t, fmt.Sprintf("hours %d", n)))
			if seen[i.String()] {
				continue
			}
			seen[i.String()] = true
			known.Deliveries = append(known.Deliveries, batch.Delivery{Interval: i, Rows: int64(n)})
		}
		entries := batch.Cover(hoursOf(0, 40), known)
		for _, hour := range hoursOf(0, 40) {
			covered := false
			for _, e := range entries {
				covered = covered || !e.Interval.Start.After(hour.Start) && !e.Interval.End.Before(hour.End)
			}
			require.True(t, covered, "%s is in no entry", hour)
		}
		shown := 0
		for _, e := range entries {
			if e.Delivery != nil {
				shown++
			}
		}
		require.Equal(t, len(known.Deliveries), shown)
		for _, gap := range batch.Gaps(entries, true) {
			for _, i := range gap {
				for _, d := range known.Deliveries {
					whole := !d.Interval.Start.After(i.Start) && !d.Interval.End.Before(i.End)
					require.False(t, whole, "%s is a gap, but %s is delivered", i, d.Interval)
				}
			}
		}
	})
}
