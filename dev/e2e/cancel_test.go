package e2e

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"tranche/activities"
	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/file"
	"tranche/destinations/objects"
	"tranche/dev/stack"
	"tranche/internal/app"
	"tranche/query"
	"tranche/workflows"
)

// A mood is how a moody destination does its work; it writes files like File.
type mood struct {
	kind   string
	stage  func(ctx context.Context) error // before it stages; nil = nothing
	commit func(ctx context.Context) error // before it commits
}

// plugin is a kind of destination with the mood, below the stack's folder of files.
func (m mood) plugin(files func() destinations.Plugin) destinations.Plugin {
	return destinations.Define(destinations.Definition[file.Config]{
		Type: m.kind, Name: m.kind, Guarantee: destinations.AtomicObjects,
		Columns: func(_ file.Config, m query.Model) ([]query.Column, error) { return objects.Columns(m) },
		Open: func(ctx context.Context, c file.Config) (destinations.Destination, error) {
			inner, err := files().Open(ctx, map[string]any{"prefix": c.Prefix, "file_format": "JSONLines", "compression": "gzip"})
			return &moody{Destination: inner, mood: m}, err
		},
	})
}

type moody struct {
	destinations.Destination
	mood mood
}

// Stage has the mood's before it.
func (d *moody) Stage(ctx context.Context, job destinations.Job, records array.RecordReader) (destinations.Receipt, error) {
	if d.mood.stage != nil {
		if err := d.mood.stage(ctx); err != nil {
			return destinations.Receipt{}, err
		}
	}
	return d.Destination.Stage(ctx, job, records)
}

// Commit has the mood's before it.
func (d *moody) Commit(
	ctx context.Context, run destinations.Run, receipts []destinations.Receipt, previous *batch.Delivery,
) (destinations.Published, error) {
	if d.mood.commit != nil {
		if err := d.mood.commit(ctx); err != nil {
			return destinations.Published{}, err
		}
	}
	return d.Destination.Commit(ctx, run, receipts, previous)
}

// startMoody starts a stack that has a destination with the mood, and an export to it.
func startMoody(t *testing.T, m mood, events []event, changes ...func(*activities.Limits)) (*inProcess, uuid.UUID) {
	t.Helper()
	var root string
	s := startStackWith(t, events, func(o *stack.Options) {
		limits := activities.Embedded()
		limits.Settle = 0
		for _, change := range changes {
			change(&limits)
		}
		o.Limits = &limits
		plugins := o.Plugins
		o.Plugins = func(folder string) []destinations.Plugin { root = folder; return plugins(folder) }
	}, m.plugin(func() destinations.Plugin { return file.Plugin(file.Server{Root: root}) }))
	settings := fileExport(m.kind, "hour", m.kind)
	settings["destination"].(map[string]any)["type"] = m.kind
	return s, s.create(settings)
}

// A run that is cancelled, wherever it is, by whomever, ends in a defined state, and nothing half is ever visible.
func TestACancelledRunEndsInADefinedState(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mood   func(reached, goOn chan struct{}) mood
		settle time.Duration
		status string
		late   bool // the commit has begun: a cancel is refused, or does not reach it
	}{
		"while it waits for late rows": {
			mood:   func(reached, _ chan struct{}) mood { close(reached); return mood{} },
			settle: 10 * 365 * 24 * time.Hour, status: "Cancelled",
		},
		"while it stages": {
			mood: func(reached, _ chan struct{}) mood {
				return mood{stage: func(ctx context.Context) error { close(reached); <-ctx.Done(); return ctx.Err() }}
			}, status: "Cancelled",
		},
		"while it waits to try again": {
			mood: func(reached, _ chan struct{}) mood {
				var tries atomic.Int32
				return mood{stage: func(context.Context) error {
					if tries.Add(1) == 1 {
						close(reached)
					}
					e := batch.Errorf(batch.CodeUnavailable, nil, "the destination is having a nap")
					e.RetryAfter = time.Hour
					return e
				}}
			}, status: "Cancelled",
		},
		"while it commits": {
			mood: func(reached, goOn chan struct{}) mood {
				return mood{commit: func(context.Context) error { close(reached); <-goOn; return nil }}
			}, status: "Completed", late: true,
		},
	} {
		for who, cancel := range map[string]func(s *inProcess, export uuid.UUID, r apiRun, late bool){
			"by the API": func(s *inProcess, export uuid.UUID, r apiRun, late bool) {
				path := at(export) + "/runs/" + r.ID.String() + "/cancel"
				if late {
					require.Contains(s.t, s.refused(http.StatusBadRequest, http.MethodPost, path, nil).Detail, "published")
					return
				}
				s.do(http.MethodPost, path, nil, nil)
				require.Equal(s.t, "Cancelled", s.runs(export)[0].Status, "at once")
				s.refused(http.StatusBadRequest, http.MethodPost, path, nil)
			},
			"in Temporal": func(s *inProcess, export uuid.UUID, r apiRun, _ bool) {
				require.NoError(s.t, s.Temporal().CancelWorkflow(s.t.Context(), batch.WorkflowID(export, r.End), ""))
			},
		} {
			t.Run(name+", "+who, func(t *testing.T) {
				t.Parallel()
				reached, goOn := make(chan struct{}), make(chan struct{})
				m := c.mood(reached, goOn)
				m.kind = "Moody"
				events := newEventMaker(51).within(epoch, time.Hour, 30)
				s, export := startMoody(t, m, events, func(l *activities.Limits) { l.Settle = c.settle })
				backfill := s.backfill(export, epoch.Format(time.RFC3339), epoch.Add(time.Hour).Format(time.RFC3339))
				select {
				case <-reached:
				case <-time.After(workPatience):
					require.FailNow(t, "the run does not get there")
				}
				until(t, workPatience, "the run", func() bool { return len(s.runs(export)) == 1 })
				cancel(s, export, s.runs(export)[0], c.late)
				close(goOn)

				until(t, workPatience, "everything to end", func() bool {
					return s.getBackfill(export, backfill).over() && len(s.openExecutions(export)) == 0
				})
				runs := s.runs(export)
				require.Len(t, runs, 1)
				require.Equal(t, c.status, runs[0].Status)
				require.NotNil(t, runs[0].FinishedAt)
				swept(t, s.ExportsDir())
				found := readDelivered(t, s.ExportsDir())
				if c.late {
					found.requireEvents(t, events)
				} else {
					require.Empty(t, found.files)
				}
			})
		}
	}
}

