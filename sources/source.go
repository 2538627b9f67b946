// Package sources says what a source is: where the rows of an interval are planned, counted and read.
//
// Each kind is a package of its own: clickhouse and postgres below this one, duckdb in the dev module.
package sources

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"tranche/batch"
	"tranche/query"
)

// A Source reads the rows of intervals. It is safe for use by several goroutines. Errors are *batch.Error wherever the
// cause is known; a broken connection is retryable.
type Source interface {
	// Schema returns the columns that Open will deliver for the query, without reading.
	Schema(ctx context.Context, q query.Query) (*arrow.Schema, error)
	// Plan cuts the query's interval into at most limit splits that cover it and never overlap, about equal in rows.
	// No rows, no splits.
	Plan(ctx context.Context, q query.Query, limit int) ([]Split, error)
	// Open streams the rows of one split in record batches of bounded size. The caller releases the reader, which ends
	// the query; so does the end of ctx. After Next has returned false, Err tells a short stream from a complete one.
	Open(ctx context.Context, q query.Query, s Split) (array.RecordReader, error)
	// Count returns how many rows Open would deliver over all splits, with the same deduplication.
	Count(ctx context.Context, q query.Query) (int64, error)
	// Earliest returns the time of the earliest row of the whole model of the query's team, by the time that the query
	// chooses rows by; false = it has none. Nothing else of the query counts.
	Earliest(ctx context.Context, q query.Query) (time.Time, bool, error)
	// Close releases the connections.
	Close() error
}

// A Checker is a source that can compare models with the tables that it has.
type Checker interface {
	// Check says all that is wrong with each of the models; errors that are retryable say that the source did not answer.
	Check(ctx context.Context, models query.Catalog) error
}

// A Snapshotter is a source of which several splits can be read as they were at one moment.
type Snapshotter interface {
	// Hold keeps what the source has now, for splits to be read by the name that it returns, in this process or another;
	// "" = it does not. It is kept until Release, and never longer than some minutes.
	Hold(ctx context.Context) (string, error)
	// Release lets go of what this process holds by the name; it does nothing when it does not. What is being read goes on.
	Release(name string)
}

// A Split is a part of an interval that can be read on its own: the rows whose time lies in Range.
// Splits are saved in our database.
type Split struct {
	Number int            `json:"number"` // from 0
	Range  batch.Interval `json:"range"`
	// Snapshot, if not empty, names what a Snapshotter holds: the split is read as of then, if it is held still, and else as
	// of when it is opened.
	Snapshot string `json:"snapshot,omitempty"`
}
