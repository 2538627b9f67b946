package activities

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"tranche/batch"
)

func TestLinesOfAnActivitySayWhoseWorkItIs(t *testing.T) {
	t.Parallel()
	export, execution := uuid.New(), uuid.NewString()
	id := batch.WorkflowID(export, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	core, logs := observer.New(zapcore.DebugLevel)
	zap.New(core).With(fieldsOf(activity.Info{
		WorkflowExecution: workflow.Execution{ID: id, RunID: execution}, WorkflowType: &workflow.Type{Name: "ExportInterval"},
		ActivityType: activity.Type{Name: "Stage"}, Attempt: 3, Priority: temporal.Priority{FairnessKey: "team-7"},
	})...).Warn("A line.")
	require.Equal(t, map[string]any{
		"workflow_id": id, "activity": "Stage", "attempt": int32(3), "team_id": int64(7), "run_id": batch.RunID(execution).String(),
		"batch_export_id": export.String(),
	}, logs.All()[0].ContextMap())

	zap.New(core).With(fieldsOf(activity.Info{
		WorkflowExecution: workflow.Execution{ID: "backfill", RunID: execution}, WorkflowType: &workflow.Type{Name: "Backfill"},
		ActivityType: activity.Type{Name: "NextPage"}, Attempt: 1,
	})...).Warn("A line.")
	require.Equal(t, map[string]any{"workflow_id": "backfill", "activity": "NextPage", "attempt": int32(1)}, logs.All()[1].ContextMap())
}
