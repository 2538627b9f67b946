package app_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"tranche/batch"
	"tranche/internal/app"
	"tranche/storage/storagetest"
)

// A herald starts workflows of notifications, when it is not broken. One that runs is left alone.
type herald struct {
	broken  error
	started []batch.Notification
	running map[uuid.UUID]bool
}

func (h *herald) StartNotify(_ context.Context, n batch.Notification) error {
	if h.broken == nil && !h.running[n.ID] {
		h.started, h.running[n.ID] = append(h.started, n), true
	}
	return h.broken
}

// watch makes the watch of the world.
func (w *world) watch() (*app.Watch, *herald) {
	h := &herald{running: map[uuid.UUID]bool{}}
	clock := func() time.Time { return w.now }
	return &app.Watch{
		Store: w.DB, Now: clock, Grace: time.Minute,
		Notifier: &app.Notifier{Store: w.DB, Workflows: h, Log: zap.NewNop()},
	}, h
}

// subscribe has somebody told of the events of all exports.
func (w *world) subscribe(t *testing.T, events ...batch.Event) {
	t.Helper()
	require.NoError(t, w.CreateSubscription(t.Context(), batch.Subscription{
		ID: storagetest.NewID(), TeamID: w.export.TeamID, Name: "n", Kind: batch.KindWebhook, URL: "https://example.com", Events: events,
		Enabled: true, CreatedAt: noon, LastUpdatedAt: noon,
	}, 10))
}

func TestALateExportIsToldOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hours float64
		given func(t *testing.T, w *world)
		late  int // the hour of the interval; 0 = none
	}{
		"nothing is due yet":                {hours: 0.9},
		"it is due since a moment":          {hours: 2.2},
		"it is overdue":                     {hours: 2.3, late: 1},
		"it is long overdue":                {hours: 30, late: 1},
		"it was delivered":                  {hours: 2.3, given: func(t *testing.T, w *world) { t.Helper(); w.deliver(t, storagetest.Hour(1)) }},
		"it was delivered, the next wasn't": {hours: 3.3, given: func(t *testing.T, w *world) { t.Helper(); w.deliver(t, storagetest.Hour(1)) }, late: 2},
		"it failed, and the next came": {hours: 3.2, given: func(t *testing.T, w *world) {
			t.Helper()
			w.run(t, storagetest.Hour(1), batch.RunFailed, false)
			w.deliver(t, storagetest.Hour(2))
		}},
		"it failed":            {hours: 2.3, given: func(t *testing.T, w *world) { t.Helper(); w.run(t, storagetest.Hour(1), batch.RunFailed, false) }, late: 1},
		"the export is paused": {hours: 2.3, given: func(t *testing.T, w *world) { t.Helper(); w.update(t, func(e *batch.Export) { e.Paused = true }) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.hours)
			w.subscribe(t, batch.EventLate)
			if c.given != nil {
				c.given(t, w)
			}
			watch, herald := w.watch()
			for range 3 { // it is told once
				require.NoError(t, watch.Pass(t.Context()))
			}
			if c.late == 0 {
				require.Empty(t, herald.started)
				return
			}
			require.Len(t, herald.started, 1)
			require.Equal(t, batch.EventLate, herald.started[0].Event)
			require.Equal(t, storagetest.Hour(c.late).End, *herald.started[0].Facts.End)
		})
	}
}

func TestWhoWantsToKnowSoonerIsToldSooner(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after time.Duration
		hours float64
		told  int
	}{
		"not yet":                            {5 * time.Minute, 1.07, 0},
		"at their time":                      {5 * time.Minute, 1.09, 1},
		"later than the interval would have": {3 * time.Hour, 3.9, 0},
		"and then":                           {3 * time.Hour, 4.1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.hours)
			w.subscribe(t, batch.EventLate)
			list, err := w.ListSubscriptions(t.Context(), w.export.TeamID, uuid.Nil)
			require.NoError(t, err)
			_, err = w.UpdateSubscription(t.Context(), w.export.TeamID, uuid.Nil, list[0].ID, func(s *batch.Subscription) error {
				s.LateAfter = c.after
				return nil
			})
			require.NoError(t, err)
			watch, herald := w.watch()
			for range 2 {
				require.NoError(t, watch.Pass(t.Context()))
			}
			require.Len(t, herald.started, c.told)
		})
	}
}

func TestLatenessIsNotLookedForWhereNobodyWantsToKnow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30)
	w.subscribe(t, batch.EventFailed)
	watch, herald := w.watch()
	require.NoError(t, watch.Pass(t.Context()))
	require.Empty(t, herald.started)
}

func TestANotificationIsStartedLaterWhenTemporalDoesNotAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0.5)
	w.subscribe(t, batch.EventFailed)
	r := w.run(t, batch.Interval{Start: noon.Add(-time.Hour), End: noon}, batch.RunRunning, false)
	_, err := w.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error { r.Status = batch.RunFailed; return nil })
	require.NoError(t, err)
	watch, herald := w.watch()
	herald.broken = errors.New("nobody answers")
	watch.Notifier.Dispatch(t.Context(), w.export.ID)
	require.NoError(t, watch.Pass(t.Context()), "it is not old enough to be looked at")
	w.now = w.now.Add(time.Minute)
	require.Error(t, watch.Pass(t.Context()))
	herald.broken = nil
	require.NoError(t, watch.Pass(t.Context()))
	require.Len(t, herald.started, 1)
	watch.Notifier.Dispatch(t.Context(), w.export.ID)
	require.NoError(t, watch.Pass(t.Context()))
	require.Len(t, herald.started, 1, "once is enough")
	ids, _, err := w.PendingMessages(t.Context(), herald.started[0].ID)
	require.NoError(t, err)
	require.Len(t, ids, 1)
	require.NotEqual(t, uuid.Nil, ids[0])
}

func TestANotificationIsStartedAgainAsLongAsSomethingIsToBeSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0.5)
	w.subscribe(t, batch.EventFailed)
	r := w.run(t, batch.Interval{Start: noon.Add(-time.Hour), End: noon}, batch.RunRunning, false)
	_, err := w.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error { r.Status = batch.RunFailed; return nil })
	require.NoError(t, err)
	watch, herald := w.watch()
	watch.Notifier.Dispatch(t.Context(), w.export.ID)
	require.Len(t, herald.started, 1)
	require.NoError(t, watch.Pass(t.Context()))
	require.Len(t, herald.started, 1, "it is too young to be looked at")
	w.now = w.now.Add(2 * time.Minute)
	for range 2 { // it runs, and then somebody terminates it
		require.NoError(t, watch.Pass(t.Context()))
	}
	require.Len(t, herald.started, 1)
	clear(herald.running)
	require.NoError(t, watch.Pass(t.Context()))
	require.Len(t, herald.started, 2)
	clear(herald.running)
	ids, _, err := w.PendingMessages(t.Context(), herald.started[0].ID)
	require.NoError(t, err)
	require.NoError(t, w.SaveAttempt(t.Context(), ids[0], batch.Attempt{At: w.now, StatusCode: 200}))
	require.NoError(t, watch.Pass(t.Context()))
	require.Len(t, herald.started, 2, "it is delivered")
}
