// Package app holds the use cases: what the API, the command line and the reconciler do to exports, runs and backfills.
//
// It depends on small interfaces over the database and Temporal. The database is written first and is the truth;
// Temporal is its projection and is repaired by the Reconciler. Refusals are *Problem.
package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
	"tranche/destinations"
	"tranche/query"
)

// ExportStore is what Exports needs of the database.
type ExportStore interface {
	CreateExport(ctx context.Context, e batch.Export) error
	Export(ctx context.Context, teamID int64, id uuid.UUID) (batch.Export, error)
	ExportByID(ctx context.Context, id uuid.UUID) (batch.Export, error)
	ListExports(ctx context.Context, teamID int64, limit, offset int) ([]batch.Export, int64, error)
	UpdateExport(ctx context.Context, teamID int64, id uuid.UUID, change func(*batch.Export) error) (batch.Export, error)
	MarkScheduled(ctx context.Context, id uuid.UUID, revision int64) error
}

// Schedules is the projection of exports into Temporal.
type Schedules interface {
	// Put creates or updates the schedule of an export so that it equals the definition. It is idempotent.
	Put(ctx context.Context, e batch.Export) error
	// Remove deletes the schedule; it is no error when there is none.
	Remove(ctx context.Context, exportID uuid.UUID) error
}

// A Logger writes lines that the customer sees.
type Logger interface {
	Log(entry batch.LogEntry)
}

// Exports are the use cases of batch exports.
type Exports struct {
	Store     ExportStore
	Schedules Schedules
	Models    query.Catalog
	// Source and Rows are asked for previews; nil = this process has no source.
	Source    Counter
	Rows      Sampler
	Plugins   *destinations.Registry
	Runs      *Runs
	Backfills *Backfills
	Logs      Logger
	Log       *zap.Logger
	Now       func() time.Time
	// Previews counts those that ask the source; nil = there is no limit to them.
	Previews *Previews
}

// A Draft is an export that a caller wants to have.
type Draft struct {
	// ID is the id of an export that was asked for before and may have been made; zero = any new one.
	ID          uuid.UUID
	Name        string
	Model       batch.Model // empty = events
	Destination DestinationDraft
	Interval    string // empty = hour
	Timezone    string // empty = UTC
	OffsetDay   *int
	OffsetHour  *int
	Selection   SelectionChange
	StartAt     *time.Time
	EndAt       *time.Time
	Paused      bool
	// LastPausedAt is when it was paused, as the caller tells; nil = as we know it.
	LastPausedAt *time.Time
}

// A DestinationDraft is a destination as sent.
type DestinationDraft struct {
	Type        string
	Config      map[string]any
	Integration *int64
}

// Create validates the draft, stores the export and puts its schedule. When Temporal does not answer, the export exists
// all the same and the reconciler puts its schedule. An export that has the draft's id already is returned as it is.
func (s *Exports) Create(ctx context.Context, teamID, userID int64, d Draft) (batch.Export, error) {
	id := d.ID
	if id == uuid.Nil {
		id = newID()
	} else if made, err := s.Store.Export(ctx, teamID, id); !errors.Is(err, batch.ErrNotFound) {
		return made, err // whatever its destination's host is now
	}
	e, err := s.exportOf(d)
	if err != nil {
		return batch.Export{}, err
	}
	now := s.Now().UTC().Truncate(time.Microsecond)
	e.ID, e.TeamID, e.LastModifiedBy = id, teamID, userID
	e.CreatedAt, e.LastUpdatedAt, e.Revision = now, now, 1
	if err := s.Store.CreateExport(ctx, e); err != nil {
		return batch.Export{}, err
	}
	s.schedule(ctx, e)
	return e, nil
}

// Get returns an export of the team, or a Problem of kind NotFound.
func (s *Exports) Get(ctx context.Context, teamID int64, id uuid.UUID) (batch.Export, error) {
	e, err := s.Store.Export(ctx, teamID, id)
	return e, missing(err, "Not found.")
}

// List returns a page of the team's exports, newest first, and how many there are.
func (s *Exports) List(ctx context.Context, teamID int64, limit, offset int) ([]batch.Export, int64, error) {
	return s.Store.ListExports(ctx, teamID, limit, offset)
}

// Pause stops the schedule; runs under way go on. An export that is paused stays as it is.
func (s *Exports) Pause(ctx context.Context, teamID, userID int64, id uuid.UUID) (batch.Export, error) {
	e, err := s.change(ctx, teamID, id, func(e *batch.Export) error {
		if e.Paused {
			return batch.ErrUnchanged
		}
		setPaused(e, true, s.Now())
		e.LastModifiedBy = userID
		return nil
	})
	return e, named(err, id)
}

