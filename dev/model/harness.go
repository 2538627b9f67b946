// Package model proves the delivery protocol: random sequences of what users, operators and accidents do run against the
// whole stack, with workers in processes of their own that die and freeze, and a destination that records every visible
// state. After each sequence has settled, every interval is visible exactly once, with the source's rows.
package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"tranche/destinations"
	"tranche/destinations/destinationtest/memory"
	"tranche/dev/temporal"
	"tranche/internal/pgtest"
	"tranche/internal/service"
	"tranche/internal/telemetry"
	"tranche/internal/testprocess"
	"tranche/query"
	"tranche/storage"
	"tranche/workflows"
)

// masterKey seals the destination settings of the model.
const masterKey = "model:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// workerCount is how many worker processes there are.
const workerCount = 2

// A harness is the whole stack: Temporal, PostgreSQL, the API, workers in processes of their own, and the world.
type harness struct {
	tb      testing.TB
	dsn     string
	broken  string
	db      *storage.DB
	pool    *pgxpool.Pool
	world   *memory.World
	faults  *faults
	control *httptest.Server

	temporalDir string
	serverMu    sync.Mutex
	server      *temporal.Server
	client      client.Client

	apiMu sync.RWMutex
	api   *httptest.Server

	workersMu sync.Mutex
	workers   map[string]*testprocess.Process
	stopping  bool
	teams     int64

	calendars        bool // may change, and backfills replace deliveries of another length
	sequences, steps int  // what was walked
}

// startHarness starts everything. Broken names a part of the protocol that the workers leave out.
func startHarness(tb testing.TB, postgres *pgtest.Server, broken string) *harness {
	tb.Helper()
	h := &harness{
		tb: tb, dsn: postgres.Database(tb), broken: broken, world: memory.NewWorld(), faults: newFaults(),
		temporalDir: tb.TempDir(), workers: map[string]*testprocess.Process{},
	}
	h.faults.strike = h.strike
	ctx := tb.Context()
	var err error
	h.db, err = openDB(ctx, h.dsn, masterKey)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, h.db.Close()) })
	require.NoError(tb, h.db.Migrate(ctx))
	h.pool, err = pgxpool.New(ctx, h.dsn)
	require.NoError(tb, err)
	tb.Cleanup(h.pool.Close)
	_, err = h.pool.Exec(ctx, `CREATE TABLE events (uuid uuid, team_id bigint, event text, distinct_id text, "timestamp" timestamptz,
		inserted_at timestamptz, created_at timestamptz, properties text, person_properties text, person_id text, elements_chain text)`)
	require.NoError(tb, err)
	_, err = h.pool.Exec(ctx, versionsSchema)
	require.NoError(tb, err)

	h.startTemporal(0)
	tb.Cleanup(h.stopTemporal)
	h.client, err = client.NewLazyClient(client.Options{HostPort: h.server.HostPort(), Logger: telemetry.NewTemporalLogger(zap.NewNop())})
	require.NoError(tb, err)
	tb.Cleanup(h.client.Close)
	h.startControl()
	h.startAPI()
	tb.Cleanup(func() { h.api.Close() })
	tb.Cleanup(h.stopWorkers)
	for i := range workerCount {
		h.startWorker(fmt.Sprintf("worker-%d", i+1))
	}
	return h
}

func (h *harness) startTemporal(port int) {
	h.tb.Helper()
	server, err := temporal.Start(context.Background(), temporal.Options{
		Dir: h.temporalDir, Port: port, SearchAttributes: workflows.SearchAttributes(),
	})
	require.NoError(h.tb, err)
	h.server = server
}

func (h *harness) stopTemporal() {
	h.serverMu.Lock()
	defer h.serverMu.Unlock()
	require.NoError(h.tb, h.server.Stop())
}

// restartTemporal stops the server, does something while it is away, and starts it on the same address.
func (h *harness) restartTemporal(meanwhile func()) {
	h.serverMu.Lock()
	defer h.serverMu.Unlock()
	var port int
	_, err := fmt.Sscanf(h.server.HostPort(), "127.0.0.1:%d", &port)
	require.NoError(h.tb, err)
	require.NoError(h.tb, h.server.Stop())
	meanwhile()
	h.startTemporal(port)
}

