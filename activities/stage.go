package activities

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.uber.org/zap"

	"tranche/batch"
	"tranche/destinations"
	"tranche/sources"
)

// StageInput names one split of a run.
type StageInput struct {
	RunID      uuid.UUID `json:"run_id"`
	Generation int       `json:"generation"`
	Split      int       `json:"split"`
	Splits     int       `json:"splits"`
	Reset      bool      `json:"reset,omitempty"` // as in RunInput
}

// Staged is what the history keeps of a split; the rest is in our database.
type Staged struct {
	Rows  int64 `json:"rows"`
	Bytes int64 `json:"bytes"`
}

// Stage writes one split where no reader looks, and saves its receipt. Called again, it replaces its split.
func (a *Activities) Stage(ctx context.Context, in StageInput) (Staged, error) {
	var staged Staged
	m := &meter{}
	err := a.guard(ctx, in.RunID, in.Reset, m, func(ctx context.Context) error {
		d, err := a.load(ctx, in.RunID)
		if err != nil {
			return err
		}
		staged, err = a.stage(ctx, d, in, m)
		return err
	})
	return staged, err
}

func (a *Activities) stage(ctx context.Context, d delivery, in StageInput, m *meter) (Staged, error) {
	split, err := a.Store.Split(ctx, d.run.ID, in.Generation, in.Split)
	if err != nil {
		return Staged{}, err
	}
	giveBack, err := a.Memory.take(ctx, sources.ReadAheadBytes+d.plugin.Memory(d.export.Destination.Config))
	if err != nil {
		return Staged{}, err
	}
	defer giveBack()
	destination, err := a.openFor(ctx, d)
	if err != nil {
		return Staged{}, err
	}
	defer a.close(ctx, destination)
	records, err := sources.ReadAhead(ctx, sources.ReadAheadBytes, func(ctx context.Context) (array.RecordReader, error) {
		return a.source().Open(ctx, d.query, split)
	})
	if err != nil {
		return Staged{}, err
	}
	defer records.Release()

	attempt := int(activity.GetInfo(ctx).Attempt)
	defer a.follow(ctx, in, attempt, m)()
	journal := &journal{store: a.Store, entry: destinations.Journaled{
		RunID: d.run.ID, ExportID: d.export.ID, Interval: d.run.Interval,
		Generation: in.Generation, Split: in.Split, Attempt: attempt,
	}}
	receipt, err := destination.Stage(ctx, destinations.Job{
		Run: d.target(in.Generation, 0), Split: in.Split, Splits: in.Splits, Attempt: attempt, Journal: journal,
		Written: func(bytes int64) { m.bytes.Add(bytes) },
	}, &metered{RecordReader: records, meter: m})
	if err != nil {
		return Staged{}, err
	}
	if err := a.Store.SaveReceipt(ctx, d.run.ID, in.Generation, attempt, receipt); err != nil {
		if batch.CodeOf(err) == batch.CodeSuperseded {
			a.abandon(ctx, d, destination, journal)
		}
		return Staged{}, err
	}
	return Staged{Rows: receipt.Rows, Bytes: receipt.Bytes}, nil
}

// abandon removes what this try staged when the run turned out to be over: the fence or the finish may have come before
// it was written. A later try of the same split is not over; its things are left alone.
func (a *Activities) abandon(ctx context.Context, d delivery, destination destinations.Destination, j *journal) {
	r, err := a.Store.RunByID(ctx, d.run.ID)
	if err != nil || !r.Status.Final() || len(j.refs) == 0 {
		return // the sweep looks again
	}
	if err := destination.Abort(ctx, j.refs); err != nil {
		a.log(ctx).Warn("What a late try staged could not be removed; the sweep tries again.", zap.Error(err))
	}
}

// close logs what cannot change the outcome any more.
func (a *Activities) close(ctx context.Context, d destinations.Destination) {
	if err := d.Close(); err != nil {
		a.log(ctx).Warn("A destination did not close cleanly.", zap.Error(err))
	}
}

// A journal writes refs into our database before what they name is made.
type journal struct {
	store Store
	entry destinations.Journaled
	refs  []destinations.Ref
}

// Record saves ref.
func (j *journal) Record(ctx context.Context, ref destinations.Ref) error {
	entry := j.entry
	entry.Ref = ref
	if err := j.store.RecordRef(ctx, entry); err != nil {
		return err
	}
	j.refs = append(j.refs, ref)
	return nil
}

// metered counts the rows that pass through a reader.
type metered struct {
	array.RecordReader
	meter *meter
}

// Next advances the reader.
func (r *metered) Next() bool {
	if !r.RecordReader.Next() {
		return false
	}
	r.meter.rows.Add(r.RecordBatch().NumRows())
	return true
}

// rowsOf sums receipts, and checks that every planned split has one.
func rowsOf(receipts []destinations.Receipt, planned int) (rows, bytes int64, err error) {
	if len(receipts) != planned {
		return 0, 0, batch.Errorf(batch.CodeInternal, errors.New("receipts are missing"),
			"%s", fmt.Sprintf("only %d of %d parts of the interval are staged", len(receipts), planned))
	}
	for _, r := range receipts {
		rows, bytes = rows+r.Rows, bytes+r.Bytes
	}
	return rows, bytes, nil
}
