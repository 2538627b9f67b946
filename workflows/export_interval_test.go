package workflows_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"tranche/activities"
	"tranche/batch"
	"tranche/workflows"
)

// A script is what the activities of one run answer, and what they were asked.
type script struct {
	begun     activities.Begun
	beginErr  error
	plan      activities.Planned
	waits     []string // what Plan answers first, one after the other
	admits    int
	admitErr  error
	recounts  []activities.Recounted
	stageErr  error
	commitErr error
	final     *batch.RunStatus // what Finish answers, if not what it was told

	arrange func() // after a run has finished

	mu        sync.Mutex
	began     []activities.BeginInput
	staged    []activities.StageInput
	commits   []activities.RunInput
	finishes  []activities.FinishInput
	plannedAt time.Time
}

var (
	runID    = batch.RunID("default-test-run-id") // of the test environment
	exportID = uuid.MustParse("0198c0de-0000-7000-8000-0000000000ee")
	end      = time.Date(2026, 7, 28, 10, 0, 0, 0, time.UTC)
	interval = batch.Interval{Start: end.Add(-time.Hour), End: end}
)

func newScript() *script {
	return &script{
		begun: activities.Begun{
			RunID: runID, Interval: interval, Destination: "File", Model: batch.ModelEvents,
			ReadyAt: end.Add(time.Minute), Work: 6 * time.Hour, Heartbeat: 30 * time.Second, Short: 30 * time.Second,
		},
		plan:     activities.Planned{Generation: 1, Splits: 3, Rows: 30, Parallel: 2},
		recounts: []activities.Recounted{{Rows: 30}},
	}
}

// patient does not take a machine that does other things too for a workflow that hangs.
var patient = worker.Options{DeadlockDetectionTimeout: time.Minute}

// play runs ExportInterval against the script.
func (s *script) play(t *testing.T, in workflows.ExportIntervalInput, arrange ...func(*testsuite.TestWorkflowEnvironment)) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(patient)
	env.SetStartTime(end)
	acts := &activities.Activities{}
	env.RegisterActivity(acts)
	env.OnActivity(acts.Begin, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.BeginInput) (activities.Begun, error) {
		s.began = append(s.began, in)
		return s.begun, s.beginErr
	})
	env.OnActivity(acts.Plan, mock.Anything, mock.Anything).Return(func(context.Context, activities.RunInput) (activities.Planned, error) {
		s.plannedAt = env.Now()
		if len(s.waits) > 0 {
			wait := s.waits[0]
			s.waits = s.waits[1:]
			return activities.Planned{Waiting: wait}, nil
		}
		return s.plan, nil
	})
	env.OnActivity(acts.Admit, mock.Anything, mock.Anything).Return(func(context.Context, activities.RunInput) error {
		if s.admits++; s.admits%3 != 0 {
			return temporal.NewApplicationError("3 runs of this project work already", string(batch.CodeBusy))
		}
		return s.admitErr
	})
	env.OnActivity(acts.Stage, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.StageInput) (activities.Staged, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.staged = append(s.staged, in)
		return activities.Staged{Rows: 10}, s.stageErr
	})
	env.OnActivity(acts.Recount, mock.Anything, mock.Anything).Return(func(context.Context, activities.RunInput) (activities.Recounted, error) {
		next := s.recounts[0]
		s.recounts = s.recounts[1:]
		return next, nil
	})
	env.OnActivity(acts.Commit, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.RunInput) (activities.Committed, error) {
		s.commits = append(s.commits, in)
		return activities.Committed{Rows: 30}, s.commitErr
	})
	env.OnActivity(acts.Finish, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.FinishInput) (activities.Finished, error) {
		s.finishes = append(s.finishes, in)
		if s.arrange != nil {
			s.arrange()
		}
		if s.final != nil {
			return activities.Finished{Status: *s.final, Rows: 30}, nil
		}
		return activities.Finished{Status: in.Status, Rows: 30}, nil
	})
	for _, a := range arrange {
		a(env)
	}
	env.ExecuteWorkflow(workflows.ExportInterval, in)
	require.True(t, env.IsWorkflowCompleted())
	return env
}

func input() workflows.ExportIntervalInput {
	return workflows.ExportIntervalInput{BatchExportID: exportID, TeamID: 1, Start: &interval.Start, End: &interval.End}
}

func TestARunThatDeliversStagesEverySplitOnceAndThenCommits(t *testing.T) {
	t.Parallel()
	s := newScript()
	env := s.play(t, input())
	require.NoError(t, env.GetWorkflowError())

	splits := map[int]int{}
	for _, in := range s.staged {
		splits[in.Split]++
	}
	require.Equal(t, map[int]int{0: 1, 1: 1, 2: 1}, splits)
	require.Equal(t, []activities.RunInput{{RunID: runID, Generation: 1}}, s.commits)
	require.Equal(t, []activities.FinishInput{{RunID: runID, Status: batch.RunCompleted}}, s.finishes)
	require.False(t, s.plannedAt.Before(s.begun.ReadyAt), "the run read before its settle delay was over")

	var result workflows.ExportIntervalResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, batch.RunCompleted, result.Status)
}

