package activities

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"tranche/batch"
)

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
