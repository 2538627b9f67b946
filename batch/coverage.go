package batch

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A CoverageStatus is what became of an interval.
type CoverageStatus string

// The statuses of an interval. What a reader sees at the destination decides first: an interval stays delivered while a
// later run of it works or fails.
const (
	CoverageDelivered CoverageStatus = "delivered" // its rows are visible
	CoverageEmpty     CoverageStatus = "empty"     // it was looked at and has no rows
	CoverageRunning   CoverageStatus = "running"   // a run or a backfill works on it, or its schedule is about to
	CoverageFailed    CoverageStatus = "failed"    // the newest run of it failed
	CoveragePaused    CoverageStatus = "paused"    // it fell due while the export was paused, and nobody delivered it since
	CoverageMissing   CoverageStatus = "missing"   // nobody delivered it
)

// CoverageStatuses lists every status.
var CoverageStatuses = []CoverageStatus{
	CoverageDelivered, CoverageEmpty, CoverageRunning, CoverageFailed, CoveragePaused, CoverageMissing,
}

// A Covered is one interval of an export's coverage.
type Covered struct {
	Interval Interval
	Status   CoverageStatus
	// Delivery is what is visible of it, without its objects; nil = nothing.
	Delivery *Delivery
	// Runs are the newest runs of it, newest first: of exactly the interval, or of a longer one that contains it.
	Runs []Run
	// Backfill is the one that is about to run it, if there is one.
	Backfill *uuid.UUID
	// Overlaps says that another delivered interval has some of the same time: it was delivered with another length.
	Overlaps bool
}

// Evidence is what is known of a range of an export's intervals.
type Evidence struct {
	Deliveries []Delivery
	Runs       []Run
	Open       []Backfill // that are under way
	// Void are ranges in which a backfill found no rows at all.
	Void []Interval
	// Paused are the spans in which the schedule did not start runs.
	Paused []Interval
	// Due is the latest end of an interval whose run should have begun by now.
	Due time.Time
}

// Cover says what became of the intervals, which are those of the export's timeline, in order and without gaps.
// Intervals that were delivered, or are worked on, with other bounds are in the answer too, in their place; those of
// the timeline that they make up for are left out.
func Cover(intervals []Interval, known Evidence) []Covered {
	c := newCover(intervals, known)
	for _, i := range intervals {
		if entry, ok := c.entry(i); ok {
			c.entries = append(c.entries, entry)
		}
	}
	for key, d := range c.deliveries {
		if !c.expected[key] {
			c.entries = append(c.entries, Covered{Interval: d.Interval, Status: deliveredStatus(d), Delivery: &d, Runs: c.runs[key]})
		}
	}
	for key, runs := range c.runs {
		_, delivered := c.deliveries[key]
		if !c.expected[key] && !delivered && isOpen(runs) {
			c.entries = append(c.entries, Covered{Interval: runs[0].Interval, Status: CoverageRunning, Runs: runs})
		}
	}
	slices.SortFunc(c.entries, func(a, b Covered) int {
		return cmp.Or(a.Interval.Start.Compare(b.Interval.Start), a.Interval.End.Compare(b.Interval.End))
	})
	markOverlaps(c.entries)
	return c.entries
}

// bounds are an interval as a key: time.Time cannot be one.
type bounds struct{ start, end int64 }

func boundsOf(i Interval) bounds { return bounds{i.Start.UnixMicro(), i.End.UnixMicro()} }

// A cover is the evidence, by interval.
type cover struct {
	known      Evidence
	expected   map[bounds]bool
	deliveries map[bounds]Delivery
	runs       map[bounds][]Run // newest first
	odd        []Run            // of intervals that are not expected, newest first
	visible    spans            // delivered
	certain    spans            // delivered or known to be without rows
	worked     spans            // or worked on
	entries    []Covered
}

func newCover(intervals []Interval, known Evidence) *cover {
	c := &cover{
		known: known, expected: make(map[bounds]bool, len(intervals)),
		deliveries: make(map[bounds]Delivery, len(known.Deliveries)), runs: make(map[bounds][]Run, len(known.Runs)),
	}
	for _, i := range intervals {
		c.expected[boundsOf(i)] = true
	}
	var visible, worked []Interval
	for _, d := range known.Deliveries {
		c.deliveries[boundsOf(d.Interval)] = d
		visible = append(visible, d.Interval)
	}
	slices.SortStableFunc(known.Runs, func(a, b Run) int { return b.CreatedAt.Compare(a.CreatedAt) })
	for _, r := range known.Runs {
		key := boundsOf(r.Interval)
		c.runs[key] = append(c.runs[key], r)
		if !r.Status.Final() {
			worked = append(worked, r.Interval)
		}
		if !c.expected[key] {
			c.odd = append(c.odd, r)
		}
	}
	c.visible = spansOf(visible)
	c.certain = spansOf(append(visible, known.Void...))
	c.worked = spansOf(append(append(worked, visible...), known.Void...))
	return c
}

