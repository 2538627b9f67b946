package postgres

import (
	"context"

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

// stream turns the server's rows into record batches as they come in. What is not asked for is not sent, but for the
// buffers on the way.
type stream struct {
	ctx      context.Context // that of the reading; a Stream's methods take none
	schema   *arrow.Schema
	builder  *array.RecordBuilder
	classify func(context.Context, error) error
	conn     *pgx.Conn
	rows     pgx.Rows
	ended    bool // the last rows were given out
}

// openStream runs the query and owns the connection from now on, also when it returns an error.
func openStream(ctx context.Context, c *pgx.Conn, statement sql.Statement, schema *arrow.Schema, s *Source) (*stream, error) {
	rows, err := c.Query(ctx, statement.Text, append([]any{pgx.QueryResultFormats{binaryFormat}}, statement.Values...)...)
	if err != nil {
		hangUp(ctx, c)
		return nil, s.classify(ctx, err)
	}
	return &stream{
		ctx: ctx, schema: schema, builder: array.NewRecordBuilder(s.allocator, schema), classify: s.classify, conn: c, rows: rows,
	}, nil
}

// Next is the Stream's.
func (s *stream) Next() (arrow.RecordBatch, error) {
	if s.ended {
		return nil, nil //nolint:nilnil // the Stream's end
	}
	rows, size := 0, 0
	for rows < maxBatchRows && size < maxBatchBytes && s.rows.Next() {
		for i, value := range s.rows.RawValues() {
			if err := appendValue(s.builder.Field(i), value); err != nil {
				return nil, batch.Errorf(batch.CodeSchema, err, "the column %s of the PostgreSQL source holds what cannot be exported", s.schema.Field(i).Name)
			}
			size += len(value)
		}
		rows++
	}
	if rows < maxBatchRows && size < maxBatchBytes {
		// The rows have ended, and may have ended early: then those at hand are not worth giving out.
		s.ended = true
		s.rows.Close()
		if err := s.rows.Err(); err != nil || rows == 0 {
			return nil, s.classify(s.ctx, err)
		}
	}
	made := s.builder.NewRecordBatch()
	if !s.ended {
		s.reserve(made)
	}
	return made, nil
}

// reserve makes room for a batch like the last one, so that texts are not moved each time that a builder grows.
func (s *stream) reserve(last arrow.RecordBatch) {
	rows := int(last.NumRows())
	for i, column := range last.Columns() {
		s.builder.Field(i).Reserve(rows)
		if texts, ok := column.(*array.String); ok {
			size := len(texts.ValueBytes())
			s.builder.Field(i).(*array.StringBuilder).ReserveData(size + size/8)
		}
	}
}

// Close is the Stream's. The query was cancelled: closing rows would read those that are left.
func (s *stream) Close() {
	s.rows.Close()
	hangUp(s.ctx, s.conn)
	s.builder.Release()
}
