package activities_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.uber.org/zap"

	"tranche/activities"
	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/destinationtest/memory"
	"tranche/query"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// interval is what the tests deliver.
var interval = batch.Interval{Start: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC), End: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)}

// A place is where a protocol test happens: a real database, a source, and a destination that records what a reader
// sees. Processes come and go.
type place struct {
	*testing.T
	db     *storage.DB
	world  *memory.World
	server *httptest.Server
	source *table
	export batch.Export
	logs   *lines
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{T: t, db: storagetest.SQLite(t), world: memory.NewWorld(), source: &table{}, logs: &lines{}}
	p.server = httptest.NewServer(p.world)
	t.Cleanup(p.server.Close)
	t.Cleanup(func() {
		for _, v := range p.world.Violations() {
			t.Error(v)
		}
	})
	config, err := memory.Plugin(memory.Client{}).Parse(map[string]any{"prefix": "out", "max_file_size_mb": 1}, nil)
	require.NoError(t, err)
	p.export = storagetest.Export()
	p.export.Destination = batch.Destination{Type: memory.Type, Config: config}
	require.NoError(t, p.db.CreateExport(t.Context(), p.export))
	return p
}

// heartbeat of the tests' processes: leases live as long.
const heartbeat = 2 * time.Second

// A process is a worker: it can be stopped before it does something to the destination or to the database.
type process struct {
	*place
	activities *activities.Activities
	env        *testsuite.TestActivityEnvironment
	gate       *gate
}

func (p *place) process() *process {
	p.Helper()
	g := &gate{}
	w := &process{place: p, gate: g}
	client := memory.Client{URL: p.server.URL, At: func(_ context.Context, step string) error { return g.reach(step) }}
	w.activities = &activities.Activities{
		Store: &gatedStore{Store: p.db, gate: g}, Source: p.source, Models: query.PostHog(), Plugins: destinations.NewRegistry(memory.Plugin(client)),
		Failing: &failing{}, Logs: p.logs, Metrics: noMetrics{}, Log: zap.NewNop(), Now: time.Now,
		Limits: activities.Limits{Heartbeat: heartbeat, Short: 5 * time.Second, Parallel: 1},
	}
	var suite testsuite.WorkflowTestSuite
	w.env = suite.NewTestActivityEnvironment()
	w.env.RegisterActivity(w.activities)
	return w
}

// begin makes the row of a run.
func (p *place) begin() uuid.UUID {
	p.Helper()
	r := storagetest.Run(p.export, interval)
	_, _, err := p.db.BeginRun(p.Context(), r)
	require.NoError(p, err)
	return r.ID
}

// stage plans and stages a run.
func (w *process) stage(id uuid.UUID) {
	w.Helper()
	planned, err := w.plan(id)
	require.NoError(w, err)
	w.stageAll(id, planned)
}

func (w *process) plan(id uuid.UUID) (activities.Planned, error) {
	var planned activities.Planned
	value, err := w.env.ExecuteActivity(w.activities.Plan, activities.RunInput{RunID: id, Generation: 1})
	if err != nil {
		return planned, err
	}
	return planned, value.Get(&planned)
}

func (w *process) stageAll(id uuid.UUID, planned activities.Planned) {
	w.Helper()
	for split := range planned.Splits {
		_, err := w.env.ExecuteActivity(w.activities.Stage,
			activities.StageInput{RunID: id, Generation: planned.Generation, Split: split, Splits: planned.Splits})
		require.NoError(w, err)
	}
}

func (w *process) recount(id uuid.UUID, generation int) activities.Recounted {
	w.Helper()
	value, err := w.env.ExecuteActivity(w.activities.Recount, activities.RunInput{RunID: id, Generation: generation})
	require.NoError(w, err)
	var recounted activities.Recounted
	require.NoError(w, value.Get(&recounted))
	return recounted
}

func (w *process) commit(id uuid.UUID, generation int) error {
	_, err := w.env.ExecuteActivity(w.activities.Commit, activities.RunInput{RunID: id, Generation: generation})
	return err
}

func (w *process) finish(in activities.FinishInput) activities.Finished {
	w.Helper()
	value, err := w.env.ExecuteActivity(w.activities.Finish, in)
	require.NoError(w, err)
	var finished activities.Finished
	require.NoError(w, value.Get(&finished))
	return finished
}

// deliver does a whole run.
func (w *process) deliver() uuid.UUID {
	w.Helper()
	id := w.begin()
	w.stage(id)
	require.NoError(w, w.commit(id, 1))
	w.finish(activities.FinishInput{RunID: id, Status: batch.RunCompleted})
	return id
}

// sees requires that a reader sees exactly the rows, once each, and nothing else.
func (p *place) sees(want []string) {
	p.Helper()
	var got []string
	for key, o := range p.world.Visible() {
		if strings.HasSuffix(key, "_manifest.json") {
			continue
		}
		lines := bufio.NewScanner(bytes.NewReader(o.Body))
		for lines.Scan() {
			var r struct{ UUID string }
			require.NoError(p, json.Unmarshal(lines.Bytes(), &r))
			got = append(got, r.UUID)
		}
	}
	slices.Sort(got)
	require.Equal(p, want, got)
}

