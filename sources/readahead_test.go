package sources_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tranche/sources"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var schema = arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)

// a counting reader makes batches of 1,000 rows and counts how many were asked for.
type counting struct {
	array.RecordReader
	ctx       context.Context
	allocator memory.Allocator
	batches   int64
	fails     error
	blocks    bool // after the last batch, until ctx ends
	asked     *atomic.Int64
	current   arrow.RecordBatch
	err       error
}

// Next is the RecordReader's.
func (c *counting) Next() bool {
	c.drop()
	if c.asked.Load() == c.batches {
		if c.blocks {
			<-c.ctx.Done()
			c.err = c.ctx.Err()
		}
		if c.fails != nil {
			c.err = c.fails
		}
		return false
	}
	b := array.NewRecordBuilder(c.allocator, schema)
	defer b.Release()
	for i := range int64(1000) {
		b.Field(0).(*array.Int64Builder).Append(c.asked.Load()*1000 + i)
	}
	c.current = b.NewRecordBatch()
	c.asked.Add(1)
	return true
}

func (c *counting) drop() {
	if c.current != nil {
		c.current.Release()
		c.current = nil
	}
}

// The rest of the RecordReader.
func (c *counting) RecordBatch() arrow.RecordBatch { return c.current }
func (c *counting) Schema() *arrow.Schema          { return schema }
func (c *counting) Err() error                     { return c.err }
func (c *counting) Release()                       { c.drop() }

func (c *counting) open(t *testing.T, limit int64) array.RecordReader {
	t.Helper()
	allocator := memory.NewCheckedAllocator(memory.DefaultAllocator)
	t.Cleanup(func() { allocator.AssertSize(t, 0) })
	c.allocator, c.asked = allocator, &atomic.Int64{}
	r, err := sources.ReadAhead(t.Context(), limit, func(ctx context.Context) (array.RecordReader, error) {
		c.ctx = ctx
		return c, nil
	})
	require.NoError(t, err)
	return r
}

func TestReadAheadGivesAllRowsInOrder(t *testing.T) {
	t.Parallel()
	for _, limit := range []int64{1, 10_000, 1 << 30} {
		t.Run(fmt.Sprint(limit, " bytes"), func(t *testing.T) {
			t.Parallel()
			r := (&counting{batches: 50}).open(t, limit)
			defer r.Release()
			next := int64(0)
			for r.Next() {
				for _, v := range r.RecordBatch().Column(0).(*array.Int64).Values() {
					require.Equal(t, next, v)
					next++
				}
			}
			require.NoError(t, r.Err())
			require.Equal(t, int64(50_000), next)
			require.False(t, r.Next())
		})
	}
}

// TestReadAheadIsBounded: whoever does not take batches stops the source.
func TestReadAheadIsBounded(t *testing.T) {
	t.Parallel()
	c := &counting{batches: 1000}
	r := c.open(t, 100_000) // a batch has some 8,200 bytes
	defer r.Release()
	most := int64(0)
	for taken := int64(1); r.Next(); taken++ {
		most = max(most, c.asked.Load()-taken)
	}
	require.NoError(t, r.Err())
	require.LessOrEqual(t, most, int64(14))
}

func TestReadAheadTellsAShortStreamFromACompleteOne(t *testing.T) {
	t.Parallel()
	broken := errors.New("the connection is gone")
	r := (&counting{batches: 3, fails: broken}).open(t, 1<<20)
	defer r.Release()
	n := 0
	for r.Next() {
		n++
	}
	require.Equal(t, 3, n)
	require.ErrorIs(t, r.Err(), broken)
}

// TestReleaseEndsTheReading, also of a source that waits and of one whose batches nobody took.
func TestReleaseEndsTheReading(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*counting{
		"nothing was taken":       {batches: 1 << 40},
		"the source is waiting":   {batches: 2, blocks: true},
		"there are no rows":       {},
		"there are a few of them": {batches: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := c.open(t, 100_000)
			if c.batches > 0 {
				require.True(t, r.Next())
			}
			r.Release()
		})
	}
}
