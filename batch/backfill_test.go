package batch_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tranche/batch"
)

// TestPagesTileABackfill walks through a backfill page by page, as its workflow does, in every calendar.
func TestPagesTileABackfill(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := drawAnyCalendar(t)
		start := time.Unix(rapid.Int64Range(1e9, 2e9).Draw(t, "start"), 0).UTC()
		end := start.Add(time.Duration(rapid.Int64Range(1, 400).Draw(t, "intervals")) * c.Frequency().Nominal())
		b := batch.Backfill{StartAt: &start, EndAt: &end, Order: rapid.SampledFrom(batch.BackfillOrders).Draw(t, "order")}
		size := rapid.IntRange(1, 50).Draw(t, "size of a page")

		var got []batch.Interval
		for cursor := (*time.Time)(nil); ; {
			n := 0
			for i := range b.Intervals(c, cursor, time.Time{}) {
				got = append(got, i)
				behind := b.Cursor(i)
				if cursor, n = &behind, n+1; n == size {
					break
				}
			}
			if n < size {
				break
			}
		}
		if b.Order == batch.NewestFirst {
			slices.Reverse(got)
		}
		whole := b.Range(c, time.Time{})
		require.Equal(t, c.Count(whole.Start, whole.End), int64(len(got)))
		require.False(t, whole.Start.After(start))
		require.False(t, whole.End.After(end))
		for n, i := range got {
			if n == 0 {
				require.True(t, i.Start.Equal(whole.Start))
			} else {
				require.True(t, i.Start.Equal(got[n-1].End), "a gap or an overlap")
			}
			require.True(t, c.Before(i.End).Equal(i))
		}
		if len(got) > 0 {
			require.True(t, got[len(got)-1].End.Equal(whole.End))
		}
	})
}

// drawAnyCalendar draws a calendar in a zone whose clocks change, or not.
func drawAnyCalendar(t *rapid.T) batch.Calendar {
	f := rapid.SampledFrom([]batch.Frequency{batch.Hourly, batch.Daily, batch.Weekly, "every 5 minutes"}).Draw(t, "frequency")
	zone := rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"}).Draw(t, "zone")
	var day, hour *int
	if f.InLocalTime() {
		hour = new(rapid.IntRange(0, 23).Draw(t, "hour"))
	}
	if f == batch.Weekly {
		day = new(rapid.IntRange(0, 6).Draw(t, "day"))
	}
	c, err := batch.NewCalendar(f, zone, day, hour)
	require.NoError(t, err)
	return c
}

func TestWhatABackfillRuns(t *testing.T) {
	t.Parallel()
	hourly, err := batch.NewCalendar(batch.Hourly, "UTC", nil, nil)
	require.NoError(t, err)
	at := func(minutes int) time.Time {
		return time.Date(2026, 5, 1, 0, minutes, 0, 0, time.UTC)
	}
	in := func(from, to int) batch.Interval { return batch.Interval{Start: at(from), End: at(to)} }
	start, end, now := at(30), at(210), at(250)
	tests := map[string]struct {
		backfill batch.Backfill
		cursor   *time.Time
		want     []batch.Interval
	}{
		"whole hours that cover the start; a last part is left out": {batch.Backfill{StartAt: &start, EndAt: &end}, nil, []batch.Interval{in(0, 60), in(60, 120), in(120, 180)}},
		"the newest first":                                  {batch.Backfill{StartAt: &start, EndAt: &end, Order: batch.NewestFirst}, nil, []batch.Interval{in(120, 180), in(60, 120), in(0, 60)}},
		"from where the data begin":                         {batch.Backfill{StartAt: &start, EndAt: &end, AdjustedStartAt: new(at(60))}, nil, []batch.Interval{in(60, 120), in(120, 180)}},
		"from a cursor":                                     {batch.Backfill{StartAt: &start, EndAt: &end}, new(at(120)), []batch.Interval{in(120, 180)}},
		"from a cursor, the newest first":                   {batch.Backfill{StartAt: &start, EndAt: &end, Order: batch.NewestFirst}, new(at(120)), []batch.Interval{in(60, 120), in(0, 60)}},
		"a retry has its own bounds":                        {batch.Backfill{StartAt: &start, EndAt: &end, Retry: true}, nil, []batch.Interval{in(30, 210)}},
		"from the beginning: one run up to a boundary":      {batch.Backfill{EndAt: &end}, nil, []batch.Interval{{End: at(180)}}},
		"a retry from the beginning":                        {batch.Backfill{EndAt: &end, Retry: true}, nil, []batch.Interval{{End: end}}},
		"without an end: up to now":                         {batch.Backfill{StartAt: &start}, new(at(180)), []batch.Interval{in(180, 240)}},
		"without an end, caught up":                         {batch.Backfill{StartAt: &start}, new(at(240)), nil},
		"without an end, from the beginning":                {batch.Backfill{}, nil, []batch.Interval{{End: at(240)}}},
		"without an end, behind the run from the beginning": {batch.Backfill{}, new(at(180)), []batch.Interval{in(180, 240)}},
		"nothing: no whole hour":                            {batch.Backfill{StartAt: new(at(0)), EndAt: new(at(59))}, nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, slices.Collect(tt.backfill.Intervals(hourly, tt.cursor, now)))
		})
	}
}

