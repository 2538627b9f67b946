package activities

import (
	"context"
	"errors"
	"time"

	"tranche/batch"
)

// nominalInterval finds the interval for which a schedule fired at the nominal time, or why there is none to run here.
//
// The calendar that was in force then decides, not the one of now: the workflow may have waited through a change. A time
// that is no boundary is one that the clocks repeat, or of a schedule that was not up to date, or somebody triggered the
// schedule by hand.
func (a *Activities) nominalInterval(ctx context.Context, e batch.Export, at time.Time, revision int64) (batch.Interval, string, error) {
	span, err := a.Store.SpanAt(ctx, e.ID, at)
	if err != nil {
		return batch.Interval{}, "", err
	}
	if span != nil {
		if i, ok := span.Ending(at); ok {
			return i, "", nil
		}
	}
	calendar, err := e.Calendar()
	if err != nil {
		return batch.Interval{}, "", err
	}
	first := e.FirstInterval
	switch {
	case first != nil && first.End.Equal(at):
		return *first, "", nil
	case first != nil && first.Contains(at) && calendar.Aligned(at) && !at.Equal(first.Start):
		return batch.Interval{}, "the interval is a part of the first one after a change of the calendar, " + first.String(), nil
	case span == nil && calendar.Aligned(at): // paused then, or before there was a record
		return calendar.Before(at), "", nil
	case !calendar.Aligned(at) && calendar.Repeats(at):
		return batch.Interval{}, "the clocks show this local time for the second time, and no interval ends there", nil
	}
	if stale, err := a.firedStale(ctx, e, at, revision); err != nil || stale {
		return batch.Interval{}, "the schedule was not up to date: this is no end of an interval", err
	}
	return a.triggered(ctx, e, calendar, at)
}

// firedStale says whether the schedule fired for a calendar that had been replaced.
func (a *Activities) firedStale(ctx context.Context, e batch.Export, at time.Time, revision int64) (bool, error) {
	if revision == 0 || revision >= e.Revision {
		return false, nil
	}
	old, err := a.Store.ExportAt(ctx, e.ID, revision)
	if errors.Is(err, batch.ErrNotFound) {
		return false, nil // it was replaced long ago
	}
	if err != nil {
		return false, err
	}
	calendar, err := old.Calendar()
	return err == nil && calendar.Aligned(at), err
}

// triggered starts the last complete interval under its own id: somebody triggered the schedule by hand.
func (a *Activities) triggered(ctx context.Context, e batch.Export, calendar batch.Calendar, at time.Time) (batch.Interval, string, error) {
	last, ok, err := a.lastComplete(ctx, e, calendar, at)
	if err != nil {
		return batch.Interval{}, "", err
	}
	if !ok {
		return batch.Interval{}, "no interval is over since the calendar changed", nil
	}
	if err := a.Executions.StartInterval(ctx, e, last); err != nil {
		return batch.Interval{}, "", err
	}
	return batch.Interval{}, "the last complete interval runs as " + batch.WorkflowID(e.ID, last.End), nil
}

// lastComplete is the newest interval that was over at the time. Until the first one after a change of the calendar is, it
// is the last one before.
func (a *Activities) lastComplete(ctx context.Context, e batch.Export, calendar batch.Calendar, at time.Time) (batch.Interval, bool, error) {
	last, first := calendar.LastComplete(at), e.FirstInterval
	switch {
	case first == nil || last.End.After(first.End):
		return last, true, nil
	case last.End.Equal(first.End):
		return *first, true, nil
	}
	span, err := a.Store.SpanAt(ctx, e.ID, first.Start)
	if err != nil || span == nil {
		return batch.Interval{}, false, err
	}
	last, ok := span.Ending(first.Start)
	return last, ok, nil
}
