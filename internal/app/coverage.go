package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
)

// CoverageStore is what Coverage needs of the database.
type CoverageStore interface {
	Export(ctx context.Context, teamID int64, id uuid.UUID) (batch.Export, error)
	CalendarChanges(ctx context.Context, exportID uuid.UUID) ([]batch.PastCalendar, error)
	FirstDelivered(ctx context.Context, exportID uuid.UUID) (*time.Time, error)
	DeliveriesWithin(ctx context.Context, exportID uuid.UUID, within batch.Interval) ([]batch.Delivery, error)
	RunsWithin(ctx context.Context, exportID uuid.UUID, within batch.Interval, each int) ([]batch.Run, error)
	VoidWithin(ctx context.Context, exportID uuid.UUID, within batch.Interval) ([]batch.Interval, error)
	OpenBackfillsOf(ctx context.Context, exportID uuid.UUID) ([]batch.Backfill, error)
	// Spans are the times in which the export was active, oldest first.
	Spans(ctx context.Context, exportID uuid.UUID, within batch.Interval) ([]batch.Span, error)
}

// Coverage are the use cases of what became of an export's intervals.
type Coverage struct {
	Store     CoverageStore
	Backfills *Backfills
	Now       func() time.Time
}

// Limits of what one request looks at.
const (
	coveragePage = 500 // intervals that are shown at once
	runsBehind   = 5   // runs that are shown of one interval
	fillPage     = 5_000
	// fillLimit is how many intervals a request to fill gaps may look at: more than a year of every 5 minutes.
	fillLimit = 120_000
	// fillBackfills is how many backfills it starts at most.
	fillBackfills = 50
)

// A CoverageRange is the range of time that a caller asks about. Nil: from the export's first interval; until now.
type CoverageRange struct {
	Start, End *time.Time
}

// A CoveragePage is the coverage of some of the intervals that were asked for.
type CoveragePage struct {
	// Range is what the page is about: whole intervals.
	Range   batch.Interval
	Entries []batch.Covered
	// Next is where the following page starts; nil = there is none.
	Next *time.Time
}

// Page returns the first page of the coverage of a range. Intervals that are not over are not in it.
func (s *Coverage) Page(ctx context.Context, teamID int64, exportID uuid.UUID, asked CoverageRange) (CoveragePage, error) {
	v, err := s.view(ctx, teamID, exportID, asked)
	if err != nil {
		return CoveragePage{}, err
	}
	return v.page(ctx, v.within.Start, coveragePage, runsBehind)
}

// A coverageView looks at a range of an export's intervals.
type coverageView struct {
	store    CoverageStore
	export   batch.Export
	timeline batch.Timeline
	within   batch.Interval
	until    time.Time // the latest end of an interval that is looked at
	now      time.Time
	open     []batch.Backfill
	paused   []batch.Interval
}

// view checks what is asked for.
func (s *Coverage) view(ctx context.Context, teamID int64, exportID uuid.UUID, asked CoverageRange) (*coverageView, error) {
	e, err := s.Store.Export(ctx, teamID, exportID)
	if err != nil {
		return nil, missing(err, "Not found.")
	}
	v := &coverageView{store: s.Store, export: e, now: s.Now().UTC()}
	past, err := s.Store.CalendarChanges(ctx, e.ID)
	if err != nil {
		return nil, err
	}
	if v.timeline, err = batch.TimelineOf(past, e); err != nil {
		return nil, err
	}
	if v.within, err = v.rangeOf(ctx, asked); err != nil {
		return nil, err
	}
	spans, err := s.Store.Spans(ctx, e.ID, batch.Interval{End: never})
	if err != nil {
		return nil, err
	}
	v.paused = pausedSpans(e, spans)
	v.open, err = s.Store.OpenBackfillsOf(ctx, e.ID)
	return v, err
}

