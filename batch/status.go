package batch

import "slices"

// A RunStatus is the state of a run as the API shows it.
type RunStatus string

// The statuses of a run. FailedRetryable, FailedBilling and ContinuedAsNew are never set by this service; they are
// accepted in filters because clients of the contract send them.
const (
	RunStarting        RunStatus = "Starting"
	RunRunning         RunStatus = "Running"
	RunCompleted       RunStatus = "Completed"
	RunFailed          RunStatus = "Failed"
	RunFailedRetryable RunStatus = "FailedRetryable"
	RunFailedBilling   RunStatus = "FailedBilling"
	RunCancelled       RunStatus = "Cancelled"
	RunContinuedAsNew  RunStatus = "ContinuedAsNew"
	RunTerminated      RunStatus = "Terminated"
	RunTimedOut        RunStatus = "TimedOut"
)

// RunStatuses lists every status in the contract's order.
var RunStatuses = []RunStatus{
	RunCancelled, RunCompleted, RunContinuedAsNew, RunFailed, RunFailedRetryable, RunFailedBilling,
	RunTerminated, RunTimedOut, RunRunning, RunStarting,
}

// Valid says whether s is one of RunStatuses.
func (s RunStatus) Valid() bool { return slices.Contains(RunStatuses, s) }

// Final says whether the run is over.
func (s RunStatus) Final() bool { return s != RunStarting && s != RunRunning }

// A BackfillStatus is the state of a backfill as the API shows it.
type BackfillStatus string

// The statuses of a backfill.
const (
	BackfillStarting   BackfillStatus = "Starting"
	BackfillRunning    BackfillStatus = "Running"
	BackfillCompleted  BackfillStatus = "Completed"
	BackfillFailed     BackfillStatus = "Failed"
	BackfillCancelled  BackfillStatus = "Cancelled"
	BackfillTerminated BackfillStatus = "Terminated"
	BackfillTimedOut   BackfillStatus = "TimedOut"
)

// Final says whether the backfill is over.
func (s BackfillStatus) Final() bool { return s != BackfillStarting && s != BackfillRunning }
