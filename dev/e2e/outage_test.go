package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"tranche/batch"
)

// outage is how long the tests' outages last. What matters is that connections break and cannot be made again; the
// longest pause between two tries of anything is a minute.
const outage = time.Minute

// outageHours is how many intervals are under way during an outage.
const outageHours = 40

// tireless is a deployment whose API does not limit how often a test asks.
func tireless(t *testing.T, events []event) *deployment {
	t.Helper()
	d := deploy(t, events)
	d.over("TRANCHE_RATE_LIMIT", "0")
	return d
}

// setting returns the value of a variable of the deployment.
func (d *deployment) setting(name string) string {
	d.t.Helper()
	for _, e := range d.environment {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	require.FailNow(d.t, "there is no "+name)
	return ""
}

// over replaces a variable, so that the processes that are started from now on reach a server over the line.
func (d *deployment) over(name, value string) { d.environment = append(d.environment, name+"="+value) }

// databaseLine lets the processes reach their database over a line that can be cut.
func (d *deployment) databaseLine() *line {
	d.t.Helper()
	dsn, err := url.Parse(d.setting("TRANCHE_DATABASE_URL"))
	require.NoError(d.t, err)
	l := lay(d.t, dsn.Host)
	dsn.Host = l.address
	d.over("TRANCHE_DATABASE_URL", dsn.String())
	return l
}

// underWay starts a backfill and waits until some of it is done, and not all.
func (d *deployment) underWay(name string) (export, backfill uuid.UUID) {
	d.t.Helper()
	export = d.create(fileExport(name, "hour", name))
	backfill = d.backfill(export, epoch.Format(time.RFC3339), epoch.Add(outageHours*time.Hour).Format(time.RFC3339))
	until(d.t, workPatience, "some runs", func() bool { return d.finished(export) >= 3 })
	require.Less(d.t, d.finished(export), outageHours)
	return export, backfill
}

// requireAllOnce checks that everything was delivered once, by one run per interval.
func (d *deployment) requireAllOnce(export uuid.UUID, events []event) {
	d.t.Helper()
	found := readDelivered(d.t, d.files)
	found.requireEvents(d.t, events)
	runs := d.runs(export)
	require.Len(d.t, runs, outageHours, "an outage makes no other runs")
	for _, r := range runs {
		require.Equal(d.t, "Completed", r.Status, "%+v", r)
	}
	swept(d.t, d.files)
}

func TestAnOutageOfTheDatabaseCostsTimeOnly(t *testing.T) {
	t.Parallel()
	events := newEventMaker(41).within(epoch, outageHours*time.Hour, 400)
	d := tireless(t, events)
	way := d.databaseLine()
	api := d.start()
	worker, metrics := d.serve("worker")
	d.requireReady(metrics)
	export, backfill := d.underWay("without a database")

	way.cut()
	over := time.After(outage)
	e := d.refused(http.StatusServiceUnavailable, http.MethodGet, at(export), nil)
	require.Equal(t, "server_error", e.Type)
	require.Equal(t, "service_unavailable", e.Code)
	require.Nil(t, e.Attr)
	d.refused(http.StatusServiceUnavailable, http.MethodPost, exports, fileExport("not now", "hour", "not now"))
	for _, address := range []string{d.base, metrics} {
		status, _ := d.call(http.MethodGet, address+"/readyz", nil)
		require.Equal(t, http.StatusServiceUnavailable, status)
		status, _ = d.call(http.MethodGet, address+"/healthz", nil)
		require.Equal(t, http.StatusOK, status, "a restart would help nobody")
	}
	<-over
	way.mend()

	d.completed(export, backfill, workPatience)
	d.requireAllOnce(export, events)
	d.requireReady(d.base)
	d.requireReady(metrics)
	for _, p := range []*program{api, worker} {
		require.True(t, p.alive(), "it lives through an outage")
		require.NotContains(t, p.stderr.String(), "panic")
	}
}

func TestAnOutageOfTemporalCostsTimeOnly(t *testing.T) {
	t.Parallel()
	events := newEventMaker(42).within(epoch, outageHours*time.Hour, 400)
	d := tireless(t, events)
	way := lay(t, d.setting("TRANCHE_TEMPORAL_ADDRESS"))
	d.over("TRANCHE_TEMPORAL_ADDRESS", way.address)
	api := d.start()
	worker, metrics := d.serve("worker")
	d.requireReady(metrics)
	export, backfill := d.underWay("without Temporal")

	way.cut()
	over := time.After(outage)
	// The database is the truth: what is asked for meanwhile is done later.
	later := d.create(fileExport("made meanwhile", "hour", "made meanwhile"))
	wanted := d.backfill(later, epoch.Format(time.RFC3339), epoch.Add(2*time.Hour).Format(time.RFC3339))
	require.Equal(t, "Starting", d.getBackfill(later, wanted).Status)
	status, body := d.call(http.MethodGet, d.base+"/readyz", nil)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, string(body), "temporal")
	<-over
	way.mend()

	d.completed(export, backfill, workPatience)
	d.completed(later, wanted, workPatience)
	for _, r := range d.runs(export) {
		require.Equal(t, "Completed", r.Status, "%+v", r)
	}
	require.Len(t, d.runs(export), outageHours, "an outage makes no other runs")
	require.Len(t, d.runs(later), 2)
	until(t, workPatience, "the schedule of what was made meanwhile", func() bool {
		_, err := d.temporal.ScheduleClient().GetHandle(t.Context(), later.String()).Describe(t.Context())
		return err == nil
	})
	for _, p := range []*program{api, worker} {
		require.True(t, p.alive(), "it lives through an outage")
	}
}

