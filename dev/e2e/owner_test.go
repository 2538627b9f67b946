package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"tranche/activities"
	"tranche/batch"
	"tranche/dev/stack"
)

// unhurried lets runs of intervals that are just over begin at once, so that tests need not wait for late rows.
func unhurried(o *stack.Options) {
	limits := activities.Embedded()
	limits.Settle, limits.SettleSubHourly = 0, 0
	o.Limits = &limits
}

// since makes an active export as if it had been created then, and whatever was due since is due now.
func (s *inProcess) since(created time.Time, change func(e *batch.Export)) batch.Export {
	s.t.Helper()
	e := batch.Export{
		ID: uuid.Must(uuid.NewV7()), TeamID: 1, Name: "since " + created.Format(time.RFC3339), Model: batch.ModelEvents,
		Destination: batch.Destination{Type: "File", Config: map[string]any{
			"prefix": uuid.NewString(), "file_format": "JSONLines", "compression": "gzip",
		}},
		Frequency: batch.Hourly, Timezone: "UTC", Revision: 1, CreatedAt: created, LastUpdatedAt: created, LastModifiedBy: 1,
	}
	change(&e)
	require.NoError(s.t, s.DB().CreateExport(s.t.Context(), e))
	return e
}

// handle is the export's schedule.
func (s *inProcess) handle(export uuid.UUID) client.ScheduleHandle {
	return s.Temporal().ScheduleClient().GetHandle(s.t.Context(), export.String())
}

// delivered waits until exactly these intervals are delivered, and every run is over; then it checks that each interval
// was delivered by one run, and that no other interval has a run.
func (s *inProcess) delivered(export uuid.UUID, want []batch.Interval) {
	s.t.Helper()
	have := func() []batch.Interval {
		all, err := s.DB().DeliveredBounds(s.t.Context(), export, batch.Interval{End: time.Now().AddDate(10, 0, 0)})
		require.NoError(s.t, err)
		return all
	}
	until(s.t, workPatience, fmt.Sprintf("%d intervals to be delivered", len(want)), func() bool {
		return len(have()) >= len(want) && len(s.openExecutions(export)) == 0
	})
	require.Equal(s.t, want, have())
	runs := map[int64]int{}
	for _, r := range s.runs(export) {
		require.Equal(s.t, "Completed", r.Status, "%+v", r)
		runs[r.End.Unix()]++
	}
	for _, i := range want {
		require.Equal(s.t, 1, runs[i.End.Unix()], "runs of %s", i)
	}
	require.Len(s.t, runs, len(want))
}

func hours(first time.Time, n int) []batch.Interval {
	var all []batch.Interval
	for range n {
		all = append(all, batch.Interval{Start: first, End: first.Add(time.Hour)})
		first = first.Add(time.Hour)
	}
	return all
}

// An interval that the schedule never began — Temporal was away, its id was taken, its schedule was not up to date — is
// begun by the reconciler, whoever else reaches for it at the same time.
func TestDueIntervalsHaveOneOwnerWhoeverReachesForThem(t *testing.T) {
	t.Parallel()
	s := startStackWith(t, nil, unhurried)
	end := time.Now().UTC().Truncate(time.Hour).Add(-24 * time.Hour)
	first, n := end.Add(-12*time.Hour), 12
	e := s.since(first, func(e *batch.Export) { e.EndAt = &end })
	var racers sync.WaitGroup
	for from := range 3 { // backfills of ranges that overlap
		racers.Go(func() {
			s.backfill(e.ID, first.Add(time.Duration(from)*time.Hour).Format(time.RFC3339), end.Add(-time.Duration(from)*time.Hour).Format(time.RFC3339))
		})
	}
	racers.Go(func() { // what the schedule itself would have started
		until(t, workPatience, "the schedule", func() bool { return s.schedule(e.ID) != nil })
		err := s.handle(e.ID).Backfill(t.Context(), client.ScheduleBackfillOptions{Backfill: []client.ScheduleBackfill{
			{Start: first.Add(time.Minute), End: end.Add(30 * time.Minute)},
		}})
		if err != nil {
			t.Error(err)
		}
	})
	racers.Wait()
	until(t, workPatience, "everything to be over", func() bool {
		if len(s.openExecutions(e.ID)) > 0 {
			return false
		}
		spans, err := s.DB().OverdueSpans(t.Context(), time.Now().AddDate(1, 0, 0), 10)
		require.NoError(t, err)
		return len(spans) == 0
	})
	all, err := s.DB().DeliveredBounds(t.Context(), e.ID, batch.Interval{End: time.Now()})
	require.NoError(t, err)
	require.Equal(t, hours(first, n), all)
	for _, r := range s.runs(e.ID) {
		require.Equal(t, "Completed", r.Status, "%+v", r)
	}
	require.GreaterOrEqual(t, len(s.runs(e.ID)), n)
}

