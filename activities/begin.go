package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"tranche/batch"
)

// BeginInput says which interval a workflow is for: by explicit bounds, or by the nominal time of its schedule.
type BeginInput struct {
	BatchExportID uuid.UUID  `json:"batch_export_id"`
	Start         *time.Time `json:"data_interval_start,omitempty"` // with End: nil = from the beginning
	End           *time.Time `json:"data_interval_end,omitempty"`
	Nominal       *time.Time `json:"nominal,omitempty"`
	BackfillID    *uuid.UUID `json:"backfill_id,omitempty"`
	// Revision is that of the definition for which the schedule was put; 0 = unknown.
	Revision int64 `json:"revision,omitempty"`
	// Due says that there is nothing to do if the interval is delivered.
	Due bool `json:"due,omitempty"`
}

// Begun is what a run needs to know of its definition.
type Begun struct {
	// Skip, if not empty, says why there is no run: the workflow ends.
	Skip string `json:"skip,omitempty"`

	RunID       uuid.UUID      `json:"run_id"`
	Interval    batch.Interval `json:"interval"`
	Destination string         `json:"destination,omitempty"`
	Model       batch.Model    `json:"model,omitempty"`
	// ReadyAt is when late rows had time to land.
	ReadyAt time.Time `json:"ready_at"`

	// Work bounds staging and committing, retries included; Heartbeat and Short are as in Limits.
	Work      time.Duration `json:"work"`
	Heartbeat time.Duration `json:"heartbeat"`
	Short     time.Duration `json:"short"`
}

// Begin creates the run's row. A repeated Begin finds it.
func (a *Activities) Begin(ctx context.Context, in BeginInput) (Begun, error) {
	begun, err := a.begin(ctx, in)
	if err != nil {
		return begun, applicationError(err)
	}
	return begun, nil
}

func (a *Activities) begin(ctx context.Context, in BeginInput) (Begun, error) {
	e, err := a.Store.ExportByID(ctx, in.BatchExportID)
	if errors.Is(err, batch.ErrNotFound) {
		return Begun{Skip: "the batch export is deleted"}, nil
	}
	if err != nil {
		return Begun{}, err
	}
	interval, skip, err := a.wantedInterval(ctx, e, in)
	if err != nil {
		return Begun{}, err
	}
	if skip != "" {
		return a.skipped(ctx, e, skip)
	}
	info := activity.GetInfo(ctx)
	now := a.Now().UTC().Truncate(time.Microsecond)
	r, created, err := a.Store.BeginRun(ctx, batch.Run{
		ID: batch.RunID(info.WorkflowExecution.RunID), ExportID: e.ID, TeamID: e.TeamID, BackfillID: in.BackfillID,
		Interval: interval, Status: batch.RunStarting, Revision: e.Revision, Generation: 1, Attempt: 1,
		WorkflowID: info.WorkflowExecution.ID, TemporalRunID: info.WorkflowExecution.RunID,
		CreatedAt: now, LastUpdatedAt: now,
	})
	if err != nil {
		return Begun{}, err
	}
	if created {
		if in.Nominal != nil {
			a.Metrics.ScheduledRunBegan(now.Sub(r.Interval.End))
		}
		a.say(r, batch.LogInfo, fmt.Sprintf("Starting batch export for range %s.", interval))
	}
	return a.begun(ctx, e, r)
}

// skipped says that there is nothing to do, unless an earlier try of this Begin found that there was and made the run's
// row: without a workflow that ends it, that would stay open.
func (a *Activities) skipped(ctx context.Context, e batch.Export, why string) (Begun, error) {
	r, err := a.Store.RunByID(ctx, batch.RunID(activity.GetInfo(ctx).WorkflowExecution.RunID))
	switch {
	case errors.Is(err, batch.ErrNotFound):
		return Begun{Skip: why}, nil
	case err != nil:
		return Begun{}, err
	}
	return a.begun(ctx, e, r)
}

// wantedInterval finds the interval to run, or why there is nothing to do.
func (a *Activities) wantedInterval(ctx context.Context, e batch.Export, in BeginInput) (i batch.Interval, skip string, err error) {
	if e.Deleted {
		return i, "the batch export is deleted", nil
	}
	if i, skip, err = a.intervalOf(ctx, e, in); err != nil || skip != "" {
		return i, skip, err
	}
	if in.Due {
		if done, err := a.Store.Delivery(ctx, e.ID, i); err != nil || done != nil {
			return i, "the interval was delivered meanwhile", err
		}
	}
	if in.BackfillID != nil {
		if b, err := a.Store.BackfillByID(ctx, *in.BackfillID); err != nil || b.Status == batch.BackfillCancelled {
			return i, "the backfill is cancelled", err
		}
	}
	return i, "", nil
}

// begun is what the run works by: the definition that it began with.
func (a *Activities) begun(ctx context.Context, e batch.Export, r batch.Run) (Begun, error) {
	if r.Revision != e.Revision { // the definition changed since the run began
		var err error
		if e, err = a.Store.ExportAt(ctx, r.ExportID, r.Revision); err != nil {
			return Begun{}, err
		}
	}
	return Begun{
		RunID: r.ID, Interval: r.Interval, Destination: e.Destination.Type, Model: e.Model,
		ReadyAt: r.Interval.End.Add(a.Limits.settle(e.Frequency)),
		Work:    a.Limits.work(e.Frequency), Heartbeat: a.Limits.Heartbeat, Short: a.Limits.Short,
	}, nil
}

// intervalOf finds the interval, or why there is none to run here.
func (a *Activities) intervalOf(ctx context.Context, e batch.Export, in BeginInput) (batch.Interval, string, error) {
	if in.End != nil {
		i := batch.Interval{End: *in.End}
		if in.Start != nil {
			i.Start = *in.Start
		}
		return i.UTC(), "", nil
	}
	if in.Nominal == nil {
		return batch.Interval{}, "", batch.Errorf(batch.CodeConfig, nil, "the workflow was started without an interval and outside its schedule")
	}
	return a.nominalInterval(ctx, e, *in.Nominal, in.Revision)
}