// startControl serves the world and the points to the workers.
func (h *harness) startControl() {
	h.world.Before = func(op memory.Op) error { return h.faults.reach(op.Worker, "before "+op.Name) }
	h.world.After = func(op memory.Op) error {
		point := "after " + op.Name
		if op.Name == "stage" {
			point = "mid-stage"
		}
		return h.faults.reach(op.Worker, point)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /op", h.world)
	mux.HandleFunc("POST /point", func(w http.ResponseWriter, r *http.Request) {
		var v visit
		if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := h.faults.reach(v.Worker, v.Point); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	h.control = httptest.NewServer(mux)
	h.tb.Cleanup(h.control.Close)
}

// startAPI starts an API of the service's making. The old one, if there was one, must be closed.
func (h *harness) startAPI() {
	h.tb.Helper()
	registry := prometheus.NewRegistry()
	metrics := telemetry.NewMetrics(registry)
	parts := service.Parts{
		DB: h.db, Temporal: h.client, Metrics: metrics, RunLog: telemetry.NewRunLog(h.db, metrics, zap.NewNop()), Log: zap.NewNop(), Registry: registry,
		Models:  query.PostHog(),
		Plugins: destinations.NewRegistry(memory.Plugin(memory.Client{URL: h.control.URL + "/op", Worker: "api"})),
	}
	server, err := parts.API(service.APIOptions{
		Quotas:       service.Quotas{Backfills: 5, BackfillConcurrency: 3},
		CursorSecret: []byte("the cursors of the model"),
	})
	require.NoError(h.tb, err)
	h.api = httptest.NewServer(server.Handler())
}

// restartAPI cuts every connection and starts a new API.
func (h *harness) restartAPI() {
	h.apiMu.Lock()
	defer h.apiMu.Unlock()
	h.api.CloseClientConnections()
	h.api.Close()
	h.startAPI()
}

// startWorker starts a worker and keeps it running: when it dies it is started again, as a supervisor would.
func (h *harness) startWorker(name string) {
	h.workersMu.Lock()
	defer h.workersMu.Unlock()
	if h.stopping {
		return
	}
	config, err := json.Marshal(workerConfig{
		Name: name, Database: h.dsn, Key: masterKey, Temporal: h.server.HostPort(), Control: h.control.URL, Broken: h.broken,
	})
	require.NoError(h.tb, err)
	command := exec.Command(os.Args[0]) //nolint:noctx // it lives as long as the harness, which ends it
	command.Env = append(os.Environ(), workerVariable+"="+string(config))
	command.Stderr = os.Stderr
	p, err := testprocess.Start(command)
	require.NoError(h.tb, err)
	go func() {
		<-p.Ended() // it is meant to die
		h.startWorker(name)
	}()
	h.workers[name] = p
}

func (h *harness) stopWorkers() {
	h.workersMu.Lock()
	h.stopping = true
	workers := h.workers
	h.workersMu.Unlock()
	for _, p := range workers {
		p.Kill()
	}
}

// frozen is how long a frozen worker sleeps: longer than its heartbeat timeout, so that others take over.
const frozen = 3500 * time.Millisecond

// strike kills or freezes a worker.
func (h *harness) strike(name string, k kind) {
	h.workersMu.Lock()
	p := h.workers[name]
	h.workersMu.Unlock()
	if p == nil {
		return // the API came to the point
	}
	if k == kill {
		p.Kill()
		return
	}
	_ = p.Command.Process.Signal(syscall.SIGSTOP)
	time.AfterFunc(frozen, func() { _ = p.Command.Process.Signal(syscall.SIGCONT) })
}

// ignoreGone forgives that a workflow was over before somebody could reach for it.
func ignoreGone(err error) error {
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return nil
	}
	return err
}

// outcomes counts the runs of all sequences by how they came about and how they ended.
func (h *harness) outcomes(tb testing.TB) []string {
	tb.Helper()
	rows, err := h.pool.Query(tb.Context(), `SELECT concat_ws(' ', CASE WHEN backfill_id IS NULL THEN 'scheduled' ELSE 'backfilled' END, status, error_code)
		|| ': ' || count(*) FROM runs GROUP BY backfill_id IS NULL, status, error_code ORDER BY 1`)
	require.NoError(tb, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(tb, err)
	return lines
}
