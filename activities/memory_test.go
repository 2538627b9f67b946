package activities

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMemoryIsNeverExceededAndNobodyWaitsForEver(t *testing.T) {
	t.Parallel()
	const total = 100
	m := NewMemory(total)
	var held, most atomic.Int64
	var all sync.WaitGroup
	for i := range int64(300) {
		all.Go(func() {
			need := 1 + i*37%250 // some need more than there is
			giveBack, err := m.take(t.Context(), need)
			if err != nil {
				t.Error(err)
				return
			}
			defer giveBack()
			now := held.Add(min(need, total))
			for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
				continue
			}
			held.Add(-min(need, total))
		})
	}
	all.Wait()
	require.LessOrEqual(t, most.Load(), int64(total))
	require.NotZero(t, most.Load())
}

func TestWaitingForMemoryEndsWithTheContext(t *testing.T) {
	t.Parallel()
	m := NewMemory(10)
	giveBack, err := m.take(t.Context(), 1000)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = m.take(ctx, 1)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	giveBack()
	giveBack, err = m.take(t.Context(), 10)
	require.NoError(t, err)
	giveBack()
}

func TestWithoutMemoryNothingIsBounded(t *testing.T) {
	t.Parallel()
	var m *Memory
	giveBack, err := m.take(t.Context(), 1<<60)
	require.NoError(t, err)
	giveBack()
}
