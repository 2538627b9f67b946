package storage_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// subscribe puts a subscription into the database: to an export, or to all when it is zero; to all events unless some are
// given.
func subscribe(t *testing.T, db *storage.DB, exportID uuid.UUID, events ...batch.Event) batch.Subscription {
	t.Helper()
	if len(events) == 0 {
		events = batch.Events
	}
	s := batch.Subscription{
		ID: storagetest.NewID(), TeamID: 1, ExportID: exportID, Name: "n", Kind: batch.KindWebhook, URL: "https://example.com/secret-path",
		Secret: "whsec_secret", OldSecret: "whsec_old", OldSecretUntil: storagetest.Noon, Events: events, LateAfter: 10 * time.Minute, Enabled: true, CreatedAt: storagetest.Noon, LastUpdatedAt: storagetest.Noon,
	}
	require.NoError(t, db.CreateSubscription(t.Context(), s, 20))
	return s
}

// told returns the events of an export's notifications, oldest first.
func told(t *testing.T, db *storage.DB, e batch.Export) []batch.Event {
	t.Helper()
	all, err := db.UnstartedNotifications(t.Context(), e.ID, time.Time{}, 100)
	require.NoError(t, err)
	events := []batch.Event{}
	for _, n := range all {
		events = append(events, n.Event)
	}
	return events
}

// ends begins a run of the hour and ends it with so many rows.
func ends(t *testing.T, db *storage.DB, e batch.Export, hour int, status batch.RunStatus, rows int64) batch.Run {
	t.Helper()
	r := beginRun(t, db, e, storagetest.Hour(hour))
	r, err := db.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error {
		at := storagetest.Hour(hour).End.Add(time.Minute)
		r.Status, r.FinishedAt = status, &at
		if status == batch.RunCompleted {
			r.RowsCompleted = &rows
		} else {
			r.ErrorCode, r.LatestError = batch.CodePermission, "refused"
		}
		return nil
	})
	require.NoError(t, err)
	return r
}

func TestSubscriptionsAreKeptSealed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		e := createExport(t, db)
		s := subscribe(t, db, e.ID)
		all := subscribe(t, db, uuid.Nil, batch.EventLate)
		for _, want := range []batch.Subscription{s, all} {
			got, err := db.Subscription(t.Context(), 1, want.ExportID, want.ID)
			require.NoError(t, err)
			require.Equal(t, want, got)
			list, err := db.ListSubscriptions(t.Context(), 1, want.ExportID)
			require.NoError(t, err)
			require.Equal(t, []batch.Subscription{want}, list)
		}
		for _, elsewhere := range []struct {
			team int64
			of   uuid.UUID
		}{{2, e.ID}, {1, uuid.Nil}, {1, uuid.New()}} {
			_, err := db.Subscription(t.Context(), elsewhere.team, elsewhere.of, s.ID)
			require.ErrorIs(t, err, batch.ErrNotFound)
		}
		require.ErrorIs(t, db.CreateSubscription(t.Context(), s, 1), batch.ErrTooManySubscriptions)
		s.ID, s.ExportID = storagetest.NewID(), uuid.New()
		require.ErrorIs(t, db.CreateSubscription(t.Context(), s, 5), batch.ErrNotFound)

		changed, err := db.UpdateSubscription(t.Context(), 1, uuid.Nil, all.ID, func(s *batch.Subscription) error { s.URL = "https://example.com/other"; return nil })
		require.NoError(t, err)
		require.Equal(t, "https://example.com/other", changed.URL)
		require.NoError(t, db.DeleteSubscription(t.Context(), 1, uuid.Nil, all.ID))
		require.ErrorIs(t, db.DeleteSubscription(t.Context(), 1, uuid.Nil, all.ID), batch.ErrNotFound)

		entries := audited(t, db, batch.AuditFilter{})
		require.Equal(t, []batch.Action{
			batch.ActExportCreated, batch.ActNotificationCreated, batch.ActNotificationCreated, batch.ActNotificationUpdated, batch.ActNotificationDeleted,
		}, actionsOf(entries))
		before, after := changed2(t, entries[3])
		require.Contains(t, before, "fingerprint:")
		require.NotEqual(t, before, after)
	})
}

// changed2 is the one change of an entry.
func changed2(t *testing.T, e batch.AuditEntry) (before, after string) {
	t.Helper()
	require.Len(t, e.Changes, 1)
	return string(e.Changes[0].Before), string(e.Changes[0].After)
}

