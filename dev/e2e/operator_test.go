package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"tranche/dev/temporal"
)

// with is the deployment with other settings.
func (d *deployment) with(pairs ...string) *deployment {
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if name == "TRANCHE_CURSOR_KEY" || name == "TRANCHE_TEMPORAL_API_KEY" {
			plant(value)
		}
		if name == "TRANCHE_MASTER_KEYS" || name == "TRANCHE_TEMPORAL_CODEC_KEYS" {
			_, key, _ := strings.Cut(value, ":")
			plant(key)
		}
	}
	other := *d
	other.environment = append(append([]string{}, d.environment...), pairs...)
	return &other
}

// examined runs the doctor, and returns the states of its checks and its exit code.
func (d *deployment) examined() (map[string]string, string, int) {
	d.t.Helper()
	p := launch(d.t, d.environment, programs.service, "doctor", "-o", "json")
	code := p.wait()
	var findings []struct {
		Check, State, Detail string
		Advice               string `json:"what_to_do"`
	}
	require.NoError(d.t, json.Unmarshal([]byte(p.stdout.String()), &findings), "%s%s", p.stdout.String(), p.stderr.String())
	states := map[string]string{}
	for _, f := range findings {
		states[f.Check] = f.State
		if f.State == "problem" {
			require.NotEmpty(d.t, f.Advice, f.Check)
		}
	}
	require.NotContains(d.t, p.stdout.String()+p.stderr.String(), "the-secret-of-cursors")
	return states, p.stdout.String(), code
}

func TestTheDoctorFindsWhatIsWrongAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	d := deploy(t, newEventMaker(16).within(epoch, time.Hour, 10))
	states, text, code := d.examined()
	require.Equal(t, 1, code)
	require.Equal(t, "problem", states["migrations"])
	require.Contains(t, text, "tranche migrate up")
	require.Equal(t, "skipped", states["master keys"])

	d.start()
	states, _, code = d.examined()
	require.Zero(t, code)
	require.Equal(t, "warning", states["workers"])
	_, address := d.serve("worker")
	d.requireReady(address)
	var healthy map[string]string
	until(t, startPatience, "the workers to be seen", func() bool {
		healthy, text, code = d.examined()
		return healthy["workers"] == "ok"
	})
	require.Zero(t, code, text)
	for _, check := range []string{
		"settings", "database", "migrations", "master keys", "clock of the database", "file root", "Temporal", "namespace",
		"search attributes", "clock of Temporal", "source: events",
	} {
		require.Equal(t, "ok", healthy[check], "%s: %s", check, text)
	}

	d.create(fileExport("sealed", "hour", ""))
	source := setting(t, d.environment, "TRANCHE_SOURCE_URL")
	models := func(text string) string {
		path := filepath.Join(t.TempDir(), "models.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return "TRANCHE_MODELS_FILE=" + path
	}
	for name, c := range map[string]struct{ setting, check, words string }{
		"another key of the same id":   {"TRANCHE_MASTER_KEYS=k1:" + strings.Repeat("A", 43) + "=", "master keys", "are others than those that sealed"},
		"a key that is missing":        {"TRANCHE_MASTER_KEYS=k2:" + strings.Repeat("A", 43) + "=", "master keys", `k1`},
		"no such namespace":            {"TRANCHE_TEMPORAL_NAMESPACE=nowhere", "namespace", "temporal operator namespace create --namespace nowhere"},
		"no Temporal":                  {"TRANCHE_TEMPORAL_ADDRESS=127.0.0.1:1", "Temporal", "TRANCHE_TEMPORAL_ADDRESS"},
		"no such table":                {"TRANCHE_SOURCE_TABLE=nowhere", "source: events", "TRANCHE_SOURCE_TABLE"},
		"no source":                    {"TRANCHE_SOURCE_URL=postgres://nobody:s3cret@127.0.0.1:1/none", "source", "TRANCHE_SOURCE_URL"},
		"no database":                  {"TRANCHE_DATABASE_URL=postgres://nobody:s3cret@127.0.0.1:1/none", "database", "TRANCHE_DATABASE_URL"},
		"no folder":                    {"TRANCHE_FILE_ROOT=/nowhere", "file root", "/nowhere"},
		"settings":                     {"TRANCHE_WORKER_SLOTS=many", "settings", "TRANCHE_WORKER_SLOTS"},
		"no keys":                      {"TRANCHE_MASTER_KEYS=", "settings", "TRANCHE_MASTER_KEYS"},
		"a database that is not there": {"TRANCHE_DATABASE_URL=" + elsewhere(t, source, "nowhere"), "database", `\"nowhere\" does not exist`},
		"somebody else's database":     {"TRANCHE_DATABASE_URL=" + source, "migrations", "correct TRANCHE_DATABASE_URL"},
		"a clock that is wrong":        {"TRANCHE_DATABASE_URL=" + d.databaseOfAnotherTime(time.Hour), "clock of the database", "it is 59m"},
		"a user who may not read":      {"TRANCHE_SOURCE_URL=" + d.reader(source), "source: events", "GRANT SELECT ON events"},
		"a column that is missing": {
			models("models: {events: {columns: {timestamp: occurred_at}}}"), "source: events",
			`the table events of the PostgreSQL source has no column \"occurred_at\", which the model events has for timestamp`,
		},
		"a column of another type": {models("models: {events: {columns: {timestamp: event}}}"), "source: events", `\"event\" of the table events`},
		"a table that is missing":  {models("models: {persons: {table: shop.people}}"), "source: persons", "has no table shop.people"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sick := d.with(c.setting)
			sick.t = t
			states, text, code := sick.examined()
			require.Equal(t, 1, code)
			require.Equal(t, "problem", states[c.check], text)
			require.Contains(t, text, c.words)
			require.NotContains(t, text, "s3cret")
		})
	}
	states, text, code = d.with("TRANCHE_WORKER_SLOT=7").examined()
	require.Zero(t, code)
	require.Equal(t, "warning", states["settings"])
	require.Contains(t, text, "TRANCHE_WORKER_SLOT")
}

