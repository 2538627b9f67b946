package activities_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.uber.org/zap"

	"tranche/activities"
	"tranche/batch"
	"tranche/destinations"
	"tranche/query"
	"tranche/sources"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// TestARunKeepsTheDefinitionThatItBeganWith changes the settings between every two steps of a run.
func TestARunKeepsTheDefinitionThatItBeganWith(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.begin(t)
	w.move(t, "second")
	w.do(t, w.Plan, activities.RunInput{RunID: run, Generation: 1})
	w.move(t, "third")
	w.do(t, w.Stage, activities.StageInput{RunID: run, Generation: 1, Split: 0, Splits: 1})
	w.do(t, w.Recount, activities.RunInput{RunID: run, Generation: 1})
	w.move(t, "fourth")
	w.do(t, w.Commit, activities.RunInput{RunID: run, Generation: 1})
	w.do(t, w.Finish, activities.FinishInput{RunID: run, Status: batch.RunCompleted})
	require.Equal(t, []string{"stage in first", "commit in first", "abort in first"}, w.visits())

	r, err := w.db.RunByID(t.Context(), run)
	require.NoError(t, err)
	require.Equal(t, batch.RunCompleted, r.Status)
	require.EqualValues(t, 1, r.Revision)
	require.Equal(t, run, w.begin(t), "a repeated begin finds the run, whatever changed")
}

// TestWhatWasStagedIsAbortedWhereItWasStaged covers the run itself, and the sweep.
func TestWhatWasStagedIsAbortedWhereItWasStaged(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, w *world, run uuid.UUID){
		"by the run": func(t *testing.T, w *world, run uuid.UUID) {
			t.Helper()
			w.do(t, w.Finish, activities.FinishInput{RunID: run, Status: batch.RunFailed, Code: batch.CodeConfig, Message: "x"})
		},
		"by the sweep": func(t *testing.T, w *world, run uuid.UUID) {
			t.Helper()
			_, err := w.db.UpdateRun(t.Context(), run, func(r *batch.Run) error {
				long := time.Now().Add(-24 * time.Hour)
				r.Status, r.FinishedAt = batch.RunTerminated, &long
				return nil
			})
			require.NoError(t, err)
			sweeper := activities.Sweeper{Activities: w.Activities, Store: w.db, Grace: time.Minute}
			require.NoError(t, sweeper.Sweep(t.Context()))
		},
		"by the fence of the next run": func(t *testing.T, w *world, _ uuid.UUID) {
			t.Helper()
			next := storagetest.Run(w.export, w.interval)
			next.Revision = 2
			_, _, err := w.db.BeginRun(t.Context(), next)
			require.NoError(t, err)
			w.do(t, w.Plan, activities.RunInput{RunID: next.ID, Generation: 1})
			w.do(t, w.Stage, activities.StageInput{RunID: next.ID, Generation: 1, Split: 0, Splits: 1})
			w.do(t, w.Commit, activities.RunInput{RunID: next.ID, Generation: 1})
			require.Equal(t, []string{"stage in first", "stage in second", "abort in first", "commit in second", "abort in second"}, w.visits())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			run := w.begin(t)
			w.do(t, w.Plan, activities.RunInput{RunID: run, Generation: 1})
			w.do(t, w.Stage, activities.StageInput{RunID: run, Generation: 1, Split: 0, Splits: 1})
			w.move(t, "second")
			end(t, w, run)
			require.Contains(t, w.visits(), "abort in first")
		})
	}
}

func TestTheFirstRunAfterAChangeOfTheCalendarStartsWhereTheLastOneEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := batch.Interval{Start: storagetest.Noon.Add(-12 * time.Hour), End: storagetest.Noon}
	_, err := w.db.UpdateExport(t.Context(), 1, w.export.ID, func(e *batch.Export) error {
		e.FirstInterval = &first
		return nil
	})
	require.NoError(t, err)
	later := storagetest.Noon.Add(time.Hour)
	require.Equal(t, first, w.beginAt(t, &first.End).Interval)
	w = newWorld(t)
	require.Equal(t, storagetest.Hour(1), w.beginAt(t, &later).Interval)
}

