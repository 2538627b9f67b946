package app

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
)

// Pause lets the runs of a backfill that are under way go on, and starts no more until it is resumed.
func (s *Backfills) Pause(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Backfill, error) {
	return s.steer(ctx, teamID, exportID, id, true)
}

// Resume goes on with a backfill where it was paused.
func (s *Backfills) Resume(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Backfill, error) {
	return s.steer(ctx, teamID, exportID, id, false)
}

// steer records the wish and tells the workflow. When Temporal does not answer, the reconciler tells it.
func (s *Backfills) steer(ctx context.Context, teamID int64, exportID, id uuid.UUID, pause bool) (batch.Backfill, error) {
	if _, err := s.Get(ctx, teamID, exportID, id); err != nil {
		return batch.Backfill{}, err
	}
	verb := map[bool]string{true: "pause", false: "resume"}[pause]
	b, err := s.Store.UpdateBackfill(ctx, id, func(b *batch.Backfill) error {
		if b.Status.Final() {
			return invalid("", codeInvalid, "Cannot %s a backfill that is in '%s' status", verb, b.Status)
		}
		if pause == (b.PausedAt != nil) {
			return batch.ErrUnchanged
		}
		b.PausedAt = nil
		if pause {
			now := s.Now().UTC().Truncate(time.Microsecond)
			b.PausedAt = &now
		}
		b.Steering++
		return nil
	})
	if err != nil || b.Steered == b.Steering {
		return b, missing(err, "Not found.")
	}
	if err := s.Workflows.SteerBackfill(ctx, b); err != nil {
		logOf(ctx, s.Log).Warn("The workflow of a backfill could not be told to "+verb+"; the reconciler will tell it.",
			zap.Stringer("backfill_id", b.ID), zap.Error(err))
	}
	return b, nil
}

// steer tells the workflow of a backfill again how it is steered, when it has not asked since.
func (p *pass) steer(ctx context.Context, b batch.Backfill) error {
	if b.Steered == b.Steering || p.Now().Sub(b.LastUpdatedAt) < p.Grace {
		return nil
	}
	if err := p.Workflows.SteerBackfill(ctx, b); err != nil {
		return err
	}
	p.mended(RepairBackfill, b.TeamID, b.ExportID)
	return nil
}
