package activities

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// DefaultMemory is what a process may hold at once of what it stages, if nobody says otherwise.
const DefaultMemory = 512 << 20

// Memory is what all splits that a process stages at once share. A split takes all that it may need before it begins,
// at once, and gives it back when it ends: none holds a part and waits for the rest. Those that do not fit wait in the
// order in which they came.
type Memory struct {
	free          *semaphore.Weighted
	total         int64
	used, waiting atomic.Int64 // told, not decided by
}

// NewMemory returns the memory of a process.
func NewMemory(bytes int64) *Memory {
	return &Memory{free: semaphore.NewWeighted(bytes), total: bytes}
}

// take waits for memory; what is returned gives it back. What needs more than there is gets all of it: one split at a
// time can always be staged.
func (m *Memory) take(ctx context.Context, bytes int64) (giveBack func(), err error) {
	if m == nil {
		return func() {}, nil
	}
	bytes = min(bytes, m.total)
	m.waiting.Add(1)
	err = m.free.Acquire(ctx, bytes)
	m.waiting.Add(-1)
	if err != nil {
		return nil, err
	}
	m.used.Add(bytes)
	return func() {
		m.used.Add(-bytes)
		m.free.Release(bytes)
	}, nil
}

// Usage tells how much there is, how much is taken, and how many splits wait.
func (m *Memory) Usage() (limit, used, waiting int64) {
	return m.total, m.used.Load(), m.waiting.Load()
}
