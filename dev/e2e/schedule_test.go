package e2e

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/client"

	"tranche/batch"
)

// schedule describes an export's schedule; nil = there is none.
func (s *inProcess) schedule(export uuid.UUID) *client.ScheduleDescription {
	s.t.Helper()
	d, err := s.Temporal().ScheduleClient().GetHandle(s.t.Context(), export.String()).Describe(s.t.Context())
	if err != nil {
		return nil
	}
	return d
}

func TestEveryExportHasItsSchedule(t *testing.T) {
	t.Parallel()
	s := startStack(t, nil)
	for interval, c := range map[string]struct {
		more  map[string]any
		every time.Duration
		// due says whether an instant is one at which the schedule may fire, before jitter.
		due func(local time.Time) bool
		in  string
	}{
		"hour":            {every: time.Hour, in: "UTC"},
		"every 5 minutes": {every: 5 * time.Minute, in: "UTC"},
		"day": {
			more: map[string]any{"timezone": "America/New_York", "offset_hour": 5}, in: "America/New_York",
			due: func(local time.Time) bool { return local.Hour() == 5 },
		},
		"week": {
			more: map[string]any{"timezone": "Asia/Kathmandu", "offset_day": 3, "offset_hour": 22}, in: "Asia/Kathmandu",
			due: func(local time.Time) bool { return local.Weekday() == time.Wednesday && local.Hour() == 22 },
		},
	} {
		settings := fileExport(interval, interval, "")
		for key, value := range c.more {
			settings[key] = value
		}
		export := s.create(settings)
		d := s.schedule(export)
		require.NotNil(t, d, interval)
		require.True(t, d.Schedule.State.Paused, interval)
		require.Positive(t, d.Schedule.Spec.Jitter, interval)
		location, err := time.LoadLocation(c.in)
		require.NoError(t, err)
		if c.due == nil {
			require.Len(t, d.Schedule.Spec.Intervals, 1, interval)
			require.Equal(t, c.every, d.Schedule.Spec.Intervals[0].Every)
			require.Zero(t, d.Schedule.Spec.Intervals[0].Offset)
		} else {
			require.Equal(t, c.in, d.Schedule.Spec.TimeZoneName)
			require.Len(t, d.Schedule.Spec.Calendars, 1)
		}
		s.do(http.MethodPost, at(export)+"/unpause", nil, nil)
		d = s.schedule(export)
		require.False(t, d.Schedule.State.Paused, interval)
		require.NotEmpty(t, d.Info.NextActionTimes, interval)
		for _, next := range d.Info.NextActionTimes {
			if c.due != nil {
				require.True(t, c.due(next.In(location)), "%s fires at %s", interval, next.In(location))
			}
		}
		s.do(http.MethodPost, at(export)+"/pause", nil, nil)
		require.True(t, s.schedule(export).Schedule.State.Paused, interval)
		s.do(http.MethodDelete, at(export), nil, nil)
		until(t, endPatience, "the end of the schedule", func() bool { return s.schedule(export) == nil })
	}
}

func TestTheReconcilerMendsWhatComesApart(t *testing.T) {
	t.Parallel()
	events := newEventMaker(6).within(epoch, 3*time.Hour, 40)
	s := startStack(t, events)

	export := s.create(fileExport("kept", "hour", "kept"))
	require.NoError(t, s.Temporal().ScheduleClient().GetHandle(t.Context(), export.String()).Delete(t.Context()))
	until(t, workPatience, "the schedule to come back", func() bool { return s.schedule(export) != nil })
	require.True(t, s.schedule(export).Schedule.State.Paused)

	start, end, now := epoch, epoch.Add(3*time.Hour), time.Now().UTC().Truncate(time.Microsecond)
	b := batch.Backfill{
		ID: uuid.Must(uuid.NewV7()), ExportID: export, TeamID: 1, StartAt: &start, EndAt: &end,
		Status: batch.BackfillStarting, Concurrency: 2, CreatedAt: now, LastUpdatedAt: now,
	}
	require.NoError(t, s.DB().CreateBackfill(t.Context(), b, 5))
	s.completed(export, b.ID, workPatience)
	readDelivered(t, s.ExportsDir()).requireEvents(t, events)
}

