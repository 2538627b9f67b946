package batch_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tranche/batch"
)

// Intervals tile time around every clock change of every zone, at the hours that the change touches.
func TestCalendarTilesTimeAcrossEveryClockChange(t *testing.T) {
	t.Parallel()
	all := zones(t)
	const shares = 8
	for share := range shares {
		t.Run(fmt.Sprintf("share %d", share), func(t *testing.T) {
			t.Parallel()
			var changes int
			for i := share; i < len(all); i += shares {
				z, known := all[i], map[string]batch.Calendar{}
				for i := 1; i < len(z.segments); i++ {
					// Behind the tables of the zones, one rule repeats itself; 7 changes are not a whole number of years.
					if i%7 == 0 || z.segments[i].start.Year() < 2045 && !testing.Short() {
						tilesAcross(t, z, known, z.segments[i-1], z.segments[i])
						changes++
					}
				}
			}
			require.Greater(t, changes, 500)
		})
	}
}

// The last day of a leap year is one on which Go's own bounds of an offset are wrong.
func TestCalendarTilesTimeAcrossTheEndOfLeapYears(t *testing.T) {
	t.Parallel()
	for _, z := range zones(t) {
		c := calendar(t, batch.Daily, z.location.String(), nil, nil)
		for year := 1996; year < 2100; year += 8 {
			tiles(t, z, c, time.Date(year, 12, 30, 0, 0, 0, 0, time.UTC), 4)
		}
	}
}

// tilesAcross checks daily and weekly calendars around the change between two segments. Calendars are kept in known:
// loading a zone costs more than checking it.
func tilesAcross(t *testing.T, z zone, known map[string]batch.Calendar, before, after segment) {
	t.Helper()
	local := func(f batch.Frequency, day *int, hour int) batch.Calendar {
		key := fmt.Sprint(f, hour)
		if day != nil {
			key += fmt.Sprint(" ", *day)
		}
		c, ok := known[key]
		if !ok {
			c = calendar(t, f, z.location.String(), day, &hour)
			known[key] = c
		}
		return c
	}
	was, is := after.start.UTC().Add(before.offset), after.start.UTC().Add(after.offset)
	hours := []int{was.Hour(), is.Hour(), was.Add(-time.Second).Hour(), is.Add(-time.Second).Hour()}
	slices.Sort(hours)
	for _, hour := range slices.Compact(hours) {
		tiles(t, z, local(batch.Daily, nil, hour), after.start.Add(-30*time.Hour), 3)
	}
	day := int(was.Weekday())
	tiles(t, z, local(batch.Weekly, &day, was.Hour()), after.start.Add(-8*24*time.Hour), 2)
}

// Any calendar tiles any stretch of time, and its methods agree with each other.
func TestCalendarTilesTime(t *testing.T) {
	t.Parallel()
	all := zones(t)
	rapid.Check(t, func(r *rapid.T) {
		z := rapid.SampledFrom(all).Draw(r, "zone")
		tiles(r, z, drawCalendar(r, z), drawInstant(r, "from"), 6)
	})
}

// Count is the number of intervals that Within yields, and they fill what Within is asked for but for the ends.
func TestCalendarCountsWhatItYields(t *testing.T) {
	t.Parallel()
	all := zones(t)
	rapid.Check(t, func(r *rapid.T) {
		c := drawCalendar(r, rapid.SampledFrom(all).Draw(r, "zone"))
		start := drawInstant(r, "start")
		end := start.Add(time.Duration(rapid.Int64Range(-3, 40).Draw(r, "intervals")) * c.Frequency().Nominal()).
			Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(r, "beside")))
		got := slices.Collect(c.Within(start, end))
		require.Equal(r, c.Count(start, end), int64(len(got)))
		if len(got) == 0 {
			first := c.Containing(c.Ceil(start))
			require.True(r, first.End.After(end), "%s lies between %s and %s", first, start, end)
			return
		}
		require.Equal(r, c.Ceil(start), got[0].Start)
		require.Equal(r, c.Floor(end), got[len(got)-1].End)
		for i := 1; i < len(got); i++ {
			require.Equal(r, got[i-1].End, got[i].Start)
		}
	})
}

