package app

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
)

// A Schedule is what Temporal has of an export's schedule.
type Schedule struct {
	Found bool
	// Revision is that of the definition for which it was put; 0 = unknown.
	Revision int64
	Paused   bool
	// Drifted says that it is not as Put would make it, apart from being paused.
	Drifted bool
	// Unmarked says that it does not say whose it is, although Put would.
	Unmarked bool
}

// inspections is how many schedules a pass compares with their definition, in turns: a look at each is a call to Temporal.
const inspections = 50

// staleSchedules puts schedules whose export has changed since, and removes those of deleted exports.
func (p *pass) staleSchedules(ctx context.Context) error {
	stale, err := p.Store.StaleSchedules(ctx, reconcilePage)
	if err != nil {
		return err
	}
	for _, e := range stale {
		if p.Now().Sub(e.LastUpdatedAt) < p.Grace {
			continue // whoever changed it is about to put it
		}
		if e.Deleted {
			err = p.Workflows.Remove(ctx, e.ID)
		} else {
			err = p.Workflows.Put(ctx, e)
		}
		if err == nil {
			err = p.Store.MarkScheduled(ctx, e.ID, e.Revision)
		}
		if err != nil {
			return err
		}
		kind := RepairStaleSchedule
		if e.Deleted {
			kind = RepairOrphanedSchedule
		}
		p.mended(kind, e.TeamID, e.ID)
	}
	return nil
}

// schedules puts those that somebody removed from Temporal or changed there, copies back that somebody paused or unpaused
// one, and removes those that have no export.
func (p *pass) schedules(ctx context.Context) error {
	paused, err := p.Workflows.Scheduled(ctx)
	if err != nil {
		return err
	}
	left, turn := inspections, uuid.Nil
	err = each(ctx, p.Store.ActiveExports, func(e batch.Export) uuid.UUID { return e.ID }, func(ctx context.Context, e batch.Export) error {
		is, listed := paused[e.ID]
		delete(paused, e.ID)
		mine := left > 0 && bytes.Compare(e.ID[:], p.inspected[:]) > 0
		if mine {
			left, turn = left-1, e.ID
		}
		if listed && is == e.Paused && !mine {
			return nil
		}
		if !listed && p.Now().Sub(e.CreatedAt) < p.Grace {
			return nil // Temporal's list lags behind its creation
		}
		return p.inspect(ctx, e)
	})
	if err != nil {
		return err
	}
	if left > 0 {
		turn = uuid.Nil // the last one was reached: begin again
	}
	p.inspected = turn
	return p.orphans(ctx, paused)
}

// inspect compares one schedule with its definition.
func (p *pass) inspect(ctx context.Context, e batch.Export) error {
	s, err := p.Workflows.Schedule(ctx, e)
	if err != nil {
		return err
	}
	var kind Repair
	switch {
	case !s.Found:
		kind = RepairMissingSchedule
	case s.Revision > e.Revision:
		return p.overtake(ctx, e, s.Revision)
	case s.Revision < e.Revision && e.ScheduledRevision < e.Revision:
		return nil // whoever changed it is about to put it, or it is stale
	case s.Revision < e.Revision:
		kind = RepairStaleSchedule
	case s.Paused != e.Paused:
		return p.copyPause(ctx, e, s.Paused)
	case s.Drifted:
		kind = RepairDriftedSchedule
	case s.Unmarked: // put by a version before the mark: its export is ours, and so is the schedule
		return p.Workflows.Put(ctx, e)
	default:
		return nil
	}
	if err := p.Workflows.Put(ctx, e); err != nil {
		return err
	}
	p.mended(kind, e.TeamID, e.ID)
	return nil
}

