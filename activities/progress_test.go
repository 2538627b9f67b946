package activities_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"

	"tranche/activities"
	"tranche/batch"
	"tranche/query"
	"tranche/sources"
)

// A slow source gives some rows and then waits until it may go on.
type slow struct {
	*table
	goOn chan struct{}
}

// Open is the Source's.
func (s *slow) Open(ctx context.Context, q query.Query, split sources.Split) (array.RecordReader, error) {
	r, err := s.table.Open(ctx, q, split)
	return &slowReader{RecordReader: r, ctx: ctx, goOn: s.goOn}, err
}

type slowReader struct {
	array.RecordReader
	ctx  context.Context
	goOn chan struct{}
	some bool
}

// Next is the RecordReader's.
func (r *slowReader) Next() bool {
	if r.some {
		select {
		case <-r.goOn:
		case <-r.ctx.Done():
		}
	}
	r.some = true
	return r.RecordReader.Next()
}

// TestARunShowsHowFarItIs: in our database, where the API reads it, and in the heartbeats, which Temporal shows.
func TestARunShowsHowFarItIs(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.source.add(interval, 30)
	w := p.process()
	source := &slow{table: p.source, goOn: make(chan struct{})}
	w.activities.Source = source
	w.activities.Memory = activities.NewMemory(1) // less than any split needs: one at a time
	var mu sync.Mutex
	var beats []activities.Progress
	w.env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var beat activities.Progress
		if err := details.Get(&beat); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		beats = append(beats, beat)
	})

	id := p.begin()
	planned, err := w.plan(id)
	require.NoError(t, err)
	staged := make(chan error, 1)
	go func() {
		_, err := w.env.ExecuteActivity(w.activities.Stage, activities.StageInput{RunID: id, Generation: 1, Splits: planned.Splits})
		staged <- err
	}()
	require.Eventually(t, func() bool {
		r, err := p.db.RunByID(t.Context(), id)
		return err == nil && r.RowsCompleted != nil && *r.RowsCompleted == 30 && r.Status == batch.RunRunning
	}, time.Minute, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(beats) > 0 && beats[len(beats)-1].Rows == 30
	}, time.Minute, 10*time.Millisecond)
	close(source.goOn)
	require.NoError(t, <-staged)

	w.finish(activities.FinishInput{RunID: id, Status: batch.RunCancelled})
	r, err := p.db.RunByID(t.Context(), id)
	require.NoError(t, err)
	require.Nil(t, r.RowsCompleted, "nothing was delivered")
	require.Nil(t, r.Bytes)
}
