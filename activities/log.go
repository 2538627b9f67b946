package activities

import (
	"context"
	"strconv"
	"strings"

	"go.temporal.io/sdk/activity"
	"go.uber.org/zap"

	"tranche/batch"
	"tranche/internal/telemetry"
)

// teamPrefix begins the fairness keys of our tasks; the id of the team follows.
const teamPrefix = "team-"

// log is the operators' log, with what every line of an activity says: whose work it is, which try of it, and where to find
// it in Temporal.
func (a *Activities) log(ctx context.Context) *zap.Logger {
	if !activity.IsActivity(ctx) {
		return a.Log
	}
	return a.Log.With(append(fieldsOf(activity.GetInfo(ctx)), telemetry.TraceID(ctx))...)
}

// exportInterval is the workflow whose executions are runs.
const exportInterval = "ExportInterval"

func fieldsOf(info activity.Info) []zap.Field {
	fields := []zap.Field{
		zap.String("workflow_id", info.WorkflowExecution.ID), zap.String("activity", info.ActivityType.Name), zap.Int32("attempt", info.Attempt),
	}
	if key, ok := strings.CutPrefix(info.Priority.FairnessKey, teamPrefix); ok {
		if team, err := strconv.ParseInt(key, 10, 64); err == nil { // a number, as in the lines of the API
			fields = append(fields, zap.Int64("team_id", team))
		}
	}
	if info.WorkflowType == nil || info.WorkflowType.Name != exportInterval {
		return fields
	}
	fields = append(fields, zap.Stringer("run_id", batch.RunID(info.WorkflowExecution.RunID)))
	if export, ok := batch.ExportOf(info.WorkflowExecution.ID); ok {
		fields = append(fields, zap.Stringer("batch_export_id", export))
	}
	return fields
}
