package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
	"tranche/destinations"
)

// Committed is what a commit made visible.
type Committed struct {
	Rows  int64 `json:"rows"`
	Bytes int64 `json:"bytes"`
	Files int64 `json:"files"`
}

// Commit publishes what was staged: lease, fence, publish, record. It is the point of no return, and idempotent: called
// again after a lost answer, it finds what is done and goes on from there.
func (a *Activities) Commit(ctx context.Context, in RunInput) (Committed, error) {
	var committed Committed
	m := &meter{}
	err := a.guard(ctx, in.RunID, in.Reset, m, func(ctx context.Context) error {
		d, err := a.load(ctx, in.RunID)
		if err != nil {
			return err
		}
		committed, err = a.commit(ctx, d, in.Generation)
		return err
	})
	return committed, err
}

func (a *Activities) commit(ctx context.Context, d delivery, generation int) (Committed, error) {
	done, err := a.delivered(ctx, d.run)
	if err != nil || done != nil {
		return committedOf(done), err
	}
	receipts, planned, err := a.Store.Receipts(ctx, d.run.ID, generation)
	if errors.Is(err, batch.ErrNotFound) { // recording the delivery removed the plan, and the answer was lost
		return Committed{}, batch.Errorf(batch.CodeSuperseded, nil, "a run of another length has replaced what this one delivered")
	}
	if err != nil {
		return Committed{}, err
	}
	if _, _, err := rowsOf(receipts, planned); err != nil {
		return Committed{}, err
	}
	if _, err := a.Store.BeginCommit(ctx, d.run.ID); err != nil {
		return Committed{}, err
	}
	destination, err := a.openFor(ctx, d)
	if err != nil {
		return Committed{}, err
	}
	defer a.close(ctx, destination)

	token, err := a.Store.AcquireLease(ctx, d.export.ID, d.run.Interval, d.run.ID, a.Limits.Heartbeat)
	if err != nil {
		return Committed{}, err
	}
	ctx, release := a.keepLease(ctx, d, d.run.Interval, token)
	defer release()
	committed, err := a.publish(ctx, d, destination, receipts, generation, token)
	if lost := context.Cause(ctx); err != nil && batch.CodeOf(lost) == batch.CodeSuperseded {
		return Committed{}, lost // whatever it broke off
	}
	return committed, err
}

// publish is the commit under the lease, whose loss ends ctx.
func (a *Activities) publish(
	ctx context.Context, d delivery, destination destinations.Destination, receipts []destinations.Receipt, generation int, token int64,
) (Committed, error) {
	// Who is refused must not fence others before: what they had staged, nobody would deliver.
	if _, err := a.refuseOverlap(ctx, d); err != nil {
		return Committed{}, err
	}
	if err := a.fence(ctx, d, destination, token, generation); err != nil {
		return Committed{}, err
	}
	// The fence of another run may have come between reading the receipts and taking the lease.
	if _, _, err := a.Store.Receipts(ctx, d.run.ID, generation); err != nil {
		return Committed{}, err
	}
	if err := a.takePlace(ctx, d, destination, token); err != nil {
		return Committed{}, err
	}
	previous, err := a.previous(ctx, d.export.ID, d.run.Interval)
	if err != nil {
		return Committed{}, err
	}
	published, err := destination.Commit(ctx, d.target(generation, token), receipts, previous)
	if err != nil {
		return Committed{}, err
	}
	rows, bytes, err := rowsOf(receipts, len(receipts))
	if err != nil {
		return Committed{}, err
	}
	if err := verify(published, rows, bytes); err != nil {
		return Committed{}, err
	}
	return a.settle(ctx, d, destination, published, generation, token)
}

// delivered returns the delivery that this run has recorded already, or nil.
func (a *Activities) delivered(ctx context.Context, r batch.Run) (*batch.Delivery, error) {
	done, err := a.Store.Delivery(ctx, r.ExportID, r.Interval)
	if err != nil || done == nil || done.RunID != r.ID {
		return nil, err
	}
	return done, nil
}

// previous returns what a reader may see of an interval now: what was delivered, and what a run that died in its commit
// may have published without recording it.
func (a *Activities) previous(ctx context.Context, exportID uuid.UUID, i batch.Interval) (*batch.Delivery, error) {
	visible, err := a.Store.Visible(ctx, exportID, i)
	if err != nil {
		return nil, err
	}
	var previous *batch.Delivery
	if n := slices.IndexFunc(visible, func(d batch.Delivery) bool { return d.Interval.Equal(i) }); n >= 0 {
		previous = &visible[n]
	}
	fenced, err := a.Store.FencedObjects(ctx, exportID, i)
	if err != nil || len(fenced) == 0 {
		return previous, err
	}
	if previous == nil {
		previous = &batch.Delivery{ExportID: exportID, Interval: i}
	}
	previous.RunID = uuid.Nil // whose manifest is visible now, nobody recorded
	known := make(map[string]bool, len(previous.Objects))
	for _, o := range previous.Objects {
		known[o.Key] = true
	}
	for _, o := range fenced {
		if !known[o.Key] {
			previous.Objects = append(previous.Objects, o)
		}
	}
	return previous, nil
}

func committedOf(d *batch.Delivery) Committed {
	if d == nil {
		return Committed{}
	}
	return Committed{Rows: d.Rows, Bytes: d.Bytes, Files: int64(len(d.Objects))}
}

