package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"tranche/dev/stack"
)

// theOther is where the exports of another team are.
const theOther = "/api/projects/2/batch_exports"

// A backfill of ten thousand intervals whose tasks take every slot that they can have, and never give it back, keeps no
// schedule of another team waiting: not for a single task.
func TestABackfillOfTenThousandIntervalsDoesNotDelayAnotherTeamsSchedule(t *testing.T) {
	t.Parallel()
	const hours = 10_000
	maker := newEventMaker(41)
	var events []event
	for hour := range hours {
		events = append(events, maker.at(epoch.Add(time.Duration(hour)*time.Hour)))
	}
	s := startStack(t, events)
	require.NoError(t, s.DB().EnsureProject(t.Context(), 1, 2, 1))
	export := s.create(gatedExport("many"))
	backfill := s.backfill(export, epoch.Format(time.RFC3339), epoch.Add(hours*time.Hour).Format(time.RFC3339))
	s.atGate(4) // all slots of backfills
	b := s.getBackfill(export, backfill)
	require.Equal(t, "Running", b.Status)
	require.EqualValues(t, hours, b.Progress.Total)

	var made struct{ ID uuid.UUID }
	s.do(http.MethodPost, theOther, fileExport("scheduled", "hour", "other"), &made)
	run := s.scheduled(made.ID)
	require.Equal(t, "Completed", run.Status)

	// Nothing of the backfill has gone on meanwhile, and none of its tasks are where schedules run.
	require.Zero(t, s.finished(export))
	require.Empty(t, s.executions(fmt.Sprintf("TaskQueue = 'tranche-exports' AND TrancheBatchExport = '%s'", export)))
	s.ranked(made.ID, "team-2", 2)
	s.ranked(export, "team-1", 4)
	s.do(http.MethodPost, at(export)+"/backfills/"+backfill.String()+"/cancel", nil, nil)
	s.gate.open()
}

// scheduled lets the schedule of the other team's export start its last complete interval, and waits for the end.
func (s *inProcess) scheduled(export uuid.UUID) apiRun {
	s.t.Helper()
	schedule := s.Temporal().ScheduleClient().GetHandle(s.t.Context(), export.String())
	now := time.Now().UTC().Truncate(time.Hour).Add(-time.Hour) // long past: it does not wait for late rows
	require.NoError(s.t, schedule.Backfill(s.t.Context(), client.ScheduleBackfillOptions{Backfill: []client.ScheduleBackfill{{
		Start: now.Add(-time.Minute), End: now.Add(20 * time.Minute), Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL,
	}}}))
	var runs struct{ Results []apiRun }
	until(s.t, workPatience, "the end of the scheduled run", func() bool {
		s.do(http.MethodGet, theOther+"/"+export.String()+"/runs", nil, &runs)
		return len(runs.Results) == 1 && runs.Results[0].FinishedAt != nil
	})
	return runs.Results[0]
}

// ranked requires that all executions of an export carry the fairness key of their team and the rank.
func (s *inProcess) ranked(export uuid.UUID, key string, rank int32) {
	s.t.Helper()
	var found int
	until(s.t, workPatience, "the executions to be listed", func() bool {
		executions := s.executions(fmt.Sprintf("TrancheBatchExport = '%s'", export))
		found = len(executions)
		for _, e := range executions {
			d, err := s.Temporal().DescribeWorkflowExecution(s.t.Context(), e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId())
			require.NoError(s.t, err)
			priority := d.GetWorkflowExecutionInfo().GetPriority()
			require.Equal(s.t, key, priority.GetFairnessKey(), e.GetType().GetName())
			require.Equal(s.t, rank, priority.GetPriorityKey(), e.GetType().GetName())
		}
		return found > 0
	})
}

// A run that has to wait for others of its export says so, in the API and in its log, and goes on by itself.
func TestARunThatHasToWaitSaysSo(t *testing.T) {
	t.Parallel()
	s := startStackWith(t, newEventMaker(42).within(epoch, 3*time.Hour, 60), func(o *stack.Options) { o.Concurrency.PerExport = 2 })
	export := s.create(gatedExport("narrow"))
	backfill := s.backfill(export, epoch.Format(time.RFC3339), epoch.Add(3*time.Hour).Format(time.RFC3339))
	s.atGate(1)
	const full = "1 runs of this batch export work already, and the limit is 2"
	var waiting []uuid.UUID
	until(t, workPatience, "the others to wait", func() bool {
		var page struct {
			Results []struct {
				ID         uuid.UUID
				WaitingFor *string `json:"waiting_for"`
			}
		}
		s.do(http.MethodGet, at(export)+"/runs", nil, &page)
		waiting = nil
		for _, r := range page.Results {
			if r.WaitingFor != nil {
				require.Equal(t, full, *r.WaitingFor)
				waiting = append(waiting, r.ID)
			}
		}
		return len(waiting) == 2
	})
	until(t, workPatience, "the line in its log", func() bool {
		for _, line := range s.caller.logs(at(export) + "/runs/" + waiting[0].String()) {
			if line.Level == "INFO" && len(line.Message) > len(full) && line.Message[len(line.Message)-len(full)-1:] == full+"." {
				return true
			}
		}
		return false
	})
	s.gate.open()
	s.completed(export, backfill, workPatience)
	require.Equal(t, 3, s.finished(export))
}
