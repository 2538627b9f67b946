// Package telemetry is how a process tells what it does: zap for operators, Prometheus metrics, and the run log that
// customers read.
package telemetry

import (
	"fmt"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLogger returns a logger that writes to standard error, as JSON or for a terminal. The levels are zap's: debug,
// info, warn and error.
func NewLogger(json bool, level string) (*zap.Logger, error) {
	parsed, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log level %q: %w", level, err)
	}
	config := zap.NewProductionConfig()
	config.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	if !json {
		config.Encoding = "console"
		config.EncoderConfig.EncodeLevel = zapcore.CapitalLevelEncoder
		config.EncoderConfig.EncodeDuration = zapcore.StringDurationEncoder
	}
	config.Level = zap.NewAtomicLevelAt(parsed)
	config.DisableCaller = true
	config.DisableStacktrace = true
	config.Sampling = nil // a line about a customer's data must not be dropped
	config.OutputPaths = []string{"stderr"}
	config.ErrorOutputPaths = []string{"stderr"}
	return config.Build()
}
