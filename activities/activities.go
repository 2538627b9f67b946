// Package activities does the work of the delivery protocol: begin, plan, stage, recount, commit, finish, and the steps
// of a backfill. Together with Sweeper it is the only caller of sources and destinations.
//
// Inputs and results are identifiers and facts: they enter workflow histories, so they hold no settings, no secrets and
// no exported data. Their JSON tags are for ever.
package activities

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
	"tranche/destinations"
	"tranche/query"
	"tranche/sources"
)

// Activities has what the activities need. Its methods are registered with the worker.
type Activities struct {
	Store      Store
	Source     sources.Source
	Models     query.Catalog
	Plugins    *destinations.Registry
	Executions Executions
	Failing    Failing
	Notifier   Notifier // nil = nobody is told of anything
	Logs       Logger
	Metrics    Metrics
	Log        *zap.Logger
	Limits     Limits
	// Memory bounds what the splits that are staged at once hold; nil = nothing does.
	Memory *Memory
	// Concurrency limits how many runs work at once.
	Concurrency batch.Concurrency
	// Lookback leaves out rows that happened longer before their interval; 0 = none.
	Lookback time.Duration
	Now      func() time.Time

	snapshots snapshots
}

// Store is what the activities need of the database.
type Store interface {
	ExportByID(ctx context.Context, id uuid.UUID) (batch.Export, error)
	// ExportAt returns the definition as it was at the revision.
	ExportAt(ctx context.Context, id uuid.UUID, revision int64) (batch.Export, error)
	UpdateExport(ctx context.Context, teamID int64, id uuid.UUID, change func(*batch.Export) error) (batch.Export, error)
	MarkScheduled(ctx context.Context, id uuid.UUID, revision int64) error

	// SpanAt returns the time of activity in which an interval with this end is due; nil when there is none.
	SpanAt(ctx context.Context, exportID uuid.UUID, end time.Time) (*batch.Span, error)

	BeginRun(ctx context.Context, r batch.Run) (batch.Run, bool, error)
	RunByID(ctx context.Context, id uuid.UUID) (batch.Run, error)
	UpdateRun(ctx context.Context, id uuid.UUID, change func(*batch.Run) error) (batch.Run, error)

	SavePlan(ctx context.Context, runID uuid.UUID, generation int, splits []sources.Split) error
	Split(ctx context.Context, runID uuid.UUID, generation, number int) (sources.Split, error)
	RecordRef(ctx context.Context, ref destinations.Journaled) error
	SaveProgress(ctx context.Context, runID uuid.UUID, generation, split, attempt int, rows, bytes int64) error
	SaveReceipt(ctx context.Context, runID uuid.UUID, generation, attempt int, r destinations.Receipt) error
	Receipts(ctx context.Context, runID uuid.UUID, generation int) (staged []destinations.Receipt, planned int, err error)

	BeginCommit(ctx context.Context, runID uuid.UUID) (batch.Run, error)
	AcquireLease(ctx context.Context, exportID uuid.UUID, i batch.Interval, runID uuid.UUID, ttl time.Duration) (token int64, err error)
	KeepLease(ctx context.Context, exportID uuid.UUID, i batch.Interval, token int64, ttl time.Duration) error
	ReleaseLease(ctx context.Context, exportID uuid.UUID, i batch.Interval, token int64) error
	Fence(ctx context.Context, exportID uuid.UUID, i batch.Interval, token int64, keepRun uuid.UUID, keepGeneration int) ([]destinations.Journaled, error)
	// FencedObjects returns the files that fenced runs of the interval had staged when their commit had begun: they may
	// be visible without being recorded.
	FencedObjects(ctx context.Context, exportID uuid.UUID, i batch.Interval) ([]batch.Object, error)
	Delivery(ctx context.Context, exportID uuid.UUID, i batch.Interval) (*batch.Delivery, error)
	// DeliveredWithin returns the bounds of the deliveries that overlap the range.
	DeliveredWithin(ctx context.Context, exportID uuid.UUID, within batch.Interval) ([]batch.Interval, error)
	DeliveredOtherwise(ctx context.Context, exportID uuid.UUID, within batch.Interval, by batch.Clock) (*batch.Interval, error)
	// Visible returns every delivery that overlaps the interval and that a reader may see; Supersede ends that those of
	// other lengths count, Forget removes one of which nothing is visible any more. FencedIntervals returns the other
	// intervals of which FencedObjects knows files.
	Visible(ctx context.Context, exportID uuid.UUID, i batch.Interval) ([]batch.Delivery, error)
	Supersede(ctx context.Context, r batch.Run, token int64, others []batch.Interval) error
	Forget(ctx context.Context, r batch.Run, token int64, d batch.Delivery) error
	FencedIntervals(ctx context.Context, exportID uuid.UUID, i batch.Interval) ([]batch.Interval, error)
	RecordDelivery(ctx context.Context, d batch.Delivery) error
	Refs(ctx context.Context, runID uuid.UUID) ([]destinations.Journaled, error)
	ForgetRefs(ctx context.Context, ids []int64) error

	// AcquirePermit lets a run work; an error with batch.CodeBusy says which limit it has to wait for.
	AcquirePermit(ctx context.Context, p batch.Permit, limits batch.Concurrency, ttl time.Duration) error
	KeepPermit(ctx context.Context, runID uuid.UUID, ttl time.Duration) error
	ReleasePermit(ctx context.Context, runID uuid.UUID) error

	// RecordColumns keeps which columns a completed run delivered.
	RecordColumns(ctx context.Context, r batch.Run, columns []string) error

	BackfillByID(ctx context.Context, id uuid.UUID) (batch.Backfill, error)
	UpdateBackfill(ctx context.Context, id uuid.UUID, change func(*batch.Backfill) error) (batch.Backfill, error)
	// BackfillRecords sums the rows of the backfill's completed runs.
	BackfillRecords(ctx context.Context, id uuid.UUID) (int64, error)
	// DeliveredSince returns the bounds of what was delivered in the range at the time or later.
	DeliveredSince(ctx context.Context, exportID uuid.UUID, within batch.Interval, since time.Time) ([]batch.Interval, error)
	ListRuns(ctx context.Context, f batch.RunFilter) ([]batch.Run, error)
}