// deliveredBy requires that the database says so.
func (p *place) deliveredBy(id uuid.UUID) {
	p.Helper()
	d, err := p.db.Delivery(p.Context(), p.export.ID, interval)
	require.NoError(p, err)
	require.NotNil(p, d)
	require.Equal(p, id, d.RunID)
}

// stagesNothing requires that nothing is left at the destination or in the journal.
func (p *place) stagesNothing() {
	p.Helper()
	require.Empty(p, p.world.Staged())
	refs, err := p.db.DanglingRefs(p.Context(), time.Now().Add(time.Hour), 100)
	require.NoError(p, err)
	require.Empty(p, refs)
}

// A gate stops a process before one of its steps.
type gate struct {
	mu      sync.Mutex
	at      string
	how     stop
	reached chan struct{}
	goOn    chan struct{}
	struck  bool
}

// A stop is how a process stops.
type stop int

const (
	stall  stop = iota + 1 // only what it does at the step takes long: it renews its lease meanwhile
	freeze                 // all of it stands still, as under SIGSTOP
	die                    // nobody hears of it again, as after SIGKILL
)

// errDead is what the steps of a dead process answer.
var errDead = errors.New("the process is dead")

// stopAt makes the process stop before the next step whose name begins so. The returned channel tells that it is there;
// goOn lets it go on.
func (g *gate) stopAt(step string, how stop) (reached <-chan struct{}, goOn func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at, g.how, g.struck, g.reached, g.goOn = step, how, false, make(chan struct{}), make(chan struct{})
	open := g.goOn
	return g.reached, sync.OnceFunc(func() { close(open) })
}

func (g *gate) reach(step string) error {
	g.mu.Lock()
	if first := !g.struck && g.at != "" && strings.HasPrefix(step, g.at); first {
		g.struck = true
		close(g.reached)
	} else if !g.struck || g.how == stall {
		g.mu.Unlock()
		return nil
	}
	how, goOn := g.how, g.goOn
	g.mu.Unlock()
	if how == die {
		return errDead
	}
	<-goOn
	return nil
}

// A gatedStore has gates before what the protocol does in the database.
type gatedStore struct {
	activities.Store
	gate *gate
}

// SaveReceipt has a gate.
func (s *gatedStore) SaveReceipt(ctx context.Context, id uuid.UUID, generation, attempt int, r destinations.Receipt) error {
	if err := s.gate.reach("save receipt"); err != nil {
		return err
	}
	return s.Store.SaveReceipt(ctx, id, generation, attempt, r)
}

// AcquireLease has a gate.
func (s *gatedStore) AcquireLease(ctx context.Context, exportID uuid.UUID, i batch.Interval, id uuid.UUID, ttl time.Duration) (int64, error) {
	if err := s.gate.reach("acquire lease"); err != nil {
		return 0, err
	}
	return s.Store.AcquireLease(ctx, exportID, i, id, ttl)
}

// KeepLease has a gate: a frozen process renews nothing.
func (s *gatedStore) KeepLease(ctx context.Context, exportID uuid.UUID, i batch.Interval, token int64, ttl time.Duration) error {
	if err := s.gate.reach("keep lease"); err != nil {
		return err
	}
	return s.Store.KeepLease(ctx, exportID, i, token, ttl)
}

// RecordDelivery has a gate before and one behind it.
func (s *gatedStore) RecordDelivery(ctx context.Context, d batch.Delivery) error {
	if err := s.gate.reach("record delivery"); err != nil {
		return err
	}
	if err := s.Store.RecordDelivery(ctx, d); err != nil {
		return err
	}
	return s.gate.reach("delivery is recorded")
}

// lines keeps what the customer would read.
type lines struct {
	mu      sync.Mutex
	entries []batch.LogEntry
}

// Log is the Logger's.
func (l *lines) Log(e batch.LogEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
}

// has says whether a line of the level contains the text.
func (l *lines) has(level batch.LogLevel, text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.entries, func(e batch.LogEntry) bool { return e.Level == level && strings.Contains(e.Message, text) })
}

// failing counts how often somebody asked whether an export fails too often.
type failing struct{ asked atomic.Int32 }

// PauseFailing is the Failing's.
func (f *failing) PauseFailing(context.Context, uuid.UUID) (bool, error) {
	f.asked.Add(1)
	return false, nil
}

type noMetrics struct{}

func (noMetrics) RunEnded(batch.RunStatus, batch.Code, string, batch.Model) {}
func (noMetrics) Delivered(string, batch.Model, int64, int64, int64)        {}
func (noMetrics) LateRows(int64)                                            {}
func (noMetrics) ActivityRetried(batch.Code)                                {}
func (noMetrics) AutoPaused()                                               {}
func (noMetrics) ScheduledRunBegan(time.Duration)                           {}
func (noMetrics) DestinationCalled(string, string, time.Duration, error)    {}
func (noMetrics) SourceCalled(string, string, time.Duration, error)         {}