// rangeOf is the range that is asked for; without bounds, all that the schedule was or is for. The future is not in it.
func (v *coverageView) rangeOf(ctx context.Context, asked CoverageRange) (within batch.Interval, err error) {
	within.End, v.until = v.now, v.now
	switch {
	case asked.End != nil:
		within.End = earlier(*asked.End, v.now)
	case v.export.EndAt != nil:
		v.until = earlier(*v.export.EndAt, v.now)
	}
	if asked.Start != nil {
		within.Start = asked.Start.UTC()
		if asked.End != nil && !within.Start.Before(*asked.End) {
			return within, invalid("start", codeInvalid, "'start' must be before 'end'")
		}
		return within, nil
	}
	within.Start = v.export.CreatedAt
	if first := v.export.StartAt; first != nil && first.After(within.Start) {
		within.Start = *first
	}
	first, err := v.store.FirstDelivered(ctx, v.export.ID)
	if err == nil && first != nil && !first.After(within.Start) {
		within.Start = first.Add(-time.Nanosecond) // its end is the next one's start
	}
	return within, err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a.UTC()
	}
	return b.UTC()
}

// page looks at the next intervals from a time on, at most limit, with at most runs runs of each.
func (v *coverageView) page(ctx context.Context, from time.Time, limit, runs int) (CoveragePage, error) {
	var intervals []batch.Interval
	var p CoveragePage
	for i := range v.timeline.From(from) {
		if !i.Start.Before(v.within.End) || i.End.After(v.until) {
			break
		}
		if len(intervals) == limit {
			p.Next = &i.Start
			break
		}
		intervals = append(intervals, i)
	}
	if len(intervals) == 0 {
		p.Range = batch.Interval{Start: from, End: from}
		return p, nil
	}
	p.Range = batch.Interval{Start: intervals[0].Start, End: intervals[len(intervals)-1].End}
	known, err := v.evidence(ctx, p.Range, runs)
	if err != nil {
		return CoveragePage{}, err
	}
	p.Entries = batch.Cover(intervals, known)
	return p, nil
}

// evidence reads what is known of a range.
func (v *coverageView) evidence(ctx context.Context, within batch.Interval, runs int) (known batch.Evidence, err error) {
	known.Open, known.Paused = v.open, v.paused
	known.Due = v.now.Add(-v.export.Frequency.Jitter() - startDelay)
	if known.Deliveries, err = v.store.DeliveriesWithin(ctx, v.export.ID, within); err != nil {
		return known, err
	}
	if known.Runs, err = v.store.RunsWithin(ctx, v.export.ID, within, runs); err != nil {
		return known, err
	}
	known.Void, err = v.store.VoidWithin(ctx, v.export.ID, within)
	return known, err
}

// startDelay is how long after its jittered time a run may take to begin before its interval counts as missing.
const startDelay = time.Minute

// never is after every interval.
var never = time.Date(10_000, time.January, 1, 0, 0, 0, 0, time.UTC)

// pausedSpans are the times in which the ends of intervals were not due because the export was paused: those between
// its active spans, and since the last one. What was before the first span is not known.
func pausedSpans(e batch.Export, active []batch.Span) []batch.Interval {
	var paused []batch.Interval
	for n, span := range active {
		if span.EndedAt == nil {
			continue
		}
		until := never
		if n+1 < len(active) {
			until = active[n+1].StartedAt
		}
		if until.After(*span.EndedAt) { // an end that is the span's is due, and the next one's start is not
			paused = append(paused, batch.Interval{Start: span.EndedAt.Add(time.Nanosecond), End: until.Add(time.Nanosecond)})
		}
	}
	if len(active) == 0 && e.Paused && e.LastPausedAt != nil {
		paused = append(paused, batch.Interval{Start: *e.LastPausedAt, End: never})
	}
	return paused
}

// A Filled is what was started to fill gaps.
type Filled struct {
	Backfills []FilledRange
	// Intervals is how many runs they are going to have; zero = there was nothing to fill.
	Intervals int64
	// Remaining is how many ranges were left for another request.
	Remaining int
	// Overlapping is how many ranges hold a part of what was delivered with another length: only a backfill that
	// replaces it delivers them.
	Overlapping int
}

// A FilledRange is a backfill that fills a gap.
type FilledRange struct {
	Backfill  batch.Backfill
	Intervals int64
}