// TestAnOutlookIsWhatTheIntervalsSay compares the quick way of Look with asking each interval.
func TestAnOutlookIsWhatTheIntervalsSay(t *testing.T) {
	t.Parallel()
	hourly, err := batch.NewCalendar(batch.Hourly, "UTC", nil, nil)
	require.NoError(t, err)
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	at := func(t *rapid.T, label string, least, most int) time.Time {
		return day.Add(time.Duration(rapid.IntRange(least, most).Draw(t, label)) * 30 * time.Minute)
	}
	rapid.Check(t, func(t *rapid.T) {
		start := at(t, "start", 0, 10)
		end := at(t, "end", 11, 30)
		b := batch.Backfill{StartAt: &start, EndAt: &end, SkipDelivered: rapid.Bool().Draw(t, "skip")}
		var deliveries []batch.Interval
		for range rapid.IntRange(0, 12).Draw(t, "deliveries") {
			i := batch.Interval{Start: at(t, "from", -4, 32)}
			i.End = i.Start.Add(time.Duration(rapid.IntRange(1, 8).Draw(t, "length")) * 30 * time.Minute)
			if rapid.IntRange(0, 9).Draw(t, "from the beginning") == 0 {
				i.Start = time.Time{}
			}
			deliveries = append(deliveries, i)
		}
		o := b.Look(hourly, batch.NewDelivered(deliveries), time.Time{}, end)

		var runs, delivered, skipped int64
		foreign := map[batch.Interval]bool{}
		for i := range b.Intervals(hourly, nil, end) {
			has := has(deliveries, i)
			if has {
				delivered++
			}
			if has && b.SkipDelivered {
				skipped++
				continue
			}
			runs++
			for _, d := range deliveries {
				if d.Overlaps(i) && !d.Equal(i) {
					foreign[d] = true
				}
			}
		}
		require.Equal(t, []int64{runs, delivered, skipped, int64(len(foreign))}, []int64{o.Runs, o.Delivered, o.Skipped, o.Overlapping})
		beyond := false
		for d := range foreign {
			beyond = beyond || d.End.After(o.Range.End) || d.Start.Before(o.Range.Start) && !d.Start.IsZero()
		}
		require.Equal(t, beyond, o.Beyond != nil)
		require.Equal(t, len(foreign) == 0, o.Check(false) == nil)
		require.Equal(t, !beyond, o.Check(true) == nil)
	})
}

// has asks minute by minute whether the interval's time was delivered; exactly it counts, too.
func has(deliveries []batch.Interval, i batch.Interval) bool {
	if slices.ContainsFunc(deliveries, i.Equal) {
		return true
	}
	for at := i.Start; at.Before(i.End); at = at.Add(time.Minute) {
		if !slices.ContainsFunc(deliveries, func(d batch.Interval) bool { return d.Contains(at) }) {
			return false
		}
	}
	return true
}

func TestReplacingWhatReachesBackToTheBeginning(t *testing.T) {
	t.Parallel()
	hourly, err := batch.NewCalendar(batch.Hourly, "UTC", nil, nil)
	require.NoError(t, err)
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	b := batch.Backfill{StartAt: new(day.Add(2 * time.Hour)), EndAt: new(day.Add(9 * time.Hour)), Replace: true}
	delivered := batch.NewDelivered([]batch.Interval{{End: day.Add(5 * time.Hour)}})
	for name, tt := range map[string]struct {
		earliest time.Time
		refused  bool
	}{
		"the earliest row is not known":    {time.Time{}, false},
		"it lies in the range":             {day.Add(3 * time.Hour), false},
		"it lies before: it would be lost": {day, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := b.Look(hourly, delivered, tt.earliest, day).Check(true)
			if tt.refused {
				require.Equal(t, batch.CodeOverlap, batch.CodeOf(err))
				return
			}
			require.NoError(t, err)
		})
	}
}
