package model

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"tranche/dev/temporal"
)

// settleTimeout is how long everything may take to come to rest once there are no more faults.
const (
	settleTimeout = 100 * time.Second
	settlePoll    = 100 * time.Millisecond
	// wrongFor is how long something must be wrong: a schedule may begin a run while one looks.
	wrongFor = 4 * time.Second
)

// settle waits until nothing is under way, nothing dangles and all that is due is delivered, and checks what must hold
// then. Faults still strike meanwhile, each once.
func (s *sequence) settle(ctx context.Context) error {
	for _, e := range s.exports {
		if err := e.resumeBackfills(ctx); err != nil {
			return err
		}
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	var last string
	var wrongSince time.Time
	for {
		busy, err := s.busy(ctx, began)
		if busy != "" {
			last, wrongSince = busy, time.Time{}
		}
		if err == nil && busy == "" {
			s.h.faults.disarm() // those that nobody came by
			wrong := s.check(ctx)
			if wrong == nil {
				return nil
			}
			if wrongSince.IsZero() {
				wrongSince = time.Now()
			}
			if time.Since(wrongSince) > wrongFor {
				return wrong
			}
			last = wrong.Error()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing settles: %s: %w", last, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// busy says what is still under way, dangles, or has been due since began.
func (s *sequence) busy(ctx context.Context, began time.Time) (string, error) {
	for _, e := range s.exports {
		for _, look := range []func(context.Context) (string, error){
			e.working, e.dangling, func(ctx context.Context) (string, error) { return e.late(ctx, began) }, e.unscheduled,
		} {
			busy, err := look(ctx)
			if err != nil {
				return "", err
			}
			if busy != "" {
				return e.name + ": " + busy, nil
			}
		}
	}
	return "", nil
}

// resumeBackfills resumes what the walk has paused, which would never end.
func (e *export) resumeBackfills(ctx context.Context) error {
	all, err := e.list(ctx, "backfills")
	for _, b := range all {
		if !b.Paused || !open(b.Status) {
			continue
		}
		var refused *refusal
		err := e.call(ctx, http.MethodPost, "/backfills/"+b.ID+"/resume", nil, nil)
		if err != nil && !errors.As(err, &refused) {
			return err
		}
	}
	return err
}

// working says which run, backfill or workflow is open.
func (e *export) working(ctx context.Context) (string, error) {
	for _, what := range []string{"runs", "backfills"} {
		all, err := e.list(ctx, what)
		if err != nil {
			return "", err
		}
		for _, one := range all {
			if open(one.Status) {
				return fmt.Sprintf("%s %s is %s (%s)", what, one.ID, one.Status, one.Error), nil
			}
		}
	}
	running, err := e.h.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: temporal.Namespace,
		Query:     fmt.Sprintf("TrancheBatchExport = %q AND ExecutionStatus = 'Running'", e.id),
	})
	if err != nil || len(running.GetExecutions()) == 0 {
		return "", err
	}
	return e.h.executing(ctx, running.GetExecutions()[0].GetExecution())
}

// executing says how far a workflow has come, and what it waits for.
func (h *harness) executing(ctx context.Context, execution *commonpb.WorkflowExecution) (string, error) {
	d, err := h.client.DescribeWorkflowExecution(ctx, execution.GetWorkflowId(), execution.GetRunId())
	if err != nil {
		return "", err
	}
	var what strings.Builder
	fmt.Fprintf(&what, "the workflow %s (%s) is %s", execution.GetWorkflowId(), execution.GetRunId(), d.GetWorkflowExecutionInfo().GetStatus())
	for _, a := range d.GetPendingActivities() {
		fmt.Fprintf(&what, "; its activity %s is %s, attempt %d", a.GetActivityType().GetName(), a.GetState(), a.GetAttempt())
	}
	for _, c := range d.GetPendingChildren() {
		fmt.Fprintf(&what, "; its child %s runs", c.GetWorkflowId())
	}
	what.WriteString("; its history:")
	history := h.client.GetWorkflowHistory(ctx, execution.GetWorkflowId(), execution.GetRunId(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&what, " %d %s", event.GetEventId(), event.GetEventType())
	}
	return what.String(), nil
}

// dangling says what the journal or the destination still holds of runs that are over.
func (e *export) dangling(ctx context.Context) (string, error) {
	var refs int
	if err := e.h.pool.QueryRow(ctx, `SELECT count(*) FROM refs WHERE export_id = $1`, e.id).Scan(&refs); err != nil {
		return "", err
	}
	if refs > 0 {
		return fmt.Sprintf("%d entries of the journal dangle", refs), nil
	}
	runs, err := e.runs(ctx)
	if err != nil {
		return "", err
	}
	mine := map[string]bool{"removal-" + e.id.String(): true}
	for _, r := range runs {
		mine[r.id.String()] = true
	}
	for _, group := range e.h.world.Staged() {
		owner, _, _ := strings.Cut(group, "/")
		if len(owner) > 44 {
			owner = owner[:44] // removal-<export>
		}
		if mine[owner] {
			return fmt.Sprintf("group %s is staged", group), nil
		}
	}
	return "", nil
}

// late says which interval has been due for long enough, and nobody has delivered it.
func (e *export) late(ctx context.Context, by time.Time) (string, error) {
	missing, err := e.missing(ctx, by)
	if err != nil || len(missing) == 0 {
		return "", err
	}
	return fmt.Sprintf("%d intervals are due and not delivered, such as %s of %s", len(missing), missing[0].Interval, missing[0].calendar), nil
}

// unscheduled says how the export's schedule in Temporal differs from the export.
func (e *export) unscheduled(ctx context.Context) (string, error) {
	v, err := e.now(ctx)
	if err != nil {
		return "", err
	}
	found, err := e.schedule(ctx).Describe(ctx)
	if err != nil {
		return "", err
	}
	if found.Schedule.State.Paused != v.paused {
		return fmt.Sprintf("paused is %t, and %t in Temporal", v.paused, found.Schedule.State.Paused), nil
	}
	return "", nil
}
