package telemetry

import (
	"go.uber.org/zap"
)

// A TemporalLogger lets Temporal's SDK write to zap. It has the methods of the SDK's logger.
type TemporalLogger struct {
	log *zap.SugaredLogger
}

// NewTemporalLogger wraps log.
func NewTemporalLogger(log *zap.Logger) *TemporalLogger {
	return &TemporalLogger{log: log.Named("temporal").Sugar()}
}

// Debug writes at the level debug.
func (l *TemporalLogger) Debug(message string, pairs ...any) { l.log.Debugw(message, pairs...) }

// Info writes at the level debug: what the SDK tells of each task is no news to an operator.
func (l *TemporalLogger) Info(message string, pairs ...any) { l.log.Debugw(message, pairs...) }

// Warn writes at the level warn.
func (l *TemporalLogger) Warn(message string, pairs ...any) { l.log.Warnw(message, pairs...) }

// Error writes at the level error.
func (l *TemporalLogger) Error(message string, pairs ...any) { l.log.Errorw(message, pairs...) }
