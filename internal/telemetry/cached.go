package telemetry

import (
	"context"
	"sync"
	"time"
)

// A cached value is read again when it is older than a time. Those who ask meanwhile wait for one reading.
type cached[T any] struct {
	now     func() time.Time
	keep    time.Duration
	timeout time.Duration
	load    func(ctx context.Context) (T, error)

	mu    sync.Mutex
	taken time.Time
	value T
	err   error
}

func newCached[T any](now func() time.Time, keep, timeout time.Duration, load func(context.Context) (T, error)) *cached[T] {
	return &cached[T]{now: now, keep: keep, timeout: timeout, load: load}
}

// read returns the value, or the error with which it could not be read.
func (c *cached[T]) read() (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if !c.taken.IsZero() && now.Sub(c.taken) < c.keep {
		return c.value, c.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	c.value, c.err = c.load(ctx)
	c.taken = now
	return c.value, c.err
}
