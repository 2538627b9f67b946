package workflows

import (
	"cmp"
	"context"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"tranche/internal/telemetry"
)

// polled is how long ago a worker that works has asked for tasks at most: a poll waits for a minute.
const polled = 75 * time.Second

// Queues says what waits in our task queues, and who works on it.
func (c *Client) Queues(ctx context.Context) ([]telemetry.Queue, error) {
	var queues []telemetry.Queue
	for _, name := range []string{QueueExports, QueueBackfills, QueueNotifications} {
		for kind, of := range map[string]enumspb.TaskQueueType{
			"workflow": enumspb.TASK_QUEUE_TYPE_WORKFLOW, "activity": enumspb.TASK_QUEUE_TYPE_ACTIVITY,
		} {
			answer, err := c.Temporal.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
				Namespace: cmp.Or(c.Namespace, client.DefaultNamespace), TaskQueue: &taskqueue.TaskQueue{Name: name, Kind: enumspb.TASK_QUEUE_KIND_NORMAL},
				TaskQueueType: of, ReportStats: true,
			})
			if err != nil {
				return nil, unavailable("describe task queue", err)
			}
			stats := answer.GetStats()
			queue := telemetry.Queue{
				Name: name, Kind: kind, Backlog: stats.GetApproximateBacklogCount(),
				Age: stats.GetApproximateBacklogAge().AsDuration(), Dispatched: float64(stats.GetTasksDispatchRate()),
			}
			for _, p := range answer.GetPollers() {
				if time.Since(p.GetLastAccessTime().AsTime()) < polled {
					queue.Pollers++
				}
			}
			queues = append(queues, queue)
		}
	}
	return queues, nil
}
