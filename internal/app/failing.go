package app

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"tranche/batch"
)

// PauseFailing pauses the export when too many of its newest runs failed, and cancels its open backfills: what fails again
// and again needs somebody to act. Only runs of the definition as it is now count: a change of it, or unpausing, is
// somebody's having acted. It says whether it paused the export.
func (s *Exports) PauseFailing(ctx context.Context, exportID uuid.UUID) (paused bool, err error) {
	e, err := s.Store.ExportByID(ctx, exportID)
	if err != nil || e.Deleted {
		return false, err
	}
	window, limit := e.Frequency.FailureWindow(), e.Frequency.FailureLimit()
	latest, err := s.Runs.Latest(ctx, []uuid.UUID{e.ID}, window)
	if err != nil {
		return false, err
	}
	failed := 0
	for _, r := range latest[e.ID] {
		if r.Status == batch.RunFailed && r.Revision == e.Revision {
			failed++
		}
	}
	if failed < limit {
		return false, nil
	}
	seen := e.Revision
	ctx = batch.WithAct(ctx, batch.Act{
		Actor: batch.Actor{Kind: batch.ActorSystem}, Action: batch.ActExportAutoPaused,
		Note: fmt.Sprintf("%d of the last %d runs failed.", failed, window),
	})
	e, err = s.change(ctx, e.TeamID, e.ID, func(e *batch.Export) error {
		if paused = e.Revision == seen && !e.Paused; !paused {
			return batch.ErrUnchanged
		}
		setPaused(e, true, s.Now())
		return nil
	})
	if err != nil {
		return false, err
	}
	if paused {
		s.say(e, batch.LogWarning, fmt.Sprintf("Paused because %d of the last %d runs failed. Unpause the batch export when the cause is mended.", failed, window))
	}
	cancelled, err := s.Backfills.cancelAll(ctx, e.ID)
	if cancelled > 0 {
		s.say(e, batch.LogWarning, fmt.Sprintf("Cancelled %d backfills because %d of the last %d runs failed.", cancelled, failed, window))
	}
	return paused, err
}

// say writes a line to the export's log.
func (s *Exports) say(e batch.Export, level batch.LogLevel, message string) {
	s.Logs.Log(batch.LogEntry{TeamID: e.TeamID, ExportID: e.ID, Timestamp: s.Now().UTC(), Level: level, Message: message})
}
