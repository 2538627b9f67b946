package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"tranche/activities"
	"tranche/batch"
	"tranche/workflows"
)

// steer sends the signal so long after the start of the backfill.
func steer(env *testsuite.TestWorkflowEnvironment, after time.Duration) {
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalSteer, nil) }, after)
}

func TestAPausedBackfillStartsNoRunsUntilItIsResumed(t *testing.T) {
	t.Parallel()
	c := newCampaign(7) // two at once, a minute each
	c.steered = []activities.Steered{{Paused: true, Steering: 1}, {Steering: 2}}
	var whilePaused, open int
	env := c.play(t, campaignInput(), func(env *testsuite.TestWorkflowEnvironment) {
		steer(env, 90*time.Second) // the second pair runs
		env.RegisterDelayedCallback(func() { whilePaused, open = len(c.children), c.open }, 59*time.Minute)
		steer(env, time.Hour)
	})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 4, whilePaused, "what runs goes on, nothing else starts")
	require.Zero(t, open)
	require.Len(t, c.children, 7)
	require.Equal(t, 2, c.asked)
	require.Equal(t, []activities.FinishBackfillInput{{BackfillID: backfillID, Status: batch.BackfillCompleted}}, c.finishes)
}

func TestABackfillThatIsPausedBeforeItsFirstRun(t *testing.T) {
	t.Parallel()
	c := newCampaign(2)
	c.page.Steered = activities.Steered{Paused: true, Steering: 1}
	c.steered = []activities.Steered{{Steering: 2}}
	var whilePaused int
	env := c.play(t, campaignInput(), func(env *testsuite.TestWorkflowEnvironment) {
		env.RegisterDelayedCallback(func() { whilePaused = len(c.children) }, 29*time.Minute)
		steer(env, 30*time.Minute)
	})
	require.NoError(t, env.GetWorkflowError())
	require.Zero(t, whilePaused)
	require.Len(t, c.children, 2)
}

func TestAnOlderAnswerDoesNotUndoANewerOne(t *testing.T) {
	t.Parallel()
	c := newCampaign(2)
	c.page.Steered = activities.Steered{Steering: 2}
	c.steered = []activities.Steered{{Paused: true, Steering: 1}}
	env := c.play(t, campaignInput(), func(env *testsuite.TestWorkflowEnvironment) { steer(env, time.Second) })
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, c.children, 2)
}

func TestAPausedBackfillIsCancelled(t *testing.T) {
	t.Parallel()
	c := newCampaign(9)
	c.steered = []activities.Steered{{Paused: true, Steering: 1}}
	env := c.play(t, campaignInput(), func(env *testsuite.TestWorkflowEnvironment) {
		steer(env, 90*time.Second)
		env.RegisterDelayedCallback(env.CancelWorkflow, time.Hour)
	})
	var cancelled *temporal.CanceledError
	require.ErrorAs(t, env.GetWorkflowError(), &cancelled)
	require.Len(t, c.children, 4)
	require.Equal(t, []activities.FinishBackfillInput{{BackfillID: backfillID, Status: batch.BackfillCancelled}}, c.finishes)
}

func TestABackfillIsCancelledAtAnyMoment(t *testing.T) {
	t.Parallel()
	for second := 5; second <= 300; second += 10 {
		c := newCampaign(7)
		c.page.Next = &interval.End // it would go on in a new execution
		env := c.play(t, campaignInput(), func(env *testsuite.TestWorkflowEnvironment) {
			env.RegisterDelayedCallback(env.CancelWorkflow, time.Duration(second)*time.Second)
		})
		require.Zero(t, c.open, "children end first")
		if again := new(workflow.ContinueAsNewError); second >= 240 { // four pairs, a minute each: it was over
			require.ErrorAs(t, env.GetWorkflowError(), &again, second)
			continue
		}
		var cancelled *temporal.CanceledError
		require.ErrorAs(t, env.GetWorkflowError(), &cancelled, second)
		require.Equal(t, []activities.FinishBackfillInput{{BackfillID: backfillID, Status: batch.BackfillCancelled}}, c.finishes)
	}
}

func TestABackfillGoesOnInANewExecutionWhenItsHistoryGrowsLong(t *testing.T) {
	t.Parallel()
	for name, newest := range map[string]bool{"oldest first": false, "newest first": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCampaign(7)
			c.page.HistoryLimit, c.page.NewestFirst = 100, newest
			env := c.play(t, campaignInput(), func(env *testsuite.TestWorkflowEnvironment) {
				env.SetCurrentHistoryLength(10)
				env.RegisterDelayedCallback(func() { env.SetCurrentHistoryLength(101) }, 90*time.Second)
			})
			var again *workflow.ContinueAsNewError
			require.ErrorAs(t, env.GetWorkflowError(), &again)
			require.Zero(t, c.open, "children end before their parent continues as new")
			require.Empty(t, c.finishes)
			require.Len(t, c.children, 4)
			var in workflows.BackfillInput
			require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &in))
			behind := c.page.Intervals[4].Start // where the fifth begins, or ends
			if newest {
				behind = c.page.Intervals[4].End
			}
			require.True(t, in.Resume.From.Equal(behind), in.Resume.From)
		})
	}
}
