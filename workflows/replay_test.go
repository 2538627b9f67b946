package workflows_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"tranche/workflows"
)

// TestRecordedHistoriesReplay replays what released code did. A failure means that a change to a workflow would break
// the executions that are under way when it is deployed: keep the old path with workflow.GetVersion.
func TestRecordedHistoriesReplay(t *testing.T) {
	t.Parallel()
	histories, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(histories), 34, "histories are missing; record them with make record-histories")
	for _, history := range histories {
		t.Run(filepath.Base(history), func(t *testing.T) {
			t.Parallel()
			replayer := worker.NewWorkflowReplayer()
			replayer.RegisterWorkflow(workflows.ExportInterval)
			replayer.RegisterWorkflow(workflows.Backfill)
			replayer.RegisterWorkflow(workflows.Notify)
			events, execution := load(t, history)
			require.NoError(t, replayer.ReplayWorkflowHistoryWithOptions(nil, events, worker.ReplayWorkflowHistoryOptions{OriginalExecution: execution}))
		})
	}
}

// load reads a history, and finds which execution it is of: that of a reset tells it where it left the old one.
func load(t *testing.T, path string) (*historypb.History, workflow.Execution) {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	history, err := client.HistoryFromJSON(file, client.HistoryJSONOptions{})
	require.NoError(t, err)
	var execution workflow.Execution
	for _, e := range history.GetEvents() {
		if id := e.GetWorkflowTaskFailedEventAttributes().GetNewRunId(); id != "" {
			execution.RunID = id
		}
	}
	return history, execution
}
