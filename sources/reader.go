package sources

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// A Stream is what comes from a server, for a reader. It is used by one goroutine at a time.
type Stream interface {
	// Next makes the next batch, which has rows and is the caller's; nil = all were read.
	Next() (arrow.RecordBatch, error)
	// Close ends the query, wherever it stands, and returns when nothing of it is left. The context that the stream was
	// opened with has ended before.
	Close()
}

// NewReader makes a reader of a stream, which open opens. The stream is closed with its end or an error, with the reader's
// last release, or when ctx ends, even if nobody asks for more; the context that open gets ends with the first of them.
func NewReader(ctx context.Context, schema *arrow.Schema, open func(context.Context) (Stream, error)) (array.RecordReader, error) {
	reading, cancel := context.WithCancel(ctx)
	stream, err := open(reading)
	if err != nil {
		cancel()
		return nil, err
	}
	r := &reader{schema: schema, stream: stream, cancel: cancel}
	r.references.Store(1)
	// A Next that is under way ends with the context and gives the mutex back.
	r.unwatch = context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.end(ctx.Err())
	})
	return r, nil
}

// reader is what NewReader makes.
type reader struct {
	references atomic.Int64
	schema     *arrow.Schema
	cancel     func()
	unwatch    func() bool
	current    arrow.RecordBatch

	mu     sync.Mutex // held while the stream is used or closed
	stream Stream
	ended  bool
	err    error
}

// Retain adds a reference.
func (r *reader) Retain() { r.references.Add(1) }

// Release gives a reference up; the last one ends the query.
func (r *reader) Release() {
	if r.references.Add(-1) != 0 {
		return
	}
	r.unwatch()
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(nil)
	r.drop()
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
	r.drop()
	if r.ended {
		return false
	}
	next, err := r.stream.Next()
	if next == nil {
		r.end(err)
		return false
	}
	r.current = next
	return true
}

// end closes the stream, once. Err is its first caller's.
func (r *reader) end(err error) {
	if r.ended {
		return
	}
	r.ended, r.err = true, err
	r.cancel()
	r.stream.Close()
}

func (r *reader) drop() {
	if r.current != nil {
		r.current.Release()
		r.current = nil
	}
}
