package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"tranche/batch"
	"tranche/dev/temporal"
	"tranche/workflows"
)

// A deployment is the service as it is run in production: processes over PostgreSQL and Temporal.
type deployment struct {
	t           *testing.T
	environment []string
	events      *pgx.Conn // to the database with the events
	temporal    client.Client
	files       string
	*caller
}

// eventsTable is PostHog's table, with a column that lets a test hold whoever reads a row, but not who counts.
const eventsTable = `
CREATE TABLE stored (uuid uuid, team_id bigint, event text, distinct_id text, timestamp timestamptz, inserted_at timestamptz,
	created_at timestamptz, properties text, person_properties text, person_id text, elements_chain text);
CREATE FUNCTION held(text) RETURNS text LANGUAGE plpgsql STABLE AS
	$$BEGIN PERFORM pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1); RETURN $1; END$$;
CREATE VIEW events AS SELECT uuid, team_id, event, distinct_id, timestamp, inserted_at, created_at,
	held(properties) AS properties, person_properties, person_id, elements_chain FROM stored;`

// deploy makes databases, a key and the settings of all processes. Temporal is the test's own.
func deploy(t *testing.T, events []event) *deployment {
	t.Helper()
	k := &keeper{T: t}
	t.TempDir() // folders are removed when those who asked later have looked into theirs
	t.Cleanup(func() { requireNothingPlantedIn(t, k.dir, "") })
	return deployOn(t, temporal.StartForTest(k, workflows.SearchAttributes()).HostPort(), events)
}

// deployOn is deploy with a Temporal at an address.
func deployOn(t *testing.T, address string, events []event) *deployment {
	t.Helper()
	metadata, source := postgres.Database(t), postgres.Database(t)
	d := &deployment{t: t, files: t.TempDir()}
	var err error
	d.temporal, err = client.DialContext(t.Context(), client.Options{HostPort: address, Logger: nothing{}})
	require.NoError(t, err)
	t.Cleanup(d.temporal.Close)
	d.events, err = pgx.Connect(t.Context(), source)
	require.NoError(t, err)
	t.Cleanup(func() { d.events.Close(t.Context()) })
	d.insert(events)

	key := make([]byte, 32)
	_, err = rand.Read(key)
	require.NoError(t, err)
	plant(base64.StdEncoding.EncodeToString(key))
	d.environment = []string{
		"TRANCHE_DATABASE_URL=" + metadata, "TRANCHE_SOURCE_URL=" + source, "TRANCHE_FILE_ROOT=" + d.files,
		"TRANCHE_MASTER_KEYS=k1:" + base64.StdEncoding.EncodeToString(key), "TRANCHE_CURSOR_KEY=" + theCursorKey,
		"TRANCHE_TEMPORAL_ADDRESS=" + address, "TRANCHE_LISTEN=127.0.0.1:0", "TRANCHE_METRICS_LISTEN=127.0.0.1:0",
	}
	return d
}

func (d *deployment) insert(events []event) {
	d.t.Helper()
	_, err := d.events.Exec(d.t.Context(), eventsTable)
	require.NoError(d.t, err)
	_, err = d.events.CopyFrom(d.t.Context(), pgx.Identifier{"stored"}, eventColumns, pgx.CopyFromSlice(len(events), func(i int) ([]any, error) {
		return events[i].values(func(at time.Time) any { return at }), nil
	}))
	require.NoError(d.t, err)
}

// run runs a command to its end, which must be well, and returns what it printed.
func (d *deployment) run(args ...string) string {
	d.t.Helper()
	p := launch(d.t, d.environment, programs.service, args...)
	require.Zero(d.t, p.wait(), "%v: %s", args, p.stderr.String())
	return strings.TrimSpace(p.stdout.String())
}

// serve starts a process that serves, and returns it with its address.
func (d *deployment) serve(command string, arguments ...string) (*program, string) {
	d.t.Helper()
	p := launch(d.t, d.environment, programs.service, append([]string{command}, arguments...)...)
	return p, "http://" + p.serving(command)
}

// serving waits until a process of the service serves, and returns where.
func (p *program) serving(command string) (address string) {
	p.t.Helper()
	until(p.t, startPatience, command+" to serve", func() bool {
		require.True(p.t, p.alive(), "%s ended: %s", command, p.stderr.String())
		for _, line := range p.stderr.lines() {
			var entry struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "Serving." {
				address = entry.Address
			}
		}
		return address != ""
	})
	return address
}

