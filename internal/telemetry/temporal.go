package telemetry

import (
	"fmt"
	"strings"
	"unicode"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"tranche/batch"
)

// A TemporalLogger lets Temporal's SDK write to zap, with our names for what a line is about. It has the methods of the
// SDK's logger.
type TemporalLogger struct {
	log *zap.Logger
}

// NewTemporalLogger wraps log.
func NewTemporalLogger(log *zap.Logger) *TemporalLogger {
	return &TemporalLogger{log: log.Named("temporal")}
}

// Debug writes at the level debug.
func (l *TemporalLogger) Debug(message string, pairs ...any) {
	l.write(zapcore.DebugLevel, message, pairs)
}

// Info writes at the level debug: what the SDK tells of each task is no news to an operator.
func (l *TemporalLogger) Info(message string, pairs ...any) {
	l.write(zapcore.DebugLevel, message, pairs)
}

// Warn writes at the level warn.
func (l *TemporalLogger) Warn(message string, pairs ...any) {
	l.write(zapcore.WarnLevel, message, pairs)
}

// Error writes at the level error.
func (l *TemporalLogger) Error(message string, pairs ...any) {
	l.write(zapcore.ErrorLevel, message, pairs)
}

func (l *TemporalLogger) write(level zapcore.Level, message string, pairs []any) {
	if entry := l.log.Check(level, message); entry != nil {
		entry.Write(fieldsOf(pairs)...)
	}
}

// The SDK's names for what we know under others.
const (
	sdkWorkflowID   = "WorkflowID"
	sdkWorkflowType = "WorkflowType"
	sdkRunID        = "RunID"
	sdkActivityType = "ActivityType"
)

// fieldsOf names the pairs as our own lines do: workflow_id, attempt, activity. For the workflow of a run it adds whose run
// it is.
func fieldsOf(pairs []any) []zap.Field {
	fields := make([]zap.Field, 0, len(pairs)/2+2)
	var workflowID, workflowType, execution string
	for i := 0; i+1 < len(pairs); i += 2 {
		name, text := fmt.Sprint(pairs[i]), fmt.Sprint(pairs[i+1])
		switch name {
		case sdkWorkflowID:
			workflowID = text
		case sdkWorkflowType:
			if workflowType != "" { // of a child that it starts
				name = "child_workflow_type"
				break
			}
			workflowType = text
		case sdkRunID:
			execution, name = text, "temporal_run_id"
		case sdkActivityType:
			name = "activity"
		}
		fields = append(fields, zap.Any(snake(name), pairs[i+1]))
	}
	if workflowType != "ExportInterval" {
		return fields
	}
	if execution != "" {
		fields = append(fields, zap.Stringer("run_id", batch.RunID(execution)))
	}
	if export, ok := batch.ExportOf(workflowID); ok {
		fields = append(fields, zap.Stringer("batch_export_id", export))
	}
	return fields
}

// snake writes a name in CamelCase as our fields are written.
func snake(name string) string {
	var out strings.Builder
	before := rune(0)
	for _, r := range name {
		if unicode.IsUpper(r) && (unicode.IsLower(before) || unicode.IsDigit(before)) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
		before = r
	}
	return out.String()
}
