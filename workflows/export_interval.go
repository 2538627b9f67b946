// Package workflows orchestrates the delivery protocol: ExportInterval delivers one interval, Backfill a range of them.
// Both are deterministic: no clock, no I/O, and no constant that shapes the order of their commands; what varies is data
// in the results of activities. Client is the other side: schedules, starting, cancelling, describing.
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

// ExportIntervalInput says which interval to deliver. Its tags are for ever.
type ExportIntervalInput struct {
	BatchExportID uuid.UUID `json:"batch_export_id"`
	TeamID        int64     `json:"team_id"`
	// Revision is that of the definition for which a schedule was put; it lets an older Put recognise a newer one.
	Revision int64 `json:"revision,omitempty"`
	// Paused says how the schedule was put; it lets Put recognise that somebody paused or unpaused it in Temporal since.
	Paused *bool `json:"schedule_paused,omitempty"`
	// Installation is that which put the schedule, so that no other removes it.
	Installation *uuid.UUID `json:"installation,omitempty"`
	// Start and End are explicit bounds. Without End the interval is the one that ends at the schedule's nominal time;
	// End without Start means from the beginning.
	Start      *time.Time `json:"data_interval_start,omitempty"`
	End        *time.Time `json:"data_interval_end,omitempty"`
	BackfillID *uuid.UUID `json:"backfill_id,omitempty"`
	// Due says that the interval was due and nobody saw to it: there is nothing to do if it was delivered meanwhile.
	Due bool `json:"due,omitempty"`
}

// ExportIntervalResult is what a run did.
type ExportIntervalResult struct {
	RunID  uuid.UUID       `json:"run_id"`
	Status batch.RunStatus `json:"status"`
	Rows   int64           `json:"rows"`
	Bytes  int64           `json:"bytes"`
	Files  int64           `json:"files"`
	// Skipped, if not empty, says why the workflow was no run.
	Skipped string `json:"skipped,omitempty"`
}

// ExportInterval delivers one interval: begin, stage the splits a few at a time, recount, commit, finish.
//
// When somebody resets an execution in Temporal, a new one replays what the old one did, and would go on with the old
// one's run. Such a run is left as it ended, and the interval begins anew, as a run of this execution.
func ExportInterval(ctx workflow.Context, in ExportIntervalInput) (ExportIntervalResult, error) {
	for {
		r := run{input: in}
		if err := r.begin(ctx); err != nil {
			return ExportIntervalResult{}, err
		}
		if r.begun.Skip != "" {
			workflow.SetCurrentDetails(ctx, "Nothing to do: "+r.begun.Skip+".")
			return ExportIntervalResult{Skipped: r.begun.Skip}, nil
		}
		r.reset = r.begun.RunID != batch.RunID(workflow.GetInfo(ctx).WorkflowExecution.RunID)
		result, err := r.finish(ctx, r.deliver(ctx))
		if !r.reset {
			return result, err
		}
		if ctx.Err() != nil { // it was the old one that somebody cancelled
			ctx, _ = workflow.NewDisconnectedContext(ctx)
		}
	}
}

// A run is the state of one ExportInterval.
type run struct {
	input ExportIntervalInput
	begun activities.Begun
	// reset says that the run is another execution's, of which this one is a reset.
	reset bool
}

// acts names activities by method value; it is never called.
var acts *activities.Activities

// beginLimits bound Begin, which runs before the run's own limits are known.
const (
	beginTimeout = 10 * time.Second
	retryFirst   = time.Second
	retryMost    = time.Minute
)

func (r *run) begin(ctx workflow.Context) error {
	in := activities.BeginInput{
		BatchExportID: r.input.BatchExportID, Start: r.input.Start, End: r.input.End, BackfillID: r.input.BackfillID,
		Revision: r.input.Revision, Due: r.input.Due,
	}
	if info := workflow.GetInfo(ctx); info.OriginalRunID != "" && info.OriginalRunID != info.WorkflowExecution.RunID {
		in.Due, in.BackfillID = false, nil // a reset is a retry that an operator asked for
	}
	if nominal, ok := workflow.GetTypedSearchAttributes(ctx).GetTime(scheduledStartTime); ok && in.End == nil {
		in.Nominal = &nominal
	}
	ctx = withActivity(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: beginTimeout, RetryPolicy: retries(), Summary: "Begin the run",
	})
	if err := workflow.ExecuteActivity(ctx, acts.Begin, in).Get(ctx, &r.begun); err != nil || r.begun.Skip != "" {
		return err
	}
	return workflow.UpsertTypedSearchAttributes(ctx,
		AttributeIntervalEnd.ValueSet(r.begun.Interval.End), AttributeRunID.ValueSet(r.begun.RunID.String()))
}

