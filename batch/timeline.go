package batch

import (
	"iter"
	"time"
)

// A Timeline is what an export's schedule cuts time into, over all changes of its calendar. Before the first change
// and before the export was made, it is cut as the first calendar says.
type Timeline struct {
	spans []timelineSpan
}

// A timelineSpan is the time of one calendar. It begins with the interval that joins it to the one before.
type timelineSpan struct {
	joint    *Interval // nil = the calendar has always been
	calendar Calendar
}

// A PastCalendar is one that an export had until a change.
type PastCalendar struct {
	Calendar Calendar
	Until    time.Time
}

// TimelineOf makes the timeline of an export that had other calendars before, oldest first.
func TimelineOf(past []PastCalendar, e Export) (Timeline, error) {
	now, err := e.Calendar()
	if err != nil {
		return Timeline{}, err
	}
	if len(past) == 0 {
		return NewTimeline(now), nil
	}
	t := NewTimeline(past[0].Calendar)
	for n := range past {
		after := now
		if n+1 < len(past) {
			after = past[n+1].Calendar
		}
		t = t.Change(past[n].Until, after)
	}
	if last := len(t.spans) - 1; last > 0 && e.FirstInterval != nil { // it is what the schedule went by
		t = Timeline{spans: t.spans[:last]}.join(*e.FirstInterval, now)
	}
	return t, nil
}

// NewTimeline makes the timeline of an export whose calendar never changed.
func NewTimeline(c Calendar) Timeline { return Timeline{spans: []timelineSpan{{calendar: c}}} }

// Change returns the timeline with another calendar from the time at on. A change to the same calendar is none.
func (t Timeline) Change(at time.Time, after Calendar) Timeline {
	last := t.spans[len(t.spans)-1]
	if after.String() == last.calendar.String() {
		return t
	}
	joint := FirstInterval(last.joint, last.calendar, after, at)
	return t.join(joint, after)
}

// join lets the calendar begin with the joint. A joint that was not over is replaced.
func (t Timeline) join(joint Interval, c Calendar) Timeline {
	kept := len(t.spans)
	for kept > 1 && !t.spans[kept-1].joint.Start.Before(joint.Start) {
		kept--
	}
	spans := append(t.spans[:kept:kept], timelineSpan{joint: &joint, calendar: c})
	return Timeline{spans: spans}
}

// FirstInterval joins two calendars at a change: from the end of the last interval that was due before to the first
// boundary after. Pending is the first interval of the calendar before, if it has one: if it is not due yet, it was
// never begun, and the new one starts where it would have.
func FirstInterval(pending *Interval, before, after Calendar, at time.Time) Interval {
	start := before.Floor(at)
	if pending != nil && at.Before(pending.End) {
		start = pending.Start
	}
	return Interval{Start: start.UTC(), End: after.Next(at).UTC()}
}

// From yields the intervals in order, without end: first the one in which start lies.
func (t Timeline) From(start time.Time) iter.Seq[Interval] {
	return func(yield func(Interval) bool) {
		n := len(t.spans) - 1
		for n > 0 && start.Before(t.spans[n].joint.Start) {
			n--
		}
		i := t.containing(n, start)
		for yield(i) {
			if n+1 < len(t.spans) && !i.End.Before(t.spans[n+1].joint.Start) {
				n++
				i = *t.spans[n].joint
				continue
			}
			i = t.cut(n, Interval{Start: i.End, End: t.spans[n].calendar.Next(i.End)})
		}
	}
}

// containing is the interval of span n in which at lies.
func (t Timeline) containing(n int, at time.Time) Interval {
	span := t.spans[n]
	if span.joint != nil && at.Before(span.joint.End) {
		return *span.joint
	}
	i := span.calendar.Containing(at)
	if span.joint != nil && i.Start.Before(span.joint.End) {
		i.Start = span.joint.End
	}
	return t.cut(n, i)
}

// cut ends an interval of span n where the next span begins.
func (t Timeline) cut(n int, i Interval) Interval {
	if n+1 < len(t.spans) && i.End.After(t.spans[n+1].joint.Start) {
		i.End = t.spans[n+1].joint.Start
	}
	return i
}