// overtake puts the schedule of an export whose database is older than its schedule, unless the export has changed since we
// read it. A definition is written before its schedule, so only a database that was restored can be behind. Its revision is
// raised above that of the schedule: what was put before is then as old as any other, and no number is used twice.
func (p *pass) overtake(ctx context.Context, e batch.Export, ahead int64) error {
	ctx = batch.WithAct(ctx, batch.Act{
		Actor: batch.Actor{Kind: batch.ActorSystem}, Note: "The schedule in Temporal was of a newer definition than the database has.",
	})
	e, err := p.Store.RaiseRevision(ctx, e.TeamID, e.ID, ahead)
	if errors.Is(err, batch.ErrNotFound) || errors.Is(err, batch.ErrUnchanged) {
		return nil // it was changed or deleted meanwhile
	}
	if err != nil {
		return err
	}
	if err := p.Workflows.Put(ctx, e); err != nil {
		return err
	}
	p.mended(RepairAheadSchedule, e.TeamID, e.ID)
	p.tell(e.TeamID, e.ID, uuid.Nil, batch.LogWarning, "The schedule was of a newer definition than the database has, and was put again: the database was restored.")
	return p.Store.MarkScheduled(ctx, e.ID, e.Revision)
}

// copyPause makes what somebody did in Temporal the export's state. It is the one change that is copied back.
func (p *pass) copyPause(ctx context.Context, e batch.Export, paused bool) error {
	seen, copied := e.Revision, false
	ctx = batch.WithAct(ctx, batch.Act{Actor: batch.Actor{Kind: batch.ActorTemporal}, Note: "Copied from the schedule in Temporal."})
	e, err := p.Store.UpdateExport(ctx, e.TeamID, e.ID, func(e *batch.Export) error {
		if copied = e.Revision == seen && e.Paused != paused; !copied {
			return batch.ErrUnchanged
		}
		setPaused(e, paused, p.Now())
		return nil
	})
	if errors.Is(err, batch.ErrNotFound) || err == nil && !copied {
		return nil // it was changed or deleted meanwhile
	}
	if err != nil {
		return err
	}
	what := "unpaused"
	if paused {
		what = "paused"
	}
	p.mended(RepairPause, e.TeamID, e.ID, zap.Bool("paused", paused))
	p.tell(e.TeamID, e.ID, uuid.Nil, batch.LogWarning, "Somebody "+what+" the batch export in Temporal.")
	if err := p.Workflows.Adopt(ctx, e); err != nil {
		return err
	}
	return p.Store.MarkScheduled(ctx, e.ID, e.Revision)
}

// orphans removes the schedules whose export is deleted, and those that we put and whose export is not in the database at
// all: it was made after the backup from which that was restored. What others put in the namespace is theirs, and so is
// what does not say whose it is.
func (p *pass) orphans(ctx context.Context, scheduled map[uuid.UUID]bool) error {
	strangers, left := 0, inspections
	for id := range scheduled {
		e, err := p.Store.ExportByID(ctx, id)
		orphaned := err == nil && e.Deleted
		if errors.Is(err, batch.ErrNotFound) { // an export is written before its schedule, so it was there when we looked
			strangers++
			if left--; left >= 0 {
				orphaned, err = p.isOurs(ctx, id)
			} else {
				err = nil
			}
		}
		if err != nil {
			return err
		}
		if !orphaned {
			continue
		}
		if e.ID == uuid.Nil {
			strangers--
		}
		if err := p.Workflows.Remove(ctx, id); err != nil {
			return err
		}
		p.mended(RepairOrphanedSchedule, e.TeamID, id)
	}
	if strangers > 0 && strangers != p.strangers {
		p.Log.Warn("The namespace of Temporal has schedules that are not ours. They are left alone, but installations that share a namespace take each other's tasks: see tranche doctor.",
			zap.Int("schedules", strangers))
	}
	p.Reconciler.strangers = strangers
	return nil
}

func (p *pass) isOurs(ctx context.Context, id uuid.UUID) (bool, error) {
	by, err := p.Workflows.PutBy(ctx, id)
	return err == nil && by != uuid.Nil && by == p.Installation, err
}

// setPaused pauses an export that runs, or lets one run that is paused.
func setPaused(e *batch.Export, paused bool, now time.Time) {
	if e.Paused = paused; paused {
		at := now.UTC().Truncate(time.Microsecond)
		e.LastPausedAt = &at
	}
}
