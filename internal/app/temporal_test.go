package app_test

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/internal/app"
)

// A temporal is Temporal as the tests want it.
type temporal struct {
	listed    map[uuid.UUID]bool
	schedule  app.Schedule
	by        map[uuid.UUID]uuid.UUID // which installation has put a schedule
	intervals map[int64]app.Execution
	runs      map[uuid.UUID]app.Execution
	retries   map[uuid.UUID]*app.Retry
	looked    func() // what happens while a schedule is described

	put           []batch.Export
	removed       []uuid.UUID
	started, anew []batch.Interval
	cancelled     []uuid.UUID   // backfills
	backfill      app.Execution // of any backfill
}

func newTemporal() *temporal {
	return &temporal{
		listed: map[uuid.UUID]bool{}, by: map[uuid.UUID]uuid.UUID{}, intervals: map[int64]app.Execution{}, runs: map[uuid.UUID]app.Execution{},
		retries: map[uuid.UUID]*app.Retry{}, backfill: app.ExecutionRunning,
	}
}

func (f *temporal) Put(_ context.Context, e batch.Export) error {
	f.put = append(f.put, e)
	f.schedule, f.listed[e.ID] = app.Schedule{Found: true, Revision: e.Revision, Paused: e.Paused}, e.Paused
	return nil
}

func (f *temporal) Adopt(ctx context.Context, e batch.Export) error {
	e.Paused = f.schedule.Paused
	return f.Put(ctx, e)
}

func (f *temporal) Remove(_ context.Context, id uuid.UUID) error {
	f.removed = append(f.removed, id)
	return nil
}

func (f *temporal) Scheduled(context.Context) (map[uuid.UUID]bool, error) {
	all := map[uuid.UUID]bool{}
	for id, paused := range f.listed {
		all[id] = paused
	}
	return all, nil
}

func (f *temporal) Schedule(context.Context, batch.Export) (app.Schedule, error) {
	if f.looked != nil {
		f.looked()
	}
	return f.schedule, nil
}

func (f *temporal) PutBy(_ context.Context, id uuid.UUID) (uuid.UUID, error) { return f.by[id], nil }

func (f *temporal) StartInterval(_ context.Context, _ batch.Export, i batch.Interval) error {
	f.anew = append(f.anew, i)
	return nil
}

func (f *temporal) StartDue(_ context.Context, _ batch.Export, i batch.Interval) error {
	f.started = append(f.started, i)
	return nil
}

func (f *temporal) DescribeInterval(_ context.Context, _ uuid.UUID, end time.Time) (app.Execution, string, error) {
	return f.intervals[end.Unix()], "an execution's id", nil
}

func (f *temporal) DescribeRun(_ context.Context, r batch.Run) (app.Execution, *app.Retry, error) {
	return f.runs[r.ID], f.retries[r.ID], nil
}

func (f *temporal) DescribeBackfill(context.Context, batch.Backfill) (app.Execution, error) {
	return f.backfill, nil
}

func (f *temporal) StartBackfill(context.Context, batch.Export, batch.Backfill) error { return nil }
func (f *temporal) CancelBackfill(_ context.Context, b batch.Backfill) error {
	f.cancelled = append(f.cancelled, b.ID)
	return nil
}

func (f *temporal) SteerBackfill(context.Context, batch.Backfill) error { return nil }
