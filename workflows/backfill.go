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
	From     time.Time           `json:"from"` // the cursor behind the last interval
}

// SignalSteer tells a backfill's workflow that it was paused or resumed: it asks the database which.
const SignalSteer = "steer"

// backfillTimeouts bound the activities of a backfill.
const (
	backfillShort     = 10 * time.Second
	backfillHeartbeat = 10 * time.Second
	backfillPrepare   = 30 * time.Minute
	// backfillAwait is how long a run that somebody else started may take: the longest limit of any run.
	backfillAwait = 7 * 24 * time.Hour
)

// Backfill runs the intervals of a range, a few at a time. A failed run does not stop it. It goes on in a new execution
// after each page of intervals, or earlier when its history grows long; its runs are over by then, so that none loses its
// parent.
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
	page     activities.Page
	steered  activities.Steered
	finished int
}

// run does one page of intervals. It returns where the next execution starts; nil = there is nothing left.
func (b *backfill) run(ctx workflow.Context) (*BackfillPosition, error) {
	from, err := b.prepare(ctx)
	if err != nil || b.prepared.Done {
		return nil, err
	}
	in := activities.NextInput{BackfillID: b.input.BackfillID, From: from}
	if err := workflow.ExecuteActivity(short(ctx, "Find the next intervals"), acts.NextIntervals, in).Get(ctx, &b.page); err != nil {
		return nil, err
	}
	b.heed(b.page.Steered)
	b.listen(ctx)
	behind, err := b.intervals(ctx)
	if err != nil || behind == nil {
		return nil, err
	}
	return &BackfillPosition{Prepared: b.prepared, From: *behind}, nil
}

// prepare finds out what there is to run, once for all executions of the backfill.
func (b *backfill) prepare(ctx workflow.Context) (*time.Time, error) {
	if r := b.input.Resume; r != nil {
		b.prepared = r.Prepared
		return &r.From, nil
	}
	ctx = withActivity(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: backfillPrepare, HeartbeatTimeout: backfillHeartbeat, WaitForCancellation: true,
		RetryPolicy: retries(), Summary: "Find the earliest row and count",
	})
	err := workflow.ExecuteActivity(ctx, acts.PrepareBackfill, activities.BackfillInput{BackfillID: b.input.BackfillID}).Get(ctx, &b.prepared)
	return nil, err
}

// listen asks the database how the backfill is steered whenever a signal comes. One that comes when this execution is
// about to end is not lost: the next one asks with its page.
func (b *backfill) listen(ctx workflow.Context) {
	signals := workflow.GetSignalChannel(ctx, SignalSteer)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for ctx.Err() == nil {
			signals.Receive(ctx, nil)
			for signals.ReceiveAsync(nil) { // several at once are one
			}
			var steered activities.Steered
			in := activities.BackfillInput{BackfillID: b.input.BackfillID}
			err := workflow.ExecuteActivity(short(ctx, "Ask whether to pause"), acts.SteerBackfill, in).Get(ctx, &steered)
			if err != nil {
				workflow.GetLogger(ctx).Warn("How the backfill is steered is not known.", "error", err)
				continue
			}
			b.heed(steered)
			b.tell(ctx)
		}
	})
}

// heed takes over how the backfill is steered, unless something newer is known.
func (b *backfill) heed(s activities.Steered) {
	if s.Steering >= b.steered.Steering {
		b.steered = s
	}
}

// intervals runs the page's intervals and waits for all of them, also when it is cancelled: parent and children end
// together. It returns the cursor behind the last one that it ran; nil = there is nothing behind it.
func (b *backfill) intervals(ctx workflow.Context) (behind *time.Time, err error) {
	slots := workflow.NewSemaphore(ctx, int64(max(1, b.prepared.Concurrency)))
	running := workflow.NewWaitGroup(ctx)
	b.tell(ctx)
	behind = b.page.Next
	for n, interval := range b.page.Intervals {
		if err := slots.Acquire(ctx, 1); err != nil {
			break
		}
		if !b.mayGoOn(ctx) {
			before := b.cursor(n)
			behind = &before
			break
		}
		running.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer running.Done()
			defer slots.Release(1)
			b.interval(ctx, interval)
			b.finished++
			b.tell(ctx)
		})
	}
	disconnected, _ := workflow.NewDisconnectedContext(ctx)
	running.Wait(disconnected)
	return behind, ctx.Err()
}

// mayGoOn waits while the backfill is paused. It is false when this execution has to end before the next interval.
func (b *backfill) mayGoOn(ctx workflow.Context) bool {
	err := workflow.Await(ctx, func() bool { return !b.steered.Paused || b.long(ctx) })
	return err == nil && !b.long(ctx)
}

// long says whether the history has grown so long that a new execution must go on.
func (b *backfill) long(ctx workflow.Context) bool {
	limit := b.page.HistoryLimit
	return limit > 0 && workflow.GetInfo(ctx).GetCurrentHistoryLength() > limit
}

// cursor is the cursor before the interval of that number.
func (b *backfill) cursor(n int) time.Time {
	if i := b.page.Intervals[n]; !b.page.NewestFirst {
		return i.Start
	}
	return b.page.Intervals[n].End
}

// tell sets the details that Temporal's Web UI shows.
func (b *backfill) tell(ctx workflow.Context) {
	all := "the backfill has no end"
	if b.prepared.Runs > 0 {
		all = fmt.Sprintf("the backfill has %d in all", b.prepared.Runs)
	}
	text := fmt.Sprintf("%d of %d intervals of this part have run; %s.", b.finished, len(b.page.Intervals), all)
	if b.steered.Paused {
		text = "**Paused.** Runs under way go on, no more are started until it is resumed. " + text
	}
	workflow.SetCurrentDetails(ctx, text)
}

// interval runs one interval, or waits for whoever runs it. How it ended is in the database.
func (b *backfill) interval(ctx workflow.Context, i batch.Interval) {
	for again := true; again && ctx.Err() == nil && !b.long(ctx); {
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
	ctx = withActivity(ctx, workflow.ActivityOptions{
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
		_, _, in.Message = outcomeOf(failure)
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
	return withActivity(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: backfillShort, RetryPolicy: retries(), Summary: summary,
	})
}
