package batch

import (
	"fmt"
	"iter"
	"path"
	"strings"
	"time"
	_ "time/tzdata" // zones for machines that have none
)

// A Calendar cuts time into an export's intervals. It is the only place that does interval arithmetic.
//
// Boundaries of an hour or less are aligned to the Unix epoch and know no zone. Boundaries of a day or a week are a
// local time of the export's zone. A local time that a clock change removes is read with the offset from before the
// change (02:30 becomes 03:30); one that it repeats means its first occurrence. So the intervals of a calendar tile
// time: each ends where the next one starts, and none is empty.
type Calendar struct {
	frequency Frequency
	location  *time.Location
	day       time.Weekday
	hour      int
}

// NewCalendar makes a calendar. Errors are an *Error with CodeConfig. Nil offsets mean Sunday and midnight.
func NewCalendar(f Frequency, timezone string, offsetDay, offsetHour *int) (Calendar, error) {
	if _, ok := ParseFrequency(string(f)); !ok {
		return Calendar{}, Errorf(CodeConfig, nil, "%q is not an interval", f)
	}
	location, err := LoadLocation(timezone)
	if err != nil {
		return Calendar{}, err
	}
	c := Calendar{frequency: f, location: location}
	if offsetDay != nil {
		if f != Weekly || *offsetDay < 0 || *offsetDay > 6 {
			return Calendar{}, Errorf(CodeConfig, nil, "offset_day %d is not applicable", *offsetDay)
		}
		c.day = time.Weekday(*offsetDay)
	}
	if offsetHour != nil {
		if !f.InLocalTime() || *offsetHour < 0 || *offsetHour > 23 {
			return Calendar{}, Errorf(CodeConfig, nil, "offset_hour %d is not applicable", *offsetHour)
		}
		c.hour = *offsetHour
	}
	return c, nil
}

// LoadLocation loads an IANA zone. Names that mean something else on every machine are refused.
func LoadLocation(name string) (*time.Location, error) {
	if dependsOnMachine(name) {
		return nil, Errorf(CodeConfig, nil, "%q is not a time zone", name)
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil, Errorf(CodeConfig, err, "%q is not a time zone", name)
	}
	return location, nil
}

// dependsOnMachine says whether name is the machine's own zone, a path to one that only a file system takes, or a file that
// only some machines keep beside the zones. Those below right/ count leap seconds, which would move every boundary.
func dependsOnMachine(name string) bool {
	switch name {
	case "", "Local", "localtime", "posixrules":
		return true
	}
	if path.Clean(name) != name {
		return true
	}
	return strings.HasPrefix(name, "right/") || strings.HasPrefix(name, "posix/")
}

// Frequency returns the calendar's frequency.
func (c Calendar) Frequency() Frequency { return c.frequency }

// Location returns the zone of local boundaries.
func (c Calendar) Location() *time.Location { return c.location }

// Weekday is the local day on which weekly intervals start.
func (c Calendar) Weekday() time.Weekday { return c.day }

// Hour is the local hour at which daily and weekly intervals start.
func (c Calendar) Hour() int { return c.hour }

// Floor returns the latest boundary that is not after t.
func (c Calendar) Floor(t time.Time) time.Time {
	if !c.frequency.InLocalTime() {
		return floorToEpoch(t, c.frequency.Nominal())
	}
	// The boundary of t's own local day can lie after t, and a boundary that a clock change moved forward can lie on
	// the following day: start one period late and walk back.
	d := c.dayOf(t.In(c.location)).add(c.period())
	for {
		if b := c.boundary(d); !b.After(t) {
			return b
		}
		d = d.add(-c.period())
	}
}

// Next returns the earliest boundary after t.
func (c Calendar) Next(t time.Time) time.Time {
	if !c.frequency.InLocalTime() {
		return floorToEpoch(t, c.frequency.Nominal()).Add(c.frequency.Nominal())
	}
	d := c.dayOf(t.In(c.location)).add(-c.period())
	for {
		if b := c.boundary(d); b.After(t) {
			return b
		}
		d = d.add(c.period())
	}
}

// Ceil returns the earliest boundary that is not before t.
func (c Calendar) Ceil(t time.Time) time.Time {
	if c.Aligned(t) {
		return t.UTC()
	}
	return c.Next(t)
}

// Aligned says whether t is a boundary.
func (c Calendar) Aligned(t time.Time) bool { return c.Floor(t).Equal(t) }

// Repeats says whether the local clock of a daily or weekly calendar shows t's time for the second time, and on the minute:
// schedulers that do not know better fire then although no boundary is there.
func (c Calendar) Repeats(t time.Time) bool {
	local := t.In(c.location)
	change, _ := local.ZoneBounds()
	if !c.frequency.InLocalTime() || change.IsZero() || local.Second() != 0 || local.Nanosecond() != 0 {
		return false
	}
	_, before := change.Add(-time.Second).Zone()
	_, after := local.Zone()
	return t.Sub(change) < time.Duration(before-after)*time.Second
}

