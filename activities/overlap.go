package activities

import (
	"context"
	"fmt"

	"tranche/batch"
	"tranche/destinations"
	"tranche/query"
)

// refuseOverlap is an error when time of the run's interval was delivered with intervals of another length, or with rows that
// were chosen by another time, and nobody asked for these to be replaced: two copies of the same rows would be visible.
// It returns the deliveries of other lengths that the run may replace.
func (a *Activities) refuseOverlap(ctx context.Context, d delivery) ([]batch.Interval, error) {
	bounds, err := a.Store.DeliveredWithin(ctx, d.export.ID, d.run.Interval)
	if err != nil {
		return nil, err
	}
	by := batch.ByIngestion
	if d.query.By == query.ByEvent {
		by = batch.ByTimestamp
	}
	mixed, err := a.Store.DeliveredOtherwise(ctx, d.export.ID, d.run.Interval, by)
	if err != nil {
		return nil, err
	}
	_, others := batch.NewDelivered(bounds).Of(d.run.Interval)
	if len(others) == 0 && mixed == nil {
		return nil, nil
	}
	b, err := a.replacing(ctx, d.run)
	if err != nil {
		return nil, err
	}
	if b != nil {
		return others, a.refuseBeyond(ctx, d, *b, others)
	}
	if len(others) == 0 {
		return nil, batch.MixedSelections(*mixed, by)
	}
	return nil, batch.Errorf(batch.CodeOverlap, nil,
		"%s was delivered as an interval of its own, and would be delivered twice: a backfill with \"replace\" takes its place", others[0])
}

// replacing is the backfill for which the run may take the place of deliveries of other lengths; nil = it may not.
func (a *Activities) replacing(ctx context.Context, r batch.Run) (*batch.Backfill, error) {
	if r.BackfillID == nil {
		return nil, nil
	}
	b, err := a.Store.BackfillByID(ctx, *r.BackfillID)
	if err != nil || !b.Replace {
		return nil, err
	}
	return &b, nil
}

// refuseBeyond is an error when a delivery in the run's interval reaches beyond the backfill: replacing it would lose rows
// that no run of the backfill delivers. Whoever asked for the backfill was told of those that there were then; a schedule
// may have delivered one since, by another calendar than the backfill's: the bounds are what was asked for and the run's own.
func (a *Activities) refuseBeyond(ctx context.Context, d delivery, b batch.Backfill, others []batch.Interval) error {
	end := a.Now()
	if b.EndAt != nil {
		end = *b.EndAt
	}
	for _, other := range others {
		refusal := batch.Errorf(batch.CodeOverlap, nil,
			"%s was delivered as one interval, which reaches beyond the backfill: rows would be lost if it were replaced", other)
		if other.End.After(end) && other.End.After(d.run.Interval.End) {
			return refusal
		}
		if b.StartAt == nil || !other.Start.Before(*b.StartAt) || !other.Start.Before(d.run.Interval.Start) {
			continue
		}
		earliest, any, err := a.source().Earliest(ctx, query.Query{TeamID: d.export.TeamID, Model: d.query.Model, By: d.query.By})
		if err != nil {
			return err
		}
		if !any || earliest.Before(*b.StartAt) && earliest.Before(d.run.Interval.Start) {
			return refusal
		}
	}
	return nil
}

// takePlace takes out of sight what overlaps the run's interval: deliveries of other lengths that it replaces, and what
// runs of such intervals may have published when they were fenced in their commit. Since the deliveries stop to count
// before the first of their files goes, whoever comes after a run that died here finishes the work.
func (a *Activities) takePlace(ctx context.Context, d delivery, destination destinations.Destination, token int64) error {
	replaceable, err := a.refuseOverlap(ctx, d)
	if err != nil {
		return err
	}
	if err := a.Store.Supersede(ctx, d.run, token, replaceable); err != nil {
		return err
	}
	visible, err := a.Store.Visible(ctx, d.export.ID, d.run.Interval)
	if err != nil {
		return err
	}
	removed := map[batch.Interval]bool{}
	for _, other := range visible {
		if other.Interval.Equal(d.run.Interval) {
			continue
		}
		removed[other.Interval] = true
		if err := a.removeOther(ctx, d, destination, token, other.Interval); err != nil {
			return err
		}
		if err := a.Store.Forget(ctx, d.run, token, other); err != nil {
			return err
		}
		a.say(d.run, batch.LogInfo, fmt.Sprintf("Removed what was delivered for range %s: range %s takes its place.", other.Interval, d.run.Interval))
	}
	fenced, err := a.Store.FencedIntervals(ctx, d.export.ID, d.run.Interval)
	if err != nil {
		return err
	}
	for _, other := range fenced {
		if removed[other] {
			continue
		}
		if err := a.removeOther(ctx, d, destination, token, other); err != nil {
			return err
		}
	}
	return nil
}

// removeOther is the commit of another interval without rows, by this run, under the lease of that interval: several runs
// may have to remove the same, and must not fence each other.
func (a *Activities) removeOther(
	ctx context.Context, d delivery, destination destinations.Destination, token int64, other batch.Interval,
) error {
	if !other.End.Equal(d.run.Interval.End) { // else it is the run's own lease
		var err error
		if token, err = a.Store.AcquireLease(ctx, d.export.ID, other, d.run.ID, a.Limits.Heartbeat); err != nil {
			return err
		}
		leased, release := a.keepLease(ctx, d, other, token)
		defer release()
		ctx = leased
	}
	previous, err := a.previous(ctx, d.export.ID, other)
	if err != nil {
		return err
	}
	target := d.target(d.run.Generation, token)
	target.Interval = other
	_, err = destination.Commit(ctx, target, nil, previous)
	return err
}