// elsewhere is the URL of another database of the same server.
func elsewhere(t *testing.T, address, database string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.Path = "/" + database
	return u.String()
}

// databaseOfAnotherTime is a database of the service whose clock is so far ahead.
func (d *deployment) databaseOfAnotherTime(ahead time.Duration) string {
	d.t.Helper()
	address := postgres.Database(d.t)
	d.with("TRANCHE_DATABASE_URL="+address).run("migrate", "up")
	c, err := pgx.Connect(d.t.Context(), address)
	require.NoError(d.t, err)
	defer c.Close(d.t.Context())
	_, err = c.Exec(d.t.Context(), fmt.Sprintf(`
		CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.clock_timestamp() + ''%d seconds''::interval';
		ALTER DATABASE %s SET search_path = public, pg_catalog`, int(ahead.Seconds()), c.Config().Database))
	require.NoError(d.t, err)
	return address
}

// reader is the URL of a database for a user who may read nothing in it.
func (d *deployment) reader(address string) string {
	d.t.Helper()
	u, err := url.Parse(address)
	require.NoError(d.t, err)
	role := "reader_of_" + strings.Trim(u.Path, "/")
	_, err = d.events.Exec(d.t.Context(), "CREATE ROLE "+role+" LOGIN")
	require.NoError(d.t, err)
	d.t.Cleanup(func() {
		_, err := d.events.Exec(context.WithoutCancel(d.t.Context()), "DROP ROLE "+role)
		require.NoError(d.t, err)
	})
	u.User = url.User(role)
	return u.String()
}

