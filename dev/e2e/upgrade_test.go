package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/history/v1"

	"tranche/batch"
	"tranche/workflows"
)

// deciders are the processes that executed the workflow tasks of an execution.
func deciders(t *testing.T, events []*history.HistoryEvent) map[int]bool {
	t.Helper()
	pids := map[int]bool{}
	for _, e := range events {
		if completed := e.GetWorkflowTaskCompletedEventAttributes(); completed != nil {
			pids[processOf(t, completed.GetIdentity())] = true
		}
	}
	return pids
}

// An upgrade is two versions of the worker side by side, and a run of the old one in flight.
type upgrade struct {
	*deployment
	old, new *program
	first    string // the run in flight: its workflow id
	finish   func() // lets it go on and waits for both backfills
}

// startUpgrade brings a run in flight on version 1.0, then starts version 2.0 and gives it new work.
func startUpgrade(t *testing.T, versioning string) *upgrade {
	t.Helper()
	events := newEventMaker(15).within(epoch, 2*time.Hour, 200)
	u := &upgrade{deployment: deploy(t, events)}
	u.environment = append(u.environment, "TRANCHE_VERSIONING="+versioning)
	u.start()
	var address string
	u.old, address = u.serve("worker", "--build-id", "1.0")
	u.requireReady(address)
	u.run("deployment", "promote", "1.0")

	release := u.hold()
	export := u.create(fileExport("upgrade", "hour", "hours"))
	backfills := []struct{ id, workflow string }{}
	begin := func(start time.Time, on *program) {
		t.Helper()
		id, workflow := u.backfillHour(export, start), batch.WorkflowID(export, start.Add(time.Hour))
		require.Equal(t, on.Command.Process.Pid, u.staging(workflow))
		backfills = append(backfills, struct{ id, workflow string }{id.String(), workflow})
	}
	begin(epoch, u.old)
	u.new, address = u.serve("worker", "--build-id", "2.0")
	u.requireReady(address)
	u.run("deployment", "promote", "2.0")
	status := u.run("deployment", "status")
	require.Regexp(t, `(?m)^2\.0 .*current`, status)
	require.Regexp(t, `(?m)^1\.0 `, status)
	begin(epoch.Add(time.Hour), u.new)
	u.first = backfills[0].workflow
	u.finish = func() {
		release()
		until(t, workPatience, "both runs to end", func() bool { return u.finished(export) == 2 })
		readDelivered(t, u.files).requireEvents(t, events)
		for _, r := range u.runs(export) {
			require.Equal(t, "Completed", r.Status)
		}
		require.Equal(t, map[int]bool{u.new.Command.Process.Pid: true}, deciders(t, u.history(backfills[1].workflow)))
	}
	return u
}

func TestARunThatIsPinnedEndsOnTheVersionThatBeganIt(t *testing.T) {
	t.Parallel()
	u := startUpgrade(t, "pinned")
	u.finish()
	require.Equal(t, map[int]bool{u.old.Command.Process.Pid: true}, deciders(t, u.history(u.first)))
	code, _ := u.old.terminate()
	require.Zero(t, code)
}

func TestARunMovesToTheNewVersionWhenTheOldOneGoes(t *testing.T) {
	t.Parallel()
	u := startUpgrade(t, "auto-upgrade")
	code, _ := u.old.terminate()
	require.Zero(t, code)
	u.finish()
	require.Contains(t, deciders(t, u.history(u.first)), u.new.Command.Process.Pid)
}

// Notifications are one of the queues of a worker: they can have workers of their own, which are told apart by version as
// all others are.
func TestNotificationsAreSentByTheWorkersOfTheirQueueAndVersion(t *testing.T) {
	t.Parallel()
	d := deploy(t, newEventMaker(19).within(epoch, time.Hour, 20)).with("TRANCHE_ALLOWED_NETWORKS=127.0.0.0/8")
	d.start()
	serve := func(buildID, queues string) *program {
		worker, address := d.serve("worker", "--build-id", buildID, "--task-queues", queues)
		d.requireReady(address)
		return worker
	}
	serve("1.0", "exports,backfills")
	sender := serve("1.0", "notifications")
	d.run("deployment", "promote", "1.0")
	serve("2.0", "exports,backfills,notifications") // gets no work
	address, _ := answering(t, http.StatusOK)
	subscription := d.subscribe(address, "failed")

	require.NoError(t, os.WriteFile(filepath.Join(d.files, "blocked"), nil, 0o600))
	export := d.create(fileExport("fails", "hour", "blocked"))
	d.backfillHour(export, epoch)
	type message struct {
		NotificationID uuid.UUID `json:"notification_id"`
		Status         string
	}
	var sent message
	until(t, workPatience, "the notification", func() bool {
		list := pages[message](d.caller, subscription+"/deliveries")
		if len(list) == 1 {
			sent = list[0]
		}
		return sent.Status == "delivered"
	})
	id := workflows.NotifyWorkflowID(sent.NotificationID)
	require.NoError(t, d.temporal.GetWorkflow(t.Context(), id, "").Get(t.Context(), nil))
	require.Equal(t, map[int]bool{sender.Command.Process.Pid: true}, deciders(t, d.history(id)))
	found, err := d.temporal.DescribeWorkflowExecution(t.Context(), id, "")
	require.NoError(t, err)
	require.Equal(t, "1.0", found.GetWorkflowExecutionInfo().GetVersioningInfo().GetDeploymentVersion().GetBuildId())
}
