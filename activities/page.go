package activities

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
)

// NextInput asks for a page of a backfill's intervals.
type NextInput struct {
	BackfillID uuid.UUID  `json:"backfill_id"`
	From       *time.Time `json:"from,omitempty"` // the cursor behind the page before; nil = the first page
}

// Page is a page of intervals.
type Page struct {
	Intervals []batch.Interval `json:"intervals"`
	// Next is the cursor of the following page; nil = this is the last one.
	Next *time.Time `json:"next,omitempty"`
	// NewestFirst says which end of an interval is the cursor behind it.
	NewestFirst bool `json:"newest_first,omitempty"`
	// Steered is how the backfill was steered when the page was made.
	Steered
	// HistoryLimit is the number of events from which on the workflow goes on in a new execution; zero = none.
	HistoryLimit int `json:"history_limit,omitempty"`
}

// Steered is how a backfill is steered.
type Steered struct {
	Paused bool `json:"paused,omitempty"`
	// Steering grows with every change: of two answers, the greater one is true.
	Steering int64 `json:"steering,omitempty"`
}

// The size of an execution. A run is some ten events of its backfill's history, so a page is far below the limit, which is
// for what a page cannot foresee: being paused and resumed, and intervals that others own.
const (
	pageSize     = 200
	scanSize     = 5_000 // intervals that are compared with deliveries at once
	historyLimit = 5_000 // events; Temporal's own limit is 50,000
)

// NextIntervals returns the next intervals of a backfill, in its order; none when it is over.
func (a *Activities) NextIntervals(ctx context.Context, in NextInput) (Page, error) {
	page, err := a.nextIntervals(ctx, in)
	if err != nil {
		return page, applicationError(err)
	}
	return page, nil
}

func (a *Activities) nextIntervals(ctx context.Context, in NextInput) (Page, error) {
	b, e, err := a.backfill(ctx, in.BackfillID)
	if err != nil || b.Status.Final() || e.Deleted {
		return Page{}, err
	}
	calendar, err := e.Calendar()
	if err != nil {
		return Page{}, err
	}
	page := Page{NewestFirst: b.Order == batch.NewestFirst, HistoryLimit: historyLimit}
	cursor, now := in.From, a.Now()
	for more := true; more && page.Next == nil; {
		scanned := scan(b, calendar, cursor, now)
		wanted, err := a.wanted(ctx, b, scanned)
		if err != nil {
			return Page{}, err
		}
		for _, i := range scanned {
			if len(page.Intervals) == pageSize {
				page.Next = cursor
				break
			}
			behind := b.Cursor(i)
			cursor = &behind
			if wanted(i) {
				page.Intervals = append(page.Intervals, i)
			}
		}
		more = len(scanned) == scanSize
	}
	if b.EndAt == nil && cursor != in.From {
		page.Next = cursor // more may have become due by then
	}
	page.Steered, err = a.steer(ctx, b.ID, cursor)
	return page, err
}

// scan returns the next intervals, at most scanSize.
func scan(b batch.Backfill, c batch.Calendar, cursor *time.Time, now time.Time) []batch.Interval {
	var scanned []batch.Interval
	for i := range b.Intervals(c, cursor, now) {
		if scanned = append(scanned, i); len(scanned) == scanSize {
			break
		}
	}
	return scanned
}

// wanted says of each interval whether the backfill is to run it.
func (a *Activities) wanted(ctx context.Context, b batch.Backfill, scanned []batch.Interval) (func(batch.Interval) bool, error) {
	if !b.SkipDelivered || len(scanned) == 0 {
		return func(batch.Interval) bool { return true }, nil
	}
	first, last := scanned[0], scanned[len(scanned)-1]
	if b.Order == batch.NewestFirst {
		first, last = last, first
	}
	bounds, err := a.Store.DeliveredWithin(ctx, b.ExportID, batch.Interval{Start: first.Start, End: last.End})
	if err != nil {
		return nil, err
	}
	delivered := batch.NewDelivered(bounds)
	return func(i batch.Interval) bool { return !delivered.Has(i) }, nil
}

// SteerBackfill tells the workflow how the backfill is steered now.
func (a *Activities) SteerBackfill(ctx context.Context, in BackfillInput) (Steered, error) {
	steered, err := a.steer(ctx, in.BackfillID, nil)
	if err != nil {
		return steered, applicationError(err)
	}
	return steered, nil
}

// steer returns how the backfill is steered and records that its workflow knows. For one without an end it also records
// how far it is handed out.
func (a *Activities) steer(ctx context.Context, id uuid.UUID, cursor *time.Time) (Steered, error) {
	b, err := a.Store.UpdateBackfill(ctx, id, func(b *batch.Backfill) error {
		further := b.EndAt == nil && cursor != nil && (b.CaughtUpAt == nil || cursor.After(*b.CaughtUpAt))
		if b.Status.Final() || b.Steered == b.Steering && !further {
			return batch.ErrUnchanged
		}
		b.Steered = b.Steering
		if further {
			b.CaughtUpAt = cursor
		}
		return nil
	})
	// One that was cancelled while it was paused is resumed by nobody: its workflow must get to see its end.
	return Steered{Paused: b.PausedAt != nil && !b.Status.Final(), Steering: b.Steering}, err
}
