package batch

import (
	"time"

	"github.com/google/uuid"
)

// An Order is the column by which runs and backfills are listed.
type Order string

// The orders. Ties are broken by id in the same direction.
const (
	OrderCreatedAt     Order = "created_at"
	OrderIntervalStart Order = "data_interval_start" // runs
	OrderStartAt       Order = "start_at"            // backfills
)

// A Position is where a page of a list ended: the ordering value and the id of its last row.
type Position struct {
	Value *time.Time // nil = the row had none
	ID    uuid.UUID
}

// A RunFilter selects runs of one export.
type RunFilter struct {
	TeamID        int64
	ExportID      uuid.UUID
	BackfillID    *uuid.UUID
	Statuses      []RunStatus // empty = all
	OrderBy       Order
	Desc          bool
	CreatedAfter  *time.Time // inclusive
	CreatedBefore *time.Time // inclusive
	Start         *time.Time // intervals that start at or after
	End           *time.Time // intervals that end at or before
	After         *Position  // rows strictly behind it in the order
	Limit         int
}

// A BackfillFilter selects backfills of one export.
type BackfillFilter struct {
	TeamID   int64
	ExportID uuid.UUID
	OrderBy  Order
	Desc     bool
	After    *Position
	Limit    int
}

// A LogFilter selects log entries of one export, newest first.
type LogFilter struct {
	TeamID   int64
	ExportID uuid.UUID
	RunID    *uuid.UUID
	After    *time.Time // exclusive
	Before   *time.Time // exclusive
	Levels   []LogLevel // empty = all
	Search   string     // case-insensitive substring
	Limit    int
}
