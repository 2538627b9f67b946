package batch

import (
	"iter"
	"time"

	"github.com/google/uuid"
)

// A Backfill is a request to run a range of intervals; a retry is a backfill of one with explicit bounds.
type Backfill struct {
	ID       uuid.UUID
	ExportID uuid.UUID
	TeamID   int64

	StartAt         *time.Time // nil = from the earliest row: one run up to the end
	EndAt           *time.Time // nil = until it has caught up with the clock; then the export is unpaused
	AdjustedStartAt *time.Time // later than StartAt when the data begin later
	// Retry marks a backfill of exactly [StartAt, EndAt) that ignores the calendar.
	Retry bool

	// Order says from which end the intervals run; empty = the oldest first.
	Order BackfillOrder
	// Concurrency is how many intervals may run at once.
	Concurrency int
	// SkipDelivered leaves out the intervals whose time is delivered already.
	SkipDelivered bool
	// By says which time of rows puts them into an interval; empty = ByIngestion.
	By Clock
	// Replace allows runs to take the place of what was delivered with intervals of another length.
	Replace bool

	Status BackfillStatus
	// PausedAt is when somebody paused it: runs under way go on, no more are started. Nil = not paused.
	PausedAt *time.Time
	// Steering grows with every pause and resumption; Steered is the newest one that the workflow knows of.
	Steering, Steered int64
	// CaughtUpAt is the end of the newest interval that a backfill without end has run.
	CaughtUpAt *time.Time
	// LatestError is the sentence that says why it failed; empty = it did not.
	LatestError string

	TotalRuns    *int64 // expected number of runs; nil = not known yet
	Runs         Tally
	TotalRecords *int64

	CreatedAt     time.Time
	FinishedAt    *time.Time
	LastUpdatedAt time.Time
}

// A Tally counts a backfill's runs by how they stand, and what was delivered by those that are completed.
type Tally struct {
	Open, Completed, Failed, Cancelled int64
	Rows, Bytes                        int64
}

// Finished is the number of runs that are done, well or not. A cancelled run is not done.
func (t Tally) Finished() int64 { return t.Completed + t.Failed }

// A BackfillOrder says from which end a backfill runs its intervals.
type BackfillOrder string

// The orders.
const (
	OldestFirst BackfillOrder = "oldest"
	NewestFirst BackfillOrder = "newest"
)

// A Clock is a time of rows by which an interval has them.
type Clock string

// The clocks. By ingestion, each row is in exactly one interval, however late it came, for backfills and scheduled
// runs alike; by timestamp, in that in which it happened, and a scheduled run may have delivered it with another.
const (
	ByIngestion Clock = "inserted_at"
	ByTimestamp Clock = "timestamp"
)

// Clocks lists every clock.
var Clocks = []Clock{ByIngestion, ByTimestamp}

// BackfillOrders lists every order.
var BackfillOrders = []BackfillOrder{OldestFirst, NewestFirst}

// BackfillWorkflowID is the fixed id of a backfill's workflow.
func BackfillWorkflowID(export, backfill uuid.UUID) string {
	return export.String() + "-Backfill-" + backfill.String()
}

// Range is the time whose intervals the backfill runs, on boundaries of the calendar unless it is a retry. Without an
// end it ends with the newest interval that is complete at now. A zero start means from the beginning.
func (b Backfill) Range(c Calendar, now time.Time) Interval {
	var r Interval
	if b.EndAt != nil {
		now = *b.EndAt
	}
	if b.Retry {
		r.End = now.UTC()
	} else {
		r.End = c.Floor(now)
	}
	switch {
	case b.StartAt == nil:
	case b.Retry:
		r.Start = b.StartAt.UTC()
	case b.AdjustedStartAt != nil:
		r.Start = b.AdjustedStartAt.UTC()
	default:
		r.Start = c.Floor(*b.StartAt)
	}
	return r
}

// Whole says whether the backfill is one run over its range, whatever the calendar says. One from the beginning without
// an end goes on with the calendar's intervals from the end of that run.
func (b Backfill) Whole() bool { return b.Retry || b.StartAt == nil && b.EndAt != nil }

// Intervals yields the intervals of the backfill in its order, from the cursor on: nil = all of them. The cursor behind
// an interval is what Cursor returns of it. An endless backfill yields what is complete at now.
func (b Backfill) Intervals(c Calendar, cursor *time.Time, now time.Time) iter.Seq[Interval] {
	r := b.Range(c, now)
	if cursor != nil && cursor.IsZero() { // before an interval from the beginning
		cursor = nil
	}
	if b.Whole() {
		return one(r)
	}
	switch {
	case b.StartAt == nil && cursor == nil:
		return one(r)
	case cursor == nil && b.Order == NewestFirst:
		return c.Backwards(r.Start, r.End)
	case cursor == nil:
		return c.Within(r.Start, r.End)
	case b.Order == NewestFirst:
		return c.Backwards(r.Start, earlier(*cursor, r.End))
	}
	return c.Within(later(*cursor, r.Start), r.End)
}