func TestAnIntervalLongPastDoesNotWait(t *testing.T) {
	t.Parallel()
	s := newScript()
	s.begun.ReadyAt = end.Add(-24 * time.Hour)
	s.play(t, input())
	require.True(t, s.plannedAt.Equal(end), "got %s, want %s", s.plannedAt, end)
}

func TestARunThatMustWaitAsksUntilItIsAdmitted(t *testing.T) {
	t.Parallel()
	s := newScript()
	s.waits = []string{"3 runs of this project work already", "and again"}
	env := s.play(t, input())
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 6, s.admits, "each time it is refused twice")
	require.Len(t, s.commits, 1)
}

func TestARunThatIsCancelledWhileItWaitsIsCancelled(t *testing.T) {
	t.Parallel()
	s := newScript()
	s.waits = []string{"3 runs of this project work already"}
	env := s.play(t, input(), func(env *testsuite.TestWorkflowEnvironment) {
		env.RegisterDelayedCallback(env.CancelWorkflow, time.Minute+1500*time.Millisecond) // between two questions
	})
	require.Error(t, env.GetWorkflowError())
	require.Empty(t, s.commits)
	require.Equal(t, []activities.FinishInput{{RunID: runID, Status: batch.RunCancelled}}, s.finishes)
}

func TestLateRowsAreStagedAsASecondGeneration(t *testing.T) {
	t.Parallel()
	s := newScript()
	s.recounts = []activities.Recounted{
		{Rows: 31, Again: &activities.Planned{Generation: 2, Splits: 1, Rows: 31, Parallel: 2}}, {Rows: 31},
	}
	env := s.play(t, input())
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, s.staged, 4)
	require.Equal(t, []activities.RunInput{{RunID: runID, Generation: 2}}, s.commits)
}

func TestAnIntervalWithoutRowsIsCommittedWithoutStaging(t *testing.T) {
	t.Parallel()
	s := newScript()
	s.plan = activities.Planned{Generation: 1}
	s.recounts = []activities.Recounted{{}}
	env := s.play(t, input())
	require.NoError(t, env.GetWorkflowError())
	require.Empty(t, s.staged)
	require.Len(t, s.commits, 1)
}

func TestAFailureEndsTheRunAndTheWorkflowAlike(t *testing.T) {
	t.Parallel()
	customers := temporal.NewApplicationErrorWithOptions("the bucket refused our credentials", string(batch.CodePermission),
		temporal.ApplicationErrorOptions{NonRetryable: true})
	raw := temporal.NewNonRetryableApplicationError("dial tcp 10.1.2.3: password=hunter2", "*net.OpError", nil)
	cancelled := temporal.NewNonRetryableApplicationError("the run was cancelled", string(batch.CodeCancelled), nil)
	for name, c := range map[string]struct {
		stage, commit error
		want          activities.FinishInput
		commits       int
	}{
		"the customer must act": {
			stage: customers,
			want:  activities.FinishInput{RunID: runID, Status: batch.RunFailed, Code: batch.CodePermission, Message: "the bucket refused our credentials"},
		},
		"raw text is not shown": {
			stage: raw,
			want:  activities.FinishInput{RunID: runID, Status: batch.RunFailed, Code: batch.CodeInternal, Message: batch.InternalMessage},
		},
		"the commit fails": {
			commit: customers, commits: 1,
			want: activities.FinishInput{RunID: runID, Status: batch.RunFailed, Code: batch.CodePermission, Message: "the bucket refused our credentials"},
		},
		"the API cancelled before the commit": {
			commit: cancelled, commits: 1,
			want: activities.FinishInput{RunID: runID, Status: batch.RunCancelled},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript()
			s.stageErr, s.commitErr = c.stage, c.commit
			env := s.play(t, input())
			require.Error(t, env.GetWorkflowError())
			require.Len(t, s.commits, c.commits)
			require.Equal(t, []activities.FinishInput{c.want}, s.finishes)
		})
	}
}

func TestARetryableFailureIsRepeatedUntilTheTimeIsUp(t *testing.T) {
	t.Parallel()
	s := newScript()
	s.plan.Splits = 1
	s.stageErr = temporal.NewApplicationError("the destination does not answer", string(batch.CodeUnavailable))
	env := s.play(t, input())
	require.Error(t, env.GetWorkflowError())
	require.Greater(t, len(s.staged), 5, "the split was not tried again")
	require.Len(t, s.finishes, 1)
	require.Equal(t, batch.RunFailed, s.finishes[0].Status)
	require.Equal(t, batch.CodeUnavailable, s.finishes[0].Code)
	require.Contains(t, s.finishes[0].Message, "the destination does not answer")
	require.Empty(t, s.commits)
}

