package activities

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
)

// FinishInput says how a run ended.
type FinishInput struct {
	RunID   uuid.UUID       `json:"run_id"`
	Status  batch.RunStatus `json:"status"`
	Code    batch.Code      `json:"code,omitempty"`
	Message string          `json:"message,omitempty"` // safe to show
	// Reset says that the run is that of another execution, of which this one is a reset: it ends as that one left it.
	Reset bool `json:"reset,omitempty"`
}

// Finished is the run's last word.
type Finished struct {
	Status batch.RunStatus `json:"status"`
	Rows   int64           `json:"rows"`
	Bytes  int64           `json:"bytes"`
	Files  int64           `json:"files"`
}

// Finish writes the run's final state, on every path, and aborts what was not committed. What was delivered counts as
// completed, whatever happened to the answer.
func (a *Activities) Finish(ctx context.Context, in FinishInput) (Finished, error) {
	finished, err := a.finish(ctx, in)
	if err != nil {
		return finished, applicationError(err)
	}
	return finished, nil
}

func (a *Activities) finish(ctx context.Context, in FinishInput) (Finished, error) {
	r, err := a.Store.RunByID(ctx, in.RunID)
	if err != nil {
		return Finished{}, err
	}
	done, err := a.delivered(ctx, r)
	if err != nil {
		return Finished{}, err
	}
	if in.Reset {
		in.Status, in.Code, in.Message = batch.RunTerminated, batch.CodeSuperseded, "somebody reset the workflow in Temporal: a new run delivers the interval"
	}
	if done != nil {
		in.Status, in.Code, in.Message = batch.RunCompleted, "", ""
	} else if in.Status == batch.RunCompleted {
		return Finished{}, batch.Errorf(batch.CodeInternal, nil, "the run is said to be completed, but nothing was delivered")
	}
	before := r.Status
	if in.Status == batch.RunCancelled { // one that the API cancelled is so already
		ctx = batch.WithAct(ctx, batch.Act{Actor: batch.Actor{Kind: batch.ActorTemporal}, Note: "The workflow was cancelled in Temporal."})
	}
	r, err = a.Store.UpdateRun(ctx, in.RunID, func(r *batch.Run) error {
		before = r.Status
		return conclude(r, in, done, a)
	})
	if err != nil {
		return Finished{}, err
	}
	if before != r.Status {
		a.announce(r)
	}
	if before != r.Status && r.Status == batch.RunFailed {
		a.pauseFailing(ctx, r)
	}
	if before != r.Status {
		a.notify(ctx, r, done != nil)
	}
	// A run that the API cancelled was final before, and is counted here, where its work ends.
	if before != r.Status || r.Status == batch.RunCancelled && !in.Reset {
		a.count(ctx, r)
	}
	a.releasePermit(ctx, r)
	a.release(r.ID)
	if done == nil {
		a.discard(ctx, r)
	}
	return finishedOf(r, done), nil
}

// conclude changes the run's row. Final states never change, but for Cancelled to Completed when the commit had begun.
func conclude(r *batch.Run, in FinishInput, done *batch.Delivery, a *Activities) error {
	if done == nil && r.Status == batch.RunCancelled && r.RowsCompleted != nil {
		r.RowsCompleted, r.Bytes = nil, nil // what was staged is thrown away
		return nil
	}
	if r.Status.Final() && (r.Status != batch.RunCancelled || done == nil) {
		return batch.ErrUnchanged
	}
	now := a.Now().UTC()
	r.Status, r.FinishedAt, r.NextRetryAt = in.Status, &now, nil
	r.ErrorCode, r.LatestError = in.Code, in.Message
	r.RowsCompleted, r.Bytes = nil, nil
	if done != nil {
		files, none := int64(len(done.Objects)), int64(0)
		r.RowsCompleted, r.RowsFailed, r.Bytes, r.Files = &done.Rows, &none, &done.Bytes, &files
	}
	return nil
}

func finishedOf(r batch.Run, done *batch.Delivery) Finished {
	c := committedOf(done)
	return Finished{Status: r.Status, Rows: c.Rows, Bytes: c.Bytes, Files: c.Files}
}

// announce tells the customer how the run ended.
func (a *Activities) announce(r batch.Run) {
	switch r.Status {
	case batch.RunCompleted:
		a.say(r, batch.LogInfo, fmt.Sprintf("Batch export for range %s finished successfully with %d records exported.", r.Interval, *r.RowsCompleted))
	case batch.RunCancelled:
		a.say(r, batch.LogWarning, fmt.Sprintf("Batch export for range %s was cancelled.", r.Interval))
	default:
		a.say(r, batch.LogError, fmt.Sprintf("Batch export for range %s failed with a non-recoverable error: %s", r.Interval, r.LatestError))
	}
}

// pauseFailing pauses the export when too many of its newest runs failed. The run is over all the same: when it cannot be
// done now, the next failure does it.
func (a *Activities) pauseFailing(ctx context.Context, r batch.Run) {
	paused, err := a.Failing.PauseFailing(ctx, r.ExportID)
	if paused {
		a.Metrics.AutoPaused()
	}
	if err != nil {
		a.log(ctx).Warn("Whether an export fails too often could not be found out; its next failure tries again.", zap.Error(err))
	}
}

// notify sends what is to be told of the run. The notifications were written with its final state; this is only their
// start, and the columns that it delivered. The run is over all the same.
func (a *Activities) notify(ctx context.Context, r batch.Run, delivered bool) {
	if delivered {
		if err := a.recordColumns(ctx, r); err != nil {
			a.log(ctx).Warn("Which columns a run delivered is not recorded.", zap.Error(err))
		}
	}
	if a.Notifier != nil {
		a.Notifier.Dispatch(ctx, r.ExportID)
	}
}

func (a *Activities) recordColumns(ctx context.Context, r batch.Run) error {
	d, err := a.load(ctx, r.ID)
	if err != nil {
		return err
	}
	names := make([]string, len(d.query.Columns))
	for i, c := range d.query.Columns {
		names[i] = c.Name
	}
	return a.Store.RecordColumns(ctx, r, names)
}

// count adds the run to the metrics.
func (a *Activities) count(ctx context.Context, r batch.Run) {
	destination, model := "unknown", batch.Model("unknown")
	if e, err := a.Store.ExportByID(ctx, r.ExportID); err == nil {
		destination, model = e.Destination.Type, e.Model
	}
	a.Metrics.RunEnded(r.Status, r.ErrorCode, destination, model)
}

// discard aborts what the run staged. A failure is left to the sweep: the run is over all the same.
func (a *Activities) discard(ctx context.Context, r batch.Run) {
	if err := a.discardRefs(ctx, r.ID); err != nil {
		a.log(ctx).Warn("What a run staged is still there; the sweep tries again.", zap.Error(err))
	}
}

func (a *Activities) discardRefs(ctx context.Context, runID uuid.UUID) error {
	refs, err := a.Store.Refs(ctx, runID)
	if err != nil || len(refs) == 0 {
		return err
	}
	d, err := a.definition(ctx, runID)
	if err != nil {
		return err
	}
	destination, err := a.openFor(ctx, d)
	if err != nil {
		return err
	}
	defer a.close(ctx, destination)
	return a.abort(ctx, destination, refs)
}
