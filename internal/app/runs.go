package app

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
)

// RunStore is what Runs needs of the database.
type RunStore interface {
	Run(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Run, error)
	ListRuns(ctx context.Context, f batch.RunFilter) ([]batch.Run, error)
	LatestRuns(ctx context.Context, exportIDs []uuid.UUID, each int) (map[uuid.UUID][]batch.Run, error)
	OpenRunsOf(ctx context.Context, exportID uuid.UUID, backfillID *uuid.UUID) ([]batch.Run, error)
	UpdateRun(ctx context.Context, id uuid.UUID, change func(*batch.Run) error) (batch.Run, error)
}

// RunWorkflows is what Runs needs of Temporal.
type RunWorkflows interface {
	// CancelRun asks Temporal to cancel the run's workflow. It is no error when there is none.
	CancelRun(ctx context.Context, r batch.Run) error
}

// Runs are the use cases of runs.
type Runs struct {
	Store     RunStore
	Workflows RunWorkflows
	Backfills *Backfills
	Logs      Logger
	Log       *zap.Logger
	Now       func() time.Time
}

// Get returns a run of the team's export.
func (s *Runs) Get(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Run, error) {
	r, err := s.Store.Run(ctx, teamID, exportID, id)
	return r, missing(err, "Not found.")
}

// List returns the runs that the filter selects.
func (s *Runs) List(ctx context.Context, f batch.RunFilter) ([]batch.Run, error) {
	return s.Store.ListRuns(ctx, f)
}

// Latest returns, for each export, its newest runs.
func (s *Runs) Latest(ctx context.Context, exportIDs []uuid.UUID, each int) (map[uuid.UUID][]batch.Run, error) {
	return s.Store.LatestRuns(ctx, exportIDs, each)
}

// Cancel cancels a run that has not begun to commit.
func (s *Runs) Cancel(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Run, error) {
	if _, err := s.Get(ctx, teamID, exportID, id); err != nil {
		return batch.Run{}, err
	}
	return s.cancel(ctx, id)
}

// cancel records the cancellation first: from then on the run cannot begin to commit.
func (s *Runs) cancel(ctx context.Context, id uuid.UUID) (batch.Run, error) {
	r, err := s.Store.UpdateRun(ctx, id, func(r *batch.Run) error {
		if r.Status.Final() {
			return invalid("", codeInvalid, "Cannot cancel a run that is in '%s' status", r.Status)
		}
		if r.CommitStartedAt != nil {
			return invalid("", codeInvalid, "Cannot cancel a run that is in '%s' status: its rows are being published", r.Status)
		}
		now := s.Now().UTC()
		r.Status, r.FinishedAt, r.NextRetryAt = batch.RunCancelled, &now, nil
		return nil
	})
	if err != nil {
		return r, missing(err, "Not found.")
	}
	s.Logs.Log(batch.LogEntry{
		TeamID: r.TeamID, ExportID: r.ExportID, RunID: r.ID, Timestamp: s.Now(), Level: batch.LogWarning,
		Message: "Batch export for range " + r.Interval.String() + " was cancelled by a request.",
	})
	if err := s.Workflows.CancelRun(ctx, r); err != nil {
		logOf(ctx, s.Log).Warn("A cancelled run's workflow could not be told; it will find out before it commits.",
			zap.Stringer("run_id", r.ID), zap.Error(err))
	}
	return r, nil
}

// cancelAll cancels the open runs of an export, or of one of its backfills. Those that are committing complete.
func (s *Runs) cancelAll(ctx context.Context, exportID uuid.UUID, backfillID *uuid.UUID) error {
	open, err := s.Store.OpenRunsOf(ctx, exportID, backfillID)
	if err != nil {
		return err
	}
	for _, r := range open {
		if _, err := s.cancel(ctx, r.ID); err != nil && !isProblem(err) {
			return err
		}
	}
	return nil
}

// Retry delivers the run's interval again by a backfill of exactly that interval. With a backfill's id that is not zero, a
// backfill that has it already is returned as it is.
func (s *Runs) Retry(ctx context.Context, teamID int64, exportID, id, backfillID uuid.UUID) (batch.Backfill, error) {
	r, err := s.Get(ctx, teamID, exportID, id)
	if err != nil {
		return batch.Backfill{}, err
	}
	return s.Backfills.retry(ctx, r, backfillID)
}