// Cursor is where the backfill goes on behind the interval.
func (b Backfill) Cursor(i Interval) time.Time {
	if b.Order == NewestFirst {
		return i.Start
	}
	return i.End
}

// one yields an interval that is not empty.
func one(i Interval) iter.Seq[Interval] {
	return func(yield func(Interval) bool) {
		if i.Start.Before(i.End) {
			yield(i)
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// An Outlook is what a backfill will find: how its intervals stand to what was delivered before.
type Outlook struct {
	Range Interval
	// Runs is how many intervals it will run.
	Runs int64
	// Delivered is how many of its intervals are delivered already: they are replaced, or left out and counted in Skipped.
	Delivered, Skipped int64
	// Overlapping is how many deliveries of another length are in the way, and Example one of them.
	Overlapping int64
	Example     Interval
	// Beyond is such a delivery that reaches beyond the range, so that replacing it would lose rows; nil = none.
	Beyond *Interval

	foreign map[Interval]bool
}

// Look compares the backfill's intervals with what was delivered. Earliest is the time of the earliest row, before which
// nothing can be lost; zero = not known, then deliveries from the beginning of time are not taken to reach beyond.
func (b Backfill) Look(c Calendar, delivered Delivered, earliest, now time.Time) Outlook {
	o := Outlook{Range: b.Range(c, now), foreign: map[Interval]bool{}}
	if b.Whole() || b.StartAt == nil {
		for i := range one(o.Range) {
			o.Runs++
			o.meet(i, delivered, b.SkipDelivered, earliest)
		}
		return o
	}
	o.Runs = c.Count(o.Range.Start, o.Range.End)
	// Only intervals that a delivery touches can stand to one.
	seen := o.Range.Start
	for _, d := range delivered.intervals {
		from, to := later(seen, c.Floor(later(d.Start, seen))), earlier(c.Ceil(d.End), o.Range.End)
		for i := range c.Within(from, to) {
			seen = i.End
			o.meet(i, delivered, b.SkipDelivered, earliest)
		}
	}
	return o
}

// meet notes how an interval stands to what was delivered.
func (o *Outlook) meet(i Interval, delivered Delivered, skip bool, earliest time.Time) {
	exact, others := delivered.Of(i)
	if exact || spanned(others, i) {
		o.Delivered++
		if skip {
			o.Skipped++
			o.Runs--
			return
		}
	}
	for _, other := range others {
		if o.foreign[other] {
			continue
		}
		o.foreign[other] = true
		o.Overlapping, o.Example = o.Overlapping+1, other
		if other.End.After(o.Range.End) || other.reachesBack(o.Range.Start, earliest) {
			o.Beyond = &other
		}
	}
}

// Check is an error with CodeOverlap when the backfill would deliver rows a second time that were delivered with intervals
// of another length; or, when these are to be replaced, when rows of theirs outside of the range would be lost.
func (o Outlook) Check(replace bool) error {
	switch {
	case o.Overlapping == 0 || replace && o.Beyond == nil:
		return nil
	case replace:
		return Errorf(CodeOverlap, nil,
			"%s was delivered as one interval, which reaches beyond the range: rows would be lost if it were replaced", o.Beyond)
	}
	return Errorf(CodeOverlap, nil,
		"the range overlaps deliveries of another length (%d, such as %s), and their rows would be delivered twice: "+
			"ask for them to be replaced, or leave them out", o.Overlapping, o.Example)
}

// reachesBack says whether the interval has rows before start, as far as the time of the earliest row tells.
func (i Interval) reachesBack(start, earliest time.Time) bool {
	if !i.Start.Before(start) {
		return false
	}
	if earliest.IsZero() {
		return !i.Start.IsZero()
	}
	return earliest.Before(start)
}

// MixedSelections is the error of delivering rows that are chosen by one time where rows are visible that were chosen by
// another: some would be visible twice, and others not at all.
func MixedSelections(other Interval, by Clock) error {
	was := ByTimestamp
	if by == ByTimestamp {
		was = ByIngestion
	} else {
		by = ByIngestion
	}
	return Errorf(CodeOverlap, nil, "%s was delivered with its rows chosen by %q, and choosing them by %q would show some twice and others not at all: "+
		"a backfill with \"replace\" takes its place", other, was, by)
}
