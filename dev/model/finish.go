package model

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tranche/batch"
)

// finish has everything delivered without faults: what changed since it was delivered once more, and what is missing. A
// reader must then see exactly the rows of the source.
func (s *sequence) finish(ctx context.Context) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	for _, e := range s.exports {
		if err := e.call(ctx, http.MethodPost, "/pause", nil, nil); err != nil {
			return err
		}
	}
	// What was due before the pause still runs.
	if err := s.settle(ctx); err != nil {
		return err
	}
	for _, e := range s.exports {
		if err := e.redeliver(ctx); err != nil {
			return err
		}
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	for _, e := range s.exports {
		if err := e.fillAll(ctx); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	for _, e := range s.exports {
		if err := e.replaceAll(ctx); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	for _, e := range s.exports {
		if err := e.call(ctx, http.MethodDelete, "", nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// redeliver retries the runs whose intervals have other rows now.
func (e *export) redeliver(ctx context.Context) error {
	deliveries, err := e.delivered(ctx)
	if err != nil {
		return err
	}
	for _, d := range deliveries {
		if e.changed(d.Interval).Before(d.by.created) {
			continue
		}
		if err := e.call(ctx, http.MethodPost, "/runs/"+d.RunID.String()+"/retry", nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// fillRounds is how often gaps are filled: a request fills a limited number of them. An interval is a gap when its schedule
// is late by so much.
const (
	fillRounds = 5
	startDelay = time.Minute
)

// fillAll fills all gaps since the export was made; then none of its intervals is left out, but for those that overlap what
// was delivered with another length.
func (e *export) fillAll(ctx context.Context) error {
	var filled struct {
		Intervals   int64
		Overlapping int `json:"overlapping_ranges"`
	}
	asked := time.Now()
	for range fillRounds {
		if err := e.call(ctx, http.MethodPost, "/coverage/fill", map[string]any{"include_paused": true}, &filled); err != nil {
			return err
		}
		if err := e.settle(ctx); err != nil {
			return err
		}
		if filled.Intervals == 0 {
			break
		}
	}
	versions, err := e.h.versions(ctx, e.id)
	if err != nil {
		return err
	}
	made, err := duties(versions, time.Now())
	if err != nil {
		return err
	}
	deliveries, err := e.deliveries(ctx)
	if err != nil {
		return err
	}
	now := versions[len(versions)-1].calendar
	for _, d := range made {
		if d.End.Add(max(d.calendar.jitter(), now.jitter()) + startDelay).After(asked) {
			continue // its schedule may still begin it
		}
		if !covers(deliveries, d.Interval) && !partly(deliveries, d.Interval) {
			return fmt.Errorf("%s of %s is not delivered, although gaps were filled (%+v)", d.Interval, d.calendar, filled)
		}
	}
	return nil
}

// partly says whether a delivery has some of the interval.
func partly(deliveries []batch.Delivery, i batch.Interval) bool {
	for _, d := range deliveries {
		if d.Interval.Overlaps(i) {
			return true
		}
	}
	return false
}

// replaceAll replaces whatever was delivered by the intervals of the calendar as it is now.
func (e *export) replaceAll(ctx context.Context) error {
	v, err := e.now(ctx)
	if err != nil {
		return err
	}
	deliveries, err := e.deliveries(ctx)
	if err != nil || len(deliveries) == 0 {
		return err
	}
	within := batch.Interval{Start: v.calendar.floor(deliveries[0].Interval.Start), End: v.calendar.floor(time.Now())}
	if !within.Start.Before(within.End) {
		return nil
	}
	var made struct {
		ID string `json:"backfill_id"`
	}
	err = e.call(ctx, http.MethodPost, "/backfills", map[string]any{
		"start_at": v.calendar.bound(within.Start), "end_at": v.calendar.bound(within.End), "replace": true, "concurrency": 3,
	}, &made)
	var refused *refusal
	if errors.As(err, &refused) && refused.status == http.StatusConflict && reachBeyond(deliveries, within) {
		return nil // rows would be lost
	}
	if err != nil {
		return err
	}
	if err := e.settle(ctx); err != nil {
		return err
	}
	var b listed
	if err := e.call(ctx, http.MethodGet, "/backfills/"+made.ID, nil, &b); err != nil {
		return err
	}
	if b.Status != "Completed" {
		return fmt.Errorf("the last backfill is %s: %s", b.Status, b.Error)
	}
	return e.checkReplaced(ctx, v.calendar, within)
}

// reachBeyond says whether a delivery has a part within the range and a part outside of it.
func reachBeyond(deliveries []batch.Delivery, within batch.Interval) bool {
	for _, d := range deliveries {
		if d.Interval.Overlaps(within) && d.Interval.End.After(within.End) {
			return true
		}
	}
	return false
}

// checkReplaced requires that what is delivered of the range are the calendar's intervals, each once, with all rows.
func (e *export) checkReplaced(ctx context.Context, c calendar, within batch.Interval) error {
	deliveries, err := e.deliveries(ctx)
	if err != nil {
		return err
	}
	rows := 0
	for _, d := range deliveries {
		if !d.Interval.Overlaps(within) {
			continue
		}
		if !c.before(d.Interval.End).Equal(d.Interval) {
			return fmt.Errorf("%s is delivered, which is no interval of %s", d.Interval, c)
		}
		rows += int(d.Rows)
	}
	want, err := e.rows(ctx, within)
	if err == nil && len(want) != rows {
		err = fmt.Errorf("%s: the source has %d rows, a reader sees %d", within, len(want), rows)
	}
	return err
}