// Executions is what the activities need of Temporal.
type Executions interface {
	// Put makes the export's schedule equal the definition.
	Put(ctx context.Context, e batch.Export) error
	// StartInterval starts the workflow of an interval, unless one runs.
	StartInterval(ctx context.Context, e batch.Export, i batch.Interval) error
	// Await waits until the execution that now has the workflow id is over, however it ends.
	Await(ctx context.Context, workflowID string) error
}

// Failing pauses exports that fail too often.
type Failing interface {
	PauseFailing(ctx context.Context, exportID uuid.UUID) (paused bool, err error)
}

// A Notifier sends the notifications that were written with what they tell of. It never fails.
type Notifier interface {
	Dispatch(ctx context.Context, exportID uuid.UUID)
}

// A Logger writes lines that the customer sees.
type Logger interface {
	Log(entry batch.LogEntry)
}

// Metrics counts what the activities do.
type Metrics interface {
	RunEnded(status batch.RunStatus, code batch.Code, destination string, model batch.Model)
	Delivered(destination string, model batch.Model, rows, bytes, files int64)
	LateRows(n int64)
	ActivityRetried(code batch.Code)
	AutoPaused()
	// ScheduledRunBegan is told how long after the end of its interval a scheduled run began.
	ScheduledRunBegan(after time.Duration)
	DestinationCalled(destination, operation string, took time.Duration, err error)
	SourceCalled(source, operation string, took time.Duration, err error)
}

// Limits are the times of the protocol.
type Limits struct {
	// Heartbeat is how long an activity may be silent before it is taken for dead; also the life of a lease.
	Heartbeat time.Duration
	// Permit is how long a run may be silent before its place is another's: longer than a run needs from one activity to
	// the next. Admission is how long a run that has to wait leaves it at that before it asks again.
	Permit, Admission time.Duration
	// Short is how long an activity may take that only talks to our database.
	Short time.Duration
	// Settle lets late rows land before a run reads; SettleSubHourly is for intervals below an hour.
	Settle, SettleSubHourly time.Duration
	// Parallel is how many splits of a run are staged at once.
	Parallel int
	// Work shortens how long a run may stage, and how long commit; zero = what its interval allows.
	Work time.Duration
}

