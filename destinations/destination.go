// Package destinations says what a destination is: how it is described without opening it (Plugin), and how one
// customer's open destination takes part in the delivery protocol (Destination).
//
// Each kind is a package of its own below this one; cmd lists them in a Registry. A destination knows neither the
// other destinations nor our database.
package destinations

import (
	"context"
	"encoding/json"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/uuid"

	"tranche/batch"
)

// A Destination is one customer's place for records, open. Errors are *batch.Error wherever the cause is known.
//
// The order of calls in one run is Stage for each split (several at once, in several processes), then Commit; Abort may
// come at any time, also from another process and after the run is over.
type Destination interface {
	// Checks returns the steps that prove the configuration works, in order. Stop at the first that fails.
	Checks() []Check
	// Stage writes the records of one split where no reader can see them. Called again with a higher Attempt, it
	// replaces what earlier attempts staged for the split. What would need clean-up is given to job.Journal before it
	// is made. It does not release records.
	Stage(ctx context.Context, job Job, records array.RecordReader) (Receipt, error)
	// Commit makes all that was staged for the run visible at once, in the place of previous, which is what an earlier
	// run of the interval delivered (nil = nothing); its objects include those that runs which were fenced during
	// their commit had staged, since some may be visible; a zero RunID says so, and that any manifest of the interval
	// may be of such a run. No receipts means no rows: the connection is checked and
	// what was delivered before is removed. Called again after a lost answer, it finds its work done. An error with
	// batch.CodeSuperseded says that a newer run has fenced this one.
	Commit(ctx context.Context, run Run, receipts []Receipt, previous *batch.Delivery) (Published, error)
	// Abort throws away what the refs name, as the journal has them. It is safe at any time, also when they are gone
	// already, and after it no process that still writes to them can publish: Abort is the fence.
	Abort(ctx context.Context, refs []Ref) error
	// Close releases the connection and changes nothing else.
	Close() error
}

// A Run identifies the run in which something is staged or committed.
type Run struct {
	ID       uuid.UUID
	ExportID uuid.UUID
	TeamID   int64
	Model    batch.Model
	// Custom says that the columns are those of a query of the customer's, under the names that it gives them; Merge says
	// that its rows replace those of their key.
	Custom, Merge bool
	// Key and Version are the columns that tell rows apart and that say which of two of one key is newer, Clock the one
	// that says when a row happened; empty = there is none.
	Key, Version []string
	Clock        string
	Interval     batch.Interval
	// Generation counts how often the run staged the interval, from 1.
	Generation int
	// Token is the fencing token of the commit; zero while staging.
	Token int64
}

// A Job is one split of a run to be staged.
type Job struct {
	Run
	Split int // from 0
	// Splits is the number of splits of the generation. With one split, files are numbered 0, 1, 2…; with several,
	// split × 10,000 + file.
	Splits int
	// Attempt of this split, from 1, growing.
	Attempt int
	Journal Journal
	// Written, if not nil, is told of bytes as they go out: they show as progress.
	Written func(bytes int64)
}

// Wrote tells of bytes that went out.
func (j Job) Wrote(bytes int64) {
	if j.Written != nil {
		j.Written(bytes)
	}
}

// A Journal remembers in our database what would need clean-up, before it is made.
type Journal interface {
	// Record saves ref. When it fails, nothing may be made: the run may be over or fenced.
	Record(ctx context.Context, ref Ref) error
}

// A Ref names one thing that staging made and that must be published or removed: a folder, an upload, a table.
// Its text is the destination's own; it holds no secret.
type Ref string

// A Receipt is what staging one split returns.
type Receipt struct {
	Split  int
	Rows   int64
	Bytes  int64
	Schema []Column
	// Objects are the staged files in order, under the keys that Commit will give them; empty for tables.
	Objects []StagedObject
	// Table is the destination's own description of the table that holds the split; empty for files.
	Table json.RawMessage `json:",omitempty"`
}

// A StagedObject is a file that is written and not visible yet.
type StagedObject struct {
	batch.Object
	// Ref is the destination's own name for the staged file: a path, an upload id with its part ETags.
	Ref json.RawMessage
}

// A Column is a column of what was exported, as the manifest lists it.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Published is what a commit made visible.
type Published struct {
	Objects  []batch.Object
	Manifest string // key; empty = none was written
	Rows     int64
	Bytes    int64
	// Warnings are sentences for the run's log: something that could not be verified or cleaned up.
	Warnings []string
}

// A Check is one step of a connection test.
type Check struct {
	Name        string
	Description string
	// Run does the step. The error's message is shown to the customer.
	Run func(ctx context.Context) error
}

// A Guarantee says what a reader of a destination can rely on.
type Guarantee string

// The guarantees.
const (
	// ExactlyOnce: the rows of an interval become visible at once, and once.
	ExactlyOnce Guarantee = "exactly once"
	// ExactlyOnceByKey: as ExactlyOnce; and when an interval is delivered again, its rows replace those of the same key,
	// but rows that are gone from the source stay.
	ExactlyOnceByKey Guarantee = "exactly once, by key: rows that are gone from the source stay"
	// AtomicObjects: each object becomes visible whole; several belong together by their manifest.
	AtomicObjects Guarantee = "exactly once: atomic per object, by the manifest for several"
	// AtLeastOnce: rows may be sent again.
	AtLeastOnce Guarantee = "at least once"
)

// A Journaled ref is an entry of the journal.
type Journaled struct {
	ID         int64
	RunID      uuid.UUID
	ExportID   uuid.UUID
	Interval   batch.Interval
	Generation int
	Split      int
	Attempt    int
	Ref        Ref
}

// A SkippedError says that a step of a connection test does not apply to the settings.
type SkippedError struct {
	Reason string // for the customer
}

// Error returns the reason.
func (e *SkippedError) Error() string { return e.Reason }