func TestRunsAreToldOf(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		const (
			completed, failed = batch.RunCompleted, batch.RunFailed
			down, up          = batch.EventFailed, batch.EventRecovered
		)
		type end struct {
			status batch.RunStatus
			rows   int64
		}
		for name, c := range map[string]struct {
			runs []end
			want []batch.Event
		}{
			"all is well":                     {[]end{{completed, 1}, {completed, 1}}, nil},
			"one fails":                       {[]end{{completed, 1}, {failed, 0}}, []batch.Event{down}},
			"two fail, and then it goes on":   {[]end{{failed, 0}, {failed, 0}, {completed, 1}, {completed, 1}}, []batch.Event{down, down, up}},
			"it fails again and again":        {[]end{{failed, 0}, {completed, 1}, {failed, 0}, {completed, 1}}, []batch.Event{down, up, down, up}},
			"one times out":                   {[]end{{batch.RunTimedOut, 0}, {completed, 1}}, []batch.Event{down, up}},
			"somebody cancels one":            {[]end{{batch.RunCancelled, 0}, {completed, 1}, {batch.RunTerminated, 0}}, nil},
			"a cancel between":                {[]end{{failed, 0}, {batch.RunCancelled, 0}, {completed, 1}}, []batch.Event{down, up}},
			"no rows, as nobody knows better": {[]end{{completed, 1}, {completed, 1}, {completed, 0}}, nil},
			"no rows, where there were some":  {[]end{{completed, 1}, {completed, 2}, {completed, 3}, {completed, 0}, {completed, 0}}, []batch.Event{batch.EventZeroRows}},
			"no rows, as often":               {[]end{{completed, 1}, {completed, 0}, {completed, 2}, {completed, 3}, {completed, 0}}, nil},
		} {
			e := createExport(t, db)
			s := subscribe(t, db, e.ID)
			for i, end := range c.runs {
				ends(t, db, e, i+1, end.status, end.rows)
			}
			require.ElementsMatch(t, c.want, told(t, db, e), name)
			messages, err := db.ListMessages(t.Context(), batch.MessageFilter{SubscriptionID: s.ID})
			require.NoError(t, err)
			require.Len(t, messages, len(c.want), name)
		}
	})
}

func TestOnlyThoseAreToldWhoWantIt(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		e, other := createExport(t, db), createExport(t, db)
		wants := []batch.Subscription{subscribe(t, db, e.ID), subscribe(t, db, uuid.Nil, batch.EventFailed)}
		subscribe(t, db, other.ID)
		subscribe(t, db, e.ID, batch.EventLate)
		off := subscribe(t, db, e.ID)
		_, err := db.UpdateSubscription(t.Context(), 1, e.ID, off.ID, func(s *batch.Subscription) error { s.Enabled = false; return nil })
		require.NoError(t, err)
		r := ends(t, db, e, 1, batch.RunFailed, 0)

		all, err := db.UnstartedNotifications(t.Context(), e.ID, time.Time{}, 10)
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, "refused", all[0].Facts.Error)
		require.Equal(t, r.ID, *all[0].Facts.RunID)
		require.Equal(t, r.Interval.Start, *all[0].Facts.Start)
		require.Equal(t, e.Name, all[0].Facts.Name)
		ids, made, err := db.PendingMessages(t.Context(), all[0].ID)
		require.NoError(t, err)
		require.Equal(t, all[0].CreatedAt, made)
		require.Len(t, ids, len(wants))
		var to []uuid.UUID
		for _, id := range ids {
			m, n, s, err := db.Message(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, all[0], n)
			require.Equal(t, batch.MessagePending, m.Status)
			to = append(to, s.ID)
		}
		require.ElementsMatch(t, []uuid.UUID{wants[0].ID, wants[1].ID}, to)
	})
}

// TestARecoveryIsToldOnce lets two runs complete at once after one that failed.
func TestARecoveryIsToldOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		e := createExport(t, db)
		subscribe(t, db, e.ID, batch.EventRecovered)
		ends(t, db, e, 1, batch.RunFailed, 0)
		runs := []batch.Run{beginRun(t, db, e, storagetest.Hour(2)), beginRun(t, db, e, storagetest.Hour(3)), beginRun(t, db, e, storagetest.Hour(4))}
		var done sync.WaitGroup
		for _, r := range runs {
			done.Go(func() {
				_, err := db.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error {
					at, rows := storagetest.Hour(5).End, int64(1)
					r.Status, r.FinishedAt, r.RowsCompleted = batch.RunCompleted, &at, &rows
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		done.Wait()
		require.Equal(t, []batch.Event{batch.EventRecovered}, told(t, db, e))
	})
}

// TestANotificationThatCannotBeWrittenFailsNoRun breaks what notifications are written into.
func TestANotificationThatCannotBeWrittenFailsNoRun(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		var lost []batch.Event
		db = db.WithLost(func(event batch.Event, err error) {
			require.Error(t, err)
			lost = append(lost, event)
		})
		e := createExport(t, db)
		subscribe(t, db, e.ID)
		require.NoError(t, db.Exec(t.Context(), "DROP TABLE message_attempts"))
		require.NoError(t, db.Exec(t.Context(), "DROP TABLE messages"))
		require.Equal(t, batch.RunFailed, ends(t, db, e, 1, batch.RunFailed, 0).Status)
		require.Equal(t, []batch.Event{batch.EventFailed}, lost)
		require.Empty(t, told(t, db, e), "what was written of it is taken back")
	})
}