func TestATerminatedWorkflowIsATerminatedRun(t *testing.T) {
	t.Parallel()
	events := newEventMaker(7).within(epoch, time.Hour, 40)
	s := startStack(t, events)
	export := s.create(gatedExport("stopped"))
	backfill := s.backfill(export, epoch.Format(time.RFC3339), epoch.Add(time.Hour).Format(time.RFC3339))
	s.atGate(1)
	require.NoError(t, s.Temporal().TerminateWorkflow(t.Context(), batch.WorkflowID(export, epoch.Add(time.Hour)), "", "an operator's doing"))
	until(t, workPatience, "the run to be terminated", func() bool {
		runs := s.runs(export)
		require.Len(t, runs, 1)
		return runs[0].Status == "Terminated"
	})
	run := s.runs(export)[0]
	require.NotNil(t, run.FinishedAt)
	require.Contains(t, *run.LatestError, "terminated")
	until(t, workPatience, "the backfill to end", func() bool { return s.getBackfill(export, backfill).over() })
	require.Equal(t, "Failed", s.getBackfill(export, backfill).Status)
	require.Empty(t, readDelivered(t, s.ExportsDir()).files)

	s.gate.open()
	swept(t, s.ExportsDir())
	var made struct {
		ID uuid.UUID `json:"backfill_id"`
	}
	s.do(http.MethodPost, at(export)+"/runs/"+run.ID.String()+"/retry", nil, &made)
	s.completed(export, made.ID, workPatience)
	readDelivered(t, s.ExportsDir()).requireEvents(t, events)
}

func TestACancelledBackfillStopsWithItsRuns(t *testing.T) {
	t.Parallel()
	events := newEventMaker(8).within(epoch, 500*time.Hour, 2000)
	s := startStack(t, events)
	export := s.create(fileExport("cancelled", "hour", "cancelled"))
	bounds := []string{epoch.Format(time.RFC3339), epoch.Add(500 * time.Hour).Format(time.RFC3339)}
	backfill := s.backfill(export, bounds[0], bounds[1])
	until(t, workPatience, "some runs", func() bool { return s.finished(export) >= 5 })
	s.cancelBackfill(export, backfill)
	s.requireCancelled(export, backfill)

	// The same for runs that are at work: none may publish.
	held := s.create(gatedExport("held"))
	backfill = s.backfill(held, bounds[0], bounds[1])
	s.atGate(4)
	s.cancelBackfill(held, backfill)
	s.requireCancelled(held, backfill)
	for _, r := range s.runs(held) {
		require.True(t, r.Status == "Cancelled" || *r.Rows == 0, "only an hour without rows passes the gate: %+v", r)
	}
	require.NoDirExists(t, filepath.Join(s.ExportsDir(), "held"))

	// While another backfill runs to its end, nothing comes back to life.
	first, second := s.runs(export), s.runs(held)
	other := s.create(fileExport("other", "hour", "other"))
	s.completed(other, s.backfill(other, bounds[0], epoch.Add(10*time.Hour).Format(time.RFC3339)), workPatience)
	require.Equal(t, first, s.runs(export))
	require.Equal(t, second, s.runs(held))
	readDelivered(t, s.ExportsDir())
	swept(t, s.ExportsDir())
}

func (s *inProcess) cancelBackfill(export, backfill uuid.UUID) {
	s.t.Helper()
	var answer struct{ Cancelled bool }
	s.do(http.MethodPost, at(export)+"/backfills/"+backfill.String()+"/cancel", nil, &answer)
	require.True(s.t, answer.Cancelled)
	require.Equal(s.t, "Cancelled", s.getBackfill(export, backfill).Status)
}

