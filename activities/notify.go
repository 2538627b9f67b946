package activities

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.uber.org/zap"

	"tranche/batch"
)

// NotificationStore is what the activities of notifications need of the database.
type NotificationStore interface {
	// PendingMessages returns the ids of a notification's messages that are still to be sent, and when they were made.
	PendingMessages(ctx context.Context, notificationID uuid.UUID) ([]uuid.UUID, time.Time, error)
	// Message returns a message, what it tells, and to whom; nil = the subscription is there no more.
	Message(ctx context.Context, id uuid.UUID) (batch.Message, batch.Notification, *batch.Subscription, error)
	SaveAttempt(ctx context.Context, id uuid.UUID, a batch.Attempt) error
	// GiveUpMessage ends a message that is not delivered, and says whether it was pending.
	GiveUpMessage(ctx context.Context, id uuid.UUID) (bool, error)
}

// A Sender posts notifications.
type Sender interface {
	Send(ctx context.Context, to batch.Subscription, n batch.Notification) batch.Attempt
}

// NotificationMetrics counts what becomes of notifications.
type NotificationMetrics interface {
	Notified(event batch.Event, outcome string)
}

// The outcomes of a try to send a notification, as the metric names them.
const (
	OutcomeDelivered = "delivered"
	OutcomeRetried   = "retried" // it failed, and is tried again
	OutcomeGivenUp   = "given_up"
	OutcomeLost      = "lost" // it could not be written beside what it is about
)

// Notices has what the activities of notifications need. Its methods are registered with the worker. What a message says
// and where it goes is read here and nowhere else: a workflow knows ids.
type Notices struct {
	Store   NotificationStore
	Sender  Sender
	Metrics NotificationMetrics
	Log     *zap.Logger
	Now     func() time.Time
}

// NotificationInput names a notification.
type NotificationInput struct {
	NotificationID uuid.UUID `json:"notification_id"`
}

// Addressed are the messages of a notification that are to be sent.
type Addressed struct {
	MessageIDs []uuid.UUID `json:"message_ids"`
	// Patience is for how long each is tried, Try how long one try may take.
	Patience time.Duration `json:"patience"`
	Try      time.Duration `json:"try"`
}

// sendTry is how long a try may take, our database included. What is nearly a day old has as long for its last one.
const sendTry = time.Minute

// Address says which messages of a notification are to be sent.
func (a *Notices) Address(ctx context.Context, in NotificationInput) (Addressed, error) {
	ids, made, err := a.Store.PendingMessages(ctx, in.NotificationID)
	if err != nil {
		return Addressed{}, applicationError(err)
	}
	// A workflow that takes the place of one that somebody terminated has what is left of the day.
	return Addressed{MessageIDs: ids, Patience: max(batch.NotifyFor-a.Now().Sub(made), sendTry), Try: sendTry}, nil
}

// MessageInput names a message.
type MessageInput struct {
	MessageID uuid.UUID `json:"message_id"`
}

// Sent is what became of a message.
type Sent struct {
	Status batch.MessageStatus `json:"status"`
	// StatusCode is what the receiver answered; 0 = nothing.
	StatusCode int `json:"status_code"`
}

// SendMessage makes one try to send a message, and writes down how it went. A try that failed is an error, so that
// Temporal makes the next one. A message whose subscription is gone or disabled is not sent any more.
func (a *Notices) SendMessage(ctx context.Context, in MessageInput) (Sent, error) {
	message, n, to, err := a.Store.Message(ctx, in.MessageID)
	if errors.Is(err, batch.ErrNotFound) {
		return Sent{Status: batch.MessageFailed}, nil // it was too old to be kept
	}
	if err != nil {
		return Sent{}, applicationError(err)
	}
	if message.Status != batch.MessagePending {
		return Sent{Status: message.Status}, nil
	}
	if to == nil || !to.Enabled {
		return a.giveUp(ctx, in.MessageID, n.Event)
	}
	attempt := a.Sender.Send(ctx, *to, n)
	// The worker may be stopping: what was sent is written down all the same.
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if err := a.Store.SaveAttempt(saving, in.MessageID, attempt); err != nil {
		return Sent{}, applicationError(err)
	}
	if attempt.Delivered() {
		a.Metrics.Notified(n.Event, OutcomeDelivered)
		return Sent{Status: batch.MessageDelivered, StatusCode: attempt.StatusCode}, nil
	}
	a.Log.Info("A notification was not taken.", zap.Stringer("message_id", in.MessageID), zap.Stringer("subscription_id", to.ID),
		zap.Int32("attempt", activity.GetInfo(ctx).Attempt), zap.Int("status_code", attempt.StatusCode), zap.String("reason", attempt.Error))
	if attempt.Final {
		return a.giveUp(saving, in.MessageID, n.Event)
	}
	a.Metrics.Notified(n.Event, OutcomeRetried)
	return Sent{}, temporal.NewApplicationErrorWithOptions(attempt.Error, string(batch.CodeUnavailable), temporal.ApplicationErrorOptions{
		NextRetryDelay: attempt.RetryAfter, Category: temporal.ApplicationErrorCategoryBenign,
	})
}

// saveTimeout bounds the writing of what was done already.
const saveTimeout = 10 * time.Second

// GiveUpMessage ends a message for which the time is up.
func (a *Notices) GiveUpMessage(ctx context.Context, in MessageInput) (Sent, error) {
	_, n, _, err := a.Store.Message(ctx, in.MessageID)
	if errors.Is(err, batch.ErrNotFound) {
		return Sent{Status: batch.MessageFailed}, nil
	}
	if err != nil {
		return Sent{}, applicationError(err)
	}
	return a.giveUp(ctx, in.MessageID, n.Event)
}

func (a *Notices) giveUp(ctx context.Context, id uuid.UUID, event batch.Event) (Sent, error) {
	changed, err := a.Store.GiveUpMessage(ctx, id)
	if err != nil {
		return Sent{}, applicationError(err)
	}
	if changed {
		a.Metrics.Notified(event, OutcomeGivenUp)
	}
	return Sent{Status: batch.MessageFailed}, nil
}