// start migrates, makes a key and starts the API.
func (d *deployment) start() *program {
	d.t.Helper()
	require.Contains(d.t, d.run("migrate", "up"), "database at migration")
	key := d.run("keys", "create", "--organization", "7", "--project", "1", "--label", "e2e")
	plant(key)
	api, address := d.serve("api")
	d.caller = &caller{t: d.t, base: address, key: key}
	return api
}

// requireReady waits until a process says that it is ready.
func (d *deployment) requireReady(address string) {
	d.t.Helper()
	until(d.t, startPatience, "readiness", func() bool {
		status, _ := d.call(http.MethodGet, address+"/readyz", nil)
		return status == http.StatusOK
	})
}

func TestTheServiceDeliversWithProcessesOfItsOwn(t *testing.T) {
	t.Parallel()
	events := newEventMaker(11).within(epoch, 6*time.Hour, 300)
	d := deploy(t, events)
	api := d.start()
	worker, metrics := d.serve("worker")
	d.requireReady(d.base)
	d.requireReady(metrics)

	address := func(url string) string { return strings.TrimPrefix(url, "http://") }
	inside := d.with("TRANCHE_LISTEN="+address(d.base), "TRANCHE_METRICS_LISTEN="+address(metrics)) // as in their containers
	inside.run("health")
	inside.run("health", "--worker")

	wrong := &caller{t: t, base: d.base, key: "a-key-that-nobody-has-made"}
	require.Equal(t, "authentication_error", wrong.refused(http.StatusUnauthorized, http.MethodGet, exports, nil).Type)
	d.refused(http.StatusNotFound, http.MethodGet, "/api/projects/2/batch_exports", nil)

	export := d.create(fileExport("service", "hour", "hours"))
	d.completed(export, d.backfill(export, epoch.Format(time.RFC3339), epoch.Add(6*time.Hour).Format(time.RFC3339)), workPatience)
	found := readDelivered(t, d.files)
	found.requireEvents(t, events)
	for _, r := range d.runs(export) {
		require.Equal(t, "Completed", r.Status)
	}
	_, page := d.call(http.MethodGet, metrics+"/metrics", nil)
	require.Contains(t, string(page), fmt.Sprintf("tranche_rows_total{destination=\"File\",model=\"events\"} %d", len(events)))

	for _, p := range []*program{api, worker} {
		code, took := p.terminate()
		require.Zero(t, code, "%s", p.stderr.String())
		require.Less(t, took, 10*time.Second)
		require.Empty(t, p.stdout.String())
		require.NotContains(t, p.stderr.String(), d.key, "a key is never logged")
	}
	for _, args := range [][]string{{"health"}, {"health", "--worker"}} {
		p := launch(t, inside.environment, programs.service, args...)
		require.Equal(t, 1, p.wait(), "%v of processes that are gone", args)
	}
}

func TestAnotherWorkerFinishesWhatADeadOneBegan(t *testing.T) {
	t.Parallel()
	events := newEventMaker(12).within(epoch, time.Hour, 500)
	d := deploy(t, events)
	d.start()
	workers := map[int]*program{}
	for range 2 {
		w, address := d.serve("worker")
		d.requireReady(address)
		workers[w.Command.Process.Pid] = w
	}
	_, err := d.events.Exec(t.Context(), "SELECT pg_advisory_lock(1)") // readers of rows wait now
	require.NoError(t, err)
	export := d.create(fileExport("two workers", "hour", "hours"))
	end := epoch.Add(time.Hour)
	backfill := d.backfill(export, epoch.Format(time.RFC3339), end.Format(time.RFC3339))

	victim := d.staging(batch.WorkflowID(export, end))
	require.Contains(t, workers, victim)
	workers[victim].Kill()
	require.Empty(t, readDelivered(t, d.files).files)
	_, err = d.events.Exec(t.Context(), "SELECT pg_advisory_unlock(1)")
	require.NoError(t, err)
	d.completed(export, backfill, workPatience)
	readDelivered(t, d.files).requireEvents(t, events)
	require.Len(t, d.runs(export), 1, "it is the same run")
	swept(t, d.files)
}

