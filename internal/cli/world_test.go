package cli_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"tranche/api"
	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/file"
	"tranche/internal/app"
	"tranche/internal/auth"
	"tranche/internal/cli"
	"tranche/internal/safenet"
	"tranche/internal/telemetry"
	"tranche/internal/webhook"
	"tranche/query"
	"tranche/storage"
	"tranche/storage/sqlite"
)

const (
	theKey  = "key-of-the-operator"
	readKey = "key-that-only-reads"
	planted = "a-secret-that-nobody-may-see"
)

// start is when the tests take place.
var start = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

// A world is the API over a real database, with Temporal faked, and a terminal in front of it.
type world struct {
	t   *testing.T
	db  *storage.DB
	env map[string]string
	dir string
	// width is that of the terminal; zero = output goes to a file.
	width int
	// input is what is typed, interactive whether a terminal asks for it.
	input       string
	interactive bool
	answering   func()
	// printed is told all that was printed so far, whenever something is.
	printed func(all string)

	mu  *sync.Mutex
	now *time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := emptyWorld(t)
	master, err := storage.NewMasterKey("test")
	require.NoError(t, err)
	sealer, err := storage.NewSealer(master)
	require.NoError(t, err)
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tranche.db"), sealer)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	w.db = db.WithClock(w.clock)
	require.NoError(t, w.db.EnsureProject(t.Context(), 1, 1, 11))
	for secret, scope := range map[string]auth.Scope{theKey: auth.ScopeAll, readKey: auth.ScopeRead} {
		require.NoError(t, w.db.CreateKey(t.Context(), auth.Key{
			ID: uuid.New(), OrganizationID: 1, UserID: 11, Scopes: []auth.Scope{scope}, Hash: auth.Hash(secret), CreatedAt: start.Add(-time.Hour),
		}))
	}
	server := httptest.NewServer(w.api(t).Handler())
	t.Cleanup(server.Close)
	w.env = map[string]string{"TRANCHE_URL": server.URL, "TRANCHE_API_KEY": theKey, "HOME": w.dir}
	return w
}

// emptyWorld has no API.
func emptyWorld(t *testing.T) *world {
	t.Helper()
	now, dir := start, t.TempDir()
	return &world{t: t, mu: &sync.Mutex{}, now: &now, dir: dir, env: map[string]string{"HOME": dir}}
}

// of is the same world in a subtest, with a terminal and files of its own.
func (w *world) of(t *testing.T) *world {
	t.Helper()
	own := *w
	own.t, own.dir = t, t.TempDir()
	return &own
}

