package workflows

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"tranche/batch"
	"tranche/internal/app"
)

// A Client is our side of Temporal: schedules, and starting, cancelling and describing executions. Failures of Temporal
// are *batch.Error with batch.CodeUnavailable.
type Client struct {
	Temporal client.Client
	// CatchUp is how long an outage may last without intervals being lost; zero = DefaultCatchUp.
	CatchUp time.Duration
	// Converter reads what Temporal hands back as it is stored; nil = the SDK's default.
	Converter converter.DataConverter
	// Namespace is that of Temporal; empty = default.
	Namespace string
	// Installation is who we are among those who share the namespace; zero = schedules do not say whose they are.
	Installation uuid.UUID
}

// rpcTimeout bounds one call to Temporal, its retries included.
const rpcTimeout = 10 * time.Second

// Remove deletes the export's schedule, if there is one.
func (c *Client) Remove(ctx context.Context, exportID uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	err := c.Temporal.ScheduleClient().GetHandle(ctx, exportID.String()).Delete(ctx)
	return unavailable("delete schedule", ignoreNotFound(err))
}

// Scheduled returns all exports that have a schedule, and whether it is paused. Temporal's list lags behind by seconds.
func (c *Client) Scheduled(ctx context.Context) (map[uuid.UUID]bool, error) {
	list, err := c.Temporal.ScheduleClient().List(ctx, client.ScheduleListOptions{PageSize: 1000})
	if err != nil {
		return nil, unavailable("list schedules", err)
	}
	ids := map[uuid.UUID]bool{}
	for list.HasNext() {
		entry, err := list.Next()
		if err != nil {
			return nil, unavailable("list schedules", err)
		}
		// Others may keep schedules of their own in the namespace.
		if id, err := uuid.Parse(entry.ID); err == nil && entry.WorkflowType.Name == exportInterval {
			ids[id] = entry.Paused
		}
	}
	return ids, nil
}

// StartInterval starts an execution for an interval, unless one runs. What the interval delivered before is replaced.
func (c *Client) StartInterval(ctx context.Context, e batch.Export, i batch.Interval) error {
	return c.startInterval(ctx, e, i, ExportIntervalInput{BatchExportID: e.ID, TeamID: e.TeamID})
}

// StartDue starts an execution for an interval that is due, unless one runs. It ends at once if the interval was
// delivered meanwhile.
func (c *Client) StartDue(ctx context.Context, e batch.Export, i batch.Interval) error {
	return c.startInterval(ctx, e, i, ExportIntervalInput{BatchExportID: e.ID, TeamID: e.TeamID, Due: true})
}

func (c *Client) startInterval(ctx context.Context, e batch.Export, i batch.Interval, in ExportIntervalInput) error {
	if in.End = &i.End; !i.Start.IsZero() {
		in.Start = &i.Start
	}
	return c.start(ctx, client.StartWorkflowOptions{
		ID: batch.WorkflowID(e.ID, i.End), TaskQueue: QueueExports,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		TypedSearchAttributes: attributesOf(e, AttributeIntervalEnd.ValueSet(i.End)), StaticSummary: summaryOf(e), Priority: priorityOf(e.TeamID, scheduled),
	}, ExportInterval, in)
}

// StartBackfill starts the backfill's workflow; one that runs already is left alone.
func (c *Client) StartBackfill(ctx context.Context, e batch.Export, b batch.Backfill) error {
	return c.start(ctx, client.StartWorkflowOptions{
		ID: batch.BackfillWorkflowID(b.ExportID, b.ID), TaskQueue: QueueBackfills,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		TypedSearchAttributes: attributesOf(e, AttributeBackfill.ValueSet(b.ID.String())), // its runs inherit them
		StaticSummary:         backfillSummary(b), Priority: priorityOf(b.TeamID, rankOf(b)),
	}, Backfill, BackfillInput{BackfillID: b.ID, BatchExportID: b.ExportID, TeamID: b.TeamID})
}

