package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
)

// BackfillStore is what Backfills needs of the database.
type BackfillStore interface {
	Export(ctx context.Context, teamID int64, id uuid.UUID) (batch.Export, error)
	// CreateBackfill refuses with batch.ErrTooManyBackfills or batch.ErrDuplicateBackfill.
	CreateBackfill(ctx context.Context, b batch.Backfill, limit int) error
	Backfill(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Backfill, error)
	ListBackfills(ctx context.Context, f batch.BackfillFilter) ([]batch.Backfill, error)
	UpdateBackfill(ctx context.Context, id uuid.UUID, change func(*batch.Backfill) error) (batch.Backfill, error)
	// CountOpenBackfills counts a team's open backfills, retries left out.
	CountOpenBackfills(ctx context.Context, teamID int64) (int64, error)
	OpenBackfillsOf(ctx context.Context, exportID uuid.UUID) ([]batch.Backfill, error)
}

// BackfillWorkflows is what Backfills needs of Temporal.
type BackfillWorkflows interface {
	// StartBackfill starts the backfill's workflow under its fixed id. One that runs already is no error.
	StartBackfill(ctx context.Context, b batch.Backfill) error
	// CancelBackfill asks Temporal to cancel it. It is no error when there is none.
	CancelBackfill(ctx context.Context, b batch.Backfill) error
}

// Backfills are the use cases of backfills.
type Backfills struct {
	Store     BackfillStore
	Workflows BackfillWorkflows
	Runs      *Runs
	Log       *zap.Logger
	Now       func() time.Time
	// Limit is how many backfills of a team may be open at once; retries are not counted.
	Limit int
	// Concurrency is how many intervals of a backfill run at once.
	Concurrency int
}

// Get returns a backfill of the team's export.
func (s *Backfills) Get(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Backfill, error) {
	b, err := s.Store.Backfill(ctx, teamID, exportID, id)
	return b, missing(err, "Not found.")
}

// List returns the backfills that the filter selects.
func (s *Backfills) List(ctx context.Context, f batch.BackfillFilter) ([]batch.Backfill, error) {
	return s.Store.ListBackfills(ctx, f)
}

// Create validates the bounds, as the caller wrote them, and starts a backfill. With an id that is not zero, a backfill
// that has it already is returned as it is.
func (s *Backfills) Create(
	ctx context.Context, teamID int64, exportID, id uuid.UUID, start, end *string,
) (batch.Backfill, error) {
	e, err := s.Store.Export(ctx, teamID, exportID)
	if err != nil {
		return batch.Backfill{}, missing(err, "BatchExport not found.")
	}
	if made, err := s.made(ctx, e, id); !errors.Is(err, batch.ErrNotFound) {
		return made, err
	}
	if err := s.room(ctx, teamID); err != nil {
		return batch.Backfill{}, err
	}
	from, to, err := s.bounds(e, start, end)
	if err != nil {
		return batch.Backfill{}, err
	}
	return s.start(ctx, e, batch.Backfill{ID: id, StartAt: from, EndAt: to})
}

// made finds the backfill that an earlier try of the same request made, or batch.ErrNotFound.
func (s *Backfills) made(ctx context.Context, e batch.Export, id uuid.UUID) (batch.Backfill, error) {
	if id == uuid.Nil {
		return batch.Backfill{}, batch.ErrNotFound
	}
	return s.Store.Backfill(ctx, e.TeamID, e.ID, id)
}

// room refuses when the team has as many open backfills as it may. Clients learn of it before their bounds are judged;
// that two requests do not pass at once is up to CreateBackfill.
func (s *Backfills) room(ctx context.Context, teamID int64) error {
	n, err := s.Store.CountOpenBackfills(ctx, teamID)
	if err == nil && n >= int64(s.Limit) {
		err = s.tooMany()
	}
	return err
}

func (s *Backfills) tooMany() error {
	return &Problem{
		Kind: TooMany, Code: "too_many_concurrent_backfills", Detail: fmt.Sprintf(
			"This team already has %d batch export backfills running. Wait for one to finish, or cancel one.", s.Limit),
	}
}

