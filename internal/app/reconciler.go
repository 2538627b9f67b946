package app

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
)

// An Execution is what Temporal says of a workflow.
type Execution int

// The states of an execution. Gone means that Temporal knows none.
const (
	ExecutionGone Execution = iota
	ExecutionRunning
	ExecutionCompleted
	ExecutionFailed
	ExecutionCancelled
	ExecutionTerminated
	ExecutionTimedOut
	// ExecutionCancelling runs, and was asked to end.
	ExecutionCancelling
)

// ReconcilerStore is what the Reconciler needs of the database.
type ReconcilerStore interface {
	ExportByID(ctx context.Context, id uuid.UUID) (batch.Export, error)
	UpdateExport(ctx context.Context, teamID int64, id uuid.UUID, change func(*batch.Export) error) (batch.Export, error)
	// RaiseRevision gives an export a revision above another one, or says with batch.ErrUnchanged that it has reached that.
	RaiseRevision(ctx context.Context, teamID int64, id uuid.UUID, above int64) (batch.Export, error)
	StaleSchedules(ctx context.Context, limit int) ([]batch.Export, error)
	ActiveExports(ctx context.Context, after uuid.UUID, limit int) ([]batch.Export, error)
	MarkScheduled(ctx context.Context, id uuid.UUID, revision int64) error

	OverdueSpans(ctx context.Context, now time.Time, limit int) ([]batch.Span, error)
	SettleSpan(ctx context.Context, s batch.Span) error
	// DeliveredBounds returns the bounds of the deliveries that overlap the range, by their start; those from the
	// beginning of time are left out.
	DeliveredBounds(ctx context.Context, exportID uuid.UUID, within batch.Interval) ([]batch.Interval, error)
	// RunsEnding returns the runs whose intervals end in the range.
	RunsEnding(ctx context.Context, exportID uuid.UUID, after, until time.Time) ([]batch.Run, error)

	OpenBackfills(ctx context.Context, after uuid.UUID, limit int) ([]batch.Backfill, error)
	CancelledInPause(ctx context.Context, since time.Time, limit int) ([]batch.Backfill, error)
	UpdateBackfill(ctx context.Context, id uuid.UUID, change func(*batch.Backfill) error) (batch.Backfill, error)
	OpenRuns(ctx context.Context, after uuid.UUID, limit int) ([]batch.Run, error)
	UpdateRun(ctx context.Context, id uuid.UUID, change func(*batch.Run) error) (batch.Run, error)
	Delivery(ctx context.Context, exportID uuid.UUID, i batch.Interval) (*batch.Delivery, error)

	// AppendAudit writes an entry into the audit log; without a team it is that of the export.
	AppendAudit(ctx context.Context, e batch.AuditEntry) error
}

// ReconcilerWorkflows is what the Reconciler needs of Temporal.
type ReconcilerWorkflows interface {
	Schedules
	BackfillWorkflows
	// Adopt is Put, but leaves alone whether the schedule is paused.
	Adopt(ctx context.Context, e batch.Export) error
	// Scheduled returns the exports that have a schedule, and whether it is paused. It may lag behind by seconds.
	Scheduled(ctx context.Context) (map[uuid.UUID]bool, error)
	// PutBy returns the installation that put a schedule; zero = it does not say, or there is no schedule.
	PutBy(ctx context.Context, exportID uuid.UUID) (uuid.UUID, error)
	// Schedule compares the export's schedule with what Put would make of it.
	Schedule(ctx context.Context, e batch.Export) (Schedule, error)
	// StartInterval starts the workflow of an interval, unless one runs.
	StartInterval(ctx context.Context, e batch.Export, i batch.Interval) error
	// StartDue is StartInterval for an interval that is due: the workflow ends at once if it was delivered meanwhile.
	StartDue(ctx context.Context, e batch.Export, i batch.Interval) error
	// DescribeInterval says what became of the newest execution under the interval's id, and its Temporal run id.
	DescribeInterval(ctx context.Context, exportID uuid.UUID, end time.Time) (Execution, string, error)
	// DescribeRun says what became of the run's workflow, and which try of its work waits to be repeated.
	DescribeRun(ctx context.Context, r batch.Run) (Execution, *Retry, error)
	// DescribeBackfill says what became of the backfill's workflow; only here, ExecutionCancelling is told from running.
	DescribeBackfill(ctx context.Context, b batch.Backfill) (Execution, error)
}

// A Retry is what Temporal knows of work that did not end by itself: its worker died or did not answer.
type Retry struct {
	// Attempt is the try that failed.
	Attempt int
	// Next is when the work is repeated; zero = it is at work again.
	Next time.Time
}

// A Repair is a kind of thing that had come apart.
type Repair string