func (c *Client) start(ctx context.Context, options client.StartWorkflowOptions, workflow, in any) error {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	options.WorkflowExecutionErrorWhenAlreadyStarted = true
	_, err := c.Temporal.ExecuteWorkflow(ctx, options, workflow, in)
	if _, taken := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); taken {
		return nil
	}
	return unavailable("start workflow", err)
}

// CancelRun asks the run's workflow to cancel.
func (c *Client) CancelRun(ctx context.Context, r batch.Run) error {
	return c.cancel(ctx, r.WorkflowID, r.TemporalRunID)
}

// CancelBackfill asks the backfill's workflow to cancel; its children are asked by it.
func (c *Client) CancelBackfill(ctx context.Context, b batch.Backfill) error {
	return c.cancel(ctx, batch.BackfillWorkflowID(b.ExportID, b.ID), "")
}

// SteerBackfill tells the backfill's workflow that it was paused or resumed.
func (c *Client) SteerBackfill(ctx context.Context, b batch.Backfill) error {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	err := c.Temporal.SignalWorkflow(ctx, batch.BackfillWorkflowID(b.ExportID, b.ID), "", SignalSteer, nil)
	return unavailable("signal workflow", ignoreNotFound(err))
}

func (c *Client) cancel(ctx context.Context, id, runID string) error {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	return unavailable("cancel workflow", ignoreNotFound(c.Temporal.CancelWorkflow(ctx, id, runID)))
}

// Await waits until the execution that now has the id is over, however it ends.
func (c *Client) Await(ctx context.Context, workflowID string) error {
	err := c.Temporal.GetWorkflow(ctx, workflowID, "").Get(ctx, nil)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ended := errors.AsType[*temporal.WorkflowExecutionError](err); ended {
		return nil
	}
	return unavailable("await workflow", ignoreNotFound(err))
}

// DescribeRun says what became of the run's workflow, and which try of its work ended because its worker did not answer.
func (c *Client) DescribeRun(ctx context.Context, r batch.Run) (app.Execution, *app.Retry, error) {
	d, err := c.describe(ctx, r.WorkflowID, r.TemporalRunID)
	return executionOf(d), retryOf(d), err
}

// DescribeBackfill says what became of the backfill's workflow, and whether one that runs was asked to end.
func (c *Client) DescribeBackfill(ctx context.Context, b batch.Backfill) (app.Execution, error) {
	d, err := c.describe(ctx, batch.BackfillWorkflowID(b.ExportID, b.ID), "")
	execution := executionOf(d)
	if execution == app.ExecutionRunning && d.GetWorkflowExtendedInfo().GetCancelRequested() {
		execution = app.ExecutionCancelling
	}
	return execution, err
}

// DescribeInterval says what became of the newest execution under the interval's id, and its run id.
func (c *Client) DescribeInterval(ctx context.Context, exportID uuid.UUID, end time.Time) (app.Execution, string, error) {
	d, err := c.describe(ctx, batch.WorkflowID(exportID, end), "")
	return executionOf(d), d.GetWorkflowExecutionInfo().GetExecution().GetRunId(), err
}

// describe returns nil when Temporal knows no such execution.
func (c *Client) describe(ctx context.Context, id, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	d, err := c.Temporal.DescribeWorkflowExecution(ctx, id, runID)
	if err != nil {
		return nil, unavailable("describe workflow", ignoreNotFound(err))
	}
	return d, nil
}

func executionOf(d *workflowservice.DescribeWorkflowExecutionResponse) app.Execution {
	if d == nil {
		return app.ExecutionGone
	}
	switch d.GetWorkflowExecutionInfo().GetStatus() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		return app.ExecutionCompleted
	case enumspb.WORKFLOW_EXECUTION_STATUS_FAILED:
		return app.ExecutionFailed
	case enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		return app.ExecutionCancelled
	case enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED:
		return app.ExecutionTerminated
	case enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		return app.ExecutionTimedOut
	case enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED:
	}
	return app.ExecutionRunning
}

