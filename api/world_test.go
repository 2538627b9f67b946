package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"tranche/api"
	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/file"
	"tranche/internal/app"
	"tranche/internal/auth"
	"tranche/internal/safenet"
	"tranche/internal/telemetry"
	"tranche/internal/webhook"
	"tranche/query"
	"tranche/storage"
	"tranche/storage/sqlite"
)

// The world of the tests: two organizations. Projects 1 and 2 are the first one's, project 3 the other's.
const (
	writeKey   = "key-with-write-scope"
	readKey    = "key-with-read-scope"
	allKey     = "key-with-every-scope"
	noScopeKey = "key-without-scopes"
	revokedKey = "key-that-was-revoked"
	expiredKey = "key-that-is-expired"
	foreignKey = "key-of-the-other-organization"

	project = "/api/projects/1"
)

// start is when the tests take place.
var start = time.Date(2026, 5, 6, 7, 8, 9, 123_456_000, time.UTC)

// A world is the API over a real database, with Temporal faked.
type world struct {
	*storage.DB
	server   *api.Server
	handler  http.Handler
	contract *contract
	temporal *temporal
	logs     *journal

	mu  sync.Mutex
	now time.Time
}

// newWorld makes a world; changes are made to the server before it is used.
func newWorld(t *testing.T, changes ...func(*api.Server)) *world {
	t.Helper()
	w := &world{now: start, temporal: &temporal{}, logs: &journal{}}
	master, err := storage.NewMasterKey("test")
	require.NoError(t, err)
	sealer, err := storage.NewSealer(master)
	require.NoError(t, err)
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tranche.db"), sealer)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	w.DB = db.WithClock(w.clock)
	w.seed(t)

	log := zap.NewNop()
	reg := telemetry.NewRegistry()
	plugins := destinations.NewRegistry(append(stores(), vault(), stream(), file.Plugin(file.Server{Root: t.TempDir()}))...)
	w.DB = w.DB.WithPlugins(plugins)
	runs := &app.Runs{Store: w.DB, Workflows: w.temporal, Logs: w.logs, Log: log, Now: w.clock}
	backfills := &app.Backfills{
		Store: w.DB, Workflows: w.temporal, Models: query.PostHog(), Plugins: plugins, Runs: runs, Log: log, Now: w.clock,
		Limit: 5, Concurrency: 2, MostConcurrency: 20,
	}
	runs.Backfills = backfills
	w.server = &api.Server{
		Exports: &app.Exports{
			Store: w.DB, Schedules: w.temporal, Models: query.PostHog()[:2], Plugins: plugins,
			Runs: runs, Backfills: backfills, Logs: w.logs, Log: log, Now: w.clock,
		},
		Runs: runs, Backfills: backfills, Coverage: &app.Coverage{Store: w.DB, Backfills: backfills, Now: w.clock},
		Notifications: &app.Notifications{
			Store: w.DB, Sender: webhook.NewSender(names, nil), Log: log, Now: w.clock, Limit: 3,
		},
		Logs: &app.Logs{Store: w.DB}, Audit: &app.Audit{Store: w.DB}, Keys: w.DB, Answers: w.DB,
		Scrape: telemetry.Handler(reg), Metrics: telemetry.NewMetrics(reg), Log: log, Now: w.clock,
		CursorKey: []byte("sixteen bytes or more"), TemporalUI: api.TemporalUI{Base: "http://ui.test/", Namespace: "default"},
	}
	for _, change := range changes {
		change(w.server)
	}
	w.handler = w.server.Handler()
	quiet := *w.server // that nobody sees the document being read
	quiet.Log, quiet.Metrics = zap.NewNop(), telemetry.NewMetrics(telemetry.NewRegistry())
	w.contract = contractOf(t, quiet.Exports.Plugins.Types(), quiet.Handler)
	return w
}

// names are the hosts that there are: example.com, and the machine itself, which may be reached.
var names = safenet.Guard{Allow: safenet.Loopback(), Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
	switch host {
	case "example.com":
		return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
	case "ours.example.com":
		return []netip.Addr{netip.MustParseAddr("10.1.2.3")}, nil
	}
	return nil, nil
}}

