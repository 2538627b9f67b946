package app

import (
	"context"

	"go.uber.org/zap"

	"tranche/batch"
)

// logOf is the operators' log, with the request that something is done for, if there is one.
func logOf(ctx context.Context, log *zap.Logger) *zap.Logger {
	if id := batch.ActOf(ctx).Actor.RequestID; id != "" {
		return log.With(zap.String("request_id", id))
	}
	return log
}
