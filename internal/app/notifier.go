package app

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
)

// NotifierStore is what a Notifier needs of the database.
type NotifierStore interface {
	// UnstartedNotifications returns those of an export; of all exports, when it is zero, those that are older than the time.
	UnstartedNotifications(ctx context.Context, exportID uuid.UUID, before time.Time, limit int) ([]batch.Notification, error)
	MarkNotificationStarted(ctx context.Context, id uuid.UUID) error
}

// NotifierWorkflows is what a Notifier needs of Temporal.
type NotifierWorkflows interface {
	// StartNotify starts the notification's workflow under its fixed id. One that runs already is no error.
	StartNotify(ctx context.Context, n batch.Notification) error
}

// A Notifier starts the workflows of notifications that were written with what they tell of.
type Notifier struct {
	Store     NotifierStore
	Workflows NotifierWorkflows
	Log       *zap.Logger
}

const (
	// dispatchTimeout bounds the start of workflows behind something that has happened already: the reconciler starts what
	// is left.
	dispatchTimeout = 3 * time.Second
	dispatchPage    = 100
)

// Dispatch starts the workflows of an export's new notifications. A failure is left to the reconciler.
func (s *Notifier) Dispatch(ctx context.Context, exportID uuid.UUID) {
	ctx, cancel := context.WithTimeout(ctx, dispatchTimeout)
	defer cancel()
	if _, err := s.start(ctx, exportID, time.Time{}); err != nil {
		s.Log.Warn("The workflow of a notification is not started; the reconciler will start it.",
			zap.Stringer("batch_export_id", exportID), zap.Error(err))
	}
}

// start starts workflows and says of how many.
func (s *Notifier) start(ctx context.Context, exportID uuid.UUID, before time.Time) (int, error) {
	waiting, err := s.Store.UnstartedNotifications(ctx, exportID, before, dispatchPage)
	if err != nil {
		return 0, err
	}
	for i, n := range waiting {
		err := s.Workflows.StartNotify(ctx, n)
		if err == nil {
			err = s.Store.MarkNotificationStarted(ctx, n.ID)
		}
		if err != nil {
			return i, err
		}
	}
	return len(waiting), nil
}

// LatenessStore is what finding late exports needs of the database.
type LatenessStore interface {
	// WatchedForLateness pages through the active exports of which somebody wants to know, by id.
	WatchedForLateness(ctx context.Context, after uuid.UUID, limit int) ([]batch.Export, error)
	// DeliveredUntil returns the end of the last interval that was delivered; zero = none.
	DeliveredUntil(ctx context.Context, exportID uuid.UUID) (time.Time, error)
	Spans(ctx context.Context, exportID uuid.UUID, within batch.Interval) ([]batch.Span, error)
	// TellLate notifies that an interval is late, once.
	TellLate(ctx context.Context, e batch.Export, i batch.Interval) error
	// GiveUpMessages ends messages that are older than the time and that nobody sends any more.
	GiveUpMessages(ctx context.Context, before time.Time) (int64, error)
}

// A Watch finds exports that are late, and notifications whose workflow was not started.
type Watch struct {
	Store    LatenessStore
	Notifier *Notifier
	Now      func() time.Time
	// Grace is how long a notification may be without its workflow: whoever wrote it is about to start it.
	Grace time.Duration
}

// giveUpAfter is how long after it was made a message that is still pending has nobody who sends it.
const giveUpAfter = batch.NotifyFor + time.Hour

// Pass makes one look at everything.
func (w *Watch) Pass(ctx context.Context) error {
	late := each(ctx, w.Store.WatchedForLateness, func(e batch.Export) uuid.UUID { return e.ID }, w.look)
	var left error
	for n := dispatchPage; n == dispatchPage && left == nil; {
		n, left = w.Notifier.start(ctx, uuid.Nil, w.Now().Add(-w.Grace))
	}
	_, given := w.Store.GiveUpMessages(ctx, w.Now().Add(-giveUpAfter))
	return errors.Join(late, left, given)
}

// look notifies when the first interval that was due behind what the export has delivered is overdue.
func (w *Watch) look(ctx context.Context, e batch.Export) error {
	until, err := w.Store.DeliveredUntil(ctx, e.ID)
	if err != nil {
		return err
	}
	now := w.Now()
	spans, err := w.Store.Spans(ctx, e.ID, batch.Interval{Start: until, End: now})
	if err != nil {
		return err
	}
	for _, s := range spans {
		for i := range s.Due(until, now.Add(-s.Frequency.LateAfter())) {
			if err := w.Store.TellLate(ctx, e, i); err != nil {
				return err
			}
			w.Notifier.Dispatch(ctx, e.ID)
			return nil
		}
	}
	return nil
}