// A run that waits for a place has staged nothing, and others of its export go on.
func TestARunIsCancelledWhileItWaitsForAPlace(t *testing.T) {
	t.Parallel()
	for who, cancel := range map[string]func(s *inProcess, export uuid.UUID, r batch.Run){
		"by the API": func(s *inProcess, export uuid.UUID, r batch.Run) {
			s.do(http.MethodPost, at(export)+"/runs/"+r.ID.String()+"/cancel", nil, nil)
		},
		"in Temporal": func(s *inProcess, _ uuid.UUID, r batch.Run) {
			require.NoError(s.t, s.Temporal().CancelWorkflow(s.t.Context(), r.WorkflowID, ""))
		},
	} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			s := startStackWith(t, newEventMaker(55).within(epoch, 2*time.Hour, 40), func(o *stack.Options) { o.Concurrency.PerExport = 2 })
			export := s.create(gatedExport("narrow"))
			backfill := s.backfill(export, epoch.Format(time.RFC3339), epoch.Add(2*time.Hour).Format(time.RFC3339))
			s.atGate(1)
			var waiting batch.Run
			until(t, workPatience, "the other to wait", func() bool {
				open, err := s.DB().OpenRunsOf(t.Context(), export, nil)
				require.NoError(t, err)
				for _, r := range open {
					if r.WaitingFor != "" {
						waiting = r
					}
				}
				return waiting.WaitingFor != ""
			})
			cancel(s, export, waiting)
			until(t, workPatience, "the cancel", func() bool {
				r, err := s.DB().RunByID(t.Context(), waiting.ID)
				require.NoError(t, err)
				return r.Status == batch.RunCancelled
			})
			s.gate.open()
			until(t, workPatience, "everything to end", func() bool {
				return s.getBackfill(export, backfill).over() && len(s.openExecutions(export)) == 0
			})
			require.Equal(t, "Failed", s.getBackfill(export, backfill).Status, "an interval of it is not delivered")
			require.Equal(t, 1, s.finished(export))
			swept(t, s.ExportsDir())
			_, delivered := readDelivered(t, s.ExportsDir()).manifestOf(waiting.Interval.End)
			require.False(t, delivered)
		})
	}
}

func TestARunShowsItsLastErrorWhileItRetries(t *testing.T) {
	t.Parallel()
	events := newEventMaker(52).within(epoch, time.Hour, 30)
	s, export := startMoody(t, mood{kind: "Drowsy", stage: func(context.Context) error {
		e := batch.Errorf(batch.CodeUnavailable, nil, "the destination is having a nap")
		e.RetryAfter = time.Hour
		return e
	}}, events)
	s.backfill(export, epoch.Format(time.RFC3339), epoch.Add(time.Hour).Format(time.RFC3339))
	var shown struct {
		Status      string
		LatestError *string    `json:"latest_error"`
		Attempt     int        `json:"attempt"`
		NextRetryAt *time.Time `json:"next_retry_at"`
		FinishedAt  *time.Time `json:"finished_at"`
	}
	until(t, workPatience, "the error", func() bool {
		runs := s.runs(export)
		if len(runs) == 0 {
			return false
		}
		s.do(http.MethodGet, at(export)+"/runs/"+runs[0].ID.String(), nil, &shown)
		return shown.LatestError != nil
	})
	require.Equal(t, "Running", shown.Status)
	require.Contains(t, *shown.LatestError, "having a nap")
	require.Equal(t, 1, shown.Attempt)
	require.NotNil(t, shown.NextRetryAt)
	require.Greater(t, time.Until(*shown.NextRetryAt), 30*time.Minute)
	require.Nil(t, shown.FinishedAt)
}