func TestTheDoctorKnowsTheSearchAttributes(t *testing.T) {
	t.Parallel()
	wrong := map[string]enumspb.IndexedValueType{"TrancheBatchExport": enumspb.INDEXED_VALUE_TYPE_INT}
	d := deployOn(t, temporal.StartForTest(t, wrong).HostPort(), nil)
	d.run("migrate", "up")
	states, text, code := d.examined()
	require.Equal(t, 1, code)
	require.Equal(t, "problem", states["search attributes"], text)
	require.Contains(t, text, "TrancheBatchExport is of type Int, want Keyword")

	d = deployOn(t, temporal.StartForTest(t, nil).HostPort(), nil)
	d.run("migrate", "up")
	states, text, code = d.examined()
	require.Zero(t, code, text)
	require.Equal(t, "warning", states["search attributes"], "the first start registers them")
	require.Contains(t, text, "temporal operator search-attribute create --namespace default --name TrancheBatchExport --type Keyword")
	_, address := d.serve("worker")
	d.caller = &caller{t: t, base: address}
	d.requireReady(address)
	until(t, startPatience, "the search attributes", func() bool {
		states, _, _ = d.examined()
		return states["search attributes"] == "ok"
	})
}

// Keys are replaced while the API and a worker run, as docs/configure.md says; then the old one is of no use to anybody.
func TestMasterKeysAreReplacedWhileTheServiceRuns(t *testing.T) {
	t.Parallel()
	events := newEventMaker(17).within(epoch, 2*time.Hour, 20)
	d := deploy(t, events)
	key := func(letter string) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32)))
	}
	file := filepath.Join(t.TempDir(), "master-keys")
	hold := func(keys string) { require.NoError(t, os.WriteFile(file, []byte(keys), 0o600)) }
	d = d.with("TRANCHE_MASTER_KEYS=", "TRANCHE_MASTER_KEYS_FILE="+file)
	hold("k1:" + key("1") + "\n")
	d.start()
	export := d.create(fileExport("rotated", "hour", "hours"))

	hold("k1:" + key("1") + ",k2:" + key("2")) // everybody learns to open what the new key seals
	_, address := d.serve("api")
	d.base = address
	hold("k2:" + key("2") + ",k1:" + key("1"))
	worker, metrics := d.serve("worker")
	d.requireReady(metrics)
	require.Contains(t, d.run("secrets", "rotate"), "1 records were put under the newest key")
	status := d.run("secrets", "status")
	require.Regexp(t, `(?m)^k2 +1 +seals what is written`, status)
	require.Regexp(t, `(?m)^k1 +0 +not needed any more`, status)
	d.completed(export, d.backfillHour(export, epoch), workPatience)
	require.True(t, worker.alive())

	hold("k2:" + key("2"))
	_, metrics = d.serve("worker")
	d.requireReady(metrics)
	for held, words := range map[string]string{
		"k1:" + key("1"): `under the master keys ["k2"], which are not here`, "k2:" + key("9"): "are others than those that sealed",
	} {
		hold(held)
		for _, command := range []string{"api", "worker", "secrets status"} {
			p := launch(t, d.environment, programs.service, strings.Fields(command)...)
			require.Equal(t, 1, p.wait(), command)
			require.Contains(t, p.stderr.String(), words, command)
			require.NotContains(t, p.stderr.String(), held[3:20])
		}
	}
	d.completed(export, d.backfillHour(export, epoch.Add(time.Hour)), workPatience)
	readDelivered(t, d.files).requireEvents(t, events)
}

// The markers of the service's own secrets, and of those of its customers.
const (
	markCursor   = "marker-cursor-key-77ab1c"
	markDatabase = "marker-database-password-0b91"
	markSource   = "marker-source-password-5512"
	markAPIKey   = "marker-api-key-of-a-customer-19d3"
	markStore    = "marker-store-secret-6f02aa"
	markPassword = "marker-postgres-password-31f0"
)

