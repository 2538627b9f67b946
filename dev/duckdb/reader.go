package duckdb

import (
	"context"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tranche/dev/duckdb/engine"
)

// maxBatchBytes bounds the text of a record batch. A batch has at least one row, and at most DuckDB's chunk of 2,048.
const maxBatchBytes = 8 << 20

// reader turns DuckDB's chunks into record batches that own their memory.
type reader struct {
	references atomic.Int64
	ctx        context.Context // the reader's life; RecordReader's methods take none
	schema     *arrow.Schema
	builder    *array.RecordBuilder
	current    arrow.RecordBatch

	mu    sync.Mutex // held while conn and rows are used or closed
	conn  *engine.Conn
	rows  *engine.Rows
	chunk *engine.Chunk // nil = fetch the next
	row   int           // the next row of chunk
	ended bool          // conn, rows and chunk are closed
	err   error

	unwatch func() bool
}

func newReader(ctx context.Context, c *engine.Conn, rows *engine.Rows, schema *arrow.Schema, allocator memory.Allocator) *reader {
	r := &reader{ctx: ctx, schema: schema, builder: array.NewRecordBuilder(allocator, schema), conn: c, rows: rows}
	r.references.Store(1)
	// The end of ctx frees the query even when nobody asks for the next batch. A fetch that is under way is
	// interrupted by the engine and gives the mutex back.
	r.unwatch = context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.end(ctx.Err())
	})
	return r
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
	if r.chunk == nil {
		chunk, err := r.rows.Next(r.ctx)
		if err != nil || chunk == nil {
			r.end(classify(err))
			return false
		}
		r.chunk, r.row = chunk, 0
	}
	end := r.batchEnd()
	for i := range r.schema.NumFields() {
		appendColumn(r.builder.Field(i), r.chunk.Column(i), r.row, end)
	}
	r.current = r.builder.NewRecordBatch()
	if r.row = end; r.row == r.chunk.Rows {
		r.chunk.Close()
		r.chunk = nil
	}
	return true
}

// end closes the query, once. Err is its first caller's.
func (r *reader) end(err error) {
	if r.ended {
		return
	}
	r.ended, r.err = true, err
	if r.chunk != nil {
		r.chunk.Close()
		r.chunk = nil
	}
	r.rows.Close()
	r.conn.Close()
}

func (r *reader) dropCurrent() {
	if r.current != nil {
		r.current.Release()
		r.current = nil
	}
}

// batchEnd returns the row of the chunk before which the next batch ends.
func (r *reader) batchEnd() int {
	size := 0
	for row := r.row; row < r.chunk.Rows; row++ {
		for i := range r.schema.NumFields() {
			if r.schema.Field(i).Type.ID() == arrow.STRING && !r.chunk.Column(i).Null(row) {
				size += r.chunk.Column(i).TextLength(row)
			}
		}
		if size > maxBatchBytes && row > r.row {
			return row
		}
	}
	return r.chunk.Rows
}

// appendColumn copies the rows [from, to) of a column.
func appendColumn(builder array.Builder, column engine.Column, from, to int) {
	builder.Reserve(to - from)
	switch b := builder.(type) {
	case *array.StringBuilder:
		appendTexts(b, column, from, to)
	case *array.TimestampBuilder:
		appendValues(b, column, from, to, func(c engine.Column, row int) arrow.Timestamp { return arrow.Timestamp(c.Int64(row)) })
	case *array.Int64Builder:
		appendValues(b, column, from, to, engine.Column.Int64)
	case *array.Float64Builder:
		appendValues(b, column, from, to, engine.Column.Float64)
	case *array.BooleanBuilder:
		appendValues(b, column, from, to, engine.Column.Bool)
	case *array.Date32Builder:
		appendValues(b, column, from, to, func(c engine.Column, row int) arrow.Date32 { return arrow.Date32(c.Int32(row)) })
	case *array.ListBuilder:
		appendLists(b, column, from, to)
	}
}

// appendValues copies values of a fixed size.
func appendValues[T any](b interface {
	Append(v T)
	AppendNull()
}, column engine.Column, from, to int, value func(engine.Column, int) T,
) {
	for row := from; row < to; row++ {
		if column.Null(row) {
			b.AppendNull()
			continue
		}
		b.Append(value(column, row))
	}
}

// appendLists copies lists of texts.
func appendLists(b *array.ListBuilder, column engine.Column, from, to int) {
	for row := from; row < to; row++ {
		if column.Null(row) {
			b.AppendNull()
			continue
		}
		b.Append(true)
		elements, first, last := column.List(row)
		appendColumn(b.ValueBuilder(), elements, first, last)
	}
}

func appendTexts(b *array.StringBuilder, column engine.Column, from, to int) {
	size := 0
	for row := from; row < to; row++ {
		if !column.Null(row) {
			size += column.TextLength(row)
		}
	}
	b.ReserveData(size)
	for row := from; row < to; row++ {
		if column.Null(row) {
			b.AppendNull()
			continue
		}
		text := column.Text(row)
		b.Append(unsafe.String(unsafe.SliceData(text), len(text))) // copied before the chunk is closed
	}
}