// deliver is the run up to and including its commit. Once somebody has cancelled it, it is cancelled, whatever its
// activities say of how they ended: Temporal does not try again what a dead worker has left, for one.
func (r *run) deliver(ctx workflow.Context) error {
	plan, err := r.prepare(ctx)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	return r.commit(ctx, plan)
}

// prepare is the run up to its commit. It returns the plan of what is staged.
func (r *run) prepare(ctx workflow.Context) (activities.Planned, error) {
	if wait := r.begun.ReadyAt.Sub(workflow.Now(ctx)); wait > 0 {
		r.tell(ctx, "Waiting until %s for late rows to land.", r.begun.ReadyAt.Format(time.RFC3339))
		if err := workflow.Sleep(ctx, wait); err != nil {
			return activities.Planned{}, err
		}
	}
	plan, err := r.plan(ctx)
	for err == nil {
		r.tell(ctx, "Staging %d rows in %d splits.", plan.Rows, plan.Splits)
		if err = r.stage(ctx, plan); err != nil {
			return plan, err
		}
		var recounted activities.Recounted
		err = r.execute(ctx, "Count the rows again", acts.Recount, r.generation(plan.Generation), &recounted)
		if recounted.Again == nil {
			break
		}
		plan = *recounted.Again
	}
	return plan, err
}

// plan plans the run, when it may work. A run that has to wait has no limit of time: those it waits for have.
func (r *run) plan(ctx workflow.Context) (activities.Planned, error) {
	in := r.generation(1)
	for {
		var plan activities.Planned
		err := r.execute(ctx, "Plan the splits and count the rows", acts.Plan, in, &plan)
		if err != nil || plan.Waiting == "" {
			return plan, err
		}
		r.tell(ctx, "Waiting: %s.", plan.Waiting)
		waiting := withActivity(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: r.begun.Short, WaitForCancellation: true, RetryPolicy: retries(), Summary: "Wait for a place",
		})
		if err := workflow.ExecuteActivity(waiting, acts.Admit, in).Get(ctx, nil); err != nil {
			return plan, err
		}
	}
}

func (r *run) generation(n int) activities.RunInput {
	return activities.RunInput{RunID: r.begun.RunID, Generation: n, Reset: r.reset}
}

// stage stages all splits, a few at a time. The first failure stops the others.
func (r *run) stage(ctx workflow.Context, plan activities.Planned) error {
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	slots := workflow.NewSemaphore(ctx, int64(max(1, plan.Parallel)))
	running := workflow.NewWaitGroup(ctx)
	var failed error
	for split := range plan.Splits {
		if err := slots.Acquire(ctx, 1); err != nil || failed != nil {
			break
		}
		running.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer running.Done()
			defer slots.Release(1)
			in := activities.StageInput{RunID: r.begun.RunID, Generation: plan.Generation, Split: split, Splits: plan.Splits, Reset: r.reset}
			summary := fmt.Sprintf("Stage split %d of %d", split+1, plan.Splits)
			if err := r.execute(ctx, summary, acts.Stage, in, nil); err != nil && failed == nil {
				failed = err
				cancel()
			}
		})
	}
	disconnected, _ := workflow.NewDisconnectedContext(ctx)
	running.Wait(disconnected)
	if failed == nil {
		return ctx.Err()
	}
	return failed
}

// commit is the point of no return: a cancel that comes later does not reach it.
func (r *run) commit(ctx workflow.Context, plan activities.Planned) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	r.tell(ctx, "Publishing %d rows.", plan.Rows)
	return r.execute(ctx, "Publish", acts.Commit, r.generation(plan.Generation), nil)
}

