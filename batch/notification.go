package batch

import (
	"errors"
	"time"

	"github.com/google/uuid"
)

// An Event is something about an export that people want to be told.
type Event string

// The events.
const (
	EventFailed        Event = "failed"         // a run failed
	EventRecovered     Event = "recovered"      // the first run that completed after one that failed
	EventLate          Event = "late"           // the next interval that is due is overdue
	EventAutoPaused    Event = "auto_paused"    // too many runs failed
	EventZeroRows      Event = "zero_rows"      // a run had no rows, and those before it had some
	EventSchemaChanged Event = "schema_changed" // what is delivered has other columns than before

	// EventTest is what the test of a subscription sends. Nobody subscribes to it.
	EventTest Event = "test"
)

// Events lists those to which people subscribe.
var Events = []Event{EventFailed, EventRecovered, EventLate, EventAutoPaused, EventZeroRows, EventSchemaChanged}

// A SubscriptionKind says in which form notifications are sent.
type SubscriptionKind string

// The kinds.
const (
	KindWebhook SubscriptionKind = "webhook" // JSON, signed
	KindSlack   SubscriptionKind = "slack"   // what Slack's incoming webhooks take
)

// SubscriptionKinds lists them.
var SubscriptionKinds = []SubscriptionKind{KindWebhook, KindSlack}

// A Subscription is somebody's wish to be told of events, of one export or of all those of a project.
type Subscription struct {
	ID       uuid.UUID
	TeamID   int64
	ExportID uuid.UUID // zero = all exports of the team
	Name     string
	Kind     SubscriptionKind
	// URL is where notifications are sent, and Secret is what they are signed with. Both are secrets: with many
	// receivers, whoever knows the URL may post.
	URL    string
	Secret string
	// OldSecret is what Secret took the place of: until then, notifications are signed with both.
	OldSecret      string
	OldSecretUntil time.Time
	Events         []Event
	// LateAfter is how long after its end an interval counts as late for this subscription; 0 = as Frequency.LateAfter says.
	LateAfter time.Duration
	Enabled   bool

	CreatedAt     time.Time
	LastUpdatedAt time.Time
}

// SecretOverlap is how long an old secret goes on to be signed with, so that receivers can learn the new one meanwhile.
const SecretOverlap = 24 * time.Hour

// Replace makes a secret the one to sign with, and keeps the one before it for a while. An older one is forgotten.
func (s *Subscription) Replace(secret string, now time.Time) {
	if secret == s.Secret {
		return
	}
	s.OldSecret, s.OldSecretUntil = s.Secret, now.Add(SecretOverlap).UTC().Truncate(time.Microsecond)
	s.Secret = secret
}

// Forget ends the time in which the old secret is signed with too.
func (s *Subscription) Forget() { s.OldSecret, s.OldSecretUntil = "", time.Time{} }

// Secrets are what to sign with at a time, the newest first.
func (s Subscription) Secrets(now time.Time) []string {
	if s.OldSecret == "" || !now.Before(s.OldSecretUntil) {
		return []string{s.Secret}
	}
	return []string{s.Secret, s.OldSecret}
}

// LateFor is how long after the end of an interval of the frequency the subscription is told that it is late.
func (s Subscription) LateFor(f Frequency) time.Duration {
	if s.LateAfter > 0 {
		return s.LateAfter
	}
	return f.LateAfter()
}

// A Lateness is an interval that is due and not delivered.
type Lateness struct {
	Interval  Interval
	Frequency Frequency
	// By is how long ago it ended.
	By time.Duration
}

// A Watched export is one of which somebody wants to be told when it is late.
type Watched struct {
	Export Export
	// LateAfter are the times of those who want to know, see Subscription.
	LateAfter []time.Duration
}

// Soonest is how long after the end of an interval of the frequency the first of them is told.
func (w Watched) Soonest(f Frequency) time.Duration {
	soonest := f.LateAfter()
	for i, d := range w.LateAfter {
		if d = (Subscription{LateAfter: d}).LateFor(f); i == 0 || d < soonest {
			soonest = d
		}
	}
	return soonest
}

