package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
)

const (
	// duePerSpan is how many due intervals of a span one pass looks at.
	duePerSpan = 500
	// mostDisplaced is how often an interval is started again whose run had to make room for one of another length.
	mostDisplaced = 3
)

// dueIntervals starts intervals that the schedule should have begun and that nobody sees to: a local time that a clock
// change removes, an id that somebody used before, a schedule that was changed between an interval's end and its jittered
// start.
func (p *pass) dueIntervals(ctx context.Context) error {
	now := p.Now()
	spans, err := p.Store.OverdueSpans(ctx, now, reconcilePage)
	if err != nil {
		return err
	}
	var failures []error // one export must not keep the others waiting
	for _, s := range spans {
		failures = append(failures, p.settle(ctx, s, now))
	}
	return errors.Join(failures...)
}

// settle looks at the overdue intervals of a span, and remembers how far they are settled.
func (p *pass) settle(ctx context.Context, s batch.Span, now time.Time) error {
	e, err := p.Store.ExportByID(ctx, s.ExportID)
	if err != nil {
		return err
	}
	if e.Deleted {
		s.CheckAt = nil
		return p.Store.SettleSpan(ctx, s)
	}
	duty, err := p.dutyOf(ctx, e, s, now.Add(-s.Frequency.Jitter()-p.Grace))
	if err != nil {
		return err
	}
	again, settling, looked := now.Add(p.Grace), true, 0
	var missed []batch.Interval
	for i := range s.Due(s.SettledUntil, duty.until) {
		if looked++; looked > duePerSpan {
			settling = false
			break
		}
		seenTo := duty.seenTo(i)
		if seenTo == nobody && i.End.Before(now.Add(-p.CatchUp)) {
			missed, seenTo = append(missed, i), settled
		}
		if seenTo == nobody {
			if seenTo, err = p.startDue(ctx, duty, i); err != nil {
				return err
			}
		}
		if settling = settling && seenTo == settled; settling {
			s.SettledUntil = i.End
		}
	}
	if s.CheckAt = &again; settling {
		s.CheckAt = s.Overdue(s.SettledUntil, p.Grace)
	}
	if err := p.Store.SettleSpan(ctx, s); err != nil {
		return err
	}
	p.tellMissed(e, missed)
	return nil
}

// A seeing says who sees to a due interval.
type seeing int

const (
	nobody  seeing = iota + 1
	owned          // somebody works on it
	settled        // it was delivered, or ended in a way that is the customer's to act upon
)

// A duty is what is known of the due intervals of a span.
type duty struct {
	export    batch.Export
	until     time.Time
	delivered []batch.Interval
	runs      map[int64][]batch.Run // by the end of their interval
}

func (p *pass) dutyOf(ctx context.Context, e batch.Export, s batch.Span, until time.Time) (duty, error) {
	d := duty{export: e, until: until, runs: map[int64][]batch.Run{}}
	if !s.SettledUntil.Before(until) {
		return d, nil
	}
	first := s.SettledUntil
	for i := range s.Due(s.SettledUntil, until) {
		first = i.Start
		break
	}
	var err error
	if d.delivered, err = p.Store.DeliveredBounds(ctx, e.ID, batch.Interval{Start: first, End: until}); err != nil {
		return d, err
	}
	runs, err := p.Store.RunsEnding(ctx, e.ID, s.SettledUntil, until)
	for _, r := range runs {
		d.runs[r.Interval.End.Unix()] = append(d.runs[r.Interval.End.Unix()], r)
	}
	return d, err
}

// seenTo says who sees to the interval, by what the database knows.
func (d duty) seenTo(i batch.Interval) seeing {
	if covered(i, d.delivered) {
		return settled
	}
	seen, displaced := nobody, 0
	for _, r := range d.runs[i.End.Unix()] {
		switch {
		case !r.Interval.Equal(i):
		case !r.Status.Final():
			return owned
		case r.Status == batch.RunCancelled, r.Status == batch.RunTerminated:
			seen = settled // somebody wanted it so
		case r.BackfillID == nil && r.ErrorCode == batch.CodeSuperseded && displaced < mostDisplaced:
			displaced++ // a run of another length was about to deliver it, and did not
		case r.BackfillID == nil:
			seen = settled // the schedule had its run, and it failed
		}
	}
	return seen
}

// covered says whether the deliveries, in the order of their starts, cover the interval, with whatever lengths.
func covered(i batch.Interval, delivered []batch.Interval) bool {
	from := i.Start
	for _, d := range delivered {
		if d.Start.After(from) {
			break
		}
		if d.End.After(from) {
			from = d.End
		}
	}
	return !from.Before(i.End)
}

// startDue starts an interval that nobody sees to, unless Temporal knows better.
func (p *pass) startDue(ctx context.Context, d duty, i batch.Interval) (seeing, error) {
	execution, id, err := p.Workflows.DescribeInterval(ctx, d.export.ID, i.End)
	if err != nil || execution == ExecutionRunning {
		return owned, err
	}
	// Somebody stopped it before it had a row: that is a wish, like the cancel of a run that has one.
	if (execution == ExecutionCancelled || execution == ExecutionTerminated) && !d.knows(i.End, id) {
		p.tell(d.export.TeamID, d.export.ID, uuid.Nil, batch.LogWarning,
			fmt.Sprintf("The run of range %s was stopped in Temporal before it began.", i))
		return settled, nil
	}
	if err := p.Workflows.StartDue(ctx, d.export, i); err != nil {
		return nobody, err
	}
	p.mended(RepairInterval, d.export.TeamID, d.export.ID, zap.Stringer("interval", i))
	p.tell(d.export.TeamID, d.export.ID, uuid.Nil, batch.LogInfo, fmt.Sprintf("Range %s was due and nobody had begun it: it is started.", i))
	return owned, nil
}

// knows says whether a run of an interval with this end is that of the execution.
func (d duty) knows(end time.Time, temporalRunID string) bool {
	for _, r := range d.runs[end.Unix()] {
		if r.TemporalRunID == temporalRunID {
			return true
		}
	}
	return false
}

// tellMissed says which intervals are not started any more.
func (p *pass) tellMissed(e batch.Export, missed []batch.Interval) {
	if len(missed) == 0 {
		return
	}
	for _, i := range missed {
		p.mended(RepairMissedInterval, e.TeamID, e.ID, zap.Stringer("interval", i))
	}
	p.tell(e.TeamID, e.ID, uuid.Nil, batch.LogError, fmt.Sprintf(
		"%d intervals between %s and %s were due longer ago than the catch-up window of %s reaches, and were not delivered. A backfill delivers them.",
		len(missed), missed[0].Start.Format(time.RFC3339), missed[len(missed)-1].End.Format(time.RFC3339), p.CatchUp))
}