// A world is the activities over a real database, with one export and fakes around it.
type world struct {
	*activities.Activities
	db       *storage.DB
	export   batch.Export
	interval batch.Interval
	env      *testsuite.TestActivityEnvironment

	mu      sync.Mutex
	visited []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{db: storagetest.SQLite(t), export: storagetest.Export(), interval: storagetest.Hour(0)}
	w.export.Destination = batch.Destination{Type: "Vault", Config: map[string]any{"place": "first"}}
	require.NoError(t, w.db.CreateExport(t.Context(), w.export))
	w.Activities = &activities.Activities{
		Store: w.db, Source: source{}, Models: query.PostHog(), Plugins: destinations.NewRegistry(w.vault()), Failing: &failing{}, Logs: silence{}, Metrics: silence{},
		Log: zap.NewNop(), Limits: activities.Production(), Now: time.Now,
	}
	w.env = new(testsuite.WorkflowTestSuite).NewTestActivityEnvironment()
	w.env.RegisterActivity(w.Activities)
	return w
}

// do executes an activity.
func (w *world) do(t *testing.T, activity, in any) {
	t.Helper()
	_, err := w.env.ExecuteActivity(activity, in)
	require.NoError(t, err)
}

func (w *world) begin(t *testing.T) uuid.UUID {
	t.Helper()
	return w.beginAt(t, &w.interval.End).RunID
}

func (w *world) beginAt(t *testing.T, nominal *time.Time) activities.Begun {
	t.Helper()
	begun := w.beginWith(t, activities.BeginInput{Nominal: nominal})
	require.Empty(t, begun.Skip)
	return begun
}

// move changes where the export delivers.
func (w *world) move(t *testing.T, place string) {
	t.Helper()
	_, err := w.db.UpdateExport(t.Context(), 1, w.export.ID, func(e *batch.Export) error {
		e.Destination.Config = map[string]any{"place": place}
		return nil
	})
	require.NoError(t, err)
}

func (w *world) visit(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.visited = append(w.visited, what)
}

// visits returns what destinations were asked for, and where.
func (w *world) visits() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.visited...)
}

type vaultConfig struct {
	Place string `json:"place" required:"true"`
}

func (w *world) vault() destinations.Plugin {
	return destinations.Define(destinations.Definition[vaultConfig]{
		Type: "Vault", Guarantee: destinations.ExactlyOnce,
		Columns: func(vaultConfig, query.Model) ([]query.Column, error) { return nil, nil },
		Open: func(_ context.Context, c vaultConfig) (destinations.Destination, error) {
			return &vault{world: w, place: c.Place}, nil
		},
	})
}

// A vault notes what it is asked for.
type vault struct {
	world *world
	place string
}

func (v *vault) Checks() []destinations.Check { return nil }

func (v *vault) Stage(ctx context.Context, job destinations.Job, _ array.RecordReader) (destinations.Receipt, error) {
	v.world.visit("stage in " + v.place)
	return destinations.Receipt{Split: job.Split, Rows: 1}, job.Journal.Record(ctx, destinations.Ref("ref in "+v.place))
}

func (v *vault) Commit(context.Context, destinations.Run, []destinations.Receipt, *batch.Delivery) (destinations.Published, error) {
	v.world.visit("commit in " + v.place)
	return destinations.Published{Rows: 1}, nil
}

func (v *vault) Abort(context.Context, []destinations.Ref) error {
	v.world.visit("abort in " + v.place)
	return nil
}

func (v *vault) Close() error { return nil }

// A source has one row in every interval.
type source struct{ sources.Source }

func (source) Plan(_ context.Context, q query.Query, _ int) ([]sources.Split, error) {
	return []sources.Split{{Range: q.Interval}}, nil
}

func (source) Count(context.Context, query.Query) (int64, error) { return 1, nil }

func (source) Open(context.Context, query.Query, sources.Split) (array.RecordReader, error) {
	return array.NewRecordReader(arrow.NewSchema(nil, nil), nil)
}

// silence is for what nobody looks at here.
type silence struct{}

func (silence) Log(batch.LogEntry)                                        {}
func (silence) RunEnded(batch.RunStatus, batch.Code, string, batch.Model) {}
func (silence) Delivered(string, batch.Model, int64, int64, int64)        {}
func (silence) LateRows(int64)                                            {}
func (silence) ActivityRetried(batch.Code)                                {}
func (silence) AutoPaused()                                               {}
func (silence) ScheduledRunBegan(time.Duration)                           {}
func (silence) DestinationCalled(string, string, time.Duration, error)    {}
func (silence) SourceCalled(string, string, time.Duration, error)         {}
