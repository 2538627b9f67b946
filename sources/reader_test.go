package sources_test

import (
	"context"
	"errors"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"tranche/sources"
)

// A fountain is a stream of so many batches of one row, then an error or the end. Without end it waits for its context.
type fountain struct {
	ctx       context.Context
	allocator memory.Allocator
	left      int
	fails     error
	waits     bool
	closed    int
}

// Next is the Stream's.
func (f *fountain) Next() (arrow.RecordBatch, error) {
	if f.left == 0 {
		if f.waits {
			<-f.ctx.Done()
			return nil, f.ctx.Err()
		}
		return nil, f.fails
	}
	f.left--
	b := array.NewRecordBuilder(f.allocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).Append(int64(f.left))
	return b.NewRecordBatch(), nil
}

// Close is the Stream's.
func (f *fountain) Close() {
	if f.ctx.Err() == nil {
		f.closed += 100 // its context must have ended
	}
	f.closed++
}

func TestAReaderClosesItsStreamOnce(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		stream fountain
		read   int // how many batches are asked for
		cancel bool
		err    error
	}{
		"all is read":          {stream: fountain{left: 3}, read: 5},
		"there is nothing":     {stream: fountain{}, read: 1},
		"nobody reads it":      {stream: fountain{left: 3}},
		"a part is read":       {stream: fountain{left: 3}, read: 2},
		"it breaks":            {stream: fountain{left: 3, fails: broken}, read: 5, err: broken},
		"the context ends":     {stream: fountain{left: 1, waits: true}, read: 1, cancel: true, err: context.Canceled},
		"it ends at the start": {stream: fountain{waits: true}, cancel: true, err: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			allocator := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer allocator.AssertSize(t, 0)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := &c.stream
			s.allocator = allocator
			r, err := sources.NewReader(ctx, schema, func(ctx context.Context) (sources.Stream, error) {
				s.ctx = ctx
				return s, nil
			})
			require.NoError(t, err)
			had := s.left
			for range c.read {
				require.Equal(t, had > 0, r.Next())
				had = max(had-1, 0)
			}
			if c.cancel {
				cancel()
				require.False(t, r.Next())
			}
			require.ErrorIs(t, r.Err(), c.err)
			r.Retain()
			r.Release()
			r.Release()
			require.Equal(t, 1, s.closed)
		})
	}
}

func TestAReaderThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	var reading context.Context
	r, err := sources.NewReader(t.Context(), schema, func(ctx context.Context) (sources.Stream, error) {
		reading = ctx
		return nil, broken
	})
	require.ErrorIs(t, err, broken)
	require.Nil(t, r)
	require.Error(t, reading.Err())
}
