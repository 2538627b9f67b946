package batch

import (
	"slices"
	"sort"
	"time"
)

// Delivered are the intervals of which an export has delivered a copy that is visible, for asking how others stand to
// them. Make one with NewDelivered.
type Delivered struct {
	intervals []Interval  // by start
	reach     []time.Time // the latest end of the intervals up to and including each
}

// NewDelivered takes the intervals in any order; they may overlap.
func NewDelivered(intervals []Interval) Delivered {
	d := Delivered{intervals: make([]Interval, len(intervals)), reach: make([]time.Time, len(intervals))}
	for n, i := range intervals {
		d.intervals[n] = i.UTC()
	}
	slices.SortFunc(d.intervals, func(a, b Interval) int {
		if byStart := a.Start.Compare(b.Start); byStart != 0 {
			return byStart
		}
		return a.End.Compare(b.End)
	})
	for n, i := range d.intervals {
		d.reach[n] = i.End
		if n > 0 && d.reach[n-1].After(i.End) {
			d.reach[n] = d.reach[n-1]
		}
	}
	return d
}

// Of says whether exactly the interval was delivered, and returns what else was that overlaps it, by start.
func (d Delivered) Of(i Interval) (exact bool, others []Interval) {
	n := sort.Search(len(d.intervals), func(n int) bool { return !d.intervals[n].Start.Before(i.End) })
	for n--; n >= 0 && d.reach[n].After(i.Start); n-- {
		switch other := d.intervals[n]; {
		case other.Equal(i):
			exact = true
		case other.Overlaps(i):
			others = append(others, other)
		}
	}
	slices.Reverse(others)
	return exact, others
}

// Has says whether the interval's whole time was delivered, at once or in parts.
func (d Delivered) Has(i Interval) bool {
	exact, others := d.Of(i)
	return exact || spanned(others, i)
}

// spanned says whether the intervals, which are ordered by start, leave nothing of i out.
func spanned(intervals []Interval, i Interval) bool {
	reached := i.Start
	for _, part := range intervals {
		if part.Start.After(reached) {
			return false
		}
		reached = later(reached, part.End)
	}
	return !reached.Before(i.End)
}
