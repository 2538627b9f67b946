package batch

import (
	"fmt"
	"time"
)

// An Interval is the half-open range of time [Start, End) whose rows one run delivers. Both ends are UTC.
// A zero Start means "from the beginning".
type Interval struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Contains says whether t lies in the interval.
func (i Interval) Contains(t time.Time) bool {
	return !t.Before(i.Start) && t.Before(i.End)
}

// Overlaps says whether the two intervals have an instant in common.
func (i Interval) Overlaps(other Interval) bool {
	return i.Start.Before(other.End) && other.Start.Before(i.End)
}

// Duration is the real time that the interval spans: a local day is 23 or 25 hours long when the clocks change.
func (i Interval) Duration() time.Duration { return i.End.Sub(i.Start) }

// Equal compares instants, not representations.
func (i Interval) Equal(other Interval) bool {
	return i.Start.Equal(other.Start) && i.End.Equal(other.End)
}

// UTC returns the interval with both ends in UTC.
func (i Interval) UTC() Interval { return Interval{Start: i.Start.UTC(), End: i.End.UTC()} }

// String is for logs: both ends in RFC 3339, an open start as START.
func (i Interval) String() string {
	start := "START"
	if !i.Start.IsZero() {
		start = i.Start.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprintf("%s - %s", start, i.End.UTC().Format(time.RFC3339Nano))
}
