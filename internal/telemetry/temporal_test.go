package telemetry

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"tranche/batch"
)

func TestLinesOfTheSDKHaveOurNames(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	log := NewTemporalLogger(zap.New(core))
	export, execution := uuid.New(), uuid.NewString()
	id := batch.WorkflowID(export, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	log.Warn("A line.", "WorkflowID", id, "RunID", execution, "WorkflowType", "ExportInterval", "Attempt", int32(2), "ActivityType", "Stage",
		"PreviousStartedEventID", 7, "Error", errors.New("no"))
	require.Equal(t, map[string]any{
		"workflow_id": id, "temporal_run_id": execution, "workflow_type": "ExportInterval", "attempt": int32(2), "activity": "Stage",
		"previous_started_event_id": int64(7), "error": "no", "run_id": batch.RunID(execution).String(), "batch_export_id": export.String(),
	}, logs.All()[0].ContextMap())
	require.Equal(t, zapcore.WarnLevel, logs.All()[0].Level)

	log.Info("Of a backfill.", "WorkflowID", "backfill", "RunID", execution, "WorkflowType", "Backfill", "odd")
	require.Equal(t, zapcore.DebugLevel, logs.All()[1].Level)
	require.NotContains(t, logs.All()[1].ContextMap(), "run_id")
	log.Info("It starts a run.", "WorkflowID", "backfill", "RunID", execution, "WorkflowType", "Backfill", "ChildWorkflowID", id, "WorkflowType", "ExportInterval")
	require.NotContains(t, logs.All()[2].ContextMap(), "run_id", "the execution is the backfill's")
	require.Equal(t, "Backfill", logs.All()[2].ContextMap()["workflow_type"])
	log.Debug("Nothing.")
	log.Error("Nothing.")
	require.Len(t, logs.All(), 5)
}