// retryOf finds the work of an execution whose last try timed out: its worker could not record it. Nil = there is none.
func retryOf(d *workflowservice.DescribeWorkflowExecutionResponse) *app.Retry {
	var worst *app.Retry
	for _, a := range d.GetPendingActivities() {
		if a.GetAttempt() < 2 || a.GetLastFailure().GetTimeoutFailureInfo() == nil {
			continue
		}
		if failed := int(a.GetAttempt()) - 1; worst == nil || failed > worst.Attempt {
			worst = &app.Retry{Attempt: failed}
			if next := a.GetNextAttemptScheduleTime(); next != nil {
				worst.Next = next.AsTime()
			}
		}
	}
	return worst
}

// Healthy says whether Temporal answers.
func (c *Client) Healthy(ctx context.Context) error {
	_, err := c.Temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
	return unavailable("check health", err)
}

func ignoreNotFound(err error) error {
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return nil
	}
	return err
}

func unavailable(operation string, err error) error {
	if err == nil {
		return nil
	}
	return batch.Errorf(batch.CodeUnavailable, fmt.Errorf("%s: %w", operation, err), "the scheduler does not answer")
}

// overlap lets an interval start while an earlier one still runs: each has an owner of its own.
const overlap = enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL

// specOf maps an export's calendar to Temporal's.
func specOf(e batch.Export) (client.ScheduleSpec, error) {
	calendar, err := e.Calendar()
	if err != nil {
		return client.ScheduleSpec{}, err
	}
	spec := client.ScheduleSpec{Jitter: e.Frequency.Jitter(), TimeZoneName: calendar.Location().String()}
	if e.StartAt != nil {
		spec.StartAt = *e.StartAt
	}
	if e.EndAt != nil {
		spec.EndAt = *e.EndAt
	}
	if !e.Frequency.InLocalTime() {
		spec.Intervals = []client.ScheduleIntervalSpec{{Every: e.Frequency.Nominal()}}
		return spec, nil
	}
	at := client.ScheduleCalendarSpec{
		Hour:    []client.ScheduleRange{{Start: calendar.Hour()}},
		Comment: fmt.Sprintf("Daily at %d hours after midnight local time", calendar.Hour()),
	}
	if e.Frequency == batch.Weekly {
		at.DayOfWeek = []client.ScheduleRange{{Start: int(calendar.Weekday())}}
		at.Comment = fmt.Sprintf("Weekly on %s at %d hours after midnight local time", calendar.Weekday(), calendar.Hour())
	}
	spec.Calendars = []client.ScheduleCalendarSpec{at}
	return spec, nil
}

func (c *Client) actionOf(e batch.Export) *client.ScheduleWorkflowAction {
	in := ExportIntervalInput{BatchExportID: e.ID, TeamID: e.TeamID, Revision: e.Revision, Paused: &e.Paused}
	if c.Installation != uuid.Nil {
		in.Installation = &c.Installation
	}
	return &client.ScheduleWorkflowAction{
		ID: e.ID.String(), Workflow: ExportInterval, TaskQueue: QueueExports, Args: []any{in},
		TypedSearchAttributes: attributesOf(e), StaticSummary: summaryOf(e), Priority: priorityOf(e.TeamID, scheduled),
	}
}

// summaryOf is short enough for a static summary, which is limited to 200 bytes: all its parts are of our own making.
func summaryOf(e batch.Export) string {
	every := "every " + strings.TrimPrefix(string(e.Frequency), "every ")
	return fmt.Sprintf("Batch export %s %s to %s", e.Model, every, e.Destination.Type)
}

func backfillSummary(b batch.Backfill) string {
	from := "START"
	if b.StartAt != nil {
		from = b.StartAt.UTC().Format(time.RFC3339)
	}
	to := "END"
	if b.EndAt != nil {
		to = b.EndAt.UTC().Format(time.RFC3339)
	}
	what := "Backfill"
	if b.Retry {
		what = "Retry"
	}
	return fmt.Sprintf("%s batch export from %s to %s", what, from, to)
}

func noteOf(e batch.Export) string {
	return fmt.Sprintf("Schedule put for revision %d of batch export %s in team %d.", e.Revision, e.ID, e.TeamID)
}
