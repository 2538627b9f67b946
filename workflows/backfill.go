package workflows

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tranche/activities"
	"tranche/batch"
)

// BackfillInput names a backfill. Its tags are for ever.
type BackfillInput struct {
	BackfillID    uuid.UUID `json:"backfill_id"`
	BatchExportID uuid.UUID `json:"batch_export_id"`
	TeamID        int64     `json:"team_id"`
	// Resume is set when the workflow continues as new.
	Resume *BackfillPosition `json:"resume,omitempty"`
}

// BackfillPosition is how far a backfill has come.
type BackfillPosition struct {
	Prepared activities.Prepared `json:"prepared"`
	From     time.Time           `json:"from"`
}

// backfillTimeouts bound the activities of a backfill.
const (
	backfillShort     = 10 * time.Second
	backfillHeartbeat = 10 * time.Second
	backfillPrepare   = 30 * time.Minute
	// backfillAwait is how long a run that somebody else started may take: the longest limit of any run.
	backfillAwait = 7 * 24 * time.Hour
)

// Backfill runs the intervals of a range, a few at a time. A failed run does not stop it.
func Backfill(ctx workflow.Context, in BackfillInput) error {
	b := backfill{input: in}
	next, err := b.run(ctx)
	if err == nil && next != nil {
		in.Resume = next
		return workflow.NewContinueAsNewError(ctx, Backfill, in)
	}
	return b.finish(ctx, err)
}

// A backfill is the state of one execution of Backfill.
type backfill struct {
	input    BackfillInput
	prepared activities.Prepared
	finished int
}

// run does one page of intervals. It returns where the next page starts; nil = there is none.
func (b *backfill) run(ctx workflow.Context) (*BackfillPosition, error) {
	from, err := b.prepare(ctx)
	if err != nil || b.prepared.Done {
		return nil, err
	}
	var page activities.Page
	in := activities.NextInput{BackfillID: b.input.BackfillID, From: from}
	if err := workflow.ExecuteActivity(short(ctx, "Find the next intervals"), acts.NextIntervals, in).Get(ctx, &page); err != nil {
		return nil, err
	}
	if err := b.intervals(ctx, page.Intervals); err != nil || page.Next == nil {
		return nil, err
	}
	return &BackfillPosition{Prepared: b.prepared, From: *page.Next}, nil
}

// prepare finds out what there is to run, once for all executions of the backfill.
func (b *backfill) prepare(ctx workflow.Context) (*time.Time, error) {
	if r := b.input.Resume; r != nil {
		b.prepared = r.Prepared
		return &r.From, nil
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: backfillPrepare, HeartbeatTimeout: backfillHeartbeat, WaitForCancellation: true,
		RetryPolicy: retries(), Summary: "Find the earliest row and count",
	})
	err := workflow.ExecuteActivity(ctx, acts.PrepareBackfill, activities.BackfillInput{BackfillID: b.input.BackfillID}).Get(ctx, &b.prepared)
	return b.prepared.From, err
}

// intervals runs a page of intervals and waits for all of them, also when it is cancelled: parent and children end together.
func (b *backfill) intervals(ctx workflow.Context, intervals []batch.Interval) error {
	slots := workflow.NewSemaphore(ctx, int64(max(1, b.prepared.Concurrency)))
	running := workflow.NewWaitGroup(ctx)
	for _, interval := range intervals {
		if err := slots.Acquire(ctx, 1); err != nil {
			break
		}
		running.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer running.Done()
			defer slots.Release(1)
			b.interval(ctx, interval)
			b.finished++
			workflow.SetCurrentDetails(ctx, fmt.Sprintf("%d of %d intervals of this part have run; the backfill has %d in all.",
				b.finished, len(intervals), b.prepared.Runs))
		})
	}
	disconnected, _ := workflow.NewDisconnectedContext(ctx)
	running.Wait(disconnected)
	return ctx.Err()
}

// interval runs one interval, or waits for whoever runs it. How it ended is in the database.
func (b *backfill) interval(ctx workflow.Context, i batch.Interval) {
	for again := true; again && ctx.Err() == nil; {
		err := b.runInterval(ctx, i)
		if _, taken := errors.AsType[*temporal.ChildWorkflowExecutionAlreadyStartedError](err); !taken {
			return
		}
		again = b.awaitOwner(ctx, i)
	}
}

// runInterval runs the interval in a child under the interval's own id.
func (b *backfill) runInterval(ctx workflow.Context, i batch.Interval) error {
	in := ExportIntervalInput{BatchExportID: b.input.BatchExportID, TeamID: b.input.TeamID, End: &i.End, BackfillID: &b.input.BackfillID}
	if !i.Start.IsZero() {
		in.Start = &i.Start
	}
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: batch.WorkflowID(b.input.BatchExportID, i.End), TaskQueue: QueueBackfills,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
		WaitForCancellation:   true,
		StaticSummary:         "Backfill of " + i.String(),
		TypedSearchAttributes: inherited(ctx),
	})
	return workflow.ExecuteChildWorkflow(ctx, ExportInterval, in).Get(ctx, nil)
}

// awaitOwner waits for the execution that owns the interval, and says whether the backfill should run it after all.
func (b *backfill) awaitOwner(ctx workflow.Context, i batch.Interval) (again bool) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: backfillAwait, HeartbeatTimeout: backfillHeartbeat, WaitForCancellation: true,
		RetryPolicy: retries(), Summary: "Wait for the execution that owns " + i.String(),
	})
	in := activities.AwaitInput{WorkflowID: batch.WorkflowID(b.input.BatchExportID, i.End), BackfillID: b.input.BackfillID, Interval: i}
	var awaited activities.Awaited
	if err := workflow.ExecuteActivity(ctx, acts.AwaitInterval, in).Get(ctx, &awaited); err != nil {
		workflow.GetLogger(ctx).Warn("Waiting for the interval's owner ended early.", "workflow", in.WorkflowID, "error", err)
	}
	return awaited.Again
}

// finish writes the final state on every path.
func (b *backfill) finish(ctx workflow.Context, failure error) error {
	in := activities.FinishBackfillInput{BackfillID: b.input.BackfillID, Status: batch.BackfillCompleted}
	switch {
	case temporal.IsCanceledError(failure):
		in.Status = batch.BackfillCancelled
	case failure != nil:
		in.Status = batch.BackfillFailed
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	var finished activities.FinishedBackfill
	if err := workflow.ExecuteActivity(short(ctx, "Record how the backfill ended"), acts.FinishBackfill, in).Get(ctx, &finished); err != nil {
		return err
	}
	if failure == nil && finished.Status == batch.BackfillFailed {
		return temporal.NewApplicationErrorWithOptions("some intervals were not delivered", "undelivered",
			temporal.ApplicationErrorOptions{NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign})
	}
	return failure
}

// short is for activities that only talk to our database.
func short(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: backfillShort, RetryPolicy: retries(), Summary: summary,
	})
}
