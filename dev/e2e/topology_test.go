package e2e

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"

	"tranche/batch"
	"tranche/dev/temporal"
	"tranche/workflows"
)

// severalSplits is a number of rows that a PostgreSQL source cuts in two.
const severalSplits = 100_100

// processOf is the process of a worker, by what it calls itself in Temporal: pid@host@queue.
func processOf(t *testing.T, identity string) int {
	t.Helper()
	text, _, _ := strings.Cut(identity, "@")
	pid, err := strconv.Atoi(text)
	require.NoError(t, err, identity)
	return pid
}

// stagers waits until as many processes stage splits of a run at once, and returns them.
func (d *deployment) stagers(workflowID string, count int) (pids []int) {
	d.t.Helper()
	until(d.t, workPatience, "workers to stage one run", func() bool {
		execution, err := d.temporal.DescribeWorkflowExecution(d.t.Context(), workflowID, "")
		if err != nil {
			return false // it is about to start
		}
		pids = nil
		for _, a := range execution.GetPendingActivities() {
			if a.GetActivityType().GetName() == "Stage" && a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED {
				pids = append(pids, processOf(d.t, a.GetLastWorkerIdentity()))
			}
		}
		slices.Sort(pids)
		pids = slices.Compact(pids)
		return len(pids) == count
	})
	return pids
}

// history is what Temporal recorded of an execution.
func (d *deployment) history(workflowID string) (events []*history.HistoryEvent) {
	d.t.Helper()
	all := d.temporal.GetWorkflowHistory(d.t.Context(), workflowID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for all.HasNext() {
		event, err := all.Next()
		require.NoError(d.t, err)
		events = append(events, event)
	}
	return events
}

// staged are the processes that staged the splits of a run to the end.
func (d *deployment) staged(workflowID string) (pids []int) {
	d.t.Helper()
	stages := map[int64]bool{}
	for _, e := range d.history(workflowID) {
		if scheduled := e.GetActivityTaskScheduledEventAttributes(); scheduled.GetActivityType().GetName() == "Stage" {
			stages[e.GetEventId()] = true
		}
		if started := e.GetActivityTaskStartedEventAttributes(); stages[started.GetScheduledEventId()] {
			pids = append(pids, processOf(d.t, started.GetIdentity()))
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// hold makes everybody wait who reads a row, until the function that it returns is called.
func (d *deployment) hold() (release func()) {
	d.t.Helper()
	_, err := d.events.Exec(d.t.Context(), "SELECT pg_advisory_lock(1)")
	require.NoError(d.t, err)
	return func() {
		d.t.Helper()
		_, err := d.events.Exec(d.t.Context(), "SELECT pg_advisory_unlock(1)")
		require.NoError(d.t, err)
	}
}

// numberedExport is fileExport with files that are cut at a size, so that a run has several splits.
func numberedExport(name string) map[string]any {
	settings := fileExport(name, "hour", "hours")
	settings["destination"].(map[string]any)["config"].(map[string]any)["max_file_size_mb"] = 1
	return settings
}

func (d *deployment) backfillHour(export uuid.UUID, start time.Time) uuid.UUID {
	d.t.Helper()
	return d.backfill(export, start.Format(time.RFC3339), start.Add(time.Hour).Format(time.RFC3339))
}

// The topology of docker-compose.yml as processes: an API, two workers, Tranche's database and Temporal's in PostgreSQL. Both
// workers stage splits of one run; then one of them is killed in mid-run and Temporal is started anew.
func TestTwoWorkersShareARunAndSurviveTheLossOfOneAndOfTemporal(t *testing.T) {
	t.Parallel()
	maker := newEventMaker(14)
	first, second := epoch.Add(time.Hour), epoch.Add(2*time.Hour)
	events := append(maker.within(epoch, time.Hour, severalSplits), maker.within(first, time.Hour, severalSplits)...)
	stores := temporal.Stores{Main: postgres.Database(t), Visibility: postgres.Database(t)}
	server := temporal.StartOnStoresForTest(t, stores, 0, workflows.SearchAttributes())
	d := deployOn(t, server.HostPort(), events)
	d.environment = append(d.environment, "TRANCHE_BACKFILL_SLOTS=1") // none of them can take two splits
	api := d.start()
	workers := map[int]*program{}
	for range 2 {
		w, address := d.serve("worker")
		d.requireReady(address)
		workers[w.Command.Process.Pid] = w
	}
	export := d.create(numberedExport("both workers"))

	release := d.hold()
	backfill := d.backfillHour(export, epoch)
	d.stagers(batch.WorkflowID(export, first), 2)
	release()
	d.completed(export, backfill, workPatience)
	pids := d.staged(batch.WorkflowID(export, first))
	require.Len(t, pids, 2, "both workers staged splits of the run")
	for _, pid := range pids {
		require.Contains(t, workers, pid)
	}

	release = d.hold()
	backfill = d.backfillHour(export, first)
	victim := d.stagers(batch.WorkflowID(export, second), 2)[0]
	workers[victim].Kill()
	require.NoError(t, server.Stop())
	_, port, _ := strings.Cut(server.HostPort(), ":")
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	temporal.StartOnStoresForTest(t, stores, number, workflows.SearchAttributes())
	release()
	d.completed(export, backfill, workPatience)
	delete(workers, victim)
	for _, pid := range d.staged(batch.WorkflowID(export, second)) {
		require.Contains(t, workers, pid, "the worker that is left staged all of it")
	}
	readDelivered(t, d.files).requireEvents(t, events)
	require.Len(t, d.runs(export), 2, "each hour has one run")
	for _, w := range workers {
		code, _ := w.terminate()
		require.Zero(t, code, "%s", w.stderr.String())
	}
	code, _ := api.terminate()
	require.Zero(t, code, "%s", api.stderr.String())
}