func (w *world) api(t *testing.T) *api.Server {
	t.Helper()
	log, registry := zap.NewNop(), telemetry.NewRegistry()
	plugins := destinations.NewRegistry(vault(), file.Plugin(file.Server{Root: t.TempDir()}))
	w.db = w.db.WithPlugins(plugins)
	runs := &app.Runs{Store: w.db, Workflows: temporal{}, Logs: nowhere{}, Log: log, Now: w.clock}
	backfills := &app.Backfills{
		Store: w.db, Workflows: temporal{}, Models: query.PostHog(), Plugins: plugins, Runs: runs, Log: log, Now: w.clock, Limit: 5, Concurrency: 2, MostConcurrency: 20,
	}
	runs.Backfills = backfills
	return &api.Server{
		Exports: &app.Exports{
			Store: w.db, Schedules: temporal{}, Models: query.PostHog()[:2], Plugins: plugins, Runs: runs, Backfills: backfills, Logs: nowhere{}, Log: log, Now: w.clock,
		},
		Runs: runs, Backfills: backfills, Coverage: &app.Coverage{Store: w.db, Backfills: backfills, Now: w.clock},
		Notifications: &app.Notifications{
			Store: w.db, Sender: webhook.NewSender(safenet.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, nil), Log: log, Now: w.clock, Limit: 3,
		},
		Logs: &app.Logs{Store: w.db}, Audit: &app.Audit{Store: w.db}, Keys: w.db, Answers: w.db,
		Scrape: telemetry.Handler(registry), Metrics: telemetry.NewMetrics(registry), Log: log, Now: w.clock,
		CursorKey: []byte("sixteen bytes or more"),
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*w.now = w.now.Add(d)
}

// A vaultConfig has settings of every kind that matters to a definition.
type vaultConfig struct {
	Bucket string   `json:"bucket" required:"true"`
	Secret string   `json:"secret" required:"true" secret:"true"`
	Token  *string  `json:"token" secret:"true"`
	Port   int      `json:"port" default:"443"`
	TLS    bool     `json:"tls" default:"true"`
	Prefix *string  `json:"prefix"`
	Tags   []string `json:"tags"`
}

func vault() destinations.Plugin {
	return destinations.Define(destinations.Definition[vaultConfig]{Type: "Vault", Guarantee: destinations.ExactlyOnce})
}

// temporal accepts everything.
type temporal struct{}

func (temporal) Put(context.Context, batch.Export) error                           { return nil }
func (temporal) Remove(context.Context, uuid.UUID) error                           { return nil }
func (temporal) CancelRun(context.Context, batch.Run) error                        { return nil }
func (temporal) StartBackfill(context.Context, batch.Export, batch.Backfill) error { return nil }
func (temporal) CancelBackfill(context.Context, batch.Backfill) error              { return nil }
func (temporal) SteerBackfill(context.Context, batch.Backfill) error               { return nil }

// nowhere drops the lines that customers would see.
type nowhere struct{}

func (nowhere) Log(batch.LogEntry) {}

// A printout is what a command printed, and how it ended.
type printout struct {
	t        *testing.T
	out, err string
	code     int
}

// run executes a command line.
func (w *world) run(args ...string) printout {
	w.t.Helper()
	return w.runWith(w.t.Context(), args...)
}

func (w *world) runWith(ctx context.Context, args ...string) printout {
	w.t.Helper()
	out, problems := lockedBuffer{printed: w.printed}, lockedBuffer{printed: w.printed}
	in := &asked{strings.NewReader(w.input), w.answering}
	env := cli.Env{
		Getenv: func(name string) string { return w.env[name] }, In: in, Out: &out, Err: &problems, Now: w.clock, Zone: time.UTC, Version: "test",
		Poll: 10 * time.Millisecond,
		Width: func(stream any) int {
			if stream == any(in) && w.interactive {
				return 80
			}
			if stream == any(in) {
				return 0
			}
			return w.width
		},
	}
	root := &cobra.Command{Use: "tranche", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(cli.Commands(env)...)
	root.SetArgs(args)
	root.SetOut(&out)
	err := root.ExecuteContext(ctx)
	p := printout{t: w.t, out: out.String(), code: cli.ExitCode(err), err: problems.String()}
	if err != nil {
		p.err += cli.Explain(err)
	}
	for _, secret := range []string{theKey, planted} {
		require.NotContains(w.t, p.out, secret)
		require.NotContains(w.t, p.err, secret)
	}
	return p
}

// A lockedBuffer may be read while a command writes.
type lockedBuffer struct {
	mu      sync.Mutex
	b       bytes.Buffer
	printed func(all string)
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.b.Write(p)
	if b.printed != nil {
		b.printed(b.b.String())
	}
	return n, err
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// ends checks the exit code, and that standard error has every one of the texts.
func (p printout) ends(code int, texts ...string) printout {
	p.t.Helper()
	require.Equal(p.t, code, p.code, p.out+p.err)
	for _, text := range texts {
		require.Contains(p.t, p.err, text)
	}
	if code == cli.ExitOK && len(texts) == 0 {
		require.Empty(p.t, p.err)
	}
	return p
}

// prints checks all of standard output; every id is <id>.
func (p printout) prints(want string) printout {
	p.t.Helper()
	require.Equal(p.t, strings.TrimPrefix(want, "\n"), ids.ReplaceAllString(p.out, "<id>"))
	return p
}

// file writes a file that commands may read.
func (w *world) file(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	require.NoError(w.t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(w.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const vaultYAML = `
name: to the vault
destination:
  type: Vault
  config: {bucket: b, secret: "${VAULT_SECRET}", tags: [x]}
`

// export applies vaultYAML and returns the export.
func (w *world) export() batch.Export {
	w.t.Helper()
	w.env["VAULT_SECRET"] = planted
	w.run("exports", "create", "-f", w.file("vault.yaml", vaultYAML)).ends(cli.ExitOK)
	exports, _, err := w.db.ListExports(w.t.Context(), 1, 10, 0)
	require.NoError(w.t, err)
	return exports[0]
}

// runOf stores a run of the hour that began so many hours ago.
func (w *world) runOf(e batch.Export, hoursAgo int, change func(*batch.Run)) batch.Run {
	w.t.Helper()
	end := start.Truncate(time.Hour).Add(-time.Duration(hoursAgo-1) * time.Hour)
	r := batch.Run{
		ID: uuid.New(), ExportID: e.ID, TeamID: 1, Status: batch.RunRunning, Revision: 1, Attempt: 1,
		Interval: batch.Interval{Start: end.Add(-time.Hour), End: end}, WorkflowID: batch.WorkflowID(e.ID, end),
		TemporalRunID: "temporal-run", CreatedAt: w.clock(), LastUpdatedAt: w.clock(),
	}
	if change != nil {
		change(&r)
	}
	r, _, err := w.db.BeginRun(w.t.Context(), r)
	require.NoError(w.t, err)
	return r
}

// send makes a request of somebody else's.
func (w *world) send(method, path, body string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), method, w.env["TRANCHE_URL"]+"/api/projects/1/batch_exports"+path, strings.NewReader(body))
	require.NoError(w.t, err)
	request.Header.Set("Authorization", "Bearer "+theKey)
	response, err := http.DefaultClient.Do(request)
	require.NoError(w.t, err)
	defer response.Body.Close()
	require.Equal(w.t, http.StatusOK, response.StatusCode)
}

// beforeAnswer does something when a question was asked and before it is answered.
func (w *world) beforeAnswer(do func()) { w.answering = do }

// An asked reader does something before it is read.
type asked struct {
	io.Reader
	before func()
}

func (a *asked) Read(p []byte) (int, error) {
	if a.before != nil {
		a.before()
		a.before = nil
	}
	return a.Reader.Read(p)
}
