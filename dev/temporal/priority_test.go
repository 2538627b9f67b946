package temporal_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"tranche/activities"
	"tranche/batch"
	"tranche/dev/temporal"
	"tranche/storage/storagetest"
	"tranche/workflows"
)

// TestEveryActivityKnowsItsTeam is for those that the server hands to the worker with its answer to the workflow: they do not
// inherit the priority of their workflow, by which lines of the log say whose work it is.
func TestEveryActivityKnowsItsTeam(t *testing.T) {
	t.Parallel()
	server := temporal.StartForTest(t, workflows.SearchAttributes())
	c, err := client.DialContext(t.Context(), client.Options{HostPort: server.HostPort()})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	keys := make(chan string, 1)
	w := worker.New(c, workflows.QueueExports, worker.Options{})
	w.RegisterWorkflow(workflows.ExportInterval)
	w.RegisterActivityWithOptions(func(ctx context.Context, _ activities.BeginInput) (activities.Begun, error) {
		keys <- activity.GetInfo(ctx).Priority.FairnessKey
		return activities.Begun{Skip: "it is a test"}, nil
	}, activity.RegisterOptions{Name: "Begin"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)

	e := storagetest.Export()
	e.TeamID = 7
	end := time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC)
	require.NoError(t, (&workflows.Client{Temporal: c}).StartInterval(t.Context(), e, batch.Interval{Start: end.Add(-time.Hour), End: end}))
	select {
	case key := <-keys:
		require.Equal(t, "team-7", key)
	case <-time.After(time.Minute):
		require.Fail(t, "nothing has begun")
	}
}