// seed makes the projects and keys.
func (w *world) seed(t *testing.T) {
	t.Helper()
	require.NoError(t, w.EnsureProject(t.Context(), 1, 1, 11))
	require.NoError(t, w.EnsureProject(t.Context(), 1, 2, 11))
	require.NoError(t, w.EnsureProject(t.Context(), 2, 3, 22))
	past := start.Add(-time.Hour)
	for secret, key := range map[string]auth.Key{
		writeKey:   {OrganizationID: 1, UserID: 11, Scopes: []auth.Scope{auth.ScopeWrite}},
		readKey:    {OrganizationID: 1, UserID: 11, Scopes: []auth.Scope{auth.ScopeRead}},
		allKey:     {OrganizationID: 1, UserID: 11, Scopes: []auth.Scope{auth.ScopeAll}},
		noScopeKey: {OrganizationID: 1, UserID: 11},
		revokedKey: {OrganizationID: 1, UserID: 11, Scopes: []auth.Scope{auth.ScopeAll}, RevokedAt: &past},
		expiredKey: {OrganizationID: 1, UserID: 11, Scopes: []auth.Scope{auth.ScopeAll}, ExpiresAt: &past},
		foreignKey: {OrganizationID: 2, UserID: 22, Scopes: []auth.Scope{auth.ScopeAll}},
	} {
		key.ID, key.Hash, key.CreatedAt = uuid.New(), auth.Hash(secret), past
		require.NoError(t, w.CreateKey(t.Context(), key))
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// An answer is what the API said.
type answer struct {
	*httptest.ResponseRecorder
	t *testing.T
}

// call makes a request with the write key.
func (w *world) call(t *testing.T, method, path, body string) answer {
	t.Helper()
	return w.callAs(t, writeKey, method, path, body)
}

func (w *world) callAs(t *testing.T, key, method, path, body string) answer {
	t.Helper()
	return w.send(t, w.requestAs(t, key, method, path, body))
}

// request makes a request with the write key that is not sent yet.
func (w *world) request(t *testing.T, method, path, body string) *http.Request {
	t.Helper()
	return w.requestAs(t, writeKey, method, path, body)
}

func (w *world) requestAs(t *testing.T, key, method, path, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return r
}

func (w *world) send(t *testing.T, r *http.Request) answer {
	t.Helper()
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	w.contract.check(t, r, recorder)
	return answer{recorder, t}
}

// is checks the status and the exact JSON.
func (a answer) is(status int, body string) answer {
	a.t.Helper()
	require.Equal(a.t, status, a.Code, a.Body.String())
	require.Equal(a.t, "application/json", a.Header().Get("Content-Type"))
	require.JSONEq(a.t, body, a.Body.String())
	return a
}

// fails checks the status and the envelope; an empty attr means null.
func (a answer) fails(status int, kind, code, detail, attr string) {
	a.t.Helper()
	want := map[string]any{"type": kind, "code": code, "detail": detail, "attr": nil}
	if attr != "" {
		want["attr"] = attr
	}
	require.Equal(a.t, status, a.Code, a.Body.String())
	require.Equal(a.t, want, a.json())
}

// invalid checks for a validation error.
func (a answer) invalid(code, detail, attr string) {
	a.t.Helper()
	a.fails(http.StatusBadRequest, "validation_error", code, detail, attr)
}

// json decodes the body.
func (a answer) json() map[string]any {
	a.t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(a.Body.Bytes()))
	var value map[string]any
	require.NoError(a.t, decoder.Decode(&value), a.Body.String())
	return value
}

// text returns a string field of the body.
func (a answer) text(field string) string {
	a.t.Helper()
	text, ok := a.json()[field].(string)
	require.True(a.t, ok, a.Body.String())
	return text
}

// ids returns the ids on a page.
func (a answer) ids() []string {
	a.t.Helper()
	require.Equal(a.t, http.StatusOK, a.Code, a.Body.String())
	var page struct{ Results []struct{ ID string } }
	require.NoError(a.t, json.Unmarshal(a.Body.Bytes(), &page))
	ids := make([]string, len(page.Results))
	for i, r := range page.Results {
		ids[i] = r.ID
	}
	return ids
}

// export creates an export in project 1, hourly unless fields say otherwise, and returns its id.
func (w *world) export(t *testing.T, fields ...string) uuid.UUID {
	t.Helper()
	answer := w.call(t, http.MethodPost, project+"/batch_exports", draft(fields...))
	require.Equal(t, http.StatusCreated, answer.Code, answer.Body.String())
	return uuid.MustParse(answer.text("id"))
}

// draft is a valid body with further fields, as in `"interval": "day"`; those of the same name replace.
func draft(fields ...string) string {
	object := map[string]any{
		"name":        "my export",
		"destination": map[string]any{"type": "Vault", "config": map[string]any{"bucket": "b", "secret": "s3cr3t"}},
		"interval":    "hour",
	}
	var more map[string]any
	if err := json.Unmarshal([]byte("{"+strings.Join(fields, ",")+"}"), &more); err != nil {
		panic(err)
	}
	for name, value := range more {
		object[name] = value
	}
	text, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// run begins a run of an export of project 1. It is about the hour before the last one unless change says otherwise.
func (w *world) run(t *testing.T, exportID uuid.UUID, change func(*batch.Run)) batch.Run {
	t.Helper()
	hour := start.Truncate(time.Hour)
	r := batch.Run{
		ID: uuid.New(), ExportID: exportID, TeamID: 1, Status: batch.RunRunning, Revision: 1,
		Interval:      batch.Interval{Start: hour.Add(-time.Hour), End: hour},
		TemporalRunID: "temporal-run", CreatedAt: w.clock(), LastUpdatedAt: w.clock(), Attempt: 1,
	}
	r.WorkflowID = batch.WorkflowID(exportID, r.Interval.End)
	if change != nil {
		change(&r)
	}
	r, _, err := w.BeginRun(t.Context(), r)
	require.NoError(t, err)
	return r
}

// A vaultConfig has settings of every type that matters to the API.
type vaultConfig struct {
	Bucket string  `json:"bucket" required:"true"`
	Secret string  `json:"secret" required:"true" secret:"true"`
	Port   int     `json:"port" default:"443"`
	TLS    bool    `json:"tls" default:"true"`
	Prefix *string `json:"prefix"`
}

// vault describes a destination that nothing is delivered to.
func vault() destinations.Plugin {
	return destinations.Define(destinations.Definition[vaultConfig]{Type: "Vault", Guarantee: destinations.ExactlyOnce})
}

// stream describes one whose backfills may have no end.
func stream() destinations.Plugin {
	return destinations.Define(destinations.Definition[vaultConfig]{Type: "Stream", Guarantee: destinations.AtLeastOnce, Endless: true})
}

// temporal records what it was asked for.
type temporal struct {
	mu     sync.Mutex
	calls  []string
	broken error
}

func (f *temporal) record(call string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
	return f.broken
}

// take returns the calls since it was last asked.
func (f *temporal) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := slices.Clone(f.calls)
	f.calls = nil
	return calls
}

func (f *temporal) Put(_ context.Context, e batch.Export) error {
	return f.record("put " + e.ID.String())
}

func (f *temporal) Remove(_ context.Context, id uuid.UUID) error {
	return f.record("remove " + id.String())
}

func (f *temporal) CancelRun(_ context.Context, r batch.Run) error {
	return f.record("cancel run " + r.ID.String())
}

func (f *temporal) StartBackfill(_ context.Context, b batch.Backfill) error {
	return f.record("start backfill " + b.ID.String())
}

func (f *temporal) CancelBackfill(_ context.Context, b batch.Backfill) error {
	return f.record("cancel backfill " + b.ID.String())
}

func (f *temporal) SteerBackfill(_ context.Context, b batch.Backfill) error {
	return f.record("steer backfill " + b.ID.String())
}

// journal keeps the lines that customers would see.
type journal struct {
	mu      sync.Mutex
	entries []batch.LogEntry
}

func (j *journal) Log(entry batch.LogEntry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry)
}

// mustID parses an id that the API gave.
func mustID(text string) uuid.UUID { return uuid.MustParse(text) }
