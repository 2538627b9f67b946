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
	// UnfinishedNotifications pages, by id, through those that were started and have messages which are older than the time
	// and still to be sent.
	UnfinishedNotifications(ctx context.Context, before time.Time, after uuid.UUID, limit int) ([]batch.Notification, error)
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

// resume starts workflows again that are over although something is still to be sent: somebody terminated them, or Temporal
// has lost them. It looks at a page behind an id and returns the last one that it saw, zero at the end. One that runs is
// left alone.
func (s *Notifier) resume(ctx context.Context, before time.Time, after uuid.UUID) (uuid.UUID, error) {
	unfinished, err := s.Store.UnfinishedNotifications(ctx, before, after, dispatchPage)
	if err != nil {
		return after, err
	}
	for _, n := range unfinished {
		if err := s.Workflows.StartNotify(ctx, n); err != nil {
			return after, err
		}
		after = n.ID
	}
	if len(unfinished) < dispatchPage {
		return uuid.Nil, nil
	}
	return after, nil
}

// LatenessStore is what finding late exports needs of the database.
type LatenessStore interface {
	// WatchedForLateness pages through the active exports of which somebody wants to know, by id.
	WatchedForLateness(ctx context.Context, after uuid.UUID, limit int) ([]batch.Watched, error)
	// DeliveredUntil returns the end of the last interval that was delivered; zero = none.
	DeliveredUntil(ctx context.Context, exportID uuid.UUID) (time.Time, error)
	Spans(ctx context.Context, exportID uuid.UUID, within batch.Interval) ([]batch.Span, error)
	// TellLate notifies all for whom an interval is late by now, once.
	TellLate(ctx context.Context, e batch.Export, l batch.Lateness) error
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

	// resumed is the notification behind which the next pass looks for those whose workflow is over too early.
	resumed uuid.UUID
}

// giveUpAfter is how long after it was made a message that is still pending has nobody who sends it.
const giveUpAfter = batch.NotifyFor + time.Hour

// Pass makes one look at everything.
func (w *Watch) Pass(ctx context.Context) error {
	late := each(ctx, w.Store.WatchedForLateness, func(e batch.Watched) uuid.UUID { return e.Export.ID }, w.look)
	var left error
	for n := dispatchPage; n == dispatchPage && left == nil; {
		n, left = w.Notifier.start(ctx, uuid.Nil, w.Now().Add(-w.Grace))
	}
	var resumed error
	w.resumed, resumed = w.Notifier.resume(ctx, w.Now().Add(-w.Grace), w.resumed)
	_, given := w.Store.GiveUpMessages(ctx, w.Now().Add(-giveUpAfter))
	return errors.Join(late, left, resumed, given)
}

// look notifies when the first interval that was due behind what the export has delivered is overdue.
func (w *Watch) look(ctx context.Context, watched batch.Watched) error {
	e := watched.Export
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
		for i := range s.Due(until, now.Add(-watched.Soonest(s.Frequency))) {
			if err := w.Store.TellLate(ctx, e, batch.Lateness{Interval: i, Frequency: s.Frequency, By: now.Sub(i.End)}); err != nil {
				return err
			}
			w.Notifier.Dispatch(ctx, e.ID)
			return nil
		}
	}
	return nil
}
