package sources

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// ReadAheadBytes is how much is read from a source before it is asked for: enough to keep both ends busy.
const ReadAheadBytes = 16 << 20

// ReadAhead opens a reader and reads it on another goroutine, up to limit bytes ahead of whoever takes the batches: a
// slow destination stops the source. A single batch may be larger than the limit. Releasing what it returns ends the
// reading and waits for that.
func ReadAhead(
	ctx context.Context, limit int64, open func(context.Context) (array.RecordReader, error),
) (array.RecordReader, error) {
	ctx, cancel := context.WithCancel(ctx)
	from, err := open(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	r := &ahead{from: from, limit: limit, cancel: cancel, ended: make(chan struct{})}
	r.changed.L = &r.mu
	r.references.Store(1)
	go r.read()
	return r, nil
}

// ahead is a reader that is ahead.
type ahead struct {
	references atomic.Int64
	from       array.RecordReader
	limit      int64
	cancel     context.CancelFunc
	ended      chan struct{} // closed when nothing is read any more
	current    arrow.RecordBatch

	mu      sync.Mutex
	changed sync.Cond // of all below
	queue   []arrow.RecordBatch
	bytes   int64 // in the queue
	done    bool  // from has no more
	stopped bool  // nobody wants more
}

// read fills the queue.
func (r *ahead) read() {
	defer close(r.ended)
	for r.wanted() && r.from.Next() {
		rows := r.from.RecordBatch()
		rows.Retain()
		r.put(rows)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = true
	r.changed.Broadcast()
}

// wanted waits until there is room in the queue. False: nobody wants more.
func (r *ahead) wanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.bytes >= r.limit && !r.stopped {
		r.changed.Wait()
	}
	return !r.stopped
}

func (r *ahead) put(rows arrow.RecordBatch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = append(r.queue, rows)
	r.bytes += bytesOf(rows)
	r.changed.Broadcast()
}

// bytesOf is the memory of a batch.
func bytesOf(rows arrow.RecordBatch) int64 {
	var n uint64
	for _, c := range rows.Columns() {
		n += c.Data().SizeInBytes()
	}
	return int64(n)
}

// Next waits for the next batch.
func (r *ahead) Next() bool {
	r.drop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) == 0 && !r.done {
		r.changed.Wait()
	}
	if len(r.queue) == 0 {
		return false
	}
	r.current = r.queue[0]
	r.queue[0] = nil
	r.queue = r.queue[1:]
	r.bytes -= bytesOf(r.current)
	r.changed.Broadcast()
	return true
}

// Err returns why Next returned false; nil = all rows were read.
func (r *ahead) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.done || len(r.queue) > 0 {
		return nil
	}
	return r.from.Err()
}

// Schema returns the columns.
func (r *ahead) Schema() *arrow.Schema { return r.from.Schema() }

// RecordBatch returns the batch of the last Next. It is valid until the next one, unless it is retained.
func (r *ahead) RecordBatch() arrow.RecordBatch { return r.current }

// Record is RecordBatch by its old name.
func (r *ahead) Record() arrow.RecordBatch { return r.current }

// Retain adds a reference.
func (r *ahead) Retain() { r.references.Add(1) }

// Release gives a reference up; the last one ends the reading.
func (r *ahead) Release() {
	if r.references.Add(-1) != 0 {
		return
	}
	r.cancel() // wakes a source that waits for its server
	r.mu.Lock()
	r.stopped = true
	r.changed.Broadcast()
	r.mu.Unlock()
	<-r.ended
	for _, rows := range r.queue {
		rows.Release()
	}
	r.queue = nil
	r.drop()
	r.from.Release()
}

func (r *ahead) drop() {
	if r.current != nil {
		r.current.Release()
		r.current = nil
	}
}