func TestDueIntervalsAreStartedAndOthersAreNot(t *testing.T) {
	t.Parallel()
	s := startStackWith(t, nil, unhurried)
	end := time.Now().UTC().Truncate(time.Hour).Add(-24 * time.Hour)
	first := end.Add(-6 * time.Hour)
	e := s.since(first, func(e *batch.Export) { e.EndAt = &end })
	s.delivered(e.ID, hours(first, 6))
	paused := s.since(first, func(e *batch.Export) { e.EndAt, e.Paused = &end, true })
	other := s.since(first, func(e *batch.Export) { e.EndAt = &end })
	s.delivered(other.ID, hours(first, 6))
	require.Empty(t, s.runs(paused.ID))
}

func TestAChangeOfTheCalendarWhileAnIntervalIsStillToBegin(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]map[string]any{
		"another interval": {"interval": "every 5 minutes"},
		"a longer one":     {"interval": "day"},
		"another offset":   {"interval": "day", "offset_hour": 7},
		"another timezone": {"interval": "day", "timezone": "Asia/Kathmandu"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startStackWith(t, nil, unhurried)
			// Nothing is overdue yet for the reconciler while the change is made: the schedule has not begun them either.
			created := time.Now().UTC().Truncate(time.Hour).Add(-3 * time.Hour)
			e := s.since(created, func(e *batch.Export) { e.Destination.Type = gateType })
			s.do(http.MethodPatch, at(e.ID), change, nil)
			s.gate.open()
			after, err := s.DB().ExportByID(t.Context(), e.ID)
			require.NoError(t, err)
			require.NotNil(t, after.FirstInterval)
			due := hours(created, int(after.FirstInterval.Start.Sub(created)/time.Hour))
			require.NotEmpty(t, due)
			// The newest may still be in the time that its schedule's jitter had: nobody else starts it before that is over.
			if newest := len(due) - 1; time.Since(due[newest].End) < batch.Hourly.Jitter()+time.Minute {
				due = due[:newest]
			}
			s.do(http.MethodPost, at(e.ID)+"/pause", nil, nil) // what comes later is not of interest
			until(t, workPatience, "the intervals before the change", func() bool {
				all, err := s.DB().DeliveredBounds(t.Context(), e.ID, batch.Interval{End: after.FirstInterval.Start})
				require.NoError(t, err)
				return len(all) >= len(due)
			})
			all, err := s.DB().DeliveredBounds(t.Context(), e.ID, batch.Interval{End: time.Now()})
			require.NoError(t, err)
			require.Equal(t, due, all[:len(due)])
			for i := 1; i < len(all); i++ {
				require.Equal(t, all[i-1].End, all[i].Start, "intervals tile across the change")
			}
		})
	}
}

func TestAScheduleTriggeredInTemporalDeliversTheLastCompleteInterval(t *testing.T) {
	t.Parallel()
	s := startStackWith(t, nil, unhurried)
	export := s.create(fileExport("triggered", "hour", "triggered")) // paused: nothing else begins
	last := batch.Interval{End: time.Now().UTC().Truncate(time.Hour)}
	last.Start = last.End.Add(-time.Hour)
	trigger := func() {
		require.NoError(t, s.handle(export).Trigger(t.Context(), client.ScheduleTriggerOptions{Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL}))
	}
	trigger()
	until(t, workPatience, "the last complete interval", func() bool { return s.finished(export) >= 1 })
	r := s.runs(export)[0]
	if !last.Equal(batch.Interval{Start: *r.Start, End: r.End}) {
		last = batch.Interval{Start: last.End, End: last.End.Add(time.Hour)} // the hour was over meanwhile
	}
	require.True(t, last.Equal(batch.Interval{Start: *r.Start, End: r.End}), "%+v", r)
	require.Equal(t, batch.WorkflowID(export, last.End), s.workflowOf(r))

	trigger() // the interval is delivered: who triggers wants it again
	until(t, workPatience, "another run", func() bool { return s.finished(export) >= 2 })
	until(t, endPatience, "the executions to end", func() bool { return len(s.openExecutions(export)) == 0 })
	for _, r := range s.runs(export) {
		require.Zero(t, r.End.Unix()%3600, "%+v", r)
	}
}

