package batch

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"
)

// An ActorKind says what kind of somebody did something.
type ActorKind string

// The kinds of actors.
const (
	ActorUser     ActorKind = "user"     // through the API, with a key
	ActorOperator ActorKind = "operator" // at the command line of the server
	ActorTemporal ActorKind = "temporal" // somebody in Temporal, whom we do not know
	ActorSystem   ActorKind = "system"   // the service by itself
)

// ActorKinds lists them.
var ActorKinds = []ActorKind{ActorUser, ActorOperator, ActorTemporal, ActorSystem}

// An Actor is who did something, and from where.
type Actor struct {
	Kind   ActorKind
	UserID int64 // 0 = not a user
	// KeyID and KeyPrefix are those of the key that was used.
	KeyID     uuid.UUID
	KeyPrefix string
	// Address is where from: a user's IP address, or the account and machine of an operator.
	Address   string
	RequestID string
}

// An Action is what was done, as "subject.verb".
type Action string

// The actions.
const (
	ActExportCreated    Action = "export.created"
	ActExportUpdated    Action = "export.updated"
	ActExportPaused     Action = "export.paused"
	ActExportUnpaused   Action = "export.unpaused"
	ActExportAutoPaused Action = "export.auto_paused" // too many of its runs failed
	ActExportDeleted    Action = "export.deleted"

	ActRunCancelled Action = "run.cancelled"
	ActRunRetried   Action = "run.retried"
	ActRunClosed    Action = "run.closed" // its workflow had ended without a word

	ActBackfillCreated   Action = "backfill.created"
	ActBackfillPaused    Action = "backfill.paused"
	ActBackfillResumed   Action = "backfill.resumed"
	ActBackfillCancelled Action = "backfill.cancelled"
	ActBackfillClosed    Action = "backfill.closed" // as run.closed

	ActScheduleRestored Action = "schedule.restored" // somebody had removed it from Temporal
	ActScheduleMended   Action = "schedule.mended"   // somebody had changed it in Temporal
	ActIntervalStarted  Action = "interval.started"  // it was due, and nobody saw to it
	ActIntervalMissed   Action = "interval.missed"   // it was due before the catch-up window

	ActNotificationCreated Action = "notification.created"
	ActNotificationUpdated Action = "notification.updated"
	ActNotificationDeleted Action = "notification.deleted"
	ActNotificationTested  Action = "notification.tested"

	ActKeyCreated Action = "key.created"
	ActKeyRevoked Action = "key.revoked"
)

// Actions lists them.
var Actions = []Action{
	ActExportCreated, ActExportUpdated, ActExportPaused, ActExportUnpaused, ActExportAutoPaused, ActExportDeleted,
	ActRunCancelled, ActRunRetried, ActRunClosed,
	ActBackfillCreated, ActBackfillPaused, ActBackfillResumed, ActBackfillCancelled, ActBackfillClosed,
	ActScheduleRestored, ActScheduleMended, ActIntervalStarted, ActIntervalMissed,
	ActNotificationCreated, ActNotificationUpdated, ActNotificationDeleted, ActNotificationTested,
	ActKeyCreated, ActKeyRevoked,
}

// Subject is what the action was done to: export, run, backfill and so on.
func (a Action) Subject() string {
	subject, _, _ := strings.Cut(string(a), ".")
	return subject
}

// An Act is who is doing something, as it travels with a context down to where changes are written.
type Act struct {
	Actor Actor
	// Action, if not empty, says better than the change itself what is done to its subject.
	Action Action
	// Note is a sentence that says why.
	Note string
}

type actKey struct{}

// WithAct returns a context under which what is changed counts as done by the act's actor.
func WithAct(ctx context.Context, act Act) context.Context {
	return context.WithValue(ctx, actKey{}, act)
}

// ActOf returns what WithAct was given. Nobody said anything: it is the service by itself.
func ActOf(ctx context.Context) Act {
	if act, ok := ctx.Value(actKey{}).(Act); ok {
		return act
	}
	return Act{Actor: Actor{Kind: ActorSystem}}
}

// An AuditEntry is one line of the audit log: who did what to what, when, from where, and what changed. It is written
// with the change and never changes.
type AuditEntry struct {
	ID uuid.UUID
	// TeamID is 0 for what concerns a whole organization, which is then named.
	TeamID         int64
	OrganizationID int64
	ExportID       uuid.UUID // zero = none
	// SubjectID is what the action was done to, if it is not the export.
	SubjectID uuid.UUID
	Action    Action
	Actor     Actor
	Note      string
	Changes   []FieldChange
	CreatedAt time.Time
}

// A FieldChange is a field before and after a change, as JSON. Of a secret both are fingerprints.
type FieldChange struct {
	Field  string          `json:"field"`
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
}

// An AuditFilter selects entries of a team and of its organization.
type AuditFilter struct {
	TeamID         int64
	OrganizationID int64 // 0 = without what concerns the organization
	ExportID       *uuid.UUID
	Actions        []Action
	// ActorKind, UserID and KeyPrefix are about who did it; empty = anybody.
	ActorKind ActorKind
	UserID    *int64
	KeyPrefix string

	CreatedAfter, CreatedBefore *time.Time

	After *Position
	Desc  bool
	Limit int
}
