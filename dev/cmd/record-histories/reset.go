package main

import (
	"context"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"tranche/batch"
)

// playReset delivers an interval, resets its execution to before its last decisions, and saves what the reset did.
func (r *recorder) playReset(ctx context.Context, name string, before int) error {
	return r.backfill(ctx, "", "", 0, 1, func(export, _ string) error {
		id := batch.WorkflowID(uuid.MustParse(export), r.first.Add(time.Hour))
		if err := r.appears(ctx, id); err != nil {
			return err
		}
		if _, err := r.await(ctx, id); err != nil {
			return err
		}
		var decisions []int64
		history := r.stack.Temporal().GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for history.HasNext() {
			event, err := history.Next()
			if err != nil {
				return err
			}
			if event.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
				decisions = append(decisions, event.GetEventId())
			}
		}
		_, err := r.stack.Temporal().ResetWorkflowExecution(ctx, &workflowservice.ResetWorkflowExecutionRequest{
			Namespace: client.DefaultNamespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id},
			Reason: "a scene", RequestId: uuid.NewString(), WorkflowTaskFinishEventId: decisions[len(decisions)-1-before],
		})
		if err != nil {
			return err
		}
		run, err := r.await(ctx, id)
		if err != nil {
			return err
		}
		return r.save(ctx, name, id, run)
	})
}
