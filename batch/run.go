package batch

import (
	"time"

	"github.com/google/uuid"
)

// A Run is one attempt to deliver one interval: one workflow execution.
type Run struct {
	ID       uuid.UUID // UUIDv5 of Temporal's run id, see RunID
	ExportID uuid.UUID
	TeamID   int64
	// BackfillID is the backfill that asked for the run; nil = the schedule did.
	BackfillID *uuid.UUID
	Interval   Interval
	Status     RunStatus
	// Revision of the definition that the run works from.
	Revision int64

	WorkflowID    string
	TemporalRunID string

	// Generation counts how often the interval was staged in this run: 2 = late rows made it stage again.
	Generation int
	// Attempt, LatestError, ErrorCode and NextRetryAt tell of the newest failed try while the run retries, and of
	// the last word when it is over.
	Attempt     int
	LatestError string
	ErrorCode   Code
	NextRetryAt *time.Time
	// WaitingFor says what keeps the run from working; empty = nothing. It means nothing once the run is over.
	WaitingFor string

	RowsTotal     *int64 // counted in the source when the run planned
	RowsCompleted *int64
	RowsFailed    *int64
	Bytes         *int64
	Files         *int64

	// CommitStartedAt is the point of no return: from then on a cancel is refused.
	CommitStartedAt *time.Time

	CreatedAt     time.Time
	FinishedAt    *time.Time
	LastUpdatedAt time.Time
}

// runNamespace makes run ids from Temporal's; constant for ever.
var runNamespace = uuid.MustParse("0d6f7a1e-3a3b-5c59-9f55-7b3f3f1c7c11")

// RunID derives a run's id from Temporal's run id, so that a repeated Begin finds its own row. Temporal's id is not
// parsed: the SDK's test environment has one that is no UUID.
func RunID(temporalRunID string) uuid.UUID {
	return uuid.NewSHA1(runNamespace, []byte(temporalRunID))
}

// WorkflowID is the id of every execution for an interval that ends at end: Temporal appends exactly this shape to the
// id of a schedule's action, backfills and retries build it.
func WorkflowID(export uuid.UUID, end time.Time) string {
	return export.String() + "-" + end.UTC().Format("2006-01-02T15:04:05Z")
}

// ExportOf is the export whose interval an execution with the workflow id delivers; false = it is no such id.
func ExportOf(workflowID string) (uuid.UUID, bool) {
	const length = 36 // of a UUID as text
	if len(workflowID) <= length || workflowID[length] != '-' {
		return uuid.UUID{}, false
	}
	id, err := uuid.Parse(workflowID[:length])
	return id, err == nil
}

// A Delivery is what our database knows of the one visible copy of an interval.
type Delivery struct {
	ExportID    uuid.UUID
	Interval    Interval
	RunID       uuid.UUID
	Generation  int
	Token       int64 // the fencing token under which it was published
	Rows        int64
	Bytes       int64
	Objects     []Object // in order; empty for tables and for intervals without rows
	Manifest    string   // key of the manifest; empty = none
	CommittedAt time.Time
	// LateRows is how many rows arrived after it, as far as they were counted.
	LateRows int64
	// SupersededAt is when a run of another length took its place: it counts as delivered no more, but its files may
	// still be visible. Nil = it counts.
	SupersededAt *time.Time
}

// An Object is one file of a delivery.
type Object struct {
	Key          string     `json:"key"`
	Rows         int64      `json:"rows"`
	Bytes        int64      `json:"bytes"`
	SHA256       string     `json:"sha256"` // hexadecimal
	MinTimestamp *time.Time `json:"min_timestamp"`
	MaxTimestamp *time.Time `json:"max_timestamp"`
}

// A LogLevel is the level of a run's log entry.
type LogLevel string

// The levels, as the API shows them.
const (
	LogDebug   LogLevel = "DEBUG"
	LogInfo    LogLevel = "INFO"
	LogWarning LogLevel = "WARNING"
	LogError   LogLevel = "ERROR"
)

// A LogEntry is one line that a customer sees about a run or an export.
type LogEntry struct {
	TeamID    int64
	ExportID  uuid.UUID
	RunID     uuid.UUID // zero = about the export
	Timestamp time.Time // microseconds
	Level     LogLevel
	Message   string
}
