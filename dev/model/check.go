package model

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tranche/batch"
	"tranche/destinations/objects"
)

// check judges what a reader sees of each export.
func (s *sequence) check(ctx context.Context) error {
	if v := s.h.world.Violations(); len(v) > 0 {
		return fmt.Errorf("a reader saw what must never be:\n%s", strings.Join(v, "\n"))
	}
	for _, e := range s.exports {
		for _, judge := range []func(context.Context) error{e.checkVisible, e.checkRows, e.checkRuns, e.checkBackfills} {
			if err := judge(ctx); err != nil {
				return fmt.Errorf("%s, %s: %w", e.name, e.id, err)
			}
		}
	}
	return nil
}

// checkVisible compares what a reader sees with what our database says was delivered, which must never overlap.
func (e *export) checkVisible(ctx context.Context) error {
	deliveries, err := e.deliveries(ctx)
	if err != nil {
		return err
	}
	visible := e.visible()
	for n, d := range deliveries {
		if n > 0 && deliveries[n-1].Interval.End.After(d.Interval.Start) {
			return fmt.Errorf("%s and %s are both delivered", deliveries[n-1].Interval, d.Interval)
		}
		if err := checkDelivery(d, visible); err != nil {
			return err
		}
	}
	if len(visible) > 0 {
		return fmt.Errorf("visible, but of no delivery: %v", slices.Sorted(maps.Keys(visible)))
	}
	return nil
}

// checkRows compares what a reader sees with the source, wherever the source did not change since the run began.
func (e *export) checkRows(ctx context.Context) error {
	deliveries, err := e.delivered(ctx)
	if err != nil {
		return err
	}
	visible := e.visible()
	for _, d := range deliveries {
		if !e.changed(d.Interval).Before(d.by.created) {
			continue
		}
		want, err := e.rows(ctx, d.Interval)
		if err != nil {
			return err
		}
		got := map[string]bool{}
		for _, o := range d.Objects {
			for _, id := range uuidsOf(visible[o.Key].body) {
				got[id] = true
			}
		}
		if !maps.Equal(want, got) {
			return fmt.Errorf("%s: the source has %d rows, a reader sees %d:\n%v\n%v", d.Interval, len(want), len(got), want, got)
		}
	}
	return nil
}

// checkRuns looks for runs that failed without need — one of another length may have been delivered, or be faster — and for
// runs of the schedule that nothing called for.
func (e *export) checkRuns(ctx context.Context) error {
	runs, err := e.runs(ctx)
	if err != nil {
		return err
	}
	versions, err := e.h.versions(ctx, e.id)
	if err != nil {
		return err
	}
	made, err := duties(versions, time.Now())
	if err != nil {
		return err
	}
	asked := map[batch.Interval]bool{}
	for _, d := range made {
		asked[d.Interval.UTC()] = d.active
	}
	for _, r := range runs {
		i := r.Interval.UTC()
		if r.status == batch.RunFailed && r.code != batch.CodeOverlap && r.code != batch.CodeSuperseded {
			return fmt.Errorf("the run %s of %s failed: %s: %s", r.id, i, r.code, r.message)
		}
		if r.backfill == nil && !asked[i] && !e.wasTriggered(i) {
			return fmt.Errorf("the run %s of %s: the interval was not due, and nobody asked for it", r.id, i)
		}
		asked[i] = true // what ran may be reset
	}
	return nil
}

// wasTriggered says whether the interval was the last complete one when somebody triggered the schedule.
func (e *export) wasTriggered(i batch.Interval) bool {
	const delay = 30 * time.Second
	for _, at := range e.triggered {
		for _, c := range e.calendars {
			if c.floor(at).Equal(i.End) || c.floor(at.Add(delay)).Equal(i.End) {
				return true
			}
		}
	}
	return false
}

// checkBackfills checks that a completed backfill has delivered its range, as far as every calendar since says.
func (e *export) checkBackfills(ctx context.Context) error {
	backfills, err := e.list(ctx, "backfills")
	if err != nil {
		return err
	}
	versions, err := e.h.versions(ctx, e.id)
	if err != nil {
		return err
	}
	deliveries, err := e.deliveries(ctx)
	if err != nil {
		return err
	}
	for _, b := range backfills {
		if b.Status != "Completed" || b.StartAt == nil || replaced(b, backfills) {
			continue
		}
		want := batch.Interval{Start: *b.StartAt, End: *b.EndAt}
		if b.AdjustedAt != nil {
			want.Start = *b.AdjustedAt
		}
		if want.Start.Before(e.first) { // whoever replaces the interval that holds the first row need not go back further
			want.Start = e.first
		}
		for n, v := range versions {
			inForce := v.at.Before(*b.FinishedAt) && (n+1 == len(versions) || versions[n+1].at.After(b.CreatedAt))
			if last := v.calendar.floor(*b.EndAt); !b.Retry && inForce && last.Before(want.End) {
				want.End = last
			}
		}
		if !want.End.After(e.first) {
			continue // there is no row, so there was nothing to run
		}
		if want.Start.Before(want.End) && !covers(deliveries, want) {
			return fmt.Errorf("the backfill %s is Completed, but not all of %s is delivered", b.ID, want)
		}
	}
	return nil
}

// replaced says whether a later backfill that did not end well may have taken away what the backfill delivered.
func replaced(b listed, backfills []listed) bool {
	return slices.ContainsFunc(backfills, func(other listed) bool {
		return other.Replace && other.Status != "Completed" && (other.FinishedAt == nil || other.FinishedAt.After(b.CreatedAt)) &&
			other.StartAt.Before(*b.EndAt) && b.StartAt.Before(*other.EndAt)
	})
}

// visible is what a reader sees of this export.
func (e *export) visible() map[string]visibleObject {
	mine := map[string]visibleObject{}
	for key, o := range e.h.world.Visible() {
		if strings.HasPrefix(key, e.prefix()+"/") {
			mine[key] = visibleObject{o.Group, o.Body}
		}
	}
	return mine
}

type visibleObject struct {
	group string
	body  []byte
}

// checkDelivery checks that a reader sees exactly what was delivered, and takes it out of visible.
func checkDelivery(d batch.Delivery, visible map[string]visibleObject) error {
	group := fmt.Sprintf("%s/%d", d.RunID, d.Generation)
	if d.Rows == 0 {
		return nil
	}
	manifest, ok := visible[d.Manifest]
	if !ok || manifest.group != group {
		return fmt.Errorf("the database says that %s delivered %s, but the manifest is of %q", group, d.Interval, manifest.group)
	}
	var m objects.Manifest
	if err := json.Unmarshal(manifest.body, &m); err != nil {
		return err
	}
	delete(visible, d.Manifest)
	seen := map[string]bool{}
	for _, o := range d.Objects {
		object, ok := visible[o.Key]
		if !ok || object.group != group {
			return fmt.Errorf("the database says that %s delivered %s, but the object is of %q", group, o.Key, object.group)
		}
		delete(visible, o.Key)
		for _, id := range uuidsOf(object.body) {
			if seen[id] {
				return fmt.Errorf("row %s is twice in the interval %s", id, d.Interval)
			}
			seen[id] = true
		}
	}
	if int64(len(seen)) != d.Rows || m.Rows != d.Rows {
		return fmt.Errorf("%s: the database says %d rows, the manifest %d, a reader sees %d", d.Interval, d.Rows, m.Rows, len(seen))
	}
	return nil
}

func uuidsOf(body []byte) []string {
	var ids []string
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		var row struct{ UUID string }
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			row.UUID = "broken: " + lines.Text()
		}
		ids = append(ids, row.UUID)
	}
	return ids
}
