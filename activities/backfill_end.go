package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
)

// FinishBackfillInput says how a backfill's workflow ended.
type FinishBackfillInput struct {
	BackfillID uuid.UUID            `json:"backfill_id"`
	Status     batch.BackfillStatus `json:"status"` // Completed, Failed or Cancelled
	// Message is the sentence that says why it failed.
	Message string `json:"message,omitempty"`
}

// FinishedBackfill is the backfill's last word.
type FinishedBackfill struct {
	Status batch.BackfillStatus `json:"status"`
}

// FinishBackfill writes the final state. A backfill with an interval that nobody delivered has failed. One without an end
// that has caught up unpauses its export.
func (a *Activities) FinishBackfill(ctx context.Context, in FinishBackfillInput) (FinishedBackfill, error) {
	b, err := a.finishBackfill(ctx, in)
	if err != nil {
		return FinishedBackfill{}, applicationError(err)
	}
	return FinishedBackfill{Status: b.Status}, nil
}

// undeliveredMessage says how much of a backfill is not there.
func undeliveredMessage(intervals int64) string {
	if intervals == 1 {
		return "1 interval was not delivered: its runs tell why"
	}
	return fmt.Sprintf("%d intervals were not delivered: their runs tell why", intervals)
}

func (a *Activities) finishBackfill(ctx context.Context, in FinishBackfillInput) (batch.Backfill, error) {
	b, e, err := a.backfill(ctx, in.BackfillID)
	if err != nil || b.Status.Final() {
		return b, err
	}
	records, err := a.Store.BackfillRecords(ctx, in.BackfillID)
	if err != nil {
		return b, err
	}
	undelivered, err := a.undelivered(ctx, b, e)
	if err != nil {
		return b, err
	}
	if in.Status == batch.BackfillCompleted && undelivered > 0 {
		in.Status, in.Message = batch.BackfillFailed, undeliveredMessage(undelivered)
	}
	if in.Status == batch.BackfillCompleted && b.EndAt == nil {
		if err := a.handOver(ctx, b, e); err != nil {
			return b, err
		}
	}
	var changed bool
	b, err = a.Store.UpdateBackfill(ctx, in.BackfillID, func(b *batch.Backfill) error {
		if changed = !b.Status.Final(); !changed {
			return batch.ErrUnchanged
		}
		now := a.Now().UTC()
		b.Status, b.LatestError, b.FinishedAt, b.TotalRecords = in.Status, in.Message, &now, &records
		if b.TotalRuns == nil {
			runs := b.Runs.Finished()
			b.TotalRuns = &runs
		}
		return nil
	})
	if err == nil && changed {
		a.Logs.Log(batch.LogEntry{
			TeamID: b.TeamID, ExportID: b.ExportID, Timestamp: a.Now().UTC(), Level: levelOf(b.Status),
			Message: fmt.Sprintf("Backfill %s: %s, %d records exported, %d intervals not delivered.%s", b.ID, b.Status, records, undelivered, because(b.LatestError)),
		})
	}
	return b, err
}

// because is a reason as it follows a sentence.
func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " The reason: " + reason + "."
}

// undelivered counts the intervals of a backfill that nobody has delivered since it was asked for: its runs failed, or
// those of others that owned the interval. What it left out counts as delivered.
func (a *Activities) undelivered(ctx context.Context, b batch.Backfill, e batch.Export) (int64, error) {
	if b.EndAt != nil && (b.TotalRuns == nil || *b.TotalRuns == 0) || b.EndAt == nil && b.CaughtUpAt == nil {
		return 0, nil
	}
	calendar, err := e.Calendar()
	if err != nil {
		return 0, err
	}
	var until time.Time // of one without an end
	if b.CaughtUpAt != nil {
		until = *b.CaughtUpAt
	}
	whole := b.Range(calendar, until)
	var done []batch.Interval
	if b.SkipDelivered {
		done, err = a.Store.DeliveredWithin(ctx, b.ExportID, whole)
	} else {
		done, err = a.Store.DeliveredSince(ctx, b.ExportID, whole, b.CreatedAt)
	}
	if err != nil {
		return 0, err
	}
	delivered := batch.NewDelivered(done)
	var missing int64
	for i := range b.Intervals(calendar, nil, until) {
		if !delivered.Has(i) {
			missing++
		}
	}
	return missing, nil
}

// handOver lets the schedule go on where a backfill without an end has caught up: the export is unpaused, and what became
// due in between is started.
func (a *Activities) handOver(ctx context.Context, b batch.Backfill, e batch.Export) error {
	if e.Deleted {
		return nil
	}
	act := batch.Act{Actor: batch.Actor{Kind: batch.ActorSystem}, Note: fmt.Sprintf("Backfill %s has caught up: the schedule goes on.", b.ID)}
	e, err := a.Store.UpdateExport(batch.WithAct(ctx, act), e.TeamID, e.ID, func(e *batch.Export) error {
		if !e.Paused {
			return batch.ErrUnchanged
		}
		e.Paused = false
		return nil
	})
	if err != nil {
		return err
	}
	if e.ScheduledRevision < e.Revision {
		if err := a.Executions.Put(ctx, e); err != nil {
			return err
		}
		if err := a.Store.MarkScheduled(ctx, e.ID, e.Revision); err != nil {
			return err
		}
	}
	calendar, err := e.Calendar()
	if err != nil || b.CaughtUpAt == nil {
		return err
	}
	for i := range calendar.Within(*b.CaughtUpAt, a.Now()) {
		if err := a.Executions.StartInterval(ctx, e, i); err != nil {
			return err
		}
	}
	return nil
}

func levelOf(s batch.BackfillStatus) batch.LogLevel {
	switch s {
	case batch.BackfillCompleted:
		return batch.LogInfo
	case batch.BackfillCancelled:
		return batch.LogWarning
	case batch.BackfillStarting, batch.BackfillRunning, batch.BackfillFailed, batch.BackfillTerminated, batch.BackfillTimedOut:
	}
	return batch.LogError
}
