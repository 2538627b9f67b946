package postgres

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/jackc/pgx/v5"

	"tranche/batch"
	"tranche/query/sql"
)

const (
	// maxBatchRows and maxBatchBytes bound a record batch; one row can be more than the bytes.
	maxBatchRows  = 4096
	maxBatchBytes = 8 << 20
	// binaryFormat has values sent as they are and not as text.
	binaryFormat = 1
)

// reader turns the server's rows into record batches as they come in. What is not asked for is not sent, but for the
// buffers on the way.
type reader struct {
	references atomic.Int64
	schema     *arrow.Schema
	builder    *array.RecordBuilder
	current    arrow.RecordBatch
	classify   func(context.Context, error) error

	ctx    context.Context // the caller's; RecordReader's methods take none
	cancel func()          // ends the query
	mu     sync.Mutex      // held while conn and rows are used or closed
	conn   *pgx.Conn
	rows   pgx.Rows
	ended  bool
	err    error

	unwatch func() bool
}

// openReader runs the query and owns the connection from now on, also when it returns an error.
func openReader(ctx context.Context, c *pgx.Conn, statement sql.Statement, schema *arrow.Schema, s *Source) (*reader, error) {
	reading, cancel := context.WithCancel(ctx)
	rows, err := c.Query(reading, statement.Text, append([]any{pgx.QueryResultFormats{binaryFormat}}, statement.Values...)...)
	if err != nil {
		cancel()
		hangUp(ctx, c)
		return nil, err
	}
	r := &reader{
		schema: schema, builder: array.NewRecordBuilder(s.allocator, schema), classify: s.classify,
		ctx: ctx, cancel: cancel, conn: c, rows: rows,
	}
	r.references.Store(1)
	// The end of ctx frees the connection even when nobody asks for the next batch.
	r.unwatch = context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.end(ctx.Err())
	})
	return r, nil
}

// Retain adds a reference.
func (r *reader) Retain() { r.references.Add(1) }

// Release gives a reference up; the last one ends the query.
func (r *reader) Release() {
	if r.references.Add(-1) != 0 {
		return
	}
	r.unwatch()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(nil)
	r.dropCurrent()
	r.builder.Release()
}

// Schema returns the columns.
func (r *reader) Schema() *arrow.Schema { return r.schema }

// RecordBatch returns the batch of the last Next. It is valid until the next one, unless it is retained.
func (r *reader) RecordBatch() arrow.RecordBatch { return r.current }

// Record is RecordBatch by its old name.
func (r *reader) Record() arrow.RecordBatch { return r.current }

// Err returns why Next returned false; nil = all rows were read.
func (r *reader) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Next makes the next batch.
func (r *reader) Next() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropCurrent()
	if r.ended {
		return false
	}
	rows, size := 0, 0
	for rows < maxBatchRows && size < maxBatchBytes && r.rows.Next() {
		for i, value := range r.rows.RawValues() {
			if err := appendValue(r.builder.Field(i), value); err != nil {
				r.end(batch.Errorf(batch.CodeSchema, err, "the column %s of the PostgreSQL source holds what cannot be exported", r.schema.Field(i).Name))
				return false
			}
			size += len(value)
		}
		rows++
	}
	if rows < maxBatchRows && size < maxBatchBytes {
		// The rows have ended, and may have ended early: then those at hand are not worth giving out.
		r.rows.Close()
		if err := r.rows.Err(); err != nil || rows == 0 {
			r.end(r.classify(r.ctx, err))
			return false
		}
	}
	r.current = r.builder.NewRecordBatch()
	return true
}

// end closes the connection, once. Err is its first caller's.
func (r *reader) end(err error) {
	if r.ended {
		return
	}
	r.ended, r.err = true, err
	// Closing rows reads those that are left, unless the query is cancelled.
	r.cancel()
	r.rows.Close()
	hangUp(r.ctx, r.conn)
}

func (r *reader) dropCurrent() {
	if r.current != nil {
		r.current.Release()
		r.current = nil
	}
}