// fence makes sure that nothing else that was staged for the interval can be published any more.
func (a *Activities) fence(ctx context.Context, d delivery, destination destinations.Destination, token int64, generation int) error {
	others, err := a.Store.Fence(ctx, d.export.ID, d.run.Interval, token, d.run.ID, generation)
	if err != nil || len(others) == 0 {
		return err
	}
	staged, err := a.byRevision(ctx, others)
	if err != nil {
		return err
	}
	for revision, entries := range staged {
		if revision == d.run.Revision {
			err = a.abort(ctx, destination, entries)
		} else {
			err = a.abortAt(ctx, d.export.ID, revision, entries)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// newest stands for the newest revision: that of entries whose run is gone.
const newest = 0

// byRevision groups journal entries of one export by the definition that they were staged with.
func (a *Activities) byRevision(ctx context.Context, entries []destinations.Journaled) (map[int64][]destinations.Journaled, error) {
	revisions, groups := map[uuid.UUID]int64{}, map[int64][]destinations.Journaled{}
	for _, entry := range entries {
		revision, known := revisions[entry.RunID]
		if !known {
			r, err := a.Store.RunByID(ctx, entry.RunID)
			if err != nil && !errors.Is(err, batch.ErrNotFound) {
				return nil, err
			}
			revision = newest
			if err == nil {
				revision = r.Revision
			}
			revisions[entry.RunID] = revision
		}
		groups[revision] = append(groups[revision], entry)
	}
	return groups, nil
}

// abortAt is abort with the destination as the export had it at the revision.
func (a *Activities) abortAt(ctx context.Context, exportID uuid.UUID, revision int64, entries []destinations.Journaled) error {
	var e batch.Export
	var err error
	if revision == newest {
		e, err = a.Store.ExportByID(ctx, exportID)
	} else {
		e, err = a.Store.ExportAt(ctx, exportID, revision)
	}
	if err != nil {
		return err
	}
	plugin, ok := a.Plugins.Plugin(e.Destination.Type)
	if !ok {
		return batch.Errorf(batch.CodeDestinationClosed, nil, "this server has no destination of type %q", e.Destination.Type)
	}
	destination, err := a.open(ctx, plugin, e)
	if err != nil {
		return err
	}
	defer a.close(ctx, destination)
	return a.abort(ctx, destination, entries)
}

// abort throws away what the journal entries name, and forgets them.
func (a *Activities) abort(ctx context.Context, destination destinations.Destination, entries []destinations.Journaled) error {
	refs, ids := make([]destinations.Ref, len(entries)), make([]int64, len(entries))
	for i, e := range entries {
		refs[i], ids[i] = e.Ref, e.ID
	}
	if err := destination.Abort(ctx, refs); err != nil {
		return err
	}
	return a.Store.ForgetRefs(ctx, ids)
}

// verify compares what the destination reports with what was staged.
func verify(p destinations.Published, rows, bytes int64) error {
	if p.Rows != rows {
		return batch.Errorf(batch.CodeVerification, nil, "%d rows were staged, but the destination reports %d", rows, p.Rows)
	}
	if p.Bytes != bytes {
		return batch.Errorf(batch.CodeVerification, nil, "%d bytes were staged, but the destination reports %d", bytes, p.Bytes)
	}
	return nil
}

// settle records the delivery, and then clears the run's staging place.
func (a *Activities) settle(
	ctx context.Context, d delivery, destination destinations.Destination, p destinations.Published, generation int, token int64,
) (Committed, error) {
	delivery := batch.Delivery{
		ExportID: d.export.ID, Interval: d.run.Interval, RunID: d.run.ID, Generation: generation, Token: token,
		Rows: p.Rows, Bytes: p.Bytes, Objects: p.Objects, Manifest: p.Manifest, CommittedAt: a.Now().UTC().Truncate(time.Microsecond),
	}
	if err := a.Store.RecordDelivery(ctx, delivery); err != nil {
		return Committed{}, err
	}
	for _, w := range p.Warnings {
		a.say(d.run, batch.LogWarning, w)
	}
	a.say(d.run, batch.LogInfo, fmt.Sprintf("Published %d rows in %d files for range %s.", p.Rows, len(p.Objects), d.run.Interval))
	a.Metrics.Delivered(d.export.Destination.Type, d.export.Model, p.Rows, p.Bytes, int64(len(p.Objects)))
	refs, err := a.Store.Refs(ctx, d.run.ID)
	if err == nil && len(refs) > 0 {
		err = a.abort(ctx, destination, refs)
	}
	if err != nil { // the rows are delivered: this must not fail the run
		a.log(ctx).Warn("The staging place of a delivered run is still there; the sweep tries again.", zap.Error(err))
	}
	return committedOf(&delivery), nil
}

// renewalsPerLease is how often a lease is kept alive within its life.
const renewalsPerLease = 4

// keepLease keeps the run's lease of an interval alive until release is called. When the lease is lost, the context ends:
// somebody else commits the interval now.
func (a *Activities) keepLease(ctx context.Context, d delivery, i batch.Interval, token int64) (leased context.Context, release func()) {
	ttl := a.Limits.Heartbeat
	leased, cancel := context.WithCancelCause(ctx)
	done, ended := make(chan struct{}), make(chan struct{})
	ticker := time.NewTicker(ttl / renewalsPerLease)
	var lost atomic.Bool
	go func() {
		defer close(ended)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			err := a.Store.KeepLease(leased, d.export.ID, i, token, ttl)
			if batch.CodeOf(err) == batch.CodeSuperseded {
				lost.Store(true)
				cancel(err)
				return
			}
			if err != nil && leased.Err() == nil {
				a.log(ctx).Warn("A lease could not be renewed; trying again.", zap.Error(err))
			}
		}
	}()
	return leased, func() {
		close(done)
		<-ended
		defer cancel(nil)
		if lost.Load() {
			return
		}
		if err := a.Store.ReleaseLease(context.WithoutCancel(leased), d.export.ID, i, token); err != nil {
			a.log(ctx).Warn("A lease could not be released; it expires.", zap.Error(err))
		}
	}
}