// A run that gets nowhere in the time that its interval allows fails, and says what stood in its way.
func TestARunThatIsOutOfTimeFailsWithItsLastError(t *testing.T) {
	t.Parallel()
	nap := func(context.Context) error {
		return batch.Errorf(batch.CodeUnavailable, nil, "the destination is having a nap")
	}
	for where, m := range map[string]mood{
		"while it stages":  {kind: "Dozing", stage: nap},
		"while it commits": {kind: "Dozing", commit: nap},
	} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			events := newEventMaker(56).within(epoch, time.Hour, 30)
			s, export := startMoody(t, m, events, func(l *activities.Limits) { l.Work = 4 * time.Second })
			backfill := s.backfill(export, epoch.Format(time.RFC3339), epoch.Add(time.Hour).Format(time.RFC3339))
			until(t, workPatience, "the backfill to end", func() bool { return s.getBackfill(export, backfill).over() })
			require.Equal(t, "Failed", s.getBackfill(export, backfill).Status)
			runs := s.runs(export)
			require.Len(t, runs, 1)
			require.Equal(t, "Failed", runs[0].Status)
			require.Contains(t, *runs[0].LatestError, "did not finish in the time that the interval allows")
			require.Contains(t, *runs[0].LatestError, "having a nap")
			require.Empty(t, readDelivered(t, s.ExportsDir()).files)
			swept(t, s.ExportsDir())
		})
	}
}

func TestAWorkflowThatTimesOutIsATimedOutRun(t *testing.T) {
	t.Parallel()
	s := startStack(t, newEventMaker(53).within(epoch, time.Hour, 30))
	export := s.create(gatedExport("timed out"))
	end := epoch.Add(time.Hour)
	_, err := s.Temporal().ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: batch.WorkflowID(export, end), TaskQueue: workflows.QueueExports, WorkflowRunTimeout: 5 * time.Second,
	}, workflows.ExportInterval, workflows.ExportIntervalInput{BatchExportID: export, TeamID: 1, Start: &epoch, End: &end})
	require.NoError(t, err)
	until(t, workPatience, "the run to be over", func() bool {
		runs := s.runs(export)
		return len(runs) == 1 && runs[0].FinishedAt != nil
	})
	r := s.runs(export)[0]
	require.Equal(t, "TimedOut", r.Status)
	require.Contains(t, *r.LatestError, "timed out")
	require.Empty(t, readDelivered(t, s.ExportsDir()).files)
}

func TestAnExportThatKeepsFailingIsPausedAndSaysSo(t *testing.T) {
	t.Parallel()
	const intervals = 30
	events := newEventMaker(54).within(epoch, intervals*time.Hour, 20*intervals)
	s, export := startMoody(t, mood{kind: "Locked", stage: func(context.Context) error {
		return batch.Errorf(batch.CodePermission, nil, "the folder refused our credentials")
	}}, events)
	s.do(http.MethodPost, at(export)+"/unpause", nil, nil)
	backfill := s.backfill(export, epoch.Format(time.RFC3339), epoch.Add(intervals*time.Hour).Format(time.RFC3339))
	until(t, workPatience, "the backfill to end", func() bool { return s.getBackfill(export, backfill).over() })
	require.Equal(t, "Cancelled", s.getBackfill(export, backfill).Status)
	var e struct{ Paused bool }
	s.do(http.MethodGet, at(export), nil, &e)
	require.True(t, e.Paused)
	require.True(t, s.schedule(export).Schedule.State.Paused)
	until(t, endPatience, "the workflows to end", func() bool { return len(s.openExecutions(export)) == 0 })
	failed := 0
	for _, r := range s.runs(export) {
		if r.Status == "Failed" {
			require.Contains(t, *r.LatestError, "refused our credentials")
			failed++
		}
	}
	require.GreaterOrEqual(t, failed, 10)
	require.Less(t, failed, intervals)
	until(t, endPatience, "the line that says so", func() bool {
		for _, text := range s.said(export) {
			if strings.HasPrefix(text, "Paused because") && strings.Contains(text, "of the last 24 runs failed") {
				return true
			}
		}
		return false
	})
}

// The reconciler asks so that it tells a workflow once that it is to end.
func TestABackfillThatWasAskedToEndIsToldFromOneThatRuns(t *testing.T) {
	t.Parallel()
	s := startStack(t, nil)
	b := batch.Backfill{ID: uuid.New(), ExportID: uuid.New(), TeamID: 1}
	flows := &workflows.Client{Temporal: s.Temporal()}
	requireIs := func(want app.Execution) {
		t.Helper()
		execution, err := flows.DescribeBackfill(t.Context(), b)
		require.NoError(t, err)
		require.Equal(t, want, execution)
	}
	requireIs(app.ExecutionGone)
	_, err := s.Temporal().ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: batch.BackfillWorkflowID(b.ExportID, b.ID), TaskQueue: "nobody works here",
	}, workflows.Backfill, workflows.BackfillInput{BackfillID: b.ID, BatchExportID: b.ExportID, TeamID: 1})
	require.NoError(t, err)
	requireIs(app.ExecutionRunning)
	require.NoError(t, flows.CancelBackfill(t.Context(), b))
	requireIs(app.ExecutionCancelling)
}