// entry says what became of an interval of the timeline. It is not ok when what others delivered makes up for it.
func (c *cover) entry(i Interval) (entry Covered, ok bool) {
	entry = Covered{Interval: i, Runs: c.behind(i)}
	if d, ok := c.deliveries[boundsOf(i)]; ok {
		entry.Delivery, entry.Status = &d, deliveredStatus(d)
		return entry, true
	}
	backfill := c.backfillOf(i, entry.Runs)
	switch {
	case isOpen(entry.Runs):
		entry.Status = CoverageRunning
	case c.visible.contain(i):
		return Covered{}, false
	case c.certain.contain(i):
		entry.Status = CoverageEmpty
	case c.worked.contain(i):
		entry.Status = CoverageRunning
	case backfill != nil:
		entry.Status, entry.Backfill = CoverageRunning, backfill
	case len(entry.Runs) > 0 && entry.Runs[0].Status != RunCancelled:
		entry.Status = CoverageFailed
	case slices.ContainsFunc(c.known.Paused, func(p Interval) bool { return p.Contains(i.End) }):
		entry.Status = CoveragePaused
	case i.End.After(c.known.Due):
		entry.Status = CoverageRunning
	default:
		entry.Status = CoverageMissing
	}
	return entry, true
}

// behind are the runs of an interval, newest first.
func (c *cover) behind(i Interval) []Run {
	runs := c.runs[boundsOf(i)]
	for _, r := range c.odd {
		if !r.Interval.Start.After(i.Start) && !r.Interval.End.Before(i.End) {
			runs = append(runs[:len(runs):len(runs)], r)
		}
	}
	slices.SortStableFunc(runs, func(a, b Run) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return runs
}

// backfillOf is the open backfill that has not come to the interval yet.
func (c *cover) backfillOf(i Interval, runs []Run) *uuid.UUID {
	for _, b := range c.known.Open {
		from := b.AdjustedStartAt
		if from == nil {
			from = b.StartAt
		}
		if b.EndAt == nil || i.End.After(*b.EndAt) || from != nil && i.Start.Before(*from) {
			continue
		}
		done := slices.ContainsFunc(runs, func(r Run) bool {
			return r.Status.Final() && r.BackfillID != nil && *r.BackfillID == b.ID
		})
		if !done {
			return &b.ID
		}
	}
	return nil
}

func isOpen(runs []Run) bool {
	return slices.ContainsFunc(runs, func(r Run) bool { return !r.Status.Final() })
}

func deliveredStatus(d Delivery) CoverageStatus {
	if d.Rows == 0 {
		return CoverageEmpty
	}
	return CoverageDelivered
}

// markOverlaps marks the delivered entries that have time in common. They are in the order of their starts.
func markOverlaps(entries []Covered) {
	latest := -1 // of the delivered entries before, the one that ends last
	for n := range entries {
		if entries[n].Delivery == nil {
			continue
		}
		if latest >= 0 && entries[n].Interval.Overlaps(entries[latest].Interval) {
			entries[n].Overlaps, entries[latest].Overlaps = true, true
		}
		if latest < 0 || entries[n].Interval.End.After(entries[latest].Interval.End) {
			latest = n
		}
	}
}

// Gaps joins the intervals that nobody delivered or works on, failed or missing, and paused ones if they are wanted,
// into ranges without a hole.
func Gaps(entries []Covered, paused bool) [][]Interval {
	var gaps [][]Interval
	for _, e := range entries {
		wanted := e.Status == CoverageFailed || e.Status == CoverageMissing || paused && e.Status == CoveragePaused
		if !wanted {
			continue
		}
		last := len(gaps) - 1
		if last >= 0 && gaps[last][len(gaps[last])-1].End.Equal(e.Interval.Start) {
			gaps[last] = append(gaps[last], e.Interval)
			continue
		}
		gaps = append(gaps, []Interval{e.Interval})
	}
	return gaps
}

// Divide divides a range of adjoining intervals: the middle, which begins and ends on boundaries of the calendar, so
// that a backfill of it has no more and no less time; and the intervals before and after, which need runs of their own.
// Without a middle it is zero.
func (c Calendar) Divide(gap []Interval) (before []Interval, middle Interval, after []Interval) {
	first, last := 0, len(gap) // the middle is gap[first:last]
	for first < last && !c.Aligned(gap[first].Start) {
		first++
	}
	for last > first && !c.Aligned(gap[last-1].End) {
		last--
	}
	if first == last {
		return gap, Interval{}, nil
	}
	return gap[:first], Interval{Start: gap[first].Start, End: gap[last-1].End}, gap[last:]
}

// spans are disjoint ranges in order.
type spans []Interval

// spansOf unites intervals.
func spansOf(intervals []Interval) spans {
	sorted := slices.Clone(intervals)
	slices.SortFunc(sorted, func(a, b Interval) int { return a.Start.Compare(b.Start) })
	var united spans
	for _, i := range sorted {
		if last := len(united) - 1; last >= 0 && !i.Start.After(united[last].End) {
			if i.End.After(united[last].End) {
				united[last].End = i.End
			}
			continue
		}
		united = append(united, i)
	}
	return united
}

// contain says whether the interval lies wholly in one of the spans.
func (s spans) contain(i Interval) bool {
	n, found := slices.BinarySearchFunc(s, i.Start, func(span Interval, start time.Time) int { return span.Start.Compare(start) })
	if !found {
		n--
	}
	return n >= 0 && !s[n].End.Before(i.End)
}
