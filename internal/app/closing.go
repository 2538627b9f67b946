package app

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
)

// backfills starts the workflows of backfills that have none, and closes backfills whose workflow is over.
func (p *pass) backfills(ctx context.Context) error {
	return each(ctx, p.Store.OpenBackfills, func(b batch.Backfill) uuid.UUID { return b.ID }, p.backfill)
}

func (p *pass) backfill(ctx context.Context, b batch.Backfill) error {
	execution, err := p.Workflows.DescribeBackfill(ctx, b)
	if err != nil {
		return err
	}
	if execution == ExecutionRunning || execution == ExecutionCancelling {
		return p.steer(ctx, b)
	}
	if execution == ExecutionGone {
		if p.Now().Sub(b.LastUpdatedAt) < p.Grace {
			return nil
		}
		e, err := p.Store.ExportByID(ctx, b.ExportID)
		if err != nil {
			return err
		}
		if err := p.Workflows.StartBackfill(ctx, e, b); err != nil {
			return err
		}
		p.mended(RepairBackfill, b.TeamID, b.ExportID)
		return nil
	}
	status := map[Execution]batch.BackfillStatus{
		ExecutionCompleted: batch.BackfillCompleted, ExecutionFailed: batch.BackfillFailed,
		ExecutionCancelled: batch.BackfillCancelled, ExecutionTerminated: batch.BackfillTerminated,
		ExecutionTimedOut: batch.BackfillTimedOut,
	}[execution]
	changed := false
	_, err = p.Store.UpdateBackfill(batch.WithAct(ctx, closing(execution, batch.ActBackfillClosed)), b.ID, func(b *batch.Backfill) error {
		if changed = !b.Status.Final(); !changed {
			return batch.ErrUnchanged
		}
		now := p.Now().UTC()
		b.Status, b.FinishedAt = status, &now
		return nil
	})
	if err == nil && changed {
		p.mended(RepairEndedBackfill, b.TeamID, b.ExportID)
	}
	return err
}

// untold is how long a cancelled backfill is looked after.
const untold = 24 * time.Hour

// cancels tells workflows of paused backfills that these were cancelled: Temporal may not have answered then, and a
// workflow that waits to be resumed does not find out by itself.
func (p *pass) cancels(ctx context.Context) error {
	cancelled, err := p.Store.CancelledInPause(ctx, p.Now().Add(-untold), reconcilePage)
	if err != nil {
		return err
	}
	for _, b := range cancelled {
		if p.Now().Sub(b.LastUpdatedAt) < p.Grace {
			continue
		}
		execution, err := p.Workflows.DescribeBackfill(ctx, b)
		if err != nil {
			return err
		}
		if execution != ExecutionRunning { // one that knows may still wait for a run that publishes
			continue
		}
		if err := p.Workflows.CancelBackfill(ctx, b); err != nil {
			return err
		}
		p.mended(RepairCancel, b.TeamID, b.ExportID)
	}
	return nil
}

// closing is the act of recording how a workflow ended that could not do so itself: somebody in Temporal had ended it, or
// it is a repair.
func closing(execution Execution, action batch.Action) batch.Act {
	if execution == ExecutionCancelled || execution == ExecutionTerminated {
		return batch.Act{Actor: batch.Actor{Kind: batch.ActorTemporal}, Action: action, Note: "The workflow was ended in Temporal."}
	}
	return batch.Act{Actor: batch.Actor{Kind: batch.ActorSystem}, Action: action, Note: "The workflow was over, or gone, without having recorded a result."}
}

// runs closes runs whose workflow is over or gone, and shows on the others when a worker did not answer.
func (p *pass) runs(ctx context.Context) error {
	return each(ctx, p.Store.OpenRuns, func(run batch.Run) uuid.UUID { return run.ID }, p.run)
}

func (p *pass) run(ctx context.Context, run batch.Run) error {
	execution, retry, err := p.Workflows.DescribeRun(ctx, run)
	if err != nil {
		return err
	}
	if execution == ExecutionRunning {
		return p.showRetry(ctx, run, retry)
	}
	if execution == ExecutionGone && p.Now().Sub(run.LastUpdatedAt) < p.Grace {
		return nil
	}
	delivered, err := p.Store.Delivery(ctx, run.ExportID, run.Interval)
	if err != nil {
		return err
	}
	mine := delivered != nil && delivered.RunID == run.ID
	changed := false
	run, err = p.Store.UpdateRun(batch.WithAct(ctx, closing(execution, batch.ActRunClosed)), run.ID, func(run *batch.Run) error {
		if changed = !run.Status.Final(); !changed {
			return batch.ErrUnchanged
		}
		closeRun(run, execution, delivered, mine, p.Now().UTC())
		return nil
	})
	if err != nil || !changed {
		return err
	}
	level := batch.LogError
	if mine {
		level = batch.LogInfo
	}
	p.mended(RepairEndedRun, run.TeamID, run.ExportID)
	p.tell(run.TeamID, run.ExportID, run.ID, level,
		"Batch export for range "+run.Interval.String()+" ended without a word from its workflow: "+string(run.Status)+".")
	if mine || !deliversAnew(run, execution) {
		return nil
	}
	e, err := p.Store.ExportByID(ctx, run.ExportID)
	if err != nil || e.Deleted {
		return err
	}
	return p.Workflows.StartInterval(ctx, e, run.Interval)
}

// deliversAnew says whether the interval of a run that ended without a word needs another run. When its commit had begun,
// what is visible may be half of it: only a new run of the interval makes it whole. A workflow that vanished is nobody's
// wish: a run that the schedule began is begun again, and a backfill sees to its own.
func deliversAnew(run batch.Run, execution Execution) bool {
	return run.CommitStartedAt != nil || execution == ExecutionGone && run.BackfillID == nil
}

// showRetry writes to a run what its workers could not: the one that worked on it died or did not answer.
func (p *pass) showRetry(ctx context.Context, run batch.Run, retry *Retry) error {
	if retry == nil || retry.Attempt <= run.Attempt && run.LatestError != "" {
		return nil
	}
	shown := false
	run, err := p.Store.UpdateRun(ctx, run.ID, func(run *batch.Run) error {
		if shown = !run.Status.Final() && (run.Attempt < retry.Attempt || run.LatestError == ""); !shown {
			return batch.ErrUnchanged
		}
		run.Attempt, run.ErrorCode, run.LatestError = retry.Attempt, batch.CodeTimeout, "the worker that had the run did not answer any more"
		run.NextRetryAt = nil
		if !retry.Next.IsZero() {
			next := retry.Next.UTC()
			run.NextRetryAt = &next
		}
		return nil
	})
	if err == nil && shown {
		p.tell(run.TeamID, run.ExportID, run.ID, batch.LogWarning, fmt.Sprintf(
			"Attempt %d of range %s ended because its worker did not answer any more; the work is repeated.", retry.Attempt, run.Interval))
	}
	return err
}

// closeRun sets the final state that Temporal's word implies.
func closeRun(run *batch.Run, execution Execution, delivered *batch.Delivery, mine bool, now time.Time) {
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
	case ExecutionCompleted, ExecutionFailed, ExecutionRunning, ExecutionCancelling:
		if run.LatestError == "" {
			run.LatestError = "the workflow ended without recording a result"
		}
	}
}