// Unpause resumes the schedule. With backfill, what was due while the export was paused is backfilled. That comes first: when
// it cannot be, or when the process dies, the export is still paused, and whoever asks again loses nothing.
func (s *Exports) Unpause(ctx context.Context, teamID, userID int64, id uuid.UUID, backfill bool) (batch.Export, error) {
	var covered time.Time
	if backfill {
		before, err := s.Get(ctx, teamID, id)
		if err == nil && before.Paused && before.LastPausedAt != nil {
			covered, err = s.Backfills.cover(ctx, before, batch.Interval{Start: *before.LastPausedAt, End: s.Now()})
		}
		if err != nil {
			return batch.Export{}, named(err, id)
		}
	}
	e, err := s.change(ctx, teamID, id, func(e *batch.Export) error {
		if !e.Paused {
			return batch.ErrUnchanged
		}
		setPaused(e, false, s.Now())
		e.LastModifiedBy = userID
		return nil
	})
	if err != nil || covered.IsZero() {
		return e, named(err, id)
	}
	_, err = s.Backfills.cover(ctx, e, batch.Interval{Start: covered, End: e.LastUpdatedAt}) // what became due since then
	return e, err
}

// Delete hides the export, stops its schedule and cancels its backfills and runs. Its runs stay in the database.
func (s *Exports) Delete(ctx context.Context, teamID, userID int64, id uuid.UUID, match Precondition) error {
	e, err := s.Store.UpdateExport(ctx, teamID, id, func(e *batch.Export) error {
		if err := match.Check(*e); err != nil {
			return err
		}
		e.Deleted, e.Paused, e.LastModifiedBy = true, true, userID
		return nil
	})
	if err != nil {
		return missing(err, "Not found.")
	}
	if err := s.Schedules.Remove(ctx, e.ID); err != nil {
		logOf(ctx, s.Log).Warn("The schedule of a deleted export is still there; the reconciler will remove it.",
			zap.Int64("team_id", e.TeamID), zap.Stringer("batch_export_id", e.ID), zap.Error(err))
	} else if err := s.Store.MarkScheduled(ctx, e.ID, e.Revision); err != nil {
		return err
	}
	if _, err := s.Backfills.cancelAll(ctx, e.ID); err != nil {
		return err
	}
	return s.Runs.cancelAll(ctx, e.ID, nil)
}

// change updates the export and its schedule.
func (s *Exports) change(ctx context.Context, teamID int64, id uuid.UUID, change func(*batch.Export) error) (batch.Export, error) {
	e, err := s.Store.UpdateExport(ctx, teamID, id, change)
	if err != nil {
		return batch.Export{}, missing(err, "Not found.")
	}
	if e.ScheduledRevision < e.Revision {
		s.schedule(ctx, e)
	}
	return e, nil
}

// putTries is how often a schedule is put anew because the export has changed meanwhile.
const putTries = 5

// schedule projects e into Temporal. A failure is left to the reconciler: the database is the truth.
func (s *Exports) schedule(ctx context.Context, e batch.Export) {
	for range putTries {
		newer, err := s.project(ctx, e)
		if err != nil {
			logOf(ctx, s.Log).Warn("The schedule is not up to date; the reconciler will put it.",
				zap.Int64("team_id", e.TeamID), zap.Stringer("batch_export_id", e.ID), zap.Error(err))
		}
		if err != nil || newer == nil {
			return
		}
		e = *newer
	}
}

// project puts the schedule and returns the export if it has changed meanwhile. Temporal does not compare what it
// replaces: of two that put at once the older definition may be last, so whoever was last looks again.
func (s *Exports) project(ctx context.Context, e batch.Export) (newer *batch.Export, err error) {
	if e.Deleted {
		err = s.Schedules.Remove(ctx, e.ID)
	} else {
		err = s.Schedules.Put(ctx, e)
	}
	if err == nil {
		err = s.Store.MarkScheduled(ctx, e.ID, e.Revision)
	}
	if err != nil {
		return nil, err
	}
	latest, err := s.Store.ExportByID(ctx, e.ID)
	if err != nil || latest.Revision == e.Revision {
		return nil, err
	}
	return &latest, nil
}

// missing turns batch.ErrNotFound into a Problem.
func missing(err error, detail string) error {
	if errors.Is(err, batch.ErrNotFound) {
		return notFound(detail)
	}
	return err
}

// named says which export is not there, as clients that pause and unpause know it.
func named(err error, id uuid.UUID) error {
	if p, ok := errors.AsType[*Problem](err); ok && p.Kind == NotFound {
		return notFound(fmt.Sprintf("BatchExport ID '%s' not found.", id))
	}
	return err
}

// newID returns a time-ordered id.
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
