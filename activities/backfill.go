package activities

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/query"
)

// BackfillInput names a backfill.
type BackfillInput struct {
	BackfillID uuid.UUID `json:"backfill_id"`
}

// Prepared is what a backfill needs to know before its first run.
type Prepared struct {
	// Done says that there is nothing to run: cancelled, or no rows at all.
	Done bool `json:"done"`
	// From is where the first interval starts; nil = one run from the beginning.
	From        *time.Time `json:"from,omitempty"`
	Runs        int64      `json:"runs"`
	Concurrency int        `json:"concurrency"`
}

// PrepareBackfill looks for the earliest row, moves the start to it, and counts what there is.
func (a *Activities) PrepareBackfill(ctx context.Context, in BackfillInput) (Prepared, error) {
	stop := beat(ctx, a.Limits.Heartbeat, &meter{})
	defer stop()
	prepared, err := a.prepareBackfill(ctx, in.BackfillID)
	if err != nil {
		return prepared, applicationError(err)
	}
	return prepared, nil
}

func (a *Activities) prepareBackfill(ctx context.Context, id uuid.UUID) (Prepared, error) {
	b, e, err := a.backfill(ctx, id)
	if err != nil {
		return Prepared{}, err
	}
	if b.Status.Final() || e.Deleted {
		return Prepared{Done: true}, nil
	}
	calendar, err := e.Calendar()
	if err != nil {
		return Prepared{}, err
	}
	from, records, err := a.adjust(ctx, b, e, calendar)
	if err != nil {
		return Prepared{}, err
	}
	runs := int64(1)
	switch {
	case from != nil && from.Equal(*b.EndAt):
		runs = 0
	case from != nil && !b.Retry:
		runs = calendar.Count(*from, *b.EndAt)
	}
	b, err = a.Store.UpdateBackfill(ctx, id, func(b *batch.Backfill) error {
		if b.Status.Final() {
			return batch.ErrUnchanged
		}
		b.Status, b.TotalRuns, b.TotalRecords = batch.BackfillRunning, &runs, records
		if from != nil && runs > 0 && b.StartAt != nil && from.After(*b.StartAt) {
			b.AdjustedStartAt = from
		}
		return nil
	})
	return Prepared{Done: b.Status.Final() || runs == 0, From: from, Runs: runs, Concurrency: max(1, b.Concurrency)}, err
}

// adjust returns where the backfill really starts: no earlier than the project's earliest row, on a boundary that
// covers the start that was asked for; its end when there is nothing before it. Nil means from the beginning.
func (a *Activities) adjust(ctx context.Context, b batch.Backfill, e batch.Export, c batch.Calendar) (*time.Time, *int64, error) {
	if b.Retry {
		return b.StartAt, nil, nil
	}
	earliest, any, err := a.Source.Earliest(ctx, query.Query{TeamID: e.TeamID, Model: e.Model})
	if err != nil {
		return nil, nil, err
	}
	records := int64(0)
	if !any || !earliest.Before(*b.EndAt) {
		return b.EndAt, &records, nil
	}
	if b.StartAt == nil {
		return nil, nil, nil
	}
	from := c.Floor(*b.StartAt)
	if first := c.Floor(earliest); first.After(from) {
		from = first
	}
	records, err = a.Source.Count(ctx, query.Query{TeamID: e.TeamID, Model: e.Model, Interval: batch.Interval{Start: from, End: *b.EndAt}})
	return &from, &records, err
}

func (a *Activities) backfill(ctx context.Context, id uuid.UUID) (batch.Backfill, batch.Export, error) {
	b, err := a.Store.BackfillByID(ctx, id)
	if err != nil {
		return batch.Backfill{}, batch.Export{}, err
	}
	e, err := a.Store.ExportByID(ctx, b.ExportID)
	return b, e, err
}

