package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
)

// SubscriptionStore is what Notifications needs of the database.
type SubscriptionStore interface {
	Export(ctx context.Context, teamID int64, id uuid.UUID) (batch.Export, error)
	// CreateSubscription refuses with batch.ErrTooManySubscriptions.
	CreateSubscription(ctx context.Context, n batch.Subscription, limit int) error
	Subscription(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Subscription, error)
	ListSubscriptions(ctx context.Context, teamID int64, exportID uuid.UUID) ([]batch.Subscription, error)
	UpdateSubscription(ctx context.Context, teamID int64, exportID, id uuid.UUID, change func(*batch.Subscription) error) (batch.Subscription, error)
	DeleteSubscription(ctx context.Context, teamID int64, exportID, id uuid.UUID) error
	CreateTest(ctx context.Context, s batch.Subscription, facts batch.Facts) (batch.Notification, batch.Message, error)
	SaveAttempt(ctx context.Context, messageID uuid.UUID, a batch.Attempt) error
	GiveUpMessage(ctx context.Context, messageID uuid.UUID) (bool, error)
	ListMessages(ctx context.Context, f batch.MessageFilter) ([]batch.Message, error)
}

// A Sender posts notifications.
type Sender interface {
	// Check says what is wrong with an address, in a sentence for the customer.
	Check(ctx context.Context, address string) error
	// NewSecret makes a secret to sign with; CheckSecret says what is wrong with one.
	NewSecret() string
	CheckSecret(secret string) error
	// Send makes one try.
	Send(ctx context.Context, to batch.Subscription, n batch.Notification) batch.Attempt
}

// Notifications are the use cases of subscriptions to events, of an export or, with an export's id that is zero, of all
// exports of a project.
type Notifications struct {
	Store  SubscriptionStore
	Sender Sender
	Log    *zap.Logger
	Now    func() time.Time
	// Limit is how many subscriptions an export may have, and a project to all of its exports.
	Limit int
}

// DefaultSubscriptions is a limit that nobody meets who is told by people.
const DefaultSubscriptions = 20

// A SubscriptionDraft is a subscription that a caller wants to have.
type SubscriptionDraft struct {
	Name   string
	Kind   batch.SubscriptionKind
	URL    string
	Secret string // empty = a new one
	// Events are what to be told of; none = everything.
	Events []batch.Event
	// LateAfter is how long after its end an interval is late; 0 = as its length has it.
	LateAfter time.Duration
	Enabled   bool
}

// A SubscriptionChange is what a caller wants a subscription to become. What was not sent stays.
type SubscriptionChange struct {
	Name      Sent[string]
	URL       Sent[string]
	Secret    Sent[string]
	Events    Sent[[]batch.Event]
	LateAfter Sent[time.Duration]
	Enabled   Sent[bool]
	// RotateSecret asks for a new secret.
	RotateSecret bool
	// RevokeOldSecret ends at once the time in which the secret before is signed with too.
	RevokeOldSecret bool
}

// exists refuses an export that is not the team's. There is always the project.
func (s *Notifications) exists(ctx context.Context, teamID int64, exportID uuid.UUID) error {
	if exportID == uuid.Nil {
		return nil
	}
	_, err := s.Store.Export(ctx, teamID, exportID)
	return missing(err, "Not found.")
}

// Create validates the draft and stores the subscription. It is the one time that a secret is given out.
func (s *Notifications) Create(ctx context.Context, teamID int64, exportID uuid.UUID, d SubscriptionDraft) (batch.Subscription, error) {
	if err := s.exists(ctx, teamID, exportID); err != nil {
		return batch.Subscription{}, err
	}
	now := s.Now().UTC().Truncate(time.Microsecond)
	n := batch.Subscription{
		ID: newID(), TeamID: teamID, ExportID: exportID, Name: d.Name, Kind: d.Kind, URL: d.URL, Secret: d.Secret, Events: ordered(d.Events),
		LateAfter: d.LateAfter, Enabled: d.Enabled, CreatedAt: now, LastUpdatedAt: now,
	}
	if n.Kind == batch.KindWebhook && n.Secret == "" {
		n.Secret = s.Sender.NewSecret()
	}
	if err := s.check(ctx, n); err != nil {
		return batch.Subscription{}, err
	}
	err := s.Store.CreateSubscription(ctx, n, s.Limit)
	if errors.Is(err, batch.ErrTooManySubscriptions) {
		return batch.Subscription{}, invalid("", codeMax, "There may be %d notifications at most. Delete one to make another.", s.Limit)
	}
	return n, missing(err, "Not found.")
}

