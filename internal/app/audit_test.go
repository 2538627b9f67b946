package app_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/app"
)

// audited returns what the log says of the world's export, without its creation.
func (w *world) audited(t *testing.T) []batch.AuditEntry {
	t.Helper()
	entries, err := w.ListAudit(t.Context(), batch.AuditFilter{TeamID: w.export.TeamID, ExportID: &w.export.ID})
	require.NoError(t, err)
	return entries[1:]
}

func TestRepairsThatShowAreAudited(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		have    app.Schedule
		listed  bool
		elapsed time.Duration
		actor   batch.ActorKind
		want    []batch.Action
		note    string
	}{
		"nothing came apart":            {have: app.Schedule{Found: true, Revision: 1}, listed: true},
		"somebody removed the schedule": {actor: batch.ActorSystem, want: []batch.Action{batch.ActScheduleRestored}, note: "missing"},
		"somebody changed it": {
			have: app.Schedule{Found: true, Revision: 1, Drifted: true}, listed: true, actor: batch.ActorSystem,
			want: []batch.Action{batch.ActScheduleMended}, note: "changed in Temporal",
		},
		"somebody paused it in Temporal": {
			have: app.Schedule{Found: true, Revision: 1, Paused: true}, listed: true, actor: batch.ActorTemporal,
			want: []batch.Action{batch.ActExportPaused}, note: "Copied",
		},
		"an interval was due": {
			have: app.Schedule{Found: true, Revision: 1}, listed: true, elapsed: 3 * time.Hour, actor: batch.ActorSystem,
			want: []batch.Action{batch.ActIntervalStarted}, note: "begun: 2.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 0)
			require.NoError(t, w.MarkScheduled(t.Context(), w.export.ID, 1))
			w.now = noon.Add(10*time.Minute + c.elapsed - c.elapsed/18)
			if w.temporal.schedule = c.have; c.listed {
				w.temporal.listed[w.export.ID] = c.have.Paused
			}
			w.reconcile(t)
			actions := []batch.Action(nil)
			for _, e := range w.audited(t) {
				actions = append(actions, e.Action)
				require.Equal(t, c.actor, e.Actor.Kind)
				require.Contains(t, e.Note, c.note)
				require.Equal(t, w.export.TeamID, e.TeamID)
			}
			require.Equal(t, c.want, actions)
		})
	}
}

func TestWhoClosesARunIsAudited(t *testing.T) {
	t.Parallel()
	for execution, actor := range map[app.Execution]batch.ActorKind{
		app.ExecutionTerminated: batch.ActorTemporal, app.ExecutionCancelled: batch.ActorTemporal,
		app.ExecutionTimedOut: batch.ActorSystem, app.ExecutionFailed: batch.ActorSystem,
	} {
		w := newWorld(t, 0.5)
		r := w.run(t, batch.Interval{Start: noon.Add(-time.Hour), End: noon}, batch.RunRunning, false)
		w.temporal.runs[r.ID] = execution
		w.temporal.schedule, w.temporal.listed[w.export.ID] = app.Schedule{Found: true, Revision: 1}, false
		require.NoError(t, w.MarkScheduled(t.Context(), w.export.ID, 1))
		w.reconcile(t)
		entries := w.audited(t)
		require.Len(t, entries, 1)
		require.Equal(t, batch.ActRunClosed, entries[0].Action)
		require.Equal(t, actor, entries[0].Actor.Kind)
		require.Equal(t, r.ID, entries[0].SubjectID)
	}
}