// requireCancelled waits until Temporal has closed everything of the export, and checks that the API agrees.
func (s *inProcess) requireCancelled(export, backfill uuid.UUID) {
	s.t.Helper()
	until(s.t, workPatience, "the workflows to end", func() bool { return len(s.openExecutions(export)) == 0 })
	require.Equal(s.t, "Cancelled", s.getBackfill(export, backfill).Status)
	delivered := readDelivered(s.t, s.ExportsDir())
	for _, r := range s.runs(export) {
		switch r.Status {
		case "Completed":
			m, ok := delivered.manifestOf(r.End)
			require.Equal(s.t, *r.Rows > 0, ok)
			require.Equal(s.t, m.Rows, *r.Rows)
		case "Cancelled":
		default:
			require.FailNow(s.t, "a run is neither whole nor cancelled", "%+v", r)
		}
	}
	again := s.refused(http.StatusBadRequest, http.MethodPost, at(export)+"/backfills/"+backfill.String()+"/cancel", nil)
	require.Contains(s.t, again.Detail, "Cancelled")
}

func TestTemporalTellsWhatARunDid(t *testing.T) {
	t.Parallel()
	events := newEventMaker(9).within(epoch, 2*time.Hour, 50)
	s := startStack(t, events)
	export, other := s.create(fileExport("told", "hour", "told")), s.create(fileExport("other", "hour", "other"))
	for _, e := range []uuid.UUID{export, other} {
		s.completed(e, s.backfill(e, epoch.Format(time.RFC3339), epoch.Add(2*time.Hour).Format(time.RFC3339)), workPatience)
	}
	// A run and its workflow end one after the other.
	until(t, endPatience, "the workflows to end", func() bool { return len(s.openExecutions(export)) == 0 })
	found := s.executions(fmt.Sprintf("TrancheBatchExport = '%s' AND WorkflowType = 'ExportInterval'", export))
	require.Len(t, found, 2)
	backfills := s.executions(fmt.Sprintf("TrancheBatchExport = '%s' AND WorkflowType = 'Backfill'", export))
	require.Len(t, backfills, 1)
	for _, r := range s.runs(export) {
		mine := s.executions(fmt.Sprintf("TrancheRun = '%s'", r.ID))
		require.Len(t, mine, 1)
		id := mine[0].GetExecution()
		require.Equal(t, batch.WorkflowID(export, r.End), id.GetWorkflowId())
		summary, details := s.told(t.Context(), id.GetWorkflowId(), id.GetRunId())
		require.Contains(t, summary, r.Start.UTC().Format("2006-01-02T15:04"))
		require.Contains(t, details, fmt.Sprintf("Delivered %d rows, %d bytes, in 1 files.", *r.Rows, *r.Bytes))
		require.Contains(t, details, "events to File")
	}
	id := backfills[0].GetExecution()
	summary, details := s.told(t.Context(), id.GetWorkflowId(), id.GetRunId())
	require.True(t, strings.HasPrefix(summary, "Backfill batch export from 2025-03-03T00:00:00Z"), summary)
	require.Contains(t, details, "2 of 2 intervals")
}

// told returns the static summary and the current details of an execution, as Temporal's Web UI shows them.
func (s *inProcess) told(ctx context.Context, id, runID string) (summary, details string) {
	s.t.Helper()
	d, err := s.Temporal().DescribeWorkflow(ctx, id, runID)
	require.NoError(s.t, err)
	summary, err = d.GetStaticSummary()
	require.NoError(s.t, err)
	answer, err := s.Temporal().QueryWorkflow(ctx, id, runID, "__temporal_workflow_metadata")
	require.NoError(s.t, err)
	var metadata sdk.WorkflowMetadata
	require.NoError(s.t, answer.Get(&metadata))
	return summary, metadata.GetCurrentDetails()
}