// check says what is wrong with where a subscription goes.
func (s *Notifications) check(ctx context.Context, n batch.Subscription) error {
	if err := s.Sender.Check(ctx, n.URL); err != nil {
		return invalid("url", codeInvalid, "%s", err.Error())
	}
	if n.Kind != batch.KindWebhook {
		if n.Secret != "" {
			return invalid("secret", codeInvalid, "Only notifications of kind 'webhook' are signed.")
		}
		return nil
	}
	if err := s.Sender.CheckSecret(n.Secret); err != nil {
		return invalid("secret", codeInvalid, "%s", err.Error())
	}
	return nil
}

// ordered returns events without repeats, in one order; none = all.
func ordered(events []batch.Event) []batch.Event {
	if len(events) == 0 {
		return slices.Clone(batch.Events)
	}
	return slices.DeleteFunc(slices.Clone(batch.Events), func(e batch.Event) bool { return !slices.Contains(events, e) })
}

// Get returns a subscription.
func (s *Notifications) Get(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Subscription, error) {
	if err := s.exists(ctx, teamID, exportID); err != nil {
		return batch.Subscription{}, err
	}
	n, err := s.Store.Subscription(ctx, teamID, exportID, id)
	return n, missing(err, "Not found.")
}

// List returns the subscriptions to an export alone, or to all exports, oldest first.
func (s *Notifications) List(ctx context.Context, teamID int64, exportID uuid.UUID) ([]batch.Subscription, error) {
	if err := s.exists(ctx, teamID, exportID); err != nil {
		return nil, err
	}
	return s.Store.ListSubscriptions(ctx, teamID, exportID)
}

// Update changes a subscription. A new secret is in the answer.
func (s *Notifications) Update(ctx context.Context, teamID int64, exportID, id uuid.UUID, c SubscriptionChange) (batch.Subscription, error) {
	before, err := s.Get(ctx, teamID, exportID, id)
	if err != nil {
		return batch.Subscription{}, err
	}
	if c.RotateSecret && before.Kind == batch.KindWebhook {
		c.Secret = SentValue(s.Sender.NewSecret())
	}
	// An address is checked outside of the transaction: its host is looked up.
	after := before
	c.apply(&after, s.Now())
	if c.URL.Is || c.Secret.Is || c.RotateSecret {
		if err := s.check(ctx, after); err != nil {
			return batch.Subscription{}, err
		}
	}
	n, err := s.Store.UpdateSubscription(ctx, teamID, exportID, id, func(n *batch.Subscription) error {
		c.apply(n, s.Now())
		return nil
	})
	return n, missing(err, "Not found.")
}

func (c SubscriptionChange) apply(n *batch.Subscription, now time.Time) {
	if c.Name.Is {
		n.Name = c.Name.Value
	}
	if c.URL.Is {
		n.URL = c.URL.Value
	}
	if c.Secret.Is {
		n.Replace(c.Secret.Value, now)
	}
	if c.RevokeOldSecret {
		n.Forget()
	}
	if c.Events.Is {
		n.Events = ordered(c.Events.Value)
	}
	if c.LateAfter.Is {
		n.LateAfter = c.LateAfter.Value
	}
	if c.Enabled.Is {
		n.Enabled = c.Enabled.Value
	}
}

// Delete removes a subscription. What is on its way to it is not sent any more.
func (s *Notifications) Delete(ctx context.Context, teamID int64, exportID, id uuid.UUID) error {
	if err := s.exists(ctx, teamID, exportID); err != nil {
		return err
	}
	return missing(s.Store.DeleteSubscription(ctx, teamID, exportID, id), "Not found.")
}

// Test sends a notification that says it is a test, now and once, and tells how that went.
func (s *Notifications) Test(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Attempt, error) {
	to, err := s.Get(ctx, teamID, exportID, id)
	if err != nil {
		return batch.Attempt{}, err
	}
	facts := batch.Facts{}
	if exportID != uuid.Nil {
		e, err := s.Store.Export(ctx, teamID, exportID)
		if err != nil {
			return batch.Attempt{}, missing(err, "Not found.")
		}
		facts = batch.Facts{Name: e.Name, Model: e.Model, Interval: e.Frequency, Destination: e.Destination.Type}
	}
	n, message, err := s.Store.CreateTest(ctx, to, facts)
	if err != nil {
		return batch.Attempt{}, err
	}
	attempt := s.Sender.Send(ctx, to, n)
	attempt.Number = 1
	if err := s.Store.SaveAttempt(ctx, message.ID, attempt); err != nil {
		return attempt, err
	}
	if !attempt.Delivered() {
		_, err = s.Store.GiveUpMessage(ctx, message.ID)
	}
	return attempt, err
}

// Messages returns what was sent to a subscription, and how that went.
func (s *Notifications) Messages(ctx context.Context, teamID int64, exportID uuid.UUID, f batch.MessageFilter) ([]batch.Message, error) {
	if _, err := s.Get(ctx, teamID, exportID, f.SubscriptionID); err != nil {
		return nil, err
	}
	return s.Store.ListMessages(ctx, f)
}
