package workflows

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tranche/activities"
	"tranche/batch"
)

// QueueNotifications is the task queue of notifications: receivers that do not answer hold up nothing but each other.
const QueueNotifications = "tranche-notifications"

// NotifyInput names a notification. Its tags are for ever.
type NotifyInput struct {
	NotificationID uuid.UUID   `json:"notification_id"`
	TeamID         int64       `json:"team_id"`
	BatchExportID  uuid.UUID   `json:"batch_export_id"`
	Event          batch.Event `json:"event"`
}

// NotifyResult counts what became of a notification's messages.
type NotifyResult struct {
	Delivered int `json:"delivered"`
	Failed    int `json:"failed"`
}

// What bounds the activities of a notification: the work on our database, and the time between two tries.
const (
	noticeTimeout  = 10 * time.Second
	sendRetryFirst = 5 * time.Second
	sendRetryMost  = time.Hour
)

// notices names activities by method value; it is never called.
var notices *activities.Notices

// Notify sends a notification to all who want it, each on its own, until it is taken or a day is over. Receivers may get it
// more than once, under the same id.
func Notify(ctx workflow.Context, in NotifyInput) (NotifyResult, error) {
	var (
		to     activities.Addressed
		result NotifyResult
	)
	err := workflow.ExecuteActivity(noticed(ctx, "Find out whom to tell"), notices.Address,
		activities.NotificationInput{NotificationID: in.NotificationID}).Get(ctx, &to)
	if err != nil {
		return result, err
	}
	sending := workflow.NewWaitGroup(ctx)
	var failure error
	for i, id := range to.MessageIDs {
		sending.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer sending.Done()
			sent, err := deliver(ctx, to, id, fmt.Sprintf("Send message %d of %d", i+1, len(to.MessageIDs)))
			switch {
			case err != nil:
				failure = err
			case sent.Status == batch.MessageDelivered:
				result.Delivered++
			default:
				result.Failed++
			}
		})
	}
	disconnected, _ := workflow.NewDisconnectedContext(ctx)
	sending.Wait(disconnected)
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("Delivered %d, given up %d.", result.Delivered, result.Failed))
	return result, failure
}

// deliver sends one message. What was not taken in time, or when somebody cancels the workflow, is given up.
func deliver(ctx workflow.Context, to activities.Addressed, id uuid.UUID, summary string) (activities.Sent, error) {
	var sent activities.Sent
	trying := withActivity(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: to.Try, ScheduleToCloseTimeout: to.Patience, WaitForCancellation: true, Summary: summary,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: sendRetryFirst, BackoffCoefficient: 2, MaximumInterval: sendRetryMost},
	})
	in := activities.MessageInput{MessageID: id}
	if err := workflow.ExecuteActivity(trying, notices.SendMessage, in).Get(ctx, &sent); err == nil {
		return sent, nil
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	err := workflow.ExecuteActivity(noticed(ctx, "Give up"), notices.GiveUpMessage, in).Get(ctx, &sent)
	return sent, err
}

// noticed is for activities that only talk to our database.
func noticed(ctx workflow.Context, summary string) workflow.Context {
	return withActivity(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: noticeTimeout, RetryPolicy: retries(), Summary: summary,
	})
}

// NotifyWorkflowID is the id of the workflow of a notification.
func NotifyWorkflowID(id uuid.UUID) string { return "notify-" + id.String() }

// StartNotify starts the notification's workflow; one that runs already is left alone. One that is over may be started
// again: it sends nothing that was taken.
func (c *Client) StartNotify(ctx context.Context, n batch.Notification) error {
	return c.start(ctx, client.StartWorkflowOptions{
		ID: NotifyWorkflowID(n.ID), TaskQueue: QueueNotifications,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		TypedSearchAttributes: temporal.NewSearchAttributes(AttributeTeam.ValueSet(n.TeamID), AttributeExport.ValueSet(n.ExportID.String())),
		StaticSummary:         "Notify: " + string(n.Event), Priority: priorityOf(n.TeamID, scheduled),
	}, Notify, NotifyInput{NotificationID: n.ID, TeamID: n.TeamID, BatchExportID: n.ExportID, Event: n.Event})
}