// withPassword puts a password, which the test's server does not ask for, into the URL of a database.
func withPassword(url, password string) string {
	return strings.Replace(url, "postgres@", "postgres:"+password+"@", 1)
}

func TestTheServiceTellsItsSecretsToNobody(t *testing.T) {
	t.Parallel()
	events := newEventMaker(18).within(epoch, time.Hour, 20)
	for i := range events {
		events[i].Name = markName
	}
	d := deploy(t, events)
	codecKey := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("c", 32)))
	masterKey := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("m", 32)))
	metadata := setting(t, d.environment, "TRANCHE_DATABASE_URL")
	d = d.with(
		"TRANCHE_DATABASE_URL="+withPassword(metadata, markDatabase), "TRANCHE_CURSOR_KEY="+markCursor,
		"TRANCHE_SOURCE_URL="+withPassword(setting(t, d.environment, "TRANCHE_SOURCE_URL"), markSource),
		"TRANCHE_MASTER_KEYS=k1:"+masterKey, "TRANCHE_TEMPORAL_CODEC_KEYS=c1:"+codecKey,
		"TRANCHE_ALLOWED_NETWORKS=127.0.0.0/8", "TRANCHE_LOG_LEVEL=debug",
	)
	api := d.start()
	d.run("keys", "create", "--organization", "7", "--project", "1", "--key", markAPIKey)
	d.key = markAPIKey
	worker, metrics := d.serve("worker")
	d.requireReady(metrics)

	var answers strings.Builder
	said := func(method, path string, in any) {
		status, body := d.call(method, path, in)
		require.Less(t, status, http.StatusInternalServerError, "%s", body)
		answers.Write(body)
	}
	bucket := store.Bucket(t)
	good := bucketExport(bucket, "hour")
	bad := bucketExport(bucket, "hour")
	bad["destination"].(map[string]any)["config"].(map[string]any)["aws_secret_access_key"] = markStore
	table := fileExport("to a server without TLS", "hour", "")
	table["destination"] = map[string]any{"type": "Postgres", "config": connection(t, postgres.Database(t), markPassword)}
	for name, c := range map[string]struct {
		settings map[string]any
		status   string
	}{
		"good bucket": {good, "Completed"}, "bad bucket": {bad, "Failed"}, "a table": {table, "Failed"},
	} {
		export := d.create(c.settings)
		said(http.MethodPost, exports+"/run_test_step_new", with(c.settings, "step", 1))
		said(http.MethodPatch, at(export), map[string]any{"name": name})
		id := d.backfillHour(export, epoch)
		until(t, workPatience, name, func() bool { return d.getBackfill(export, id).over() })
		require.Equal(t, c.status, d.runs(export)[0].Status, name)
		for _, path := range []string{"", "/runs", "/backfills", "/logs?limit=500", "/activity"} {
			said(http.MethodGet, at(export)+path, nil)
		}
	}
	said(http.MethodGet, exports, nil)
	said(http.MethodGet, d.base+"/metrics", nil)
	said(http.MethodGet, metrics+"/metrics", nil)
	said(http.MethodPost, exports, "no export")
	answers.WriteString(d.run("config") + d.run("secrets", "status"))
	_, examined, _ := d.examined()
	answers.WriteString(examined)

	secrets := []string{markCursor, markDatabase, markSource, markAPIKey, markStore, markPassword, bucket.SecretAccessKey, codecKey, masterKey}
	requireWithout(t, "the answers", answers.String(), append(secrets, markName)...)
	requireWithout(t, "the API's log", api.stderr.String(), append(secrets, markName)...)
	requireWithout(t, "the worker's log", worker.stderr.String(), append(secrets, markName)...)
	requireWithout(t, "the histories", d.histories(), append(secrets, markName, `"batch_export_id"`, `"team_id"`)...) // they are sealed
	requireWithout(t, "the database", dump(t, metadata), append(secrets, markName)...)
}