// The repairs, as logs and metrics name them.
const (
	RepairMissingSchedule  Repair = "schedule_missing"  // put
	RepairStaleSchedule    Repair = "schedule_stale"    // put: it was for an older definition
	RepairDriftedSchedule  Repair = "schedule_drifted"  // put: somebody changed it in Temporal
	RepairAheadSchedule    Repair = "schedule_ahead"    // put: it was for a newer definition than there is, as after a restore
	RepairOrphanedSchedule Repair = "schedule_orphaned" // removed: its export is deleted, or not in a database that was restored
	RepairPause            Repair = "pause_copied"      // from Temporal, where somebody paused or unpaused
	RepairBackfill         Repair = "backfill_started"  // it had no workflow
	RepairEndedBackfill    Repair = "backfill_closed"   // its workflow was over
	RepairCancel           Repair = "backfill_told"     // it was cancelled while it was paused, and its workflow did not know
	RepairEndedRun         Repair = "run_closed"        // its workflow was over
	RepairInterval         Repair = "interval_started"  // it was due, and nobody saw to it
	RepairMissedInterval   Repair = "interval_missed"   // it was due before the catch-up window
)

// RepairKinds are all kinds.
var RepairKinds = []Repair{
	RepairMissingSchedule, RepairStaleSchedule, RepairDriftedSchedule, RepairAheadSchedule, RepairOrphanedSchedule, RepairPause,
	RepairBackfill, RepairEndedBackfill, RepairCancel, RepairEndedRun, RepairInterval, RepairMissedInterval,
}

// RepairMetrics counts repairs.
type RepairMetrics interface {
	Repaired(kind string)
}

// A Reconciler makes Temporal agree with the database, and tells the database what became of workflows that ended
// without a word. Each repair is idempotent, so several may run at once.
type Reconciler struct {
	Store     ReconcilerStore
	Workflows ReconcilerWorkflows
	Logs      Logger
	Metrics   RepairMetrics
	Log       *zap.Logger
	Now       func() time.Time
	// Grace is how long a row may be without its workflow: whoever wrote it is about to start it.
	Grace time.Duration
	// CatchUp is how long an interval may be overdue and is still started.
	CatchUp time.Duration

	// Installation is who we are: only schedules that we put are removed when we know nothing of their export.
	Installation uuid.UUID

	// strangers is how many schedules the last pass left alone because they are not ours.
	strangers int
	// inspected is the export behind which the next pass inspects schedules.
	inspected uuid.UUID
}

// Repairs counts what one pass mended.
type Repairs map[Repair]int

// reconcilePage is how many rows are looked at in one query.
const reconcilePage = 500

// Reconcile makes one pass. A part that fails does not keep the others from being done.
func (r *Reconciler) Reconcile(ctx context.Context) (Repairs, error) {
	p := pass{Reconciler: r, done: Repairs{}, told: map[told]int{}}
	var failures []error
	for _, part := range []func(context.Context) error{p.staleSchedules, p.schedules, p.backfills, p.cancels, p.runs, p.dueIntervals} {
		failures = append(failures, part(ctx))
	}
	failures = append(failures, p.audit(ctx))
	return p.done, errors.Join(failures...)
}

// A pass is one look at everything.
type pass struct {
	*Reconciler
	done Repairs
	// told counts the repairs that the audit log is told of.
	told map[told]int
}

// mended says what was repaired, and whose it is; no team = nobody knows.
func (p *pass) mended(kind Repair, teamID int64, exportID uuid.UUID, fields ...zap.Field) {
	p.done[kind]++
	if action, ok := repairActions[kind]; ok {
		p.told[told{action, exportID}]++
	}
	p.Metrics.Repaired(string(kind))
	if teamID != 0 {
		fields = append(fields, zap.Int64("team_id", teamID))
	}
	p.Log.Warn("The reconciler mended what had come apart.",
		append(fields, zap.String("repair", string(kind)), zap.Stringer("batch_export_id", exportID))...)
}

// tell writes a line to the export's log, or to that of a run of it.
func (p *pass) tell(teamID int64, exportID, runID uuid.UUID, level batch.LogLevel, message string) {
	p.Logs.Log(batch.LogEntry{
		TeamID: teamID, ExportID: exportID, RunID: runID, Timestamp: p.Now().UTC(), Level: level, Message: message,
	})
}

// each mends the rows of one kind, page by page in the order of their ids.
func each[T any](
	ctx context.Context, load func(ctx context.Context, after uuid.UUID, limit int) ([]T, error), id func(T) uuid.UUID,
	mend func(ctx context.Context, row T) error,
) error {
	for after := uuid.Nil; ; {
		page, err := load(ctx, after, reconcilePage)
		if err != nil {
			return err
		}
		for _, row := range page {
			after = id(row)
			if err := mend(ctx, row); err != nil {
				return err
			}
		}
		if len(page) < reconcilePage {
			return nil
		}
	}
}