// Before returns the interval that ends at the boundary end.
func (c Calendar) Before(end time.Time) Interval {
	return Interval{Start: c.Floor(end.Add(-time.Nanosecond)), End: end.UTC()}
}

// Containing returns the interval in which t lies.
func (c Calendar) Containing(t time.Time) Interval {
	start := c.Floor(t)
	return Interval{Start: start, End: c.Next(start)}
}

// LastComplete returns the newest interval that is over at now.
func (c Calendar) LastComplete(now time.Time) Interval { return c.Before(c.Floor(now)) }

// Within yields, oldest first, the intervals from the first boundary that is not before start; a last one that would
// end after end is left out.
func (c Calendar) Within(start, end time.Time) iter.Seq[Interval] {
	return func(yield func(Interval) bool) {
		for from := c.Ceil(start); ; {
			to := c.Next(from)
			if to.After(end) || !yield(Interval{Start: from, End: to}) {
				return
			}
			from = to
		}
	}
}

// Backwards yields what Within yields, newest first.
func (c Calendar) Backwards(start, end time.Time) iter.Seq[Interval] {
	return func(yield func(Interval) bool) {
		first := c.Ceil(start)
		for to := c.Floor(end); to.After(first); {
			i := c.Before(to)
			if i.Start.Before(first) || !yield(i) {
				return
			}
			to = i.Start
		}
	}
}

// Count returns how many intervals Within yields.
func (c Calendar) Count(start, end time.Time) int64 {
	if !c.frequency.InLocalTime() {
		// In seconds, because a Duration ends after 292 years.
		seconds := c.Floor(end).Unix() - c.Ceil(start).Unix()
		return max(0, seconds/int64(c.frequency.Nominal()/time.Second))
	}
	var n int64
	for range c.Within(start, end) {
		n++
	}
	return n
}

// At returns the boundary of a local date, as backfills of daily and weekly exports name their bounds.
func (c Calendar) At(year int, month time.Month, day int) time.Time {
	return c.boundary(date{year, month, day})
}

// String describes the calendar for logs.
func (c Calendar) String() string {
	switch c.frequency {
	case Daily:
		return fmt.Sprintf("day at %02d:00 %s", c.hour, c.location)
	case Weekly:
		return fmt.Sprintf("week on %s at %02d:00 %s", c.day, c.hour, c.location)
	}
	return string(c.frequency)
}

// A date is a local calendar day, without a zone.
type date struct {
	year  int
	month time.Month
	day   int
}

// add moves the date by whole days; time.Date normalises.
func (d date) add(days int) date {
	t := time.Date(d.year, d.month, d.day+days, 12, 0, 0, 0, time.UTC)
	return date{t.Year(), t.Month(), t.Day()}
}

// period is the number of local days in an interval.
func (c Calendar) period() int {
	if c.frequency == Weekly {
		return 7
	}
	return 1
}

// dayOf returns the local day on which an interval starts that may contain the local time t.
func (c Calendar) dayOf(t time.Time) date {
	d := date{t.Year(), t.Month(), t.Day()}
	if c.frequency == Weekly {
		d = d.add(-int((t.Weekday() - c.day + 7) % 7))
	}
	return d
}

// boundary is the instant of the calendar's hour on the local day d.
func (c Calendar) boundary(d date) time.Time {
	return resolve(time.Date(d.year, d.month, d.day, c.hour, 0, 0, 0, time.UTC), c.location)
}

// resolve turns a local time, given as if it were UTC, into an instant, by the rule in the doc of Calendar.
func resolve(local time.Time, location *time.Location) time.Time {
	// No offset in the tz database is beyond 16 hours, so the search starts in a segment that is surely too early.
	t := local.Add(-26 * time.Hour).In(location)
	for {
		_, offset := t.Zone()
		instant := local.Add(-time.Duration(offset) * time.Second)
		end := changeAfter(t)
		if end.IsZero() || instant.Before(end) {
			return instant
		}
		_, after := end.Zone()
		if local.Add(-time.Duration(after) * time.Second).Before(end) {
			return instant // the change removed this local time
		}
		t = end
	}
}

// changeAfter returns the end of the segment of one offset in which t lies, or an instant before that end; zero means
// that there is no end.
func changeAfter(t time.Time) time.Time {
	_, end := t.ZoneBounds()
	if end.IsZero() || end.After(t) {
		return end
	}
	// ZoneBounds takes every year of a zone's standing rule for 365 days long, so on the last day of a leap year it
	// returns an instant that is past, for ever. The rule itself goes on to the end of the year.
	return time.Date(t.UTC().Year()+1, time.January, 1, 0, 0, 0, 0, time.UTC).In(t.Location())
}

// floorToEpoch rounds down to a multiple of step since the Unix epoch, before it too.
func floorToEpoch(t time.Time, step time.Duration) time.Time {
	seconds, every := t.Unix(), int64(step/time.Second)
	remainder := seconds % every
	if remainder < 0 {
		remainder += every
	}
	return time.Unix(seconds-remainder, 0).UTC()
}
