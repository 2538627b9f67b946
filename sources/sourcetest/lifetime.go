package sourcetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"tranche/sources"
)

const (
	// promptly is how fast a reader must end when its context does.
	promptly = 5 * time.Second
	// manyRows of rowText are far more than a source may hold in memory at once.
	manyRows  = 30_000
	rowText   = 2_000
	maxMemory = 24 << 20
)

// fat are rows of some size.
func fat(n int) []Row {
	all := rows(n, hour)
	for i := range all {
		all[i].Properties = `{"text":"` + strings.Repeat("x", rowText) + `"}`
	}
	return all
}

func testCancel(t *testing.T, start func(t *testing.T) Fixture) {
	f := start(t)
	f.Seed(t, fat(manyRows))
	before := goleak.IgnoreCurrent()
	for name, read := range map[string]func(ctx context.Context, cancel func()) error{
		"amid reading": func(ctx context.Context, cancel func()) error {
			reader, err := f.Source.Open(ctx, events(hour), sources.Split{Range: hour})
			require.NoError(t, err)
			defer reader.Release()
			require.True(t, reader.Next(), "%v", reader.Err())
			cancel()
			for reader.Next() {
				require.NoError(t, t.Context().Err())
			}
			return reader.Err()
		},
		"and the reader is released at once": func(ctx context.Context, cancel func()) error {
			reader, err := f.Source.Open(ctx, events(hour), sources.Split{Range: hour})
			require.NoError(t, err)
			cancel()
			reader.Release()
			return ctx.Err()
		},
		"before the first row": func(ctx context.Context, cancel func()) error {
			reader, err := f.Source.Open(ctx, events(hour), sources.Split{Range: hour})
			require.NoError(t, err)
			defer reader.Release()
			cancel()
			for reader.Next() {
				require.NoError(t, t.Context().Err())
			}
			return reader.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			began := time.Now()
			require.ErrorIs(t, read(ctx, cancel), context.Canceled)
			require.Less(t, time.Since(began), promptly)
			f.Allocator.AssertSize(t, 0)
			// Idle connections are the source's own.
			goleak.VerifyNone(t, before)
		})
	}
	// The source is usable as before.
	n, err := f.Source.Count(t.Context(), events(hour))
	require.NoError(t, err)
	require.Equal(t, int64(manyRows), n)
}

func testConcurrent(ctx context.Context, t *testing.T, f Fixture) {
	const readers = 6
	want := rows(1000, hour)
	f.Seed(t, want)
	got := make([][]arrow.RecordBatch, readers)
	var group errgroup.Group
	for i := range readers {
		group.Go(func() error {
			reader, err := f.Source.Open(ctx, events(hour), sources.Split{Range: hour})
			if err != nil {
				return err
			}
			defer reader.Release()
			for reader.Next() {
				reader.RecordBatch().Retain()
				got[i] = append(got[i], reader.RecordBatch())
			}
			return reader.Err()
		})
	}
	require.NoError(t, group.Wait())
	for _, batches := range got {
		var read []Row
		for _, records := range batches {
			read = appendRows(t, read, records)
			records.Release()
		}
		requireRows(t, want, read)
	}
}

func testMemory(ctx context.Context, t *testing.T, f Fixture) {
	f.Seed(t, fat(manyRows))
	reader, err := f.Source.Open(ctx, events(hour), sources.Split{Range: hour})
	require.NoError(t, err)
	defer reader.Release()
	n, highest := int64(0), 0
	for reader.Next() {
		n += reader.RecordBatch().NumRows()
		require.LessOrEqual(t, reader.RecordBatch().NumRows(), int64(maxBatchRows))
		highest = max(highest, f.Allocator.CurrentAlloc())
	}
	require.NoError(t, reader.Err())
	require.Equal(t, int64(manyRows), n)
	require.Less(t, highest, maxMemory, "of %d bytes", manyRows*rowText)
}

func testEarlyRelease(ctx context.Context, t *testing.T, f Fixture) {
	f.Seed(t, fat(manyRows))
	for batches := range 3 {
		reader, err := f.Source.Open(ctx, events(hour), sources.Split{Range: hour})
		require.NoError(t, err)
		for range batches {
			require.True(t, reader.Next(), "%v", reader.Err())
		}
		reader.Retain()
		reader.Release()
		require.True(t, reader.Next(), "it is still retained: %v", reader.Err())
		records := reader.RecordBatch()
		records.Retain()
		reader.Release()
		require.NotZero(t, records.NumRows())
		require.NotEmpty(t, textAt(t, records.Column(0), 0), "a batch that is retained outlives its reader")
		records.Release()
		f.Allocator.AssertSize(t, 0)
	}
	require.Len(t, readInterval(ctx, t, f.Source, events(hour)), manyRows)
}

func testEndedContext(ctx context.Context, t *testing.T, f Fixture) {
	f.Seed(t, []Row{row(1, start)})
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err := f.Source.Open(ctx, events(hour), sources.Split{Range: hour})
	require.ErrorIs(t, err, context.Canceled)
	_, err = f.Source.Count(ctx, events(hour))
	require.ErrorIs(t, err, context.Canceled)
	_, err = f.Source.Plan(ctx, events(hour), 3)
	require.ErrorIs(t, err, context.Canceled)
}
