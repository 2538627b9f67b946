package activities

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/destinations"
)

// A Sweeper removes what runs staged and nobody could abort: the worker died, or the destination did not answer.
type Sweeper struct {
	Activities *Activities
	Store      SweepStore
	// Grace is how long a run must be over: its own Finish comes first.
	Grace time.Duration
}

// SweepStore is what the Sweeper needs of the database.
type SweepStore interface {
	// DanglingRefs returns journal entries whose run was over before the time, or that have no run.
	DanglingRefs(ctx context.Context, finishedBefore time.Time, limit int) ([]destinations.Journaled, error)
	// PostponeRefs keeps DanglingRefs from returning entries until the time.
	PostponeRefs(ctx context.Context, ids []int64, until time.Time) error
	// DeletePlans removes what is known of the splits of runs that were over before the time.
	DeletePlans(ctx context.Context, finishedBefore time.Time, limit int) (int64, error)
	// DeleteRevisions removes replaced definitions that no run needs any more.
	DeleteRevisions(ctx context.Context, supersededBefore time.Time, limit int) (int64, error)
}

const (
	// sweepLimit is how many journal entries, and plans, one sweep takes on.
	sweepLimit = 500
	// sweepAgain is when entries that could not be removed are tried again, so that they do not keep others waiting.
	sweepAgain = 5 * time.Minute
	// planRetention is how long the plans of runs that are over are kept: the next run of an interval learns from them
	// what one that died in its commit may have published.
	planRetention = 7 * 24 * time.Hour
	// revisionRetention is how long a replaced definition is kept at least: a run may be about to begin with it.
	revisionRetention = time.Hour
)

// Sweep removes what dangles. One destination that does not answer does not keep the others from being swept.
func (s *Sweeper) Sweep(ctx context.Context) error {
	dangling, err := s.Store.DanglingRefs(ctx, s.Activities.Now().Add(-s.Grace), sweepLimit)
	if err != nil {
		return err
	}
	byExport := map[uuid.UUID][]destinations.Journaled{}
	for _, d := range dangling {
		byExport[d.ExportID] = append(byExport[d.ExportID], d)
	}
	for id, entries := range byExport {
		if err := s.sweepExport(ctx, id, entries); err != nil {
			s.complain(ctx, id, len(entries), err)
			if err := s.postpone(ctx, entries); err != nil {
				return err
			}
		}
	}
	s.Activities.releaseRead(ctx)
	now := s.Activities.Now()
	_, err = s.Store.DeletePlans(ctx, now.Add(-planRetention), sweepLimit)
	_, revisionsErr := s.Store.DeleteRevisions(ctx, now.Add(-revisionRetention), sweepLimit)
	return errors.Join(err, revisionsErr)
}

func (s *Sweeper) complain(ctx context.Context, id uuid.UUID, refs int, err error) {
	fields := []zap.Field{zap.Stringer("batch_export_id", id), zap.Int("refs", refs), zap.Error(err)}
	if e, err := s.Activities.Store.ExportByID(ctx, id); err == nil {
		fields = append(fields, zap.Int64("team_id", e.TeamID))
	}
	s.Activities.Log.Warn("What runs staged could not be removed; the next sweep tries again.", fields...)
}

func (s *Sweeper) postpone(ctx context.Context, entries []destinations.Journaled) error {
	ids := make([]int64, len(entries))
	for i, e := range entries {
		ids[i] = e.ID
	}
	return s.Store.PostponeRefs(ctx, ids, s.Activities.Now().Add(sweepAgain))
}

func (s *Sweeper) sweepExport(ctx context.Context, id uuid.UUID, entries []destinations.Journaled) error {
	ctx, cancel := context.WithTimeout(ctx, s.Activities.Limits.Short)
	defer cancel()
	staged, err := s.Activities.byRevision(ctx, entries)
	if err != nil {
		return err
	}
	for revision, entries := range staged {
		if err := s.Activities.abortAt(ctx, id, revision, entries); err != nil {
			return err
		}
	}
	return nil
}
