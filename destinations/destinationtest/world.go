package destinationtest

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/query"
)

// patience is how long the suite waits for anything.
const patience = 3 * time.Minute

// A world is a fixture in the hands of a case.
type world struct {
	*testing.T
	Fixture
	ctx     context.Context // ends with the test, or when patience does
	config  map[string]any
	columns []query.Column
	memory  *memory.CheckedAllocator
	export  uuid.UUID
	token   int64
	// kept are the rows that must be visible whatever comes, by key: see sees.
	kept map[string]Row
}

func newWorld(t *testing.T, f Fixture) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	w := &world{T: t, Fixture: f, ctx: ctx, memory: memory.NewCheckedAllocator(memory.NewGoAllocator()), export: uuid.New(), kept: map[string]Row{}}
	t.Cleanup(func() { w.memory.AssertSize(t, 0) })
	var err error
	w.config, err = f.Plugin.Parse(f.Config, nil)
	require.NoError(t, err)
	events, _ := query.PostHog().Model(batch.ModelEvents)
	w.columns, err = f.Plugin.Columns(w.config, events)
	require.NoError(t, err)
	return w
}

// open opens the destination as the product does.
func (w *world) open() destinations.Destination {
	w.Helper()
	d, err := w.Plugin.Open(w.ctx, w.config)
	require.NoError(w, err)
	w.Cleanup(func() { require.NoError(w, d.Close()) })
	return d
}

// openAt opens it with faults.
func (w *world) openAt(at At) destinations.Destination {
	w.Helper()
	d, err := w.OpenAt(w.ctx, w.config, at)
	require.NoError(w, err)
	w.Cleanup(func() { require.NoError(w, d.Close()) })
	return d
}

// sees requires that exactly these rows are visible; and where a delivery replaces by key, those too that were delivered
// before.
func (w *world) sees(want ...[]Row) {
	w.Helper()
	expected := slices.Concat(want...)
	if w.Plugin.Guarantee == destinations.ExactlyOnceByKey {
		w.keep(expected)
		expected = slices.Collect(maps.Values(w.kept))
	}
	got, err := w.Rows(w.ctx)
	require.NoError(w, err)
	require.Equal(w, comparable(expected), comparable(got))
}

// keep remembers rows that are delivered.
func (w *world) keep(rows []Row) {
	for _, r := range rows {
		w.kept[r.UUID] = r
	}
}

