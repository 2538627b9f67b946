package batch_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tranche/batch"
)

func plain(t require.TestingT, f batch.Frequency, zone string) batch.Calendar {
	c, err := batch.NewCalendar(f, zone, nil, nil)
	require.NoError(t, err)
	return c
}

// take returns the intervals from start that end no later than end.
func take(timeline batch.Timeline, start, end time.Time) []batch.Interval {
	var taken []batch.Interval
	for i := range timeline.From(start) {
		if i.End.After(end) {
			break
		}
		taken = append(taken, i)
	}
	return taken
}

func TestATimelineWithoutChangesIsItsCalendar(t *testing.T) {
	t.Parallel()
	c := plain(t, batch.Daily, "Europe/Berlin")
	start, end := instant(t, "2026-03-27T12:00:00Z"), instant(t, "2026-04-01T00:00:00Z")
	var want []batch.Interval
	for i := range c.Within(c.Floor(start), end) {
		want = append(want, i)
	}
	require.Equal(t, want, take(batch.NewTimeline(c), start, end))
	require.Len(t, want, 5)
}

func TestATimelineJoinsItsCalendars(t *testing.T) {
	t.Parallel()
	hour, day, week := plain(t, batch.Hourly, "UTC"), plain(t, batch.Daily, "UTC"), plain(t, batch.Weekly, "UTC")
	timeline := batch.NewTimeline(hour).
		Change(instant(t, "2026-07-28T21:30:00Z"), day).
		Change(instant(t, "2026-07-28T22:30:00Z"), week). // before the day that joins was over
		Change(instant(t, "2026-08-04T05:10:00Z"), week). // no change
		Change(instant(t, "2026-08-04T05:10:00Z"), hour)
	got := take(timeline, instant(t, "2026-07-28T19:59:00Z"), instant(t, "2026-08-04T07:00:00Z"))
	bounds := []string{
		"2026-07-28T19:00:00Z", "2026-07-28T20:00:00Z", "2026-07-28T21:00:00Z", // hours
		"2026-08-02T00:00:00Z", // to the first Sunday
		"2026-08-04T06:00:00Z", // the week was not over
		"2026-08-04T07:00:00Z",
	}
	require.Len(t, got, len(bounds)-1)
	for n, i := range got {
		require.Equal(t, batch.Interval{Start: instant(t, bounds[n]), End: instant(t, bounds[n+1])}, i)
	}
	joint := instant(t, "2026-07-30T00:00:00Z")
	require.Equal(t, got[2:], take(timeline, joint, instant(t, "2026-08-04T07:00:00Z")), "the interval in which the start lies comes first")
}

func TestATimelineTilesTimeWhateverChanges(t *testing.T) {
	t.Parallel()
	frequencies := []batch.Frequency{batch.Every5Minutes, batch.Hourly, batch.Daily, batch.Weekly}
	zones := []string{"UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York"}
	origin := instant(t, "2026-03-01T00:00:00Z")
	rapid.Check(t, func(t *rapid.T) {
		any := func(label string) batch.Calendar {
			return plain(t, rapid.SampledFrom(frequencies).Draw(t, label), rapid.SampledFrom(zones).Draw(t, label+" zone"))
		}
		timeline, at := batch.NewTimeline(any("first")), origin
		for range rapid.IntRange(0, 5).Draw(t, "changes") {
			at = at.Add(time.Duration(rapid.IntRange(0, 20*24*60).Draw(t, "minutes")) * time.Minute)
			timeline = timeline.Change(at, any("next"))
		}
		start := origin.Add(time.Duration(rapid.IntRange(-10_000, 100_000).Draw(t, "start")) * time.Minute)
		previous, n := batch.Interval{}, 0
		for i := range timeline.From(start) {
			require.True(t, i.Start.Before(i.End), "%s is empty", i)
			if n == 0 {
				require.True(t, i.Contains(start), "%s does not contain %s", i, start)
			} else {
				require.True(t, previous.End.Equal(i.Start), "%s does not adjoin %s", i, previous)
			}
			require.LessOrEqual(t, i.Duration(), 15*24*time.Hour)
			previous = i
			if n++; n == 400 {
				break
			}
		}
	})
}

func TestATimelineOfAnExportGoesByItsFirstInterval(t *testing.T) {
	t.Parallel()
	joint := batch.Interval{Start: instant(t, "2026-07-28T21:00:00Z"), End: instant(t, "2026-07-29T00:00:00Z")}
	e := batch.Export{Frequency: batch.Daily, Timezone: "UTC", FirstInterval: &joint}
	hour := plain(t, batch.Hourly, "UTC")
	timeline, err := batch.TimelineOf([]batch.PastCalendar{
		{Calendar: hour, Until: instant(t, "2026-07-28T20:00:00Z")}, // a change of something else
		{Calendar: hour, Until: instant(t, "2026-07-28T22:00:00Z")}, // noted after the hour was over, made before
	}, e)
	require.NoError(t, err)
	got := take(timeline, instant(t, "2026-07-28T20:00:00Z"), instant(t, "2026-07-30T00:00:00Z"))
	require.Equal(t, []batch.Interval{
		{Start: instant(t, "2026-07-28T20:00:00Z"), End: joint.Start},
		joint,
		{Start: joint.End, End: instant(t, "2026-07-30T00:00:00Z")},
	}, got)
}
