package activities_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"tranche/activities"
	"tranche/batch"
	"tranche/query"
	"tranche/sources"
)

// A holder is a table of which snapshots can be held, by any number of processes.
type holder struct {
	*table
	fails error

	mu    sync.Mutex
	made  int
	held  map[string]*table
	asked []string // the snapshots that splits were read by
}

// Hold is the Snapshotter's.
func (h *holder) Hold(context.Context) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fails != nil {
		return "", h.fails
	}
	h.made++
	if h.held == nil {
		h.held = map[string]*table{}
	}
	name := strconv.Itoa(h.made)
	h.held[name] = &table{rows: h.in(interval)}
	return name, nil
}

// Release is the Snapshotter's.
func (h *holder) Release(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, name)
}

// Open is the Source's.
func (h *holder) Open(ctx context.Context, q query.Query, s sources.Split) (array.RecordReader, error) {
	h.mu.Lock()
	held, ok := h.held[s.Snapshot]
	h.asked = append(h.asked, s.Snapshot)
	h.mu.Unlock()
	if ok {
		return held.Open(ctx, q, s)
	}
	return h.table.Open(ctx, q, s)
}

func (h *holder) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.held))
}

// swap takes the earliest row away and has another arrive at the end of the interval: what counts cannot tell.
func (t *table) swap() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows[1:], row{"00000000-0000-0000-0000-0000000000ff", interval.End.Add(-time.Second)})
}

// holding is a place whose source holds snapshots, with two processes.
func holding(t *testing.T) (p *place, h *holder, first, second *process) {
	t.Helper()
	p = newPlace(t)
	p.source.splits = 2
	p.source.add(interval, 10)
	h = &holder{table: p.source}
	first, second = p.process(), p.process()
	first.activities.Source, second.activities.Source = h, h
	return p, h, first, second
}

func (w *process) stageOne(t *testing.T, in activities.StageInput) {
	t.Helper()
	_, err := w.env.ExecuteActivity(w.activities.Stage, in)
	require.NoError(t, err)
}

func TestTheSplitsOfARunAreReadAsOfOneMoment(t *testing.T) {
	t.Parallel()
	p, h, first, second := holding(t)
	id := p.begin()
	planned, err := first.plan(id)
	require.NoError(t, err)
	require.Equal(t, 2, planned.Splits)
	was := p.source.ids(interval)
	first.stageOne(t, activities.StageInput{RunID: id, Generation: 1, Split: 0, Splits: 2})
	p.source.swap() // between the two, unseen by a count
	second.stageOne(t, activities.StageInput{RunID: id, Generation: 1, Split: 1, Splits: 2})
	require.Equal(t, []string{"1", "1"}, h.asked)
	require.Nil(t, second.recount(id, 1).Again)
	require.NoError(t, second.commit(id, 1))
	p.sees(was)

	// The process that holds it hears of the other's work from the database.
	require.Equal(t, []string{"1"}, h.names())
	require.NoError(t, (&activities.Sweeper{Activities: first.activities, Store: p.db, Grace: time.Hour}).Sweep(t.Context()))
	require.Empty(t, h.names())
}

// Without the snapshot, because its process is gone or its time was up, what the splits read together is told from what is
// there by counting, and staged anew.
func TestWhatChangesBetweenSplitsThatShareNoSnapshotIsCounted(t *testing.T) {
	t.Parallel()
	p, h, first, second := holding(t)
	id := p.begin()
	_, err := first.plan(id)
	require.NoError(t, err)
	second.stageOne(t, activities.StageInput{RunID: id, Generation: 1, Split: 1, Splits: 2})
	h.Release("1")
	p.source.add(interval, 3) // the first split has them, by its own snapshot or by none
	p.source.swap()           // and the second would have this one
	first.stageOne(t, activities.StageInput{RunID: id, Generation: 1, Split: 0, Splits: 2})
	again := first.recount(id, 1).Again
	require.NotNil(t, again)
	require.Equal(t, []string{"2"}, h.names(), "the new generation has a snapshot of its own")
	first.stageAll(id, *again)
	require.Nil(t, first.recount(id, 2).Again)
	require.Empty(t, h.names())
	require.NoError(t, first.commit(id, 2))
	p.sees(p.source.ids(interval))
}

func TestSnapshotsAreReleased(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, p *place, w *process){
		"the run is cancelled": func(_ *testing.T, p *place, w *process) {
			id := p.begin()
			_, _ = w.plan(id)
			w.finish(activities.FinishInput{RunID: id, Status: batch.RunCancelled})
		},
		"everything is read": func(t *testing.T, p *place, w *process) { //nolint:thelper // it is a table
			id := p.begin()
			w.stage(id)
			require.Nil(t, w.recount(id, 1).Again)
		},
		"the run is planned again": func(t *testing.T, p *place, w *process) { //nolint:thelper // it is a table
			id := p.begin()
			for range 3 {
				_, err := w.plan(id)
				require.NoError(t, err)
			}
			w.stage(id)
			w.recount(id, 1)
		},
		"the run ends elsewhere": func(t *testing.T, p *place, w *process) { //nolint:thelper // it is a table
			id := p.begin()
			_, err := w.plan(id)
			require.NoError(t, err)
			p.process().finish(activities.FinishInput{RunID: id, Status: batch.RunFailed})
			require.NoError(t, (&activities.Sweeper{Activities: w.activities, Store: p.db, Grace: time.Hour}).Sweep(t.Context()))
		},
		"the plan comes too late": func(t *testing.T, p *place, w *process) { //nolint:thelper // it is a table
			id := p.begin()
			_, err := w.plan(id)
			require.NoError(t, err)
			w.stageOne(t, activities.StageInput{RunID: id, Generation: 1, Split: 0, Splits: 2})
			p.source.splits = 3 // an earlier try of the plan that was lost would have cut otherwise
			_, err = w.plan(id)
			requireCode(t, err, batch.CodeSuperseded)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, h, w, _ := holding(t)
			end(t, p, w)
			require.NotZero(t, h.made)
			require.Empty(t, h.names())
		})
	}
}

func TestARunWorksWithoutASnapshot(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(h *holder){
		"the source cannot hold one now": func(h *holder) { h.fails = errors.New("too many connections") },
		"there is one split only":        func(h *holder) { h.splits = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, h, w, _ := holding(t)
			edit(h)
			id := w.deliver()
			p.sees(p.source.ids(interval))
			p.deliveredBy(id)
			require.Zero(t, h.made)
		})
	}
}