// workflowOf is the id of the run's workflow.
func (s *inProcess) workflowOf(r apiRun) string {
	s.t.Helper()
	run, err := s.DB().RunByID(s.t.Context(), r.ID)
	require.NoError(s.t, err)
	return run.WorkflowID
}

func TestPausingInTemporalPausesTheExport(t *testing.T) {
	t.Parallel()
	s := startStack(t, nil)
	settings := fileExport("paused there", "hour", "there")
	settings["paused"] = false
	export := s.create(settings)
	paused := func() bool {
		var e struct{ Paused bool }
		s.do(http.MethodGet, at(export), nil, &e)
		return e.Paused
	}
	require.NoError(t, s.handle(export).Pause(t.Context(), client.SchedulePauseOptions{Note: "an operator's reason"}))
	until(t, workPatience, "the export to be paused", func() bool {
		e, err := s.DB().ExportByID(t.Context(), export)
		require.NoError(t, err)
		return paused() && e.ScheduledRevision == e.Revision
	})
	require.NoError(t, s.handle(export).Unpause(t.Context(), client.ScheduleUnpauseOptions{}))
	until(t, workPatience, "the export to be unpaused", func() bool { return !paused() })
	until(t, endPatience, "the lines", func() bool { return len(s.said(export)) >= 2 })
	lines := strings.Join(s.said(export), "\n")
	require.Contains(t, lines, "Somebody paused the batch export in Temporal.")
	require.Contains(t, lines, "Somebody unpaused the batch export in Temporal.")
	require.False(t, s.schedule(export).Schedule.State.Paused)
}

// said are the texts of the export's own lines.
func (s *inProcess) said(export uuid.UUID) []string {
	s.t.Helper()
	var texts []string
	for _, l := range s.caller.logs(at(export)) {
		texts = append(texts, l.Message)
	}
	return texts
}

func TestAScheduleThatSomebodyEditedInTemporalIsPutAnew(t *testing.T) {
	t.Parallel()
	s := startStack(t, nil)
	export := s.create(fileExport("edited", "day", "edited"))
	for name, edit := range map[string]func(s *client.Schedule){
		"its times":   func(s *client.Schedule) { s.Spec.Calendars[0].Hour = []client.ScheduleRange{{Start: 3}} },
		"its jitter":  func(s *client.Schedule) { s.Spec.Jitter = 0 },
		"its overlap": func(s *client.Schedule) { s.Policy.Overlap = enumspb.SCHEDULE_OVERLAP_POLICY_SKIP },
		"its window":  func(s *client.Schedule) { s.Policy.CatchupWindow = time.Minute },
		"its queue":   func(s *client.Schedule) { s.Action.(*client.ScheduleWorkflowAction).TaskQueue = "elsewhere" },
	} {
		before := s.schedule(export).Schedule
		require.NoError(t, s.handle(export).Update(t.Context(), client.ScheduleUpdateOptions{
			DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
				edit(&in.Description.Schedule)
				return &client.ScheduleUpdate{Schedule: &in.Description.Schedule}, nil
			},
		}), name)
		until(t, workPatience, name, func() bool {
			now := s.schedule(export).Schedule
			return now.Spec.Jitter == before.Spec.Jitter && now.Policy.Overlap == before.Policy.Overlap &&
				now.Policy.CatchupWindow == before.Policy.CatchupWindow && now.Spec.Calendars[0].Hour[0].Start == 0 &&
				now.Action.(*client.ScheduleWorkflowAction).TaskQueue == before.Action.(*client.ScheduleWorkflowAction).TaskQueue
		})
	}
	_, page := s.call(http.MethodGet, s.URL()+"/metrics", nil)
	require.Contains(t, string(page), `tranche_repairs_total{kind="schedule_drifted"}`)
	require.NotContains(t, string(page), `tranche_repairs_total{kind="schedule_drifted"} 0`)
	require.Contains(t, string(page), `tranche_repairs_total{kind="schedule_missing"} 0`)
}