// NextInput asks for a page of a backfill's intervals.
type NextInput struct {
	BackfillID uuid.UUID  `json:"backfill_id"`
	From       *time.Time `json:"from,omitempty"` // where the first one starts; nil = from the beginning
}

// Page is a page of intervals.
type Page struct {
	Intervals []batch.Interval `json:"intervals"`
	// Next is where the following page starts; nil = this is the last one.
	Next *time.Time `json:"next,omitempty"`
}

// pageSize is how many intervals a workflow execution of a backfill runs before it continues as new: some ten events
// each keep a history far below Temporal's limit of 50,000.
const pageSize = 200

// NextIntervals returns the next intervals of a backfill, in the export's calendar; none when it is cancelled.
func (a *Activities) NextIntervals(ctx context.Context, in NextInput) (Page, error) {
	page, err := a.nextIntervals(ctx, in)
	if err != nil {
		return page, applicationError(err)
	}
	return page, nil
}

func (a *Activities) nextIntervals(ctx context.Context, in NextInput) (Page, error) {
	b, e, err := a.backfill(ctx, in.BackfillID)
	if err != nil || b.Status.Final() || e.Deleted {
		return Page{}, err
	}
	if in.From == nil {
		return Page{Intervals: []batch.Interval{{End: *b.EndAt}}}, nil
	}
	if b.Retry {
		return Page{Intervals: []batch.Interval{{Start: *in.From, End: *b.EndAt}}}, nil
	}
	calendar, err := e.Calendar()
	if err != nil {
		return Page{}, err
	}
	var page Page
	for i := range calendar.Within(*in.From, *b.EndAt) {
		if len(page.Intervals) == pageSize {
			next := i.Start
			page.Next = &next
			break
		}
		page.Intervals = append(page.Intervals, i)
	}
	return page, nil
}

// AwaitInput names the execution that owns an interval, and the backfill that wants it.
type AwaitInput struct {
	WorkflowID string         `json:"workflow_id"`
	BackfillID uuid.UUID      `json:"backfill_id"`
	Interval   batch.Interval `json:"interval"`
}

// Awaited says how the owner of an interval left it.
type Awaited struct {
	// Again says that the backfill should run the interval after all: the owner is gone, did not deliver since the
	// backfill was asked for, and nobody cancelled it.
	Again bool `json:"again"`
}

// AwaitInterval waits until the execution that owns an interval is over: somebody else runs it.
func (a *Activities) AwaitInterval(ctx context.Context, in AwaitInput) (Awaited, error) {
	stop := beat(ctx, a.Limits.Heartbeat, &meter{})
	defer stop()
	err := a.Executions.Await(ctx, in.WorkflowID)
	var awaited Awaited
	if err == nil {
		awaited.Again, err = a.runAgain(ctx, in)
	}
	if ctx.Err() != nil {
		return Awaited{}, ctx.Err()
	}
	if err != nil {
		return Awaited{}, applicationError(err)
	}
	return awaited, nil
}

func (a *Activities) runAgain(ctx context.Context, in AwaitInput) (bool, error) {
	b, _, err := a.backfill(ctx, in.BackfillID)
	if err != nil || b.Status.Final() {
		return false, err
	}
	done, err := a.Store.DeliveredSince(ctx, b.ExportID, in.Interval, b.CreatedAt)
	if err != nil || contains(done, in.Interval) {
		return false, err
	}
	filter := batch.RunFilter{TeamID: b.TeamID, ExportID: b.ExportID, End: &in.Interval.End, OrderBy: batch.OrderCreatedAt, Desc: true, Limit: 1}
	if !in.Interval.Start.IsZero() {
		filter.Start = &in.Interval.Start
	}
	last, err := a.Store.ListRuns(ctx, filter)
	return len(last) == 0 || last[0].Status != batch.RunCancelled, err
}

func contains(intervals []batch.Interval, i batch.Interval) bool {
	return slices.ContainsFunc(intervals, i.Equal)
}

