package app

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
)

// An Execution is what Temporal says of a workflow.
type Execution int

// The states of an execution. Gone means that Temporal knows none.
const (
	ExecutionGone Execution = iota
	ExecutionRunning
	ExecutionCompleted
	ExecutionFailed
	ExecutionCancelled
	ExecutionTerminated
	ExecutionTimedOut
)

// ReconcilerStore is what the Reconciler needs of the database.
type ReconcilerStore interface {
	ExportByID(ctx context.Context, id uuid.UUID) (batch.Export, error)
	StaleSchedules(ctx context.Context, limit int) ([]batch.Export, error)
	ActiveExports(ctx context.Context, after uuid.UUID, limit int) ([]batch.Export, error)
	MarkScheduled(ctx context.Context, id uuid.UUID, revision int64) error
	OpenBackfills(ctx context.Context, after uuid.UUID, limit int) ([]batch.Backfill, error)
	UpdateBackfill(ctx context.Context, id uuid.UUID, change func(*batch.Backfill) error) (batch.Backfill, error)
	OpenRuns(ctx context.Context, after uuid.UUID, limit int) ([]batch.Run, error)
	UpdateRun(ctx context.Context, id uuid.UUID, change func(*batch.Run) error) (batch.Run, error)
	Delivery(ctx context.Context, exportID uuid.UUID, i batch.Interval) (*batch.Delivery, error)
}

// ReconcilerWorkflows is what the Reconciler needs of Temporal.
type ReconcilerWorkflows interface {
	Schedules
	BackfillWorkflows
	Scheduled(ctx context.Context) (map[uuid.UUID]bool, error)
	StartInterval(ctx context.Context, e batch.Export, i batch.Interval) error
	DescribeRun(ctx context.Context, r batch.Run) (Execution, error)
	DescribeBackfill(ctx context.Context, b batch.Backfill) (Execution, error)
}

// A Reconciler makes Temporal agree with the database, and tells the database what became of workflows that ended
// without a word. Each repair is idempotent, so several may run at once.
type Reconciler struct {
	Store     ReconcilerStore
	Workflows ReconcilerWorkflows
	Logs      Logger
	Log       *zap.Logger
	Now       func() time.Time
	// Grace is how long a row may be without its workflow: whoever wrote it is about to start it.
	Grace time.Duration
}

// Repairs counts what one pass mended.
type Repairs struct {
	Schedules int // put or removed
	Backfills int // started or closed
	Runs      int // closed
}

// reconcilePage is how many rows are looked at in one query.
const reconcilePage = 500

// Reconcile makes one pass. A part that fails does not keep the others from being done.
func (r *Reconciler) Reconcile(ctx context.Context) (Repairs, error) {
	var done Repairs
	var failures []error
	for _, part := range []struct {
		count *int
		mend  func(context.Context) (int, error)
	}{
		{&done.Schedules, r.staleSchedules},
		{&done.Schedules, r.missingSchedules},
		{&done.Backfills, r.backfills},
		{&done.Runs, r.runs},
	} {
		n, err := part.mend(ctx)
		*part.count += n
		failures = append(failures, err)
	}
	if done != (Repairs{}) {
		r.Log.Info("The reconciler mended what had come apart.", zap.Int("schedules", done.Schedules),
			zap.Int("backfills", done.Backfills), zap.Int("runs", done.Runs))
	}
	return done, errors.Join(failures...)
}

// staleSchedules puts schedules whose export has changed since, and removes those of deleted exports.
func (r *Reconciler) staleSchedules(ctx context.Context) (int, error) {
	stale, err := r.Store.StaleSchedules(ctx, reconcilePage)
	if err != nil {
		return 0, err
	}
	for n, e := range stale {
		if e.Deleted {
			err = r.Workflows.Remove(ctx, e.ID)
		} else {
			err = r.Workflows.Put(ctx, e)
		}
		if err == nil {
			err = r.Store.MarkScheduled(ctx, e.ID, e.Revision)
		}
		if err != nil {
			return n, err
		}
	}
	return len(stale), nil
}

// missingSchedules puts the schedules that somebody removed from Temporal, and removes those whose export is deleted.
func (r *Reconciler) missingSchedules(ctx context.Context) (int, error) {
	scheduled, err := r.Workflows.Scheduled(ctx)
	if err != nil {
		return 0, err
	}
	mended := 0
	for after := uuid.Nil; ; {
		page, err := r.Store.ActiveExports(ctx, after, reconcilePage)
		if err != nil {
			return mended, err
		}
		for _, e := range page {
			after = e.ID
			if scheduled[e.ID] {
				delete(scheduled, e.ID)
				continue
			}
			if r.Now().Sub(e.CreatedAt) < r.Grace {
				continue // Temporal's list lags behind its creation
			}
			if err := r.Workflows.Put(ctx, e); err != nil {
				return mended, err
			}
			mended++
		}
		if len(page) < reconcilePage {
			break
		}
	}
	for id := range scheduled {
		e, err := r.Store.ExportByID(ctx, id)
		if errors.Is(err, batch.ErrNotFound) || err == nil && !e.Deleted {
			continue // another service's, or made since we looked
		}
		if err == nil {
			err = r.Workflows.Remove(ctx, id)
		}
		if err != nil {
			return mended, err
		}
		mended++
	}
	return mended, nil
}

