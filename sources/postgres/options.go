// Package postgres is a source that reads models from tables in PostgreSQL.
package postgres

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"tranche/query"
)

// Options say where the rows are. The names of tables and columns are the operator's and are quoted.
type Options struct {
	// DSN is a URL or a list of keywords, as libpq has it, TLS included. It may hold a password and is never shown.
	DSN string
	// Models with their tables; nil = PostHog's. Timestamps may have a zone, without one they are taken for UTC. JSON
	// columns may be jsonb, which rewrites its values, json or text.
	Models query.Catalog
	// StatementTimeout ends a statement on the server, reading a split included, should we be gone and the
	// connection not. 0 = 6 hours.
	StatementTimeout time.Duration
	// SnapshotFor is how long the snapshot is held at most that the splits of a run share. 0 = 15 minutes, less = each
	// split has its own.
	SnapshotFor time.Duration
	// SplitRows is the number of rows below which it is not worth to cut a split off; 0 = 50,000.
	SplitRows int64
	// Allocator of the record batches; nil = Go's memory.
	Allocator memory.Allocator
}

const (
	defaultStatementTimeout = 6 * time.Hour
	defaultSplitRows        = 50_000
)
