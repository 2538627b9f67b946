package temporal_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdktemporal "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"tranche/dev/temporal"
)

// A counter is where one customer is served at a time, in the order that the server says.
type counter struct {
	mu     sync.Mutex
	served []string
	open   chan struct{}
	first  chan struct{}
}

func (c *counter) serve(_ context.Context, who string) error {
	c.mu.Lock()
	c.served = append(c.served, who)
	if len(c.served) == 1 {
		close(c.first)
	}
	c.mu.Unlock()
	<-c.open
	return nil
}

// queueUp lets many come to the counter, with the priority of each.
func queueUp(ctx workflow.Context, crowd []customer) error {
	var all []workflow.Future
	for _, one := range crowd {
		ctx := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: time.Minute, DisableEagerExecution: true,
			Priority: sdktemporal.Priority{PriorityKey: one.Rank, FairnessKey: one.Name},
		})
		all = append(all, workflow.ExecuteActivity(ctx, "serve", one.Name))
	}
	for _, one := range all {
		if err := one.Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// A customer has a name, which is its fairness key, and a rank.
type customer struct {
	Name string
	Rank int
}

func crowdOf(name string, rank, n int) []customer {
	return slices.Repeat([]customer{{name, rank}}, n)
}

// waiting is how many activities wait in a task queue.
func waiting(t *testing.T, c client.Client, queue string) int64 {
	t.Helper()
	answer, err := c.WorkflowService().DescribeTaskQueue(t.Context(), &workflowservice.DescribeTaskQueueRequest{
		Namespace: client.DefaultNamespace, TaskQueue: &taskqueue.TaskQueue{Name: queue, Kind: enumspb.TASK_QUEUE_KIND_NORMAL},
		TaskQueueType: enumspb.TASK_QUEUE_TYPE_ACTIVITY, ReportStats: true,
	})
	require.NoError(t, err)
	return answer.GetStats().GetApproximateBacklogCount()
}

// The server is fair and heeds ranks: whoever comes behind a crowd of another's is served after one more of them at most.
func TestACrowdDoesNotKeepOthersWaiting(t *testing.T) {
	t.Parallel()
	server := start(t, temporal.Options{Dir: t.TempDir()})
	for name, crowd := range map[string][]customer{
		"of another team": append(crowdOf("crowd", 3, 40), customer{"late", 3}),
		"of lower rank":   append(crowdOf("crowd", 4, 40), customer{"late", 2}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			desk := &counter{open: make(chan struct{}), first: make(chan struct{})}
			c := dial(t, server)
			t.Cleanup(c.Close)
			w := worker.New(c, name, worker.Options{MaxConcurrentActivityExecutionSize: 1})
			w.RegisterWorkflow(queueUp)
			w.RegisterActivityWithOptions(desk.serve, activity.RegisterOptions{Name: "serve"})
			require.NoError(t, w.Start())
			t.Cleanup(w.Stop)

			before, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: name + " before", TaskQueue: name}, queueUp, crowd[:len(crowd)-1])
			require.NoError(t, err)
			<-desk.first
			after, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: name, TaskQueue: name}, queueUp, crowd[len(crowd)-1:])
			require.NoError(t, err)
			// A task that a workflow has scheduled is on its way to the queue for a while: all but the one at the counter must wait there.
			require.Eventually(t, func() bool {
				return waiting(t, c, name) == int64(len(crowd)-1)
			}, time.Minute, 20*time.Millisecond)
			close(desk.open)
			require.NoError(t, before.Get(t.Context(), nil))
			require.NoError(t, after.Get(t.Context(), nil))
			// The first is at the counter; one more may have been called up when the late one came.
			require.LessOrEqual(t, slices.Index(desk.served, "late"), 2, "%v", desk.served)
		})
	}
}