func TestACancelBeforeTheCommitEndsCancelledAndPublishesNothing(t *testing.T) {
	t.Parallel()
	s := newScript()
	env := s.play(t, input(), func(env *testsuite.TestWorkflowEnvironment) {
		env.RegisterDelayedCallback(env.CancelWorkflow, 30*time.Second) // within the settle delay
	})
	var cancelled *temporal.CanceledError
	require.ErrorAs(t, env.GetWorkflowError(), &cancelled)
	require.Empty(t, s.commits)
	require.Equal(t, []activities.FinishInput{{RunID: runID, Status: batch.RunCancelled}}, s.finishes)
}

func TestACancelDuringTheCommitDoesNotReachIt(t *testing.T) {
	t.Parallel()
	s := newScript()
	env := s.play(t, input(), func(env *testsuite.TestWorkflowEnvironment) {
		env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
			if info.ActivityType.Name == "Commit" {
				env.CancelWorkflow()
			}
		})
	})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []activities.FinishInput{{RunID: runID, Status: batch.RunCompleted}}, s.finishes)
}

func TestWhatWasDeliveredCountsAsCompletedWhateverTheCommitAnswered(t *testing.T) {
	t.Parallel()
	s := newScript()
	completed := batch.RunCompleted
	s.commitErr, s.final = temporal.NewNonRetryableApplicationError("boom", string(batch.CodeInternal), nil), &completed
	env := s.play(t, input())
	require.NoError(t, env.GetWorkflowError())
}

func TestAnExecutionThatIsNoRunWritesNothing(t *testing.T) {
	t.Parallel()
	s := newScript()
	s.begun = activities.Begun{Skip: "the batch export is deleted"}
	env := s.play(t, input())
	require.NoError(t, env.GetWorkflowError())
	require.Empty(t, s.finishes)
	var result workflows.ExportIntervalResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, "the batch export is deleted", result.Skipped)
}

func TestAScheduledRunPassesItsNominalTime(t *testing.T) {
	t.Parallel()
	s := newScript()
	nominal := temporal.NewSearchAttributeKeyTime("TemporalScheduledStartTime")
	s.play(t, workflows.ExportIntervalInput{BatchExportID: exportID, TeamID: 1}, func(env *testsuite.TestWorkflowEnvironment) {
		require.NoError(t, env.SetTypedSearchAttributesOnStart(temporal.NewSearchAttributes(nominal.ValueSet(end))))
	})
	require.Len(t, s.began, 1)
	require.Nil(t, s.began[0].End)
	require.NotNil(t, s.began[0].Nominal)
	require.True(t, s.began[0].Nominal.Equal(end))
}

func TestABeginThatCannotWorkFailsTheWorkflow(t *testing.T) {
	t.Parallel()
	s := newScript()
	s.beginErr = temporal.NewNonRetryableApplicationError("no interval", string(batch.CodeConfig), nil)
	env := s.play(t, input())
	var failed *temporal.ApplicationError
	require.ErrorAs(t, env.GetWorkflowError(), &failed)
	require.Empty(t, s.finishes)
}

// A reset replays what another execution did, up to any point: the run that it began is not this one's.
func TestAResetLeavesTheOldRunAndBeginsAnew(t *testing.T) {
	t.Parallel()
	superseded := temporal.NewNonRetryableApplicationError("the workflow was reset", string(batch.CodeSuperseded), nil)
	for name, c := range map[string]struct {
		stageErr error // of the old run: nil = all of it is replayed
	}{
		"to its end":          {nil},
		"to its end, failed":  {temporal.NewNonRetryableApplicationError("no", string(batch.CodeConfig), nil)},
		"while it was staged": {superseded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript()
			old := uuid.New()
			s.recounts = append(s.recounts, s.recounts[0])
			s.arrange = func() { // after the first begin it is this execution's own
				s.begun.RunID, s.stageErr = runID, nil
			}
			s.begun.RunID, s.stageErr = old, c.stageErr
			env := s.play(t, input())
			require.NoError(t, env.GetWorkflowError())
			require.Len(t, s.began, 2)
			require.Equal(t, old, s.finishes[0].RunID)
			require.True(t, s.finishes[0].Reset)
			require.Equal(t, activities.FinishInput{RunID: runID, Status: batch.RunCompleted}, s.finishes[1])
			last := s.commits[len(s.commits)-1]
			require.Equal(t, activities.RunInput{RunID: runID, Generation: 1}, last)
		})
	}
}
