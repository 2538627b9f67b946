package workflows

import (
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tranche/batch"
)

// The ranks of executions in a task queue, from 1, the first to be served, to 5. Within a rank, Temporal shares the
// workers evenly among teams. Activities, children and what continues as new have the rank of their workflow. No rank
// pre-empts what is at work, so backfills have a queue and slots of their own besides.
const (
	scheduled  = 2 // what the schedule wants, or what mends it
	retried    = 3 // somebody waits for one interval
	backfilled = 4 // a range of intervals
)

// rankOf is the rank of a backfill and its runs.
func rankOf(b batch.Backfill) int {
	if b.Retry {
		return retried
	}
	return backfilled
}

// priorityOf is that of an execution for a team.
func priorityOf(teamID int64, rank int) temporal.Priority {
	return temporal.Priority{PriorityKey: rank, FairnessKey: fmt.Sprintf("team-%d", teamID)}
}

// withActivity says how activities are executed. Their priority is said although it is that of the workflow: a task that
// Temporal hands to the worker with its answer to the workflow does not inherit it, and its lines in the log would not
// say whose work it is.
func withActivity(ctx workflow.Context, o workflow.ActivityOptions) workflow.Context {
	o.Priority = workflow.GetInfo(ctx).Priority
	return workflow.WithActivityOptions(ctx, o)
}