// Fill starts backfills of exactly the gaps of a range: the intervals that failed or are missing, and with paused those
// that fell due while the export was paused. What is delivered or under way is left alone, so that nothing happens when
// it is called again.
func (s *Coverage) Fill(ctx context.Context, teamID int64, exportID uuid.UUID, asked CoverageRange, paused bool) (Filled, error) {
	v, err := s.view(ctx, teamID, exportID, asked)
	if err != nil {
		return Filled{}, err
	}
	entries, err := v.all(ctx)
	if err != nil {
		return Filled{}, err
	}
	wanted, err := backfillsOf(v.export, batch.Gaps(entries, paused))
	if err != nil {
		return Filled{}, err
	}
	var done Filled
	for n, w := range wanted {
		if n == fillBackfills {
			done.Remaining = len(wanted) - n
			break
		}
		b, err := s.start(ctx, v.export, w.Backfill, len(done.Backfills))
		switch {
		case hasCode(err, codeDuplicateBackfill): // another request was faster
			continue
		case hasCode(err, codeOverlapping):
			done.Overlapping++
			continue
		case err != nil && len(done.Backfills) > 0: // what is started must be told
			done.Remaining = len(wanted) - n
			return done, nil
		case err != nil:
			return Filled{}, err
		}
		done.Backfills = append(done.Backfills, FilledRange{Backfill: b, Intervals: w.Intervals})
		done.Intervals += w.Intervals
	}
	return done, nil
}

// start starts a backfill. Those that this request has started do not count against the team's limit.
func (s *Coverage) start(ctx context.Context, e batch.Export, b batch.Backfill, mine int) (batch.Backfill, error) {
	backfills := *s.Backfills
	backfills.Limit += mine
	return backfills.start(ctx, e, b)
}

// hasCode says whether err is the problem with the code.
func hasCode(err error, code string) bool {
	p, ok := errors.AsType[*Problem](err)
	return ok && p.Code == code
}

// all looks at the whole range, or refuses one that is too long.
func (v *coverageView) all(ctx context.Context) ([]batch.Covered, error) {
	var entries []batch.Covered
	for from, looked := v.within.Start, 0; ; looked += fillPage {
		if looked >= fillLimit {
			return nil, invalid("start", codeInvalid,
				"The range has more than %d intervals. Fill its gaps in parts: the first could end at %s.", fillLimit, from.UTC().Format(time.RFC3339))
		}
		page, err := v.page(ctx, from, fillPage, 1)
		if err != nil {
			return nil, err
		}
		entries = append(entries, page.Entries...)
		if page.Next == nil {
			return entries, nil
		}
		from = *page.Next
	}
}

// backfillsOf says which backfills fill the gaps. What is no interval of the export's present calendar is delivered by a
// run with exactly its bounds.
func backfillsOf(e batch.Export, gaps [][]batch.Interval) ([]FilledRange, error) {
	calendar, err := e.Calendar()
	if err != nil {
		return nil, err
	}
	var wanted []FilledRange
	exactly := func(intervals []batch.Interval) {
		for _, i := range intervals {
			wanted = append(wanted, FilledRange{Backfill: batch.Backfill{StartAt: &i.Start, EndAt: &i.End, Retry: true}, Intervals: 1})
		}
	}
	for _, gap := range gaps {
		before, middle, after := calendar.Divide(gap)
		exactly(before)
		if middle.Start.Before(middle.End) {
			n := calendar.Count(middle.Start, middle.End)
			wanted = append(wanted, FilledRange{Backfill: batch.Backfill{StartAt: &middle.Start, EndAt: &middle.End}, Intervals: n})
		}
		exactly(after)
	}
	return wanted, nil
}

// String describes what was started, for people.
func (f Filled) String() string {
	switch {
	case f.Intervals == 0 && f.Overlapping > 0:
		return f.overlaps()
	case f.Intervals == 0:
		return "There is nothing to fill: every interval is delivered, under way or was paused."
	}
	text := fmt.Sprintf("Backfills started: %d, for %d intervals", len(f.Backfills), f.Intervals)
	if f.Remaining > 0 {
		text += fmt.Sprintf("; %d ranges remain for another request", f.Remaining)
	}
	if f.Overlapping > 0 {
		return text + ". " + f.overlaps()
	}
	return text + "."
}

// overlaps says what was left alone, and how to have it delivered all the same.
func (f Filled) overlaps() string {
	return fmt.Sprintf("Ranges left alone because a part of them was delivered with another length: %d. A backfill with 'replace' delivers them.", f.Overlapping)
}
