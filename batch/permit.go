package batch

import "github.com/google/uuid"

// Concurrency limits how many runs work at once; zero = any number.
type Concurrency struct {
	// PerExport is for the runs of one export, PerTeam for those of one team's exports, PerHost for those of all teams
	// that deliver to one host.
	PerExport, PerTeam, PerHost int
}

// Limited says whether there is any limit.
func (c Concurrency) Limited() bool { return c != Concurrency{} }

// A Permit lets a run work. It is a lease: it ends by itself when nobody keeps it alive.
type Permit struct {
	RunID    uuid.UUID
	ExportID uuid.UUID
	TeamID   int64
	// Host is where the run delivers to; empty = nowhere that could be overrun.
	Host string
	// Backfill marks runs that are not the schedule's: they leave the last place of a limit to those that are.
	Backfill bool
}
