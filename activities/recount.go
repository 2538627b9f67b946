package activities

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"tranche/batch"
)

// A Recounter looks again at intervals that were delivered a while ago: rows that arrived since are in no file.
type Recounter struct {
	Activities *Activities
	Store      RecountStore
	// After is how long after a delivery its interval is counted again, once; 0 = never.
	After time.Duration
}

// RecountStore is what the Recounter needs of the database.
type RecountStore interface {
	// NotRecounted returns deliveries of the time that nobody has counted late rows of, the oldest first.
	NotRecounted(ctx context.Context, since, until time.Time, limit int) ([]batch.Delivery, error)
	// MarkRecounted saves how many rows came late; false = another process was faster, or another delivery took the place.
	MarkRecounted(ctx context.Context, d batch.Delivery, late int64, at time.Time) (bool, error)
}

const (
	// recounts is how many intervals one pass counts, and recountTimeout how long one count may take.
	recounts       = 10
	recountTimeout = 30 * time.Second
	// recountWindow is for how long after it is due an interval waits to be counted: what a worker that was away left
	// behind is of no news.
	recountWindow = 24 * time.Hour
)

// Recount counts late rows of some intervals. One that cannot be counted is not tried again: the next run of the interval
// says what is wrong with the source.
func (r *Recounter) Recount(ctx context.Context) error {
	if r.After <= 0 {
		return nil
	}
	until := r.Activities.Now().Add(-r.After)
	due, err := r.Store.NotRecounted(ctx, until.Add(-recountWindow), until, recounts)
	if err != nil {
		return err
	}
	for _, d := range due {
		late, counted := r.count(ctx, d)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		marked, err := r.Store.MarkRecounted(ctx, d, late, r.Activities.Now())
		if err != nil {
			return err
		}
		if marked && counted && late > 0 {
			r.tell(ctx, d, late)
		}
	}
	return nil
}

// count says how many rows the interval has that were not delivered. Rows that went from the source hide late ones.
func (r *Recounter) count(ctx context.Context, d batch.Delivery) (late int64, counted bool) {
	ctx, cancel := context.WithTimeout(ctx, recountTimeout)
	defer cancel()
	of, err := r.Activities.load(ctx, d.RunID)
	if err != nil {
		return 0, false // its export is gone, or its model: nobody waits for its rows
	}
	rows, err := r.Activities.Source.Count(ctx, of.query)
	if err != nil {
		r.Activities.Log.Warn("An interval could not be counted again: whether rows came late is not known.",
			zap.Int64("team_id", of.export.TeamID), zap.Stringer("batch_export_id", d.ExportID), zap.Stringer("run_id", d.RunID),
			zap.Stringer("interval", d.Interval), zap.Error(err))
		return 0, false
	}
	return max(0, rows-d.Rows), true
}

// tell makes late rows known: in the metrics, and in the log of the run that could not deliver them.
func (r *Recounter) tell(ctx context.Context, d batch.Delivery, late int64) {
	r.Activities.Metrics.LateRows(late)
	run, err := r.Activities.Store.RunByID(ctx, d.RunID)
	if err != nil {
		return // the number is saved, and shown with the interval
	}
	r.Activities.say(run, batch.LogWarning, fmt.Sprintf(
		"%d rows arrived in the source after range %s was delivered: a retry of this run delivers them.", late, d.Interval))
}