// comparable puts rows in an order and their values in one form.
func comparable(rows []Row) []Row {
	rows = append([]Row{}, rows...) // none is as good as nil
	for i, r := range rows {
		var value any
		if json.Unmarshal([]byte(r.Properties), &value) == nil {
			canonical, _ := json.Marshal(value) // what was decoded can be encoded
			rows[i].Properties = string(canonical)
		}
		rows[i].Timestamp = r.Timestamp.UTC()
	}
	slices.SortFunc(rows, func(a, b Row) int { return compareText(a.UUID, b.UUID) })
	return rows[:len(rows):len(rows)]
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// stagesNothing requires that nothing invisible is left.
func (w *world) stagesNothing() {
	w.Helper()
	staged, err := w.Staged(w.ctx)
	require.NoError(w, err)
	require.Empty(w, staged)
}

// A run is one run of the suite's interval.
type run struct {
	destinations.Run
	journal  *journal
	receipts []destinations.Receipt
	rows     []Row // of the receipts
}

func (w *world) newRun() *run {
	w.token++
	return &run{
		Run: destinations.Run{
			ID: uuid.New(), ExportID: w.export, TeamID: 1, Model: batch.ModelEvents, Generation: 1, Token: w.token,
			Interval: batch.Interval{Start: epoch, End: epoch.Add(time.Hour)},
		},
		journal: &journal{},
	}
}

func (r *run) job(split, splits, attempt int) destinations.Job {
	job := destinations.Job{Run: r.Run, Split: split, Splits: splits, Attempt: attempt, Journal: r.journal}
	job.Token = 0
	return job
}

// reader streams rows of the world's columns.
func (w *world) reader(rows []Row) array.RecordReader {
	w.Helper()
	reader, err := readerOf(w.memory, w.columns, rows)
	require.NoError(w, err)
	w.Cleanup(reader.Release)
	return reader
}

// stage stages one split for each part of the rows, and keeps the receipts.
func (w *world) stage(d destinations.Destination, r *run, parts ...[]Row) {
	w.Helper()
	r.receipts, r.rows = nil, slices.Concat(parts...)
	for i, part := range parts {
		receipt, err := d.Stage(w.ctx, r.job(i, len(parts), 1), w.reader(part))
		require.NoError(w, err)
		require.Equal(w, int64(len(part)), receipt.Rows)
		require.Equal(w, i, receipt.Split)
		r.receipts = append(r.receipts, throughJSON(w, receipt))
	}
}

// throughJSON is what our database does to a receipt.
func throughJSON(w *world, r destinations.Receipt) (kept destinations.Receipt) {
	w.Helper()
	body, err := json.Marshal(r)
	require.NoError(w, err)
	require.NoError(w, json.Unmarshal(body, &kept))
	return kept
}

// deliver stages and commits a run with all that belongs to it, and returns what our database would know of it.
func (w *world) deliver(d destinations.Destination, previous *batch.Delivery, parts ...[]Row) *batch.Delivery {
	w.Helper()
	r := w.newRun()
	w.stage(d, r, parts...)
	return w.commit(d, r, previous)
}

// commit commits a staged run and aborts what is left of it, as the product does once the delivery is recorded.
func (w *world) commit(d destinations.Destination, r *run, previous *batch.Delivery) *batch.Delivery {
	w.Helper()
	published, err := d.Commit(w.ctx, r.Run, r.receipts, previous)
	require.NoError(w, err)
	w.checkPublished(r, published)
	w.keep(r.rows)
	require.NoError(w, d.Abort(w.ctx, r.journal.all()))
	return delivery(r, published)
}

func (w *world) checkPublished(r *run, p destinations.Published) {
	w.Helper()
	var rows, bytes int64
	var keys, published []string
	for _, receipt := range r.receipts {
		rows, bytes = rows+receipt.Rows, bytes+receipt.Bytes
		for _, o := range receipt.Objects {
			keys = append(keys, o.Key)
		}
	}
	for _, o := range p.Objects {
		published = append(published, o.Key)
	}
	require.Equal(w, rows, p.Rows)
	require.Equal(w, bytes, p.Bytes)
	require.ElementsMatch(w, keys, published)
	if w.Plugin.Guarantee != destinations.ExactlyOnceByKey { // which says what it could not replace
		require.Empty(w, p.Warnings)
	}
}

func delivery(r *run, p destinations.Published) *batch.Delivery {
	return &batch.Delivery{
		ExportID: r.ExportID, Interval: r.Interval, RunID: r.ID, Generation: r.Generation, Token: r.Token,
		Rows: p.Rows, Bytes: p.Bytes, Objects: p.Objects, Manifest: p.Manifest, CommittedAt: time.Now().UTC(),
	}
}

// fence does what a newer run's commit does first: it aborts what the older one staged.
func (w *world) fence(d destinations.Destination, r *run) {
	w.Helper()
	r.journal.close()
	require.NoError(w, d.Abort(w.ctx, r.journal.all()))
}

// parts cuts rows into as many splits as the destination takes, three at most.
func (w *world) parts(rows []Row) [][]Row {
	n := min(3, w.Plugin.MaxSplits(w.config))
	parts := make([][]Row, n)
	for i := range parts {
		parts[i] = rows[len(rows)*i/n : len(rows)*(i+1)/n]
	}
	return parts
}

// A journal remembers refs as our database does.
type journal struct {
	mu     sync.Mutex
	refs   []destinations.Ref
	closed bool
}

// Record is the destinations.Journal's.
func (j *journal) Record(_ context.Context, ref destinations.Ref) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return batch.Errorf(batch.CodeSuperseded, nil, "the run is over")
	}
	if !slices.Contains(j.refs, ref) {
		j.refs = append(j.refs, ref)
	}
	return nil
}

func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
}

func (j *journal) all() []destinations.Ref {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.refs)
}

var errKilled = errors.New("the process was killed")

// steps counts the steps that do passes.
func (w *world) steps(do func(destinations.Destination)) int {
	w.Helper()
	n := 0
	do(w.openAt(func(context.Context, string) error {
		n++
		return nil
	}))
	return n
}

// killAt kills at step n, from 0.
func killAt(n int) At {
	step := 0
	return func(context.Context, string) error {
		if step++; step > n {
			return errKilled
		}
		return nil
	}
}

// A stop is a process that stands still at one step.
type stop struct {
	reached chan struct{}
	resume  chan struct{}
}

func newStop() *stop { return &stop{reached: make(chan struct{}), resume: make(chan struct{})} }

// at stands still at step n, from 0.
func (s *stop) at(n int) At {
	step := 0
	return func(ctx context.Context, _ string) error {
		if step++; step != n+1 {
			return nil
		}
		close(s.reached)
		select {
		case <-s.resume:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wait waits for a signal, not longer than patience.
func (w *world) wait(signal <-chan struct{}) {
	w.Helper()
	select {
	case <-signal:
	case <-w.ctx.Done():
		require.NoError(w, w.ctx.Err())
	}
}