// staging waits until a worker has begun to stage a run, and returns its process id.
func (d *deployment) staging(workflowID string) (pid int) {
	d.t.Helper()
	until(d.t, workPatience, "a worker to stage", func() bool {
		execution, err := d.temporal.DescribeWorkflowExecution(d.t.Context(), workflowID, "")
		if err != nil {
			return false // it is about to start
		}
		for _, a := range execution.GetPendingActivities() {
			if a.GetActivityType().GetName() == "Stage" && a.GetLastWorkerIdentity() != "" {
				process, _, _ := strings.Cut(a.GetLastWorkerIdentity(), "@")
				pid, err = strconv.Atoi(process)
				require.NoError(d.t, err)
			}
		}
		return pid != 0
	})
	return pid
}

func TestTheServiceReportsAllProblemsOfItsSettingsAtOnce(t *testing.T) {
	t.Parallel()
	const value = "s3cret-value"
	bad := []string{
		"TRANCHE_DATABASE_URL=mysql://" + value + "@host/", "TRANCHE_SOURCE_URL=" + value, "TRANCHE_MASTER_KEYS=" + value,
		"TRANCHE_TEMPORAL_ADDRESS=" + value, "TRANCHE_WORKER_SLOTS=" + value, "TRANCHE_SETTLE_DELAY=" + value,
		"TRANCHE_LOG_LEVEL=" + value, "TRANCHE_TRUSTED_PROXIES=" + value, "TRANCHE_CURSOR_KEY=",
	}
	for command, names := range map[string][]string{
		"api": bad, "worker": bad[:8], "migrate up": bad[:8], "keys create": bad[:8], "config": bad[:8],
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			p := launch(t, bad, programs.service, strings.Fields(command)...)
			require.Contains(t, []int{1, 2}, p.wait()) // 2 = the command line is wrong
			text := p.stderr.String()
			for _, setting := range names {
				name, _, _ := strings.Cut(setting, "=")
				require.Contains(t, text, name+": ")
			}
			require.NotContains(t, text, value)
			require.NotContains(t, text, "panic")
			require.Len(t, p.stderr.lines(), len(names), text)
			if command == "config" {
				require.NotContains(t, p.stdout.String(), "mysql://", "secrets are hidden in the list")
			} else {
				require.Empty(t, p.stdout.String())
			}
		})
	}
}

func TestTheServiceSaysWhatItMisses(t *testing.T) {
	t.Parallel()
	d := deploy(t, nil)
	for name, c := range map[string]struct {
		environment []string
		args        []string
		words       []string
	}{
		"no settings":               {[]string{"TRANCHE_DATABASE_URL=", "TRANCHE_MASTER_KEYS="}, []string{"api"}, []string{"TRANCHE_DATABASE_URL: must be set", "TRANCHE_MASTER_KEYS: must be set"}},
		"a database that is empty":  {nil, []string{"worker"}, []string{"tranche migrate up"}},
		"no database at all":        {[]string{"TRANCHE_DATABASE_URL=postgres://nobody:s3cret@127.0.0.1:1/none"}, []string{"api"}, []string{"database"}},
		"an unknown command":        {nil, []string{"deliver"}, []string{`"deliver"`}},
		"an unknown flag":           {nil, []string{"api", "--frequency", "7"}, []string{"--frequency"}},
		"an argument too many":      {nil, []string{"worker", "now"}, []string{`"now"`}},
		"a key with a wrong scope":  {nil, []string{"keys", "create", "--scope", "everything"}, []string{`"everything"`}},
		"a key that is too short":   {nil, []string{"keys", "create", "--key", "short"}, []string{"16"}},
		"a table that is forbidden": {[]string{"TRANCHE_SOURCE_TABLE= "}, []string{"worker"}, []string{"TRANCHE_SOURCE_TABLE: must"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, append(append([]string{}, d.environment...), c.environment...), programs.service, c.args...)
			require.Contains(t, []int{1, 2}, p.wait()) // 2 = the command line is wrong
			text := p.stderr.String()
			for _, word := range c.words {
				require.Contains(t, text, word)
			}
			require.NotContains(t, text, "panic")
			require.NotContains(t, text, "s3cret")
			require.Empty(t, p.stdout.String())
			for _, line := range p.stderr.lines() {
				require.NotContains(t, line, "goroutine")
			}
		})
	}
}
