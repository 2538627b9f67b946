package activities

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/query"
)

// BackfillInput names a backfill.
type BackfillInput struct {
	BackfillID uuid.UUID `json:"backfill_id"`
}

// Prepared is what a backfill needs to know before its first run.
type Prepared struct {
	// Done says that there is nothing to run: cancelled, or no rows at all.
	Done        bool  `json:"done"`
	Runs        int64 `json:"runs"` // zero = not known: it has no end
	Concurrency int   `json:"concurrency"`
}

// countTimeout is how long counting a backfill's rows may take; then it goes on without knowing.
const countTimeout = 5 * time.Minute

// PrepareBackfill looks for the earliest row, moves the start to it, compares the range with what was delivered, and
// counts what there is.
func (a *Activities) PrepareBackfill(ctx context.Context, in BackfillInput) (Prepared, error) {
	stop := beat(ctx, a.Limits.Heartbeat, &meter{})
	defer stop()
	prepared, err := a.prepareBackfill(ctx, in.BackfillID)
	if err != nil {
		return prepared, applicationError(err)
	}
	return prepared, nil
}

func (a *Activities) prepareBackfill(ctx context.Context, id uuid.UUID) (Prepared, error) {
	b, e, err := a.backfill(ctx, id)
	if err != nil {
		return Prepared{}, err
	}
	if b.Status.Final() || e.Deleted {
		return Prepared{Done: true}, nil
	}
	calendar, err := e.Calendar()
	if err != nil {
		return Prepared{}, err
	}
	now := a.Now()
	p := prospect{Backfill: b, calendar: calendar, now: now}
	if !b.Retry {
		if err := a.explore(ctx, &p, e); err != nil {
			return Prepared{}, err
		}
	}
	if err := a.look(ctx, &p); err != nil {
		return Prepared{}, err
	}
	b, err = a.Store.UpdateBackfill(ctx, id, func(b *batch.Backfill) error {
		if b.Status.Final() {
			return batch.ErrUnchanged
		}
		b.Status, b.AdjustedStartAt, b.TotalRecords = batch.BackfillRunning, p.AdjustedStartAt, p.TotalRecords
		if b.EndAt != nil || p.runs == 0 {
			b.TotalRuns = &p.runs
		}
		return nil
	})
	prepared := Prepared{Done: b.Status.Final() || p.runs == 0, Concurrency: max(1, b.Concurrency)}
	if b.TotalRuns != nil {
		prepared.Runs = *b.TotalRuns
	}
	return prepared, err
}

// A prospect is a backfill before its first run, with what is found out about it.
type prospect struct {
	batch.Backfill
	calendar batch.Calendar
	now      time.Time
	earliest time.Time // of the rows; zero = not known
	empty    bool      // there is no row in the range
	runs     int64
}

// explore looks for the earliest row of the project's whole model, moves the start to the boundary before it when it is
// later than the start that was asked for, and counts the rows.
func (a *Activities) explore(ctx context.Context, p *prospect, e batch.Export) error {
	selection, err := a.Models.Select(e)
	if err != nil {
		return query.Sendable(err)
	}
	earliest, any, err := a.source().Earliest(ctx, query.Query{TeamID: e.TeamID, Model: selection.Model.Name, By: query.TimeOf(p.By)})
	if err != nil {
		return err
	}
	if !any || !earliest.Before(p.Range(p.calendar, p.now).End) {
		p.empty, p.TotalRecords = true, new(int64)
		return nil
	}
	p.earliest = earliest
	if first := p.calendar.Floor(earliest); p.StartAt != nil && first.After(*p.StartAt) {
		p.AdjustedStartAt = &first
	}
	if selection.Bounded() {
		return nil // which rows it exports depends on the interval of each run
	}
	counting, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	rows := a.Plugins.Rows(e, selection, p.Range(p.calendar, p.now))
	rows.By, rows.Lookback = query.TimeOf(p.By), a.Lookback
	records, err := a.source().Count(counting, rows)
	if errors.Is(counting.Err(), context.DeadlineExceeded) && ctx.Err() == nil {
		return nil
	}
	p.TotalRecords = &records
	return err
}

// look compares the backfill with what was delivered, and counts its runs.
func (a *Activities) look(ctx context.Context, p *prospect) error {
	if p.empty {
		return nil
	}
	bounds, err := a.Store.DeliveredWithin(ctx, p.ExportID, p.Range(p.calendar, p.now))
	if err != nil {
		return err
	}
	outlook := p.Look(p.calendar, batch.NewDelivered(bounds), p.earliest, p.now)
	p.runs = outlook.Runs
	return outlook.Check(p.Replace)
}

func (a *Activities) backfill(ctx context.Context, id uuid.UUID) (batch.Backfill, batch.Export, error) {
	b, err := a.Store.BackfillByID(ctx, id)
	if err != nil {
		return batch.Backfill{}, batch.Export{}, err
	}
	e, err := a.Store.ExportByID(ctx, b.ExportID)
	return b, e, err
}