// ErrTooManySubscriptions says that an export, or a team for all of its exports, has as many as it may.
var ErrTooManySubscriptions = errors.New("there are too many subscriptions")

// A Notification is one event of one export. Its id is what receivers tell repeats by.
type Notification struct {
	ID       uuid.UUID
	TeamID   int64
	ExportID uuid.UUID // zero for the test of a subscription to all exports
	Event    Event
	// Key makes it the only one: there is one notification of an event of an export with a key.
	Key       string
	Facts     Facts
	CreatedAt time.Time
}

// Facts are what a notification tells. They are taken when the event happens, so that every try says the same.
type Facts struct {
	Name        string     `json:"name"`
	Model       Model      `json:"model"`
	Interval    Frequency  `json:"interval"`
	Destination string     `json:"destination"` // its type
	RunID       *uuid.UUID `json:"run_id,omitempty"`
	Start       *time.Time `json:"start,omitempty"`
	End         *time.Time `json:"end,omitempty"`
	Rows        *int64     `json:"rows,omitempty"`
	ErrorCode   Code       `json:"error_code,omitempty"`
	Error       string     `json:"error,omitempty"`
	Added       []string   `json:"added,omitempty"` // columns
	Removed     []string   `json:"removed,omitempty"`
	Note        string     `json:"note,omitempty"`
}

// A MessageStatus says how a message stands.
type MessageStatus string

// The statuses.
const (
	MessagePending   MessageStatus = "pending"
	MessageDelivered MessageStatus = "delivered"
	MessageFailed    MessageStatus = "failed" // given up
)

// MessageStatuses lists them.
var MessageStatuses = []MessageStatus{MessagePending, MessageDelivered, MessageFailed}

// A Message is a notification on its way to one subscription.
type Message struct {
	ID             uuid.UUID
	NotificationID uuid.UUID
	SubscriptionID uuid.UUID
	TeamID         int64
	ExportID       uuid.UUID
	Event          Event
	Status         MessageStatus
	Attempts       []Attempt // oldest first
	CreatedAt      time.Time
	FinishedAt     *time.Time
}

// An Attempt is one try to send a message.
type Attempt struct {
	Number int
	At     time.Time
	// StatusCode is the receiver's; 0 = it gave none.
	StatusCode int
	Duration   time.Duration
	// Error says what went wrong, without the receiver's address or words; empty = nothing.
	Error string
	// Final says that no further try can help, RetryAfter when the receiver wants the next one.
	Final      bool
	RetryAfter time.Duration
}

// Delivered says whether the receiver took the message.
func (a Attempt) Delivered() bool { return a.Error == "" }

// A MessageFilter selects messages to a subscription, by their creation.
type MessageFilter struct {
	SubscriptionID uuid.UUID
	After          *Position
	Desc           bool
	Limit          int
}

const (
	// NotifyFor is how long a message is tried.
	NotifyFor = 24 * time.Hour
	// LeastLateAfter is the least that a subscription may have for LateAfter, which has whole minutes.
	LeastLateAfter = time.Minute
	// MostLateAfter is the most.
	MostLateAfter = 30 * 24 * time.Hour
	// shortestLateness and longestLateness bound after how long an interval counts as late.
	shortestLateness = 15 * time.Minute
	longestLateness  = 6 * time.Hour
)

// LateAfter is how long after its end an interval counts as late that is not delivered, unless a subscription says otherwise: its own length, a quarter of an
// hour at least and six hours at most, and what its start may be delayed.
func (f Frequency) LateAfter() time.Duration {
	return f.Jitter() + min(max(f.Nominal(), shortestLateness), longestLateness)
}

// Lookback is how far back runs are compared with to find one without rows unusual: a day, a week or four weeks.
func (f Frequency) Lookback() time.Duration {
	const day = 24 * time.Hour
	switch f {
	case Daily:
		return 7 * day
	case Weekly:
		return 28 * day
	}
	return day
}
