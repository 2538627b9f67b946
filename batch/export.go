package batch

import (
	"time"

	"github.com/google/uuid"
)

// A Model is what an export exports.
type Model string

// The models. Hogql is a SELECT of the customer's.
const (
	ModelEvents   Model = "events"
	ModelPersons  Model = "persons"
	ModelSessions Model = "sessions"
	ModelHogQL    Model = "hogql"
)

// An Export is the definition of a batch export: what is read, where it goes, and on which calendar.
type Export struct {
	ID     uuid.UUID
	TeamID int64
	Name   string
	Model  Model

	Selection   Selection
	Destination Destination

	// Frequency, Timezone, OffsetDay and OffsetHour make the calendar.
	Frequency  Frequency
	Timezone   string // IANA
	OffsetDay  *int   // 0 = Sunday; weekly only
	OffsetHour *int   // 0..23; daily and weekly only

	// FirstInterval is the first interval after a change of the calendar: it begins where the last one that was due
	// before the change ended, so that nothing is left out or delivered twice. Nil = the calendar never changed.
	FirstInterval *Interval

	StartAt *time.Time // bounds of the schedule; nil = none
	EndAt   *time.Time

	Paused       bool
	LastPausedAt *time.Time
	Deleted      bool

	// Revision grows by one with every change of the definition.
	Revision int64
	// ScheduledRevision is the revision that Temporal's schedule was last put for; smaller than Revision = stale.
	ScheduledRevision int64

	CreatedAt     time.Time
	LastUpdatedAt time.Time
	// LastModifiedBy is the id of the user behind the last change.
	LastModifiedBy int64
}

// Calendar returns the export's calendar.
func (e Export) Calendar() (Calendar, error) {
	return NewCalendar(e.Frequency, e.Timezone, e.OffsetDay, e.OffsetHour)
}

// A Destination is where an export delivers: a type of the registry and its settings.
type Destination struct {
	Type string
	// Config holds the typed values of every setting, secrets included. It is sealed at rest and must be redacted
	// by the destination's plugin before anyone sees it.
	Config map[string]any
	// Integration is the id of stored credentials; nil = none.
	Integration *int64
}
