package batch

import (
	"iter"
	"time"

	"github.com/google/uuid"
)

// A Span is a time in which an export was active — neither paused nor deleted — under one calendar. An interval is due
// when its end lies in a span. Spans are what tells an interval that nobody delivered from one that was never due.
type Span struct {
	ExportID uuid.UUID
	TeamID   int64
	// Revision of the definition that began the span.
	Revision int64

	StartedAt time.Time
	EndedAt   *time.Time // nil = it goes on

	// Frequency, Timezone, OffsetDay and OffsetHour make the calendar.
	Frequency  Frequency
	Timezone   string
	OffsetDay  *int
	OffsetHour *int
	// FirstInterval is the first interval after a change of the calendar; nil = there was none.
	FirstInterval *Interval
	// StartAt and EndAt are the bounds of the schedule; nil = none.
	StartAt *time.Time
	EndAt   *time.Time

	// SettledUntil is the end of the last interval of which is known that somebody saw to it.
	SettledUntil time.Time
	// CheckAt is when to look for intervals that nobody sees to; nil = never again.
	CheckAt *time.Time
}

// Calendar returns the span's calendar.
func (s Span) Calendar() (Calendar, error) {
	return NewCalendar(s.Frequency, s.Timezone, s.OffsetDay, s.OffsetHour)
}

// Covers says whether an interval that ends at end is due in the span, given that end is a boundary.
func (s Span) Covers(end time.Time) bool {
	switch {
	case !end.After(s.StartedAt), s.EndedAt != nil && end.After(*s.EndedAt):
		return false
	case s.StartAt != nil && end.Before(*s.StartAt), s.EndAt != nil && end.After(*s.EndAt):
		return false
	}
	// What ends before the first interval after a change of the calendar does is a part of that one.
	return s.FirstInterval == nil || !s.FirstInterval.Contains(end) || end.Equal(s.FirstInterval.Start)
}

// Ending returns the interval of the span that ends at end; false when there is none.
func (s Span) Ending(end time.Time) (Interval, bool) {
	calendar, err := s.Calendar()
	if err != nil || !s.Covers(end) || !calendar.Aligned(end) {
		return Interval{}, false
	}
	return s.ending(calendar, end), true
}

func (s Span) ending(calendar Calendar, end time.Time) Interval {
	if s.FirstInterval != nil && s.FirstInterval.End.Equal(end) {
		return s.FirstInterval.UTC()
	}
	return calendar.Before(end)
}

// Due yields the intervals of the span that end after after, and not after until, oldest first.
func (s Span) Due(after, until time.Time) iter.Seq[Interval] {
	return func(yield func(Interval) bool) {
		calendar, err := s.Calendar()
		if err != nil {
			return // an export is never stored with a calendar that cannot be
		}
		end, ok := s.next(calendar, after)
		for ok && !end.After(until) && yield(s.ending(calendar, end)) {
			end, ok = s.next(calendar, end)
		}
	}
}

// Next returns the end of the first interval of the span that ends after after; false when there is none.
func (s Span) Next(after time.Time) (time.Time, bool) {
	calendar, err := s.Calendar()
	if err != nil {
		return time.Time{}, false
	}
	return s.next(calendar, after)
}

func (s Span) next(calendar Calendar, after time.Time) (time.Time, bool) {
	if after.Before(s.StartedAt) {
		after = s.StartedAt
	}
	if first := s.FirstInterval; first != nil && first.Contains(after) {
		after = first.End.Add(-time.Nanosecond)
	}
	if s.StartAt != nil && after.Before(*s.StartAt) {
		after = s.StartAt.Add(-time.Nanosecond)
	}
	end := calendar.Next(after)
	return end, s.Covers(end)
}

// SpanOf returns the span that the definition begins at start; nil when the export is paused or deleted.
func SpanOf(e Export, start time.Time) *Span {
	if e.Paused || e.Deleted {
		return nil
	}
	s := &Span{
		ExportID: e.ID, TeamID: e.TeamID, Revision: e.Revision, StartedAt: start,
		Frequency: e.Frequency, Timezone: e.Timezone, OffsetDay: e.OffsetDay, OffsetHour: e.OffsetHour,
		FirstInterval: e.FirstInterval, StartAt: e.StartAt, EndAt: e.EndAt, SettledUntil: start,
	}
	s.CheckAt = s.Overdue(start, 0)
	return s
}

// Overdue returns when the first interval that ends after settled should have been begun by the schedule, and grace more;
// nil when there will be none.
func (s Span) Overdue(settled time.Time, grace time.Duration) *time.Time {
	end, ok := s.Next(settled)
	if !ok {
		return nil
	}
	at := end.Add(s.Frequency.Jitter() + grace).UTC()
	return &at
}
