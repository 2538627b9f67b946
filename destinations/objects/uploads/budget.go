package uploads

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// The sizes of parts. Stores take 10,000 parts, and some want all but the last to have one size.
const (
	maxParts = 10_000
	// partBytes is for files that are rolled, several of which may be staged at once.
	partBytes = 8 << 20
	// singlePartBytes is for an interval's only file, whose size nobody knows before.
	singlePartBytes = 16 << 20
	// partsAtOnce is how many parts of a file are under way; one more is being filled.
	partsAtOnce = 3
)

// MaxFileBytes is how large a file that is rolled may be, with room for what is written after the limit.
const MaxFileBytes = maxParts / 10 * 8 * partBytes

// MemoryLimit is a good limit for a Budget: some thirty parts.
const MemoryLimit = 256 << 20

// A Budget bounds the memory that parts take in one process, however many files are staged. A file holds at most one
// part while it waits for another, so that files never wait for each other in a circle.
type Budget struct {
	weight *semaphore.Weighted
	pools  map[int]*sync.Pool
}

// NewBudget makes a budget of some bytes; it takes at least one part.
func NewBudget(limit int64) *Budget {
	b := &Budget{weight: semaphore.NewWeighted(max(limit, singlePartBytes)), pools: make(map[int]*sync.Pool)}
	for _, size := range []int{partBytes, singlePartBytes} {
		b.pools[size] = &sync.Pool{New: func() any { return new(make([]byte, 0, size)) }}
	}
	return b
}

// take waits for a buffer of one of the sizes of parts.
func (b *Budget) take(ctx context.Context, size int) (*[]byte, error) {
	if err := b.weight.Acquire(ctx, int64(size)); err != nil {
		return nil, context.Cause(ctx)
	}
	return b.pools[size].Get().(*[]byte), nil
}

// give returns a buffer.
func (b *Budget) give(buffer *[]byte) {
	size := cap(*buffer)
	*buffer = (*buffer)[:0]
	b.pools[size].Put(buffer)
	b.weight.Release(int64(size))
}