func TestAResetInTemporalDeliversAnew(t *testing.T) {
	t.Parallel()
	events := newEventMaker(21).within(epoch, time.Hour, 60)
	s := startStack(t, events)
	export := s.create(fileExport("reset", "hour", "reset"))
	end := epoch.Add(time.Hour)
	s.completed(export, s.backfill(export, epoch.Format(time.RFC3339), end.Format(time.RFC3339)), workPatience)
	id := batch.WorkflowID(export, end)
	points := s.decisions(id)
	require.Greater(t, len(points), 3)
	for i := range points {
		// Where the history of the newest execution is longer than that of the first, its early points are the same.
		point := s.decisions(id)[i]
		before := s.runs(export)
		s.reset(t.Context(), id, point)
		until(t, workPatience, fmt.Sprintf("a run after a reset to decision %d", i), func() bool {
			return s.finished(export) == len(before)+1 && len(s.openExecutions(export)) == 0
		})
		s.replacedBy(end, before, events)
	}
	// A reset of the last decision of a reset is one too.
	before, last := s.runs(export), s.decisions(id)
	s.reset(t.Context(), id, last[len(last)-1])
	until(t, workPatience, "a run after a reset to the last decision", func() bool { return s.finished(export) == len(before)+1 })
	s.replacedBy(end, before, events)
}

// replacedBy requires that the visible copy is that of a run that was not there before.
func (s *inProcess) replacedBy(end time.Time, before []apiRun, events []event) {
	s.t.Helper()
	found := readDelivered(s.t, s.ExportsDir())
	found.requireEvents(s.t, events)
	m, ok := found.manifestOf(end)
	require.True(s.t, ok)
	for _, r := range before {
		require.NotEqual(s.t, r.ID, m.Run, "the old run's copy is still there")
	}
	swept(s.t, s.ExportsDir())
}

// decisions are the events to which an execution can be reset: its completed workflow tasks.
func (s *inProcess) decisions(id string) []int64 {
	s.t.Helper()
	var all []int64
	history := s.Temporal().GetWorkflowHistory(s.t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		e, err := history.Next()
		require.NoError(s.t, err)
		if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			all = append(all, e.GetEventId())
		}
	}
	return all
}

func (s *inProcess) reset(ctx context.Context, id string, event int64) {
	s.t.Helper()
	_, err := s.Temporal().ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: client.DefaultNamespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id}, Reason: "an operator's doing",
		WorkflowTaskFinishEventId: event, RequestId: uuid.NewString(),
	})
	require.NoError(s.t, err)
}

func TestAResetWhileARunIsUnderWayTakesItsPlace(t *testing.T) {
	t.Parallel()
	events := newEventMaker(22).within(epoch, time.Hour, 60)
	s := startStack(t, events)
	export := s.create(gatedExport("underway"))
	end := epoch.Add(time.Hour)
	s.backfill(export, epoch.Format(time.RFC3339), end.Format(time.RFC3339))
	s.atGate(1)
	id := batch.WorkflowID(export, end)
	points := s.decisions(id)
	s.reset(t.Context(), id, points[len(points)-1])
	s.gate.open()
	until(t, workPatience, "the new run", func() bool { return s.finished(export) >= 1 && len(s.openExecutions(export)) == 0 })
	until(t, workPatience, "the old run to end", func() bool {
		for _, r := range s.runs(export) {
			if r.FinishedAt == nil {
				return false
			}
		}
		return true
	})
	readDelivered(t, s.ExportsDir()).requireEvents(t, events)
	swept(t, s.ExportsDir())
}

func TestAResetOfACancelledRunDeliversItsInterval(t *testing.T) {
	t.Parallel()
	events := newEventMaker(23).within(epoch, time.Hour, 60)
	s := startStack(t, events)
	export := s.create(gatedExport("cancelled"))
	end := epoch.Add(time.Hour)
	s.backfill(export, epoch.Format(time.RFC3339), end.Format(time.RFC3339))
	s.atGate(1)
	s.do(http.MethodPost, at(export)+"/runs/"+s.runs(export)[0].ID.String()+"/cancel", nil, nil)
	until(t, workPatience, "the cancel", func() bool { return len(s.openExecutions(export)) == 0 })
	s.gate.open()
	id := batch.WorkflowID(export, end)
	points := s.decisions(id)
	s.reset(t.Context(), id, points[len(points)-1])
	until(t, workPatience, "the new run", func() bool { return s.finished(export) == 1 })
	readDelivered(t, s.ExportsDir()).requireEvents(t, events)
}
