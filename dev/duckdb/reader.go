package duckdb

import (
	"context"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"tranche/dev/duckdb/engine"
)

// maxBatchBytes bounds the text of a record batch. A batch has at least one row, and at most DuckDB's chunk of 2,048.
const maxBatchBytes = 8 << 20

// stream turns DuckDB's chunks into record batches that own their memory.
type stream struct {
	ctx     context.Context // that of the reading; a Stream's methods take none
	schema  *arrow.Schema
	builder *array.RecordBuilder
	conn    *engine.Conn
	rows    *engine.Rows
	chunk   *engine.Chunk // nil = fetch the next
	row     int           // the next row of chunk
}

// Next is the Stream's. A fetch that is under way is interrupted by the engine when the context ends.
func (s *stream) Next() (arrow.RecordBatch, error) {
	if s.chunk == nil {
		chunk, err := s.rows.Next(s.ctx)
		if err != nil || chunk == nil {
			return nil, classify(err)
		}
		s.chunk, s.row = chunk, 0
	}
	end := s.batchEnd()
	for i := range s.schema.NumFields() {
		appendColumn(s.builder.Field(i), s.chunk.Column(i), s.row, end)
	}
	if s.row = end; s.row == s.chunk.Rows {
		s.chunk.Close()
		s.chunk = nil
	}
	return s.builder.NewRecordBatch(), nil
}

// Close is the Stream's.
func (s *stream) Close() {
	if s.chunk != nil {
		s.chunk.Close()
		s.chunk = nil
	}
	s.rows.Close()
	s.conn.Close()
	s.builder.Release()
}

// batchEnd returns the row of the chunk before which the next batch ends.
func (s *stream) batchEnd() int {
	size := 0
	for row := s.row; row < s.chunk.Rows; row++ {
		for i := range s.schema.NumFields() {
			if s.schema.Field(i).Type.ID() == arrow.STRING && !s.chunk.Column(i).Null(row) {
				size += s.chunk.Column(i).TextLength(row)
			}
		}
		if size > maxBatchBytes && row > s.row {
			return row
		}
	}
	return s.chunk.Rows
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
