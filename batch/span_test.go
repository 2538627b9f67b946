package batch_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tranche/batch"
)

// The intervals that are due are those of the calendar whose ends lie in the span and in the schedule's bounds.
func TestDueIntervalsAreThoseThatEndInTheSpan(t *testing.T) {
	t.Parallel()
	frequencies := []batch.Frequency{batch.Every15Minutes, batch.Hourly, batch.Daily, batch.Weekly}
	zones := []string{"UTC", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo", "America/New_York"}
	base := instant(t, "2026-01-01T00:00:00Z")
	rapid.Check(t, func(r *rapid.T) {
		draw := func(label string) time.Time {
			return base.Add(time.Duration(rapid.Int64Range(0, 400*24*60).Draw(r, label)) * time.Minute)
		}
		maybe := func(label string) *time.Time {
			if !rapid.Bool().Draw(r, label+"?") {
				return nil
			}
			at := draw(label)
			return &at
		}
		s := batch.Span{
			Frequency: rapid.SampledFrom(frequencies).Draw(r, "frequency"), Timezone: rapid.SampledFrom(zones).Draw(r, "zone"),
			StartedAt: draw("started"), EndedAt: maybe("ended"), StartAt: maybe("start"), EndAt: maybe("end"),
		}
		if s.Frequency.InLocalTime() {
			hour := rapid.IntRange(0, 23).Draw(r, "hour")
			s.OffsetHour = &hour
		}
		after, until := draw("after"), draw("until")
		if s.Frequency.SubHourly() {
			until = after.Add(time.Duration(rapid.IntRange(0, 3000).Draw(r, "minutes")) * time.Minute)
		}
		calendar, err := s.Calendar()
		require.NoError(r, err)
		var want []batch.Interval
		for i := range calendar.Within(calendar.Floor(after), until) {
			if i.End.After(after) && s.Covers(i.End) {
				want = append(want, i)
			}
		}
		got := slices.Collect(s.Due(after, until))
		require.Equal(r, want, got)
		for _, i := range got {
			found, ok := s.Ending(i.End)
			require.True(r, ok)
			require.Equal(r, i, found)
		}
		next, ok := s.Next(after)
		if len(got) > 0 {
			require.True(r, ok)
			require.Equal(r, got[0].End, next)
		}
	})
}

func TestWhatEndsBeforeTheFirstIntervalOfACalendarIsPartOfIt(t *testing.T) {
	t.Parallel()
	noon := instant(t, "2026-03-01T12:00:00Z")
	first := batch.Interval{Start: noon.Add(-12 * time.Hour), End: noon.Add(time.Hour)}
	s := batch.Span{Frequency: batch.Hourly, Timezone: "UTC", StartedAt: first.Start, FirstInterval: &first}
	got := slices.Collect(s.Due(first.Start, noon.Add(2*time.Hour)))
	require.Equal(t, []batch.Interval{first, {Start: first.End, End: first.End.Add(time.Hour)}}, got)
	_, ok := s.Ending(noon)
	require.False(t, ok)
}
