package activities

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/sources"
)

// RunInput names a run and the generation that is worked on.
type RunInput struct {
	RunID      uuid.UUID `json:"run_id"`
	Generation int       `json:"generation"`
	// Reset says that the run is that of another execution, of which this one is a reset: there is nothing to do for it.
	Reset bool `json:"reset,omitempty"`
}

// Planned is how a run's interval is cut.
type Planned struct {
	Generation int   `json:"generation"`
	Splits     int   `json:"splits"`
	Rows       int64 `json:"rows"`     // counted in the source
	Parallel   int   `json:"parallel"` // how many splits to stage at once
	// Waiting, if not empty, says what the run has to wait for before it can be planned.
	Waiting string `json:"waiting,omitempty"`
}

// Plan cuts the interval into splits, which it saves, and counts its rows.
func (a *Activities) Plan(ctx context.Context, in RunInput) (Planned, error) {
	var planned Planned
	err := a.guard(ctx, in.RunID, in.Reset, &meter{}, func(ctx context.Context) error {
		d, err := a.load(ctx, in.RunID)
		if err != nil {
			return err
		}
		if _, err := a.refuseOverlap(ctx, d); err != nil {
			return err
		}
		if planned.Waiting, err = a.permit(ctx, d); err != nil || planned.Waiting != "" {
			return err
		}
		planned, err = a.plan(ctx, d, in.Generation)
		return err
	})
	return planned, err
}

func (a *Activities) plan(ctx context.Context, d delivery, generation int) (Planned, error) {
	splits, err := a.source().Plan(ctx, d.query, d.plugin.MaxSplits(d.export.Destination.Config))
	if err != nil {
		return Planned{}, err
	}
	rows, err := a.source().Count(ctx, d.query)
	if err != nil {
		return Planned{}, err
	}
	a.release(d.run.ID) // of an earlier try, or generation
	held := a.hold(ctx, splits)
	if err := a.savePlan(ctx, d, generation, splits, rows); err != nil {
		a.letGo(held)
		return Planned{}, err
	}
	a.snapshots.put(d.run.ID, snapshot{name: held, generation: generation})
	return Planned{Generation: generation, Splits: len(splits), Rows: rows, Parallel: a.Limits.Parallel}, nil
}

// savePlan makes the plan the one that the run works by.
func (a *Activities) savePlan(ctx context.Context, d delivery, generation int, splits []sources.Split, rows int64) error {
	if err := a.Store.SavePlan(ctx, d.run.ID, generation, splits); err != nil {
		return err
	}
	_, err := a.Store.UpdateRun(ctx, d.run.ID, func(r *batch.Run) error {
		if r.Status.Final() {
			return errRunCancelled()
		}
		r.Status, r.Generation, r.RowsTotal = batch.RunRunning, generation, &rows
		return nil
	})
	return err
}

// Recounted says whether the rows in the source are those that were staged.
type Recounted struct {
	Rows int64 `json:"rows"`
	// Again, if not nil, is the plan of a new generation: rows became visible late, stage everything once more.
	Again *Planned `json:"again,omitempty"`
}

// lastGeneration is how often an interval is staged at most: once, and once more when late rows were found.
const lastGeneration = 2

// Recount counts the source again before the commit.
func (a *Activities) Recount(ctx context.Context, in RunInput) (Recounted, error) {
	var recounted Recounted
	err := a.guard(ctx, in.RunID, in.Reset, &meter{}, func(ctx context.Context) error {
		d, err := a.load(ctx, in.RunID)
		if err != nil {
			return err
		}
		recounted, err = a.recount(ctx, d, in.Generation)
		return err
	})
	return recounted, err
}

func (a *Activities) recount(ctx context.Context, d delivery, generation int) (Recounted, error) {
	a.release(d.run.ID) // everything is read
	receipts, _, err := a.Store.Receipts(ctx, d.run.ID, generation)
	if err != nil {
		return Recounted{}, err
	}
	var staged int64
	for _, r := range receipts {
		staged += r.Rows
	}
	rows, err := a.source().Count(ctx, d.query)
	if err != nil || rows == staged {
		return Recounted{Rows: rows}, err
	}
	if generation < lastGeneration {
		a.say(d.run, batch.LogInfo, fmt.Sprintf(
			"%d rows were staged, but the source now has %d for range %s: staging once more.", staged, rows, d.run.Interval))
		again, err := a.plan(ctx, d, generation+1)
		return Recounted{Rows: rows, Again: &again}, err
	}
	a.say(d.run, batch.LogWarning, fmt.Sprintf(
		"The source still changes: %d rows were staged and will be published, it now has %d for range %s. Retry the run later to get the rest.",
		staged, rows, d.run.Interval))
	a.Metrics.LateRows(max(0, rows-staged))
	return Recounted{Rows: rows}, nil
}
