package clickhouse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tranche/batch"
)

// errShort says that an answer ended before its end.
var errShort = errors.New("the stream of rows ended early")

// streamEnd is how a stream of Arrow's ends.
var streamEnd = []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}

// A tap remembers how a message began, so that one that is none can be told: a server that fails in mid-stream writes its
// error where the next message would be.
type tap struct {
	from io.Reader
	seen []byte // at most maxMessageBytes
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	t.seen = append(t.seen, p[:min(n, maxMessageBytes-len(t.seen))]...)
	return n, err
}

// stream hands out the record batches of an answer, under the names and with the marks that were asked for.
type stream struct {
	ctx    context.Context // that of the reading; a Stream's methods take none
	client *client
	query  sent
	schema *arrow.Schema
	body   io.ReadCloser
	tap    *tap
	rows   *ipc.Reader
	whole  bool // all was read, to the end mark
}

// open sends the statement and reads the head of the answer.
func open(ctx context.Context, c *client, of statement, schema *arrow.Schema, allocator memory.Allocator) (*stream, error) {
	response, q, err := c.run(ctx, of.format("ArrowStream"), streamSettings) //nolint:bodyclose // the stream closes it
	if err != nil {
		return nil, err
	}
	s := &stream{ctx: ctx, client: c, query: q, schema: schema, body: response.Body, tap: &tap{from: response.Body}}
	if err := s.begin(allocator); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// streamSettings make batches small, their types plain and their buffers compressed.
var streamSettings = map[string]string{
	"max_block_size":                                    "4096",
	"preferred_block_size_bytes":                        "4194304",
	"preferred_max_column_in_block_size_bytes":          "4194304",
	"output_format_arrow_string_as_string":              "1",
	"output_format_arrow_low_cardinality_as_dictionary": "0",
	"output_format_arrow_compression_method":            "lz4_frame",
}

// begin reads the stream's schema and checks that it is the one that the statement asked for.
func (s *stream) begin(allocator memory.Allocator) error {
	rows, err := ipc.NewReader(s.tap, ipc.WithAllocator(allocator))
	if err != nil {
		return s.failure(err)
	}
	s.rows = rows
	if rows.Schema().NumFields() != s.schema.NumFields() {
		return batch.Errorf(batch.CodeInternal, nil, "the ClickHouse source sent %d columns, not %d", rows.Schema().NumFields(), s.schema.NumFields())
	}
	for i, field := range s.schema.Fields() {
		if got := rows.Schema().Field(i).Type; !fits(got, field.Type) {
			return batch.Errorf(batch.CodeSchema, nil, "the ClickHouse source sent the column %s as %s, not %s", field.Name, got, field.Type)
		}
	}
	return nil
}

// Next is the Stream's: the next batch that has rows.
func (s *stream) Next() (arrow.RecordBatch, error) {
	for {
		s.tap.seen = s.tap.seen[:0]
		if !s.rows.Next() {
			err := s.complete()
			s.whole = err == nil
			return nil, err
		}
		if received := s.rows.RecordBatch(); received.NumRows() > 0 {
			return s.batch(received), nil
		}
	}
}

// batch is what was received under the schema that was asked for.
func (s *stream) batch(received arrow.RecordBatch) arrow.RecordBatch {
	columns := slices.Clone(received.Columns())
	for i, field := range s.schema.Fields() {
		if arrow.TypeEqual(columns[i].DataType(), field.Type) {
			continue
		}
		was := columns[i].Data()
		data := array.NewData(field.Type, was.Len(), was.Buffers(), was.Children(), was.NullN(), was.Offset())
		columns[i] = array.MakeFromData(data)
		data.Release()
		defer columns[i].Release()
	}
	return array.NewRecordBatch(s.schema, columns, received.NumRows())
}

// fits says whether a column of type got can stand for one of type want. Of the items of an Array, ClickHouse says that
// none is null, which is more than a list promises.
func fits(got, want arrow.DataType) bool {
	items, isList := got.(*arrow.ListType)
	wanted, isWanted := want.(*arrow.ListType)
	if isList && isWanted {
		return fits(items.Elem(), wanted.Elem())
	}
	return arrow.TypeEqual(got, want)
}

// complete says whether the stream ended as it should, and nothing came after it.
func (s *stream) complete() error {
	if err := s.rows.Err(); err != nil && !errors.Is(err, io.EOF) {
		return s.failure(err)
	}
	if !bytes.Equal(s.tap.seen, streamEnd) {
		return s.failure(errShort)
	}
	rest, err := io.ReadAll(io.LimitReader(s.body, maxMessageBytes))
	if err != nil {
		return s.failure(err)
	}
	if len(rest) > 0 {
		return midway(rest, fmt.Errorf("%d bytes after the end of the stream", len(rest)))
	}
	return nil
}

// failure says why the stream could not be read on: the server's error, when it wrote one in place of a message.
func (s *stream) failure(err error) error {
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	seen := s.tap.seen
	if len(seen) == 0 || bytes.HasPrefix(seen, streamEnd[:4]) {
		return midway(nil, err)
	}
	// What is missing to the text is still to be read; a connection that the server then breaks off is how it ends.
	rest, _ := io.ReadAll(io.LimitReader(s.body, int64(maxMessageBytes-len(seen))))
	return midway(append(seen, rest...), err)
}

// Close is the Stream's. What the server may still work on is killed there.
func (s *stream) Close() {
	if s.rows != nil {
		s.rows.Release()
	}
	_ = s.body.Close() // the request has ended, and nothing was written
	if !s.whole {
		s.client.kill(s.ctx, s.query)
	}
}
