package clickhouse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

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

// reader hands out the record batches of an answer, under the names and with the marks that were asked for.
type reader struct {
	references atomic.Int64
	ctx        context.Context // the caller's; RecordReader's methods take none
	client     *client
	query      sent
	cancel     func() // ends the request
	schema     *arrow.Schema
	current    arrow.RecordBatch

	mu     sync.Mutex // held while the stream is read or closed
	body   io.ReadCloser
	tap    *tap
	stream *ipc.Reader
	ended  bool
	err    error

	unwatch func() bool
}

// open sends the statement and reads the head of the answer.
func open(ctx context.Context, c *client, s statement, schema *arrow.Schema, allocator memory.Allocator) (*reader, error) {
	reading, cancel := context.WithCancel(ctx)
	response, q, err := c.run(reading, s.format("ArrowStream"), streamSettings) //nolint:bodyclose // the reader closes it
	if err != nil {
		cancel()
		return nil, err
	}
	r := &reader{ctx: ctx, client: c, query: q, cancel: cancel, schema: schema, body: response.Body, tap: &tap{from: response.Body}}
	r.references.Store(1)
	if err := r.begin(allocator); err != nil {
		r.end(err)
		return nil, r.err
	}
	// The end of ctx ends the query even when nobody asks for the next batch. A read that is under way fails with the
	// request and gives the mutex back.
	r.unwatch = context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.end(ctx.Err())
	})
	return r, nil
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
func (r *reader) begin(allocator memory.Allocator) error {
	stream, err := ipc.NewReader(r.tap, ipc.WithAllocator(allocator))
	if err != nil {
		return r.failure(err)
	}
	r.stream = stream
	if stream.Schema().NumFields() != r.schema.NumFields() {
		return batch.Errorf(batch.CodeInternal, nil, "the ClickHouse source sent %d columns, not %d", stream.Schema().NumFields(), r.schema.NumFields())
	}
	for i, field := range r.schema.Fields() {
		if got := stream.Schema().Field(i).Type; !fits(got, field.Type) {
			return batch.Errorf(batch.CodeSchema, nil, "the ClickHouse source sent the column %s as %s, not %s", field.Name, got, field.Type)
		}
	}
	return nil
}

// Retain adds a reference.
func (r *reader) Retain() { r.references.Add(1) }

// Release gives a reference up; the last one ends the query.
func (r *reader) Release() {
	if r.references.Add(-1) != 0 {
		return
	}
	r.unwatch()
	r.cancel() // before the mutex: a read that is under way ends
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(nil)
	r.dropCurrent()
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

// Next reads the next batch that has rows.
func (r *reader) Next() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropCurrent()
	for !r.ended {
		r.tap.seen = r.tap.seen[:0]
		if !r.stream.Next() {
			r.end(r.complete())
			return false
		}
		if received := r.stream.RecordBatch(); received.NumRows() > 0 {
			r.current = r.batch(received)
			return true
		}
	}
	return false
}

// batch is what was received under the schema that was asked for.
func (r *reader) batch(received arrow.RecordBatch) arrow.RecordBatch {
	columns := slices.Clone(received.Columns())
	for i, field := range r.schema.Fields() {
		if arrow.TypeEqual(columns[i].DataType(), field.Type) {
			continue
		}
		was := columns[i].Data()
		data := array.NewData(field.Type, was.Len(), was.Buffers(), was.Children(), was.NullN(), was.Offset())
		columns[i] = array.MakeFromData(data)
		data.Release()
		defer columns[i].Release()
	}
	return array.NewRecordBatch(r.schema, columns, received.NumRows())
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
func (r *reader) complete() error {
	if err := r.stream.Err(); err != nil && !errors.Is(err, io.EOF) {
		return r.failure(err)
	}
	if !bytes.Equal(r.tap.seen, streamEnd) {
		return r.failure(errShort)
	}
	rest, err := io.ReadAll(io.LimitReader(r.body, maxMessageBytes))
	if err != nil {
		return r.failure(err)
	}
	if len(rest) > 0 {
		return midway(rest, fmt.Errorf("%d bytes after the end of the stream", len(rest)))
	}
	return nil
}

// failure says why the stream could not be read on: the server's error, when it wrote one in place of a message.
func (r *reader) failure(err error) error {
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	seen := r.tap.seen
	if len(seen) == 0 || bytes.HasPrefix(seen, streamEnd[:4]) {
		return midway(nil, err)
	}
	// What is missing to the text is still to be read; a connection that the server then breaks off is how it ends.
	rest, _ := io.ReadAll(io.LimitReader(r.body, int64(maxMessageBytes-len(seen))))
	return midway(append(seen, rest...), err)
}

// end closes the request, once. Err is its first caller's.
func (r *reader) end(err error) {
	if r.ended {
		return
	}
	r.ended, r.err = true, err
	whole := err == nil && bytes.Equal(r.tap.seen, streamEnd)
	r.cancel()
	if r.stream != nil {
		r.stream.Release()
	}
	_ = r.body.Close() // the request has ended, and nothing was written
	if !whole {
		r.client.kill(r.ctx, r.query)
	}
}

func (r *reader) dropCurrent() {
	if r.current != nil {
		r.current.Release()
		r.current = nil
	}
}