// each mends the open rows of one kind, page by page in the order of their ids, and counts those that needed it.
func each[T any](
	ctx context.Context, load func(ctx context.Context, after uuid.UUID, limit int) ([]T, error), id func(T) uuid.UUID,
	mend func(ctx context.Context, row T) (bool, error),
) (mended int, err error) {
	for after := uuid.Nil; ; {
		page, err := load(ctx, after, reconcilePage)
		if err != nil {
			return mended, err
		}
		for _, row := range page {
			after = id(row)
			changed, err := mend(ctx, row)
			if err != nil {
				return mended, err
			}
			if changed {
				mended++
			}
		}
		if len(page) < reconcilePage {
			return mended, nil
		}
	}
}

// backfills starts the workflows of backfills that have none, and closes backfills whose workflow is over.
func (r *Reconciler) backfills(ctx context.Context) (int, error) {
	return each(ctx, r.Store.OpenBackfills, func(b batch.Backfill) uuid.UUID { return b.ID }, r.backfill)
}

func (r *Reconciler) backfill(ctx context.Context, b batch.Backfill) (bool, error) {
	execution, err := r.Workflows.DescribeBackfill(ctx, b)
	if err != nil {
		return false, err
	}
	if execution == ExecutionRunning {
		return r.steer(ctx, b)
	}
	if execution == ExecutionGone {
		if r.Now().Sub(b.LastUpdatedAt) < r.Grace {
			return false, nil
		}
		return true, r.Workflows.StartBackfill(ctx, b)
	}
	status := map[Execution]batch.BackfillStatus{
		ExecutionCompleted: batch.BackfillCompleted, ExecutionFailed: batch.BackfillFailed,
		ExecutionCancelled: batch.BackfillCancelled, ExecutionTerminated: batch.BackfillTerminated,
		ExecutionTimedOut: batch.BackfillTimedOut,
	}[execution]
	changed := false
	_, err = r.Store.UpdateBackfill(ctx, b.ID, func(b *batch.Backfill) error {
		if changed = !b.Status.Final(); !changed {
			return batch.ErrUnchanged
		}
		now := r.Now().UTC()
		b.Status, b.FinishedAt = status, &now
		return nil
	})
	return changed, err
}

// runs closes runs whose workflow is over or gone.
func (r *Reconciler) runs(ctx context.Context) (int, error) {
	return each(ctx, r.Store.OpenRuns, func(run batch.Run) uuid.UUID { return run.ID }, r.run)
}

func (r *Reconciler) run(ctx context.Context, run batch.Run) (bool, error) {
	execution, err := r.Workflows.DescribeRun(ctx, run)
	if err != nil || execution == ExecutionRunning {
		return false, err
	}
	if execution == ExecutionGone && r.Now().Sub(run.LastUpdatedAt) < r.Grace {
		return false, nil
	}
	delivered, err := r.Store.Delivery(ctx, run.ExportID, run.Interval)
	if err != nil {
		return false, err
	}
	mine := delivered != nil && delivered.RunID == run.ID
	changed := false
	run, err = r.Store.UpdateRun(ctx, run.ID, func(run *batch.Run) error {
		if changed = !run.Status.Final(); !changed {
			return batch.ErrUnchanged
		}
		r.close(run, execution, delivered, mine)
		return nil
	})
	if err != nil || !changed {
		return changed, err
	}
	level := batch.LogError
	if mine {
		level = batch.LogInfo
	}
	r.Logs.Log(batch.LogEntry{
		TeamID: run.TeamID, ExportID: run.ExportID, RunID: run.ID, Timestamp: r.Now().UTC(), Level: level,
		Message: "Batch export for range " + run.Interval.String() + " ended without a word from its workflow: " + string(run.Status) + ".",
	})
	if mine || run.CommitStartedAt == nil {
		return true, nil
	}
	// Its commit had begun: what is visible may be half of it. Only a new run of the interval makes it whole.
	e, err := r.Store.ExportByID(ctx, run.ExportID)
	if err != nil || e.Deleted {
		return true, err
	}
	return true, r.Workflows.StartInterval(ctx, e, run.Interval)
}

// close sets the final state that Temporal's word implies.
func (r *Reconciler) close(run *batch.Run, execution Execution, delivered *batch.Delivery, mine bool) {
	now := r.Now().UTC()
	run.FinishedAt, run.NextRetryAt = &now, nil
	if mine {
		files, none := int64(len(delivered.Objects)), int64(0)
		run.Status, run.LatestError, run.ErrorCode = batch.RunCompleted, "", ""
		run.RowsCompleted, run.RowsFailed, run.Bytes, run.Files = &delivered.Rows, &none, &delivered.Bytes, &files
		return
	}
	run.Status, run.ErrorCode = batch.RunFailed, batch.CodeInternal
	switch execution {
	case ExecutionTerminated:
		run.Status, run.ErrorCode, run.LatestError = batch.RunTerminated, batch.CodeCancelled, "somebody terminated the workflow in Temporal"
	case ExecutionTimedOut:
		run.Status, run.ErrorCode, run.LatestError = batch.RunTimedOut, batch.CodeTimeout, "the workflow timed out in Temporal"
	case ExecutionCancelled:
		run.Status, run.ErrorCode = batch.RunCancelled, batch.CodeCancelled
	case ExecutionGone:
		run.LatestError = "the workflow is gone from Temporal"
	case ExecutionCompleted, ExecutionFailed, ExecutionRunning:
		if run.LatestError == "" {
			run.LatestError = "the workflow ended without recording a result"
		}
	}
}