// Boundaries of an hour or less are multiples of their length since the epoch, whatever the zone.
func TestCalendarAlignsHoursToTheEpoch(t *testing.T) {
	t.Parallel()
	all := zones(t)
	rapid.Check(t, func(r *rapid.T) {
		frequency := rapid.SampledFrom(epochFrequencies).Draw(r, "frequency")
		c, err := batch.NewCalendar(frequency, rapid.SampledFrom(all).Draw(r, "zone").location.String(), nil, nil)
		require.NoError(r, err)
		at := drawInstant(r, "at")
		interval := c.Containing(at)
		require.Zero(r, interval.Start.Unix()%int64(frequency.Nominal()/time.Second))
		require.Equal(r, frequency.Nominal(), interval.Duration())
		require.True(r, interval.Contains(at))
	})
}

// tiles walks over intervals from the one in which from lies, and checks each in every way that a calendar can be asked.
func tiles(t require.TestingT, z zone, c batch.Calendar, from time.Time, intervals int) {
	start := c.Floor(from)
	for range intervals {
		end := c.Next(start)
		want := batch.Interval{Start: start, End: end}
		middle := start.Add(end.Sub(start) / 2)
		last := end.Add(-time.Nanosecond)
		// One comparison instead of one call of require for each: there are hundreds of thousands of intervals.
		agree := start.Before(end) &&
			c.Aligned(start) && c.Aligned(end) && !c.Aligned(last) &&
			c.Floor(middle).Equal(start) && c.Floor(last).Equal(start) &&
			c.Next(middle).Equal(end) && c.Next(last).Equal(end) &&
			c.Ceil(start).Equal(start) && c.Ceil(last).Equal(end) &&
			c.Containing(start) == want && c.Containing(last) == want &&
			c.Before(end) == want && c.LastComplete(end) == want
		if !agree {
			require.Fail(t, "the calendar disagrees with itself", "%s, interval %s", c, want)
		}
		if c.Frequency().InLocalTime() && !saysTheHour(z, c, start) {
			require.Fail(t, "not a boundary by the local clock", "%s, %s, local %s", c, start, start.In(z.location))
		}
		start = end
	}
}

// saysTheHour checks a boundary by the local clock: it shows the calendar's hour, for the first time if it does so
// twice, or the clocks left that hour out.
func saysTheHour(z zone, c batch.Calendar, boundary time.Time) bool {
	// Where clocks left the hour out, the boundary may lie on one of the following days.
	local := boundary.In(z.location)
	for back := range 3 {
		wall := time.Date(local.Year(), local.Month(), local.Day()-back, c.Hour(), 0, 0, 0, time.UTC)
		if c.Frequency() == batch.Weekly && wall.Weekday() != c.Weekday() {
			continue
		}
		if z.instantOf(wall).Equal(boundary) {
			return c.At(wall.Date()).Equal(boundary)
		}
	}
	return false
}

// epochFrequencies are those whose boundaries know no zone.
var epochFrequencies = []batch.Frequency{
	batch.Hourly, batch.Every5Minutes, batch.Every15Minutes,
	"every 1 minutes", "every 2 minutes", "every 3 minutes", "every 4 minutes", "every 6 minutes", "every 10 minutes",
	"every 12 minutes", "every 20 minutes", "every 30 minutes", "every 60 minutes",
}

// drawCalendar draws any calendar in the zone; days and weeks are as likely as all the others together.
func drawCalendar(r *rapid.T, z zone) batch.Calendar {
	local := []batch.Frequency{batch.Daily, batch.Weekly}
	frequency := rapid.OneOf(rapid.SampledFrom(local), rapid.SampledFrom(epochFrequencies)).Draw(r, "frequency")
	var day, hour *int
	if frequency.InLocalTime() {
		hour = rapid.Ptr(rapid.IntRange(0, 23), true).Draw(r, "hour")
	}
	if frequency == batch.Weekly {
		day = rapid.Ptr(rapid.IntRange(0, 6), true).Draw(r, "day")
	}
	c, err := batch.NewCalendar(frequency, z.location.String(), day, hour)
	require.NoError(r, err)
	return c
}

// drawInstant draws an instant to the nanosecond.
func drawInstant(r *rapid.T, label string) time.Time {
	seconds := rapid.Int64Range(firstInstant.Unix(), lastInstant.Unix()-1).Draw(r, label)
	return time.Unix(seconds, rapid.Int64Range(0, 999_999_999).Draw(r, label+", nanoseconds")).UTC()
}