// start stores the backfill and starts its workflow. When Temporal does not answer, the reconciler starts it.
func (s *Backfills) start(ctx context.Context, e batch.Export, b batch.Backfill) (batch.Backfill, error) {
	now := s.Now().UTC().Truncate(time.Microsecond)
	if b.ID == uuid.Nil {
		b.ID = newID()
	}
	b.ExportID, b.TeamID = e.ID, e.TeamID
	b.Status, b.Concurrency, b.CreatedAt, b.LastUpdatedAt = batch.BackfillStarting, s.Concurrency, now, now
	err := s.Store.CreateBackfill(ctx, b, s.Limit)
	switch {
	case errors.Is(err, batch.ErrTooManyBackfills):
		return batch.Backfill{}, s.tooMany()
	case errors.Is(err, batch.ErrDuplicateBackfill):
		return batch.Backfill{}, &Problem{
			Kind: Conflict, Code: "duplicate_backfill",
			Detail: "A backfill of exactly this range is running already.",
		}
	case err != nil:
		return batch.Backfill{}, err
	}
	if err := s.Workflows.StartBackfill(ctx, b); err != nil {
		s.Log.Warn("The backfill's workflow is not started; the reconciler will start it.",
			zap.Stringer("backfill_id", b.ID), zap.Error(err))
	}
	return b, nil
}

// retry starts a backfill of exactly the run's interval. The id is as for Create.
func (s *Backfills) retry(ctx context.Context, r batch.Run, id uuid.UUID) (batch.Backfill, error) {
	e, err := s.Store.Export(ctx, r.TeamID, r.ExportID)
	if err != nil {
		return batch.Backfill{}, missing(err, "Not found.")
	}
	if made, err := s.made(ctx, e, id); !errors.Is(err, batch.ErrNotFound) {
		return made, err
	}
	b := batch.Backfill{ID: id, Retry: true, EndAt: &r.Interval.End}
	if !r.Interval.Start.IsZero() {
		b.StartAt = &r.Interval.Start
	}
	return s.start(ctx, e, b)
}

// cover backfills what was due in missed: the intervals that ended in it.
func (s *Backfills) cover(ctx context.Context, e batch.Export, missed batch.Interval) error {
	calendar, err := e.Calendar()
	if err != nil {
		return err
	}
	start, end := calendar.Floor(missed.Start), calendar.Floor(missed.End)
	if !start.Before(end) {
		return nil
	}
	_, err = s.start(ctx, e, batch.Backfill{StartAt: &start, EndAt: &end})
	return err
}

// Cancel cancels a backfill and its open runs. Runs that are committing complete.
func (s *Backfills) Cancel(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Backfill, error) {
	if _, err := s.Get(ctx, teamID, exportID, id); err != nil {
		return batch.Backfill{}, err
	}
	return s.cancel(ctx, id)
}

func (s *Backfills) cancel(ctx context.Context, id uuid.UUID) (batch.Backfill, error) {
	b, err := s.Store.UpdateBackfill(ctx, id, func(b *batch.Backfill) error {
		if b.Status.Final() {
			return invalid("", codeInvalid, "Cannot cancel a backfill that is in '%s' status", b.Status)
		}
		now := s.Now().UTC()
		b.Status, b.FinishedAt = batch.BackfillCancelled, &now
		return nil
	})
	if err != nil {
		return b, missing(err, "Not found.")
	}
	if err := s.Workflows.CancelBackfill(ctx, b); err != nil {
		s.Log.Warn("A cancelled backfill's workflow could not be told; it will find out before its next run.",
			zap.Stringer("backfill_id", b.ID), zap.Error(err))
	}
	return b, s.Runs.cancelAll(ctx, b.ExportID, &b.ID)
}

// cancelAll cancels the open backfills of an export, and says how many.
func (s *Backfills) cancelAll(ctx context.Context, exportID uuid.UUID) (cancelled int, err error) {
	open, err := s.Store.OpenBackfillsOf(ctx, exportID)
	if err != nil {
		return 0, err
	}
	for _, b := range open {
		_, err := s.cancel(ctx, b.ID)
		if err != nil && !isProblem(err) {
			return cancelled, err
		}
		if err == nil {
			cancelled++
		}
	}
	return cancelled, nil
}

// isProblem says whether err is a refusal: somebody else was faster.
func isProblem(err error) bool {
	_, ok := errors.AsType[*Problem](err)
	return ok
}