// freezeOne has a run of the interval from epoch staged by one of two workers, which is then frozen. Readers of rows wait
// until release is called.
func (d *deployment) freezeOne(name string) (export, backfill uuid.UUID, victim *program, release func()) {
	d.t.Helper()
	d.start()
	workers := map[int]*program{}
	for range 2 {
		w, address := d.serve("worker")
		d.requireReady(address)
		workers[w.Command.Process.Pid] = w
	}
	_, err := d.events.Exec(d.t.Context(), "SELECT pg_advisory_lock(1)")
	require.NoError(d.t, err)
	export = d.create(fileExport(name, "hour", name))
	end := epoch.Add(time.Hour)
	backfill = d.backfill(export, epoch.Format(time.RFC3339), end.Format(time.RFC3339))
	victim = workers[d.staging(batch.WorkflowID(export, end))]
	require.NotNil(d.t, victim)
	require.NoError(d.t, victim.Command.Process.Signal(syscall.SIGSTOP))
	return export, backfill, victim, func() {
		_, err := d.events.Exec(d.t.Context(), "SELECT pg_advisory_unlock(1)")
		require.NoError(d.t, err)
	}
}

func TestAFrozenWorkerIsOvertakenAndSaysNothingTwice(t *testing.T) {
	t.Parallel()
	events := newEventMaker(43).within(epoch, time.Hour, 500)
	d := tireless(t, events)
	export, backfill, victim, release := d.freezeOne("frozen")
	until(t, workPatience, "the run to tell that its worker does not answer", func() bool {
		runs := d.runs(export)
		return len(runs) == 1 && runs[0].LatestError != nil && strings.Contains(*runs[0].LatestError, "did not answer")
	})
	require.Equal(t, "Running", d.runs(export)[0].Status)
	release()
	d.completed(export, backfill, workPatience)
	before := readDelivered(t, d.files)
	before.requireEvents(t, events)

	require.NoError(t, victim.Command.Process.Signal(syscall.SIGCONT))
	code, _ := victim.terminate() // it has worked off what it had, or given it up
	require.Zero(t, code)
	swept(t, d.files)
	require.Equal(t, before.files, readDelivered(t, d.files).files)
	runs := d.runs(export)
	require.Len(t, runs, 1, "it is the same run")
	require.Equal(t, "Completed", runs[0].Status)
	require.Nil(t, runs[0].LatestError)
}

// Temporal does not try an activity again once its run is cancelled: that its worker was silent is not how the run ended.
func TestARunIsCancelledThoughItsWorkerIsFrozen(t *testing.T) {
	t.Parallel()
	d := tireless(t, newEventMaker(44).within(epoch, time.Hour, 500))
	export, backfill, victim, release := d.freezeOne("cold")
	id := batch.WorkflowID(export, epoch.Add(time.Hour))
	require.NoError(t, d.temporal.CancelWorkflow(t.Context(), id, ""))
	until(t, workPatience, "the run to end", func() bool {
		runs := d.runs(export)
		return len(runs) == 1 && runs[0].FinishedAt != nil
	})
	run := d.runs(export)[0]
	require.Equal(t, "Cancelled", run.Status)
	require.Nil(t, run.LatestError)
	until(t, endPatience, "its workflow to end", func() bool {
		execution, err := d.temporal.DescribeWorkflowExecution(t.Context(), id, "")
		require.NoError(t, err)
		return execution.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED
	})
	until(t, endPatience, "the backfill to end", func() bool { return d.getBackfill(export, backfill).over() })

	release()
	require.NoError(t, victim.Command.Process.Signal(syscall.SIGCONT))
	code, _ := victim.terminate()
	require.Zero(t, code)
	swept(t, d.files)
	require.Empty(t, readDelivered(t, d.files).files)
}