func TestAnAutomaticPauseIsToldOf(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		e := createExport(t, db)
		subscribe(t, db, uuid.Nil)
		pause := func(act batch.Act, paused bool) {
			_, err := db.UpdateExport(batch.WithAct(t.Context(), act), 1, e.ID, func(e *batch.Export) error { e.Paused = paused; return nil })
			require.NoError(t, err)
		}
		pause(batch.Act{}, true)
		pause(batch.Act{}, false)
		require.Empty(t, told(t, db, e), "a pause that somebody wants")
		pause(batch.Act{Action: batch.ActExportAutoPaused, Note: "too many"}, true)
		require.Equal(t, []batch.Event{batch.EventAutoPaused}, told(t, db, e))
	})
}

func TestALateIntervalIsToldOfOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		e, unwatched := createExport(t, db), createExport(t, db)
		subscribe(t, db, e.ID, batch.EventLate, batch.EventFailed)
		subscribe(t, db, unwatched.ID, batch.EventFailed)
		watched, err := db.WatchedForLateness(t.Context(), uuid.Nil, 10)
		require.NoError(t, err)
		require.Len(t, watched, 1)
		require.Equal(t, e.ID, watched[0].Export.ID)
		require.Equal(t, 10*time.Minute, watched[0].Soonest(e.Frequency))
		tell := func(hour int, by time.Duration) {
			l := batch.Lateness{Interval: storagetest.Hour(hour), Frequency: e.Frequency, By: by}
			require.NoError(t, db.TellLate(t.Context(), e, l))
		}
		tell(1, 9*time.Minute)
		require.Empty(t, told(t, db, e), "it is too early")
		for _, hour := range []int{1, 1, 2, 1} {
			tell(hour, 10*time.Minute)
		}
		require.Equal(t, []batch.Event{batch.EventLate, batch.EventLate}, told(t, db, e))
		_, err = db.UpdateExport(t.Context(), 1, e.ID, func(e *batch.Export) error { e.Paused = true; return nil })
		require.NoError(t, err)
		watched, err = db.WatchedForLateness(t.Context(), uuid.Nil, 10)
		require.NoError(t, err)
		require.Empty(t, watched)
	})
}

// Who wants to know sooner is told sooner, and everybody once.
func TestEachIsToldOfLatenessInTheirOwnTime(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		e := createExport(t, db)
		soon, usual := subscribe(t, db, e.ID, batch.EventLate), subscribe(t, db, uuid.Nil, batch.EventLate)
		_, err := db.UpdateSubscription(t.Context(), 1, uuid.Nil, usual.ID, func(s *batch.Subscription) error { s.LateAfter = 0; return nil })
		require.NoError(t, err)
		messages := func(s batch.Subscription) int {
			list, err := db.ListMessages(t.Context(), batch.MessageFilter{SubscriptionID: s.ID})
			require.NoError(t, err)
			return len(list)
		}
		for _, c := range []struct {
			by   time.Duration
			want []int
		}{{9 * time.Minute, []int{0, 0}}, {10 * time.Minute, []int{1, 0}}, {e.Frequency.LateAfter(), []int{1, 1}}, {24 * time.Hour, []int{1, 1}}} {
			require.NoError(t, db.TellLate(t.Context(), e, batch.Lateness{Interval: storagetest.Hour(1), Frequency: e.Frequency, By: c.by}))
			require.Equal(t, c.want, []int{messages(soon), messages(usual)}, c.by)
		}
		watched, err := db.WatchedForLateness(t.Context(), uuid.Nil, 10)
		require.NoError(t, err)
		require.Equal(t, 10*time.Minute, watched[0].Soonest(e.Frequency))
	})
}

func TestColumnsThatChangeAreToldOf(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		e := createExport(t, db)
		subscribe(t, db, e.ID)
		r := storagetest.Run(e, storagetest.Hour(1))
		record := func(revision int64, columns ...string) {
			r.ID, r.Revision = uuid.New(), revision
			require.NoError(t, db.RecordColumns(t.Context(), r, columns))
		}
		record(2, "uuid", "event")
		record(2, "event", "uuid")
		record(1, "uuid")
		require.Empty(t, told(t, db, e), "the first ones, the same in another order, and those of an older definition are no change")
		record(3, "uuid", "timestamp")
		all, err := db.UnstartedNotifications(t.Context(), e.ID, time.Time{}, 10)
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, batch.EventSchemaChanged, all[0].Event)
		require.Equal(t, []string{"timestamp"}, all[0].Facts.Added)
		require.Equal(t, []string{"event"}, all[0].Facts.Removed)
	})
}