// execute runs an activity that heartbeats, within the run's limits.
func (r *run) execute(ctx workflow.Context, summary string, activity, in, result any) error {
	ctx = withActivity(ctx, workflow.ActivityOptions{
		ScheduleToCloseTimeout: r.begun.Work, HeartbeatTimeout: r.begun.Heartbeat,
		WaitForCancellation: true, RetryPolicy: retries(), Summary: summary,
	})
	return workflow.ExecuteActivity(ctx, activity, in).Get(ctx, result)
}

// finish writes the final state, whatever happened, and ends the workflow so that Temporal and the API agree.
func (r *run) finish(ctx workflow.Context, failure error) (ExportIntervalResult, error) {
	in := activities.FinishInput{RunID: r.begun.RunID, Status: batch.RunCompleted, Reset: r.reset}
	if failure != nil {
		in.Status, in.Code, in.Message = outcomeOf(failure)
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	ctx = withActivity(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: r.begun.Short, RetryPolicy: retries(), Summary: "Record how the run ended",
	})
	var finished activities.Finished
	if err := workflow.ExecuteActivity(ctx, acts.Finish, in).Get(ctx, &finished); err != nil {
		return ExportIntervalResult{}, err
	}
	result := ExportIntervalResult{
		RunID: r.begun.RunID, Status: finished.Status, Rows: finished.Rows, Bytes: finished.Bytes, Files: finished.Files,
	}
	if finished.Status == batch.RunCompleted {
		r.tell(ctx, "Delivered %d rows, %d bytes, in %d files.", finished.Rows, finished.Bytes, finished.Files)
		return result, nil
	}
	r.tell(ctx, "%s. %s", finished.Status, advice(in))
	return result, failure
}

// advice is the sentence that tells an operator what went wrong and who must act.
func advice(in activities.FinishInput) string {
	if in.Message == "" {
		return "Nothing of this run is visible at the destination."
	}
	return fmt.Sprintf("Error `%s`: %s. Who must act: %s.", in.Code, in.Message, in.Code.Fault())
}

// tell sets the details that Temporal's Web UI shows for the run.
func (r *run) tell(ctx workflow.Context, format string, args ...any) {
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("**%s to %s, %s**\n\n", r.begun.Model, r.begun.Destination, r.begun.Interval)+fmt.Sprintf(format, args...))
}

// retries is the retry policy of every activity: until the time is up, unless the error says that it is no use.
func retries() *temporal.RetryPolicy {
	return &temporal.RetryPolicy{InitialInterval: retryFirst, BackoffCoefficient: 2, MaximumInterval: retryMost}
}

// outcomeOf maps what ended a run to its final state and to the sentence that the customer sees. A message is shown only
// when its type is one of our codes: everything else is raw text.
func outcomeOf(err error) (batch.RunStatus, batch.Code, string) {
	if temporal.IsCanceledError(err) {
		return batch.RunCancelled, "", ""
	}
	last, ok := errors.AsType[*temporal.ApplicationError](err)
	known := ok && batch.Code(last.Type()).Known()
	switch {
	case known && batch.Code(last.Type()) == batch.CodeCancelled:
		return batch.RunCancelled, "", ""
	case outOfTime(err) && known:
		return batch.RunFailed, batch.Code(last.Type()), outOfTimeMessage + "; the last error was: " + last.Message()
	case outOfTime(err):
		return batch.RunFailed, batch.CodeTimeout, outOfTimeMessage
	case known && batch.Code(last.Type()) != batch.CodeInternal:
		return batch.RunFailed, batch.Code(last.Type()), last.Message()
	}
	return batch.RunFailed, batch.CodeInternal, batch.InternalMessage
}

const outOfTimeMessage = "the work did not finish in the time that the interval allows"

// outOfTime says whether an activity ended because its time was up: while it worked, or because its next attempt would
// have come too late, of which Temporal reports the last error.
func outOfTime(err error) bool {
	if _, ok := errors.AsType[*temporal.TimeoutError](err); ok {
		return true
	}
	ended, ok := errors.AsType[*temporal.ActivityError](err)
	return ok && ended.RetryState() == enumspb.RETRY_STATE_TIMEOUT
}