// FinishBackfillInput says how a backfill's workflow ended.
type FinishBackfillInput struct {
	BackfillID uuid.UUID            `json:"backfill_id"`
	Status     batch.BackfillStatus `json:"status"` // Completed, Failed or Cancelled
}

// FinishedBackfill is the backfill's last word.
type FinishedBackfill struct {
	Status batch.BackfillStatus `json:"status"`
}

// FinishBackfill writes the final state. A backfill with an interval that nobody delivered has failed.
func (a *Activities) FinishBackfill(ctx context.Context, in FinishBackfillInput) (FinishedBackfill, error) {
	b, err := a.finishBackfill(ctx, in)
	if err != nil {
		return FinishedBackfill{}, applicationError(err)
	}
	return FinishedBackfill{Status: b.Status}, nil
}

func (a *Activities) finishBackfill(ctx context.Context, in FinishBackfillInput) (batch.Backfill, error) {
	records, err := a.Store.BackfillRecords(ctx, in.BackfillID)
	if err != nil {
		return batch.Backfill{}, err
	}
	undelivered, err := a.undelivered(ctx, in.BackfillID)
	if err != nil {
		return batch.Backfill{}, err
	}
	var changed bool
	b, err := a.Store.UpdateBackfill(ctx, in.BackfillID, func(b *batch.Backfill) error {
		if changed = !b.Status.Final(); !changed {
			return batch.ErrUnchanged
		}
		now := a.Now().UTC()
		b.Status, b.FinishedAt, b.TotalRecords = in.Status, &now, &records
		if b.Status == batch.BackfillCompleted && undelivered > 0 {
			b.Status = batch.BackfillFailed
		}
		return nil
	})
	if err == nil && changed {
		a.Logs.Log(batch.LogEntry{
			TeamID: b.TeamID, ExportID: b.ExportID, Timestamp: a.Now().UTC(), Level: levelOf(b.Status),
			Message: fmt.Sprintf("Backfill %s: %s, %d records exported, %d intervals not delivered.", b.ID, b.Status, records, undelivered),
		})
	}
	return b, err
}

// undelivered counts the intervals of a backfill that nobody has delivered since it was asked for: its runs failed, or
// those of others that owned the interval.
func (a *Activities) undelivered(ctx context.Context, id uuid.UUID) (int64, error) {
	b, e, err := a.backfill(ctx, id)
	if err != nil || b.TotalRuns == nil || *b.TotalRuns == 0 {
		return 0, err
	}
	whole := batch.Interval{End: *b.EndAt}
	if b.StartAt != nil {
		whole.Start = *b.StartAt
	}
	done, err := a.Store.DeliveredSince(ctx, b.ExportID, whole, b.CreatedAt)
	if err != nil {
		return 0, err
	}
	if b.Retry || b.StartAt == nil {
		if contains(done, whole) {
			return 0, nil
		}
		return 1, nil
	}
	calendar, err := e.Calendar()
	if err != nil {
		return 0, err
	}
	from := calendar.Floor(*b.StartAt)
	if b.AdjustedStartAt != nil {
		from = *b.AdjustedStartAt
	}
	bounds := make(map[[2]int64]bool, len(done))
	for _, i := range done {
		bounds[[2]int64{i.Start.Unix(), i.End.Unix()}] = true
	}
	var missing int64
	for i := range calendar.Within(from, *b.EndAt) {
		if !bounds[[2]int64{i.Start.Unix(), i.End.Unix()}] {
			missing++
		}
	}
	return missing, nil
}

func levelOf(s batch.BackfillStatus) batch.LogLevel {
	switch s {
	case batch.BackfillCompleted:
		return batch.LogInfo
	case batch.BackfillCancelled:
		return batch.LogWarning
	case batch.BackfillStarting, batch.BackfillRunning, batch.BackfillFailed, batch.BackfillTerminated, batch.BackfillTimedOut:
	}
	return batch.LogError
}
