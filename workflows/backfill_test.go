package workflows_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"tranche/activities"
	"tranche/batch"
	"tranche/workflows"
)

var backfillID = uuid.MustParse("0198c0de-0000-7000-8000-0000000000bf")

// A campaign is what the activities and children of one backfill answer, and what they were asked.
type campaign struct {
	prepared activities.Prepared
	page     activities.Page
	childErr error
	final    batch.BackfillStatus

	mu       sync.Mutex
	children []workflows.ExportIntervalInput
	open     int
	mostOpen int
	pages    []activities.NextInput
	steered  []activities.Steered // what SteerBackfill answers, one after the other
	asked    int
	finishes []activities.FinishBackfillInput
}

func newCampaign(hours int) *campaign {
	c := &campaign{prepared: activities.Prepared{Runs: int64(hours), Concurrency: 2}}
	for i := range hours {
		start := interval.Start.Add(time.Duration(i) * time.Hour)
		c.page.Intervals = append(c.page.Intervals, batch.Interval{Start: start, End: start.Add(time.Hour)})
	}
	return c
}

func (c *campaign) play(t *testing.T, in workflows.BackfillInput, arrange ...func(*testsuite.TestWorkflowEnvironment)) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(patient)
	acts := &activities.Activities{}
	env.RegisterActivity(acts)
	env.RegisterWorkflow(workflows.ExportInterval)
	env.OnActivity(acts.PrepareBackfill, mock.Anything, mock.Anything).Return(c.prepared, nil)
	env.OnActivity(acts.NextIntervals, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.NextInput) (activities.Page, error) {
		c.pages = append(c.pages, in)
		return c.page, nil
	})
	env.OnActivity(acts.SteerBackfill, mock.Anything, mock.Anything).Return(func(context.Context, activities.BackfillInput) (activities.Steered, error) {
		c.asked++
		return c.steered[min(c.asked, len(c.steered))-1], nil
	}).Maybe()
	env.OnActivity(acts.FinishBackfill, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.FinishBackfillInput) (activities.FinishedBackfill, error) {
		c.finishes = append(c.finishes, in)
		if c.final != "" {
			return activities.FinishedBackfill{Status: c.final}, nil
		}
		return activities.FinishedBackfill{Status: in.Status}, nil
	})
	env.OnWorkflow(workflows.ExportInterval, mock.Anything, mock.Anything).Return(
		func(ctx workflow.Context, in workflows.ExportIntervalInput) (workflows.ExportIntervalResult, error) {
			c.mu.Lock()
			c.children = append(c.children, in)
			c.open++
			c.mostOpen = max(c.mostOpen, c.open)
			c.mu.Unlock()
			err := workflow.Sleep(ctx, time.Minute)
			c.mu.Lock()
			c.open--
			c.mu.Unlock()
			if err == nil {
				err = c.childErr
			}
			return workflows.ExportIntervalResult{}, err
		})
	for _, a := range arrange {
		a(env)
	}
	env.ExecuteWorkflow(workflows.Backfill, in)
	require.True(t, env.IsWorkflowCompleted())
	return env
}

func campaignInput() workflows.BackfillInput {
	return workflows.BackfillInput{BackfillID: backfillID, BatchExportID: exportID, TeamID: 1}
}

func TestABackfillRunsEveryIntervalAFewAtATime(t *testing.T) {
	t.Parallel()
	c := newCampaign(7)
	env := c.play(t, campaignInput())
	require.NoError(t, env.GetWorkflowError())
	var got []batch.Interval
	for _, in := range c.children {
		require.Equal(t, &backfillID, in.BackfillID)
		got = append(got, batch.Interval{Start: *in.Start, End: *in.End})
	}
	slices.SortFunc(got, func(a, b batch.Interval) int { return a.Start.Compare(b.Start) })
	require.Equal(t, c.page.Intervals, got)
	require.Equal(t, 2, c.mostOpen)
	require.Equal(t, []activities.FinishBackfillInput{{BackfillID: backfillID, Status: batch.BackfillCompleted}}, c.finishes)
}

func TestAFailedRunDoesNotStopABackfillButFailsIt(t *testing.T) {
	t.Parallel()
	c := newCampaign(3)
	c.childErr = temporal.NewNonRetryableApplicationError("no", string(batch.CodePermission), nil)
	c.final = batch.BackfillFailed
	env := c.play(t, campaignInput())
	require.Error(t, env.GetWorkflowError())
	require.Len(t, c.children, 3)
}

func TestABackfillContinuesAsNewAfterAPage(t *testing.T) {
	t.Parallel()
	c := newCampaign(3)
	next := interval.Start.Add(3 * time.Hour)
	c.page.Next = &next
	env := c.play(t, campaignInput())
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &again)
	require.Empty(t, c.finishes)
	require.Zero(t, c.open, "children must end before their parent continues as new")

	resumed := newCampaign(1)
	in := campaignInput()
	in.Resume = &workflows.BackfillPosition{Prepared: c.prepared, From: next}
	env = resumed.play(t, in)
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, resumed.pages, 1)
	require.True(t, resumed.pages[0].From.Equal(next))
}

func TestACancelledBackfillStopsItsRunsAndStartsNoMore(t *testing.T) {
	t.Parallel()
	c := newCampaign(9)
	env := c.play(t, campaignInput(), func(env *testsuite.TestWorkflowEnvironment) {
		env.RegisterDelayedCallback(env.CancelWorkflow, 90*time.Second)
	})
	var cancelled *temporal.CanceledError
	require.ErrorAs(t, env.GetWorkflowError(), &cancelled)
	require.Len(t, c.children, 4)
	require.Zero(t, c.open)
	require.Equal(t, []activities.FinishBackfillInput{{BackfillID: backfillID, Status: batch.BackfillCancelled}}, c.finishes)
}

func TestABackfillWithNothingToRunIsCompleted(t *testing.T) {
	t.Parallel()
	c := newCampaign(0)
	c.prepared.Done = true
	env := c.play(t, campaignInput())
	require.NoError(t, env.GetWorkflowError())
	require.Empty(t, c.pages)
	require.Len(t, c.finishes, 1)
}
