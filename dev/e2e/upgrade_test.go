package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/history/v1"

	"tranche/batch"
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
