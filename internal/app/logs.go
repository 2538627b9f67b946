package app

import (
	"context"

	"tranche/batch"
)

// LogStore is what Logs needs of the database.
type LogStore interface {
	ListLogs(ctx context.Context, f batch.LogFilter) ([]batch.LogEntry, error)
}

// Logs are the use cases of the lines that customers see.
type Logs struct {
	Store LogStore
}

// List returns the entries that the filter selects, newest first.
func (s *Logs) List(ctx context.Context, f batch.LogFilter) ([]batch.LogEntry, error) {
	return s.Store.ListLogs(ctx, f)
}