// Production are the limits of the service.
func Production() Limits {
	return Limits{
		Heartbeat: 30 * time.Second, Short: 30 * time.Second, Permit: 2 * time.Minute, Admission: 5 * time.Second,
		Settle: time.Minute, SettleSubHourly: 30 * time.Second, Parallel: 4,
	}
}

// Embedded are the limits on a laptop, where a killed process should cost seconds.
func Embedded() Limits {
	l := Production()
	l.Heartbeat, l.Short, l.Parallel = 5*time.Second, 10*time.Second, 2
	l.Permit, l.Admission = 20*time.Second, time.Second
	return l
}

// settle is how long after its end an interval waits.
func (l Limits) settle(f batch.Frequency) time.Duration {
	if f.SubHourly() {
		return l.SettleSubHourly
	}
	return l.Settle
}

// work is how long a run of this frequency may stage, and how long commit, retries included.
func (l Limits) work(f batch.Frequency) time.Duration {
	allowed := max(20*time.Minute, f.Nominal())
	switch f {
	case batch.Hourly:
		allowed = 6 * time.Hour
	case batch.Daily:
		allowed = 24 * time.Hour
	case batch.Weekly:
		allowed = 72 * time.Hour
	}
	if l.Work > 0 {
		return min(allowed, l.Work)
	}
	return allowed
}

// A delivery is what a run works with: its row, the definition behind it and the query of its interval.
type delivery struct {
	run       batch.Run
	export    batch.Export
	plugin    destinations.Plugin
	selection query.Selection
	query     query.Query
}

// load reads from the database the definition with which a run began, and makes the query of its interval: filters and
// queries of the customer's are parsed anew.
func (a *Activities) load(ctx context.Context, runID uuid.UUID) (delivery, error) {
	d, err := a.definition(ctx, runID)
	if err != nil {
		return delivery{}, err
	}
	if d.selection, err = a.Models.Select(d.export); err != nil {
		return delivery{}, query.Sendable(err)
	}
	d.query = a.Plugins.Rows(d.export, d.selection, d.run.Interval)
	d.query.Lookback = a.Lookback
	if d.run.BackfillID != nil {
		b, err := a.Store.BackfillByID(ctx, *d.run.BackfillID)
		if err != nil {
			return delivery{}, err
		}
		d.query.By = query.TimeOf(b.By)
	}
	if !d.selection.Custom() {
		d.query.Columns, err = d.plugin.Columns(d.export.Destination.Config, d.selection.Model)
	}
	return d, err
}

// definition reads the definition with which a run began: later changes are for later runs.
func (a *Activities) definition(ctx context.Context, runID uuid.UUID) (delivery, error) {
	r, err := a.Store.RunByID(ctx, runID)
	if err != nil {
		return delivery{}, err
	}
	e, err := a.Store.ExportAt(ctx, r.ExportID, r.Revision)
	if err != nil {
		return delivery{}, err
	}
	plugin, ok := a.Plugins.Plugin(e.Destination.Type)
	if !ok {
		return delivery{}, batch.Errorf(batch.CodeDestinationClosed, nil, "this server has no destination of type %q", e.Destination.Type)
	}
	return delivery{run: r, export: e, plugin: plugin}, nil
}

// open connects to the run's destination.
func (a *Activities) openFor(ctx context.Context, d delivery) (destinations.Destination, error) {
	return a.open(ctx, d.plugin, d.export)
}

// target is the run as destinations know it.
func (d delivery) target(generation int, token int64) destinations.Run {
	return destinations.Run{
		ID: d.run.ID, ExportID: d.export.ID, TeamID: d.export.TeamID, Model: d.export.Model,
		Interval: d.run.Interval, Generation: generation, Token: token,
		Custom: d.selection.Custom(), Merge: d.selection.Merge, Key: d.selection.Key, Version: d.selection.Version, Clock: d.selection.Clock,
	}
}

// say writes a line to the run's log.
func (a *Activities) say(r batch.Run, level batch.LogLevel, message string) {
	a.Logs.Log(batch.LogEntry{
		TeamID: r.TeamID, ExportID: r.ExportID, RunID: r.ID,
		Timestamp: a.Now().UTC(), Level: level, Message: message,
	})
}
