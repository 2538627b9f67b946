package service

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tranche/batch"
	"tranche/internal/telemetry"
)

// traceHeader is where Temporal carries a place in a trace, as the W3C writes it.
const traceHeader = "traceparent"

// TraceInterceptors let traces go through Temporal: from whoever starts a workflow to its activities and its children.
// They add headers, never commands, so that histories replay with and without them. A schedule is no part of the trace of
// the request that made it: each of its runs is a trace of its own. None when there are no traces.
func TraceInterceptors(t *telemetry.Tracing) []interceptor.ClientInterceptor {
	if !t.On() {
		return nil
	}
	return []interceptor.ClientInterceptor{&tracer{tracing: t}}
}

// A tracer is the interceptor.
type tracer struct {
	interceptor.InterceptorBase
	tracing *telemetry.Tracing
}

// InterceptClient is the ClientInterceptor's.
func (t *tracer) InterceptClient(next interceptor.ClientOutboundInterceptor) interceptor.ClientOutboundInterceptor {
	return &tracedClient{ClientOutboundInterceptorBase: interceptor.ClientOutboundInterceptorBase{Next: next}, tracer: t}
}

// InterceptActivity is the WorkerInterceptor's.
func (t *tracer) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &tracedActivity{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}, tracer: t}
}

// InterceptWorkflow is the WorkerInterceptor's.
func (t *tracer) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &tracedWorkflow{WorkflowInboundInterceptorBase: interceptor.WorkflowInboundInterceptorBase{Next: next}, tracer: t}
}

type tracedClient struct {
	interceptor.ClientOutboundInterceptorBase
	tracer *tracer
}

// ExecuteWorkflow gives the workflow the caller's place in a trace, if it has one.
func (c *tracedClient) ExecuteWorkflow(ctx context.Context, in *interceptor.ClientExecuteWorkflowInput) (client.WorkflowRun, error) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return c.Next.ExecuteWorkflow(ctx, in)
	}
	ctx, span := c.tracer.tracing.Tracer().Start(ctx, "start "+in.WorkflowType, trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(attribute.String("temporal.workflow_id", in.Options.ID), attribute.String("temporal.task_queue", in.Options.TaskQueue)))
	put(interceptor.Header(ctx), telemetry.TraceParent(ctx))
	run, err := c.Next.ExecuteWorkflow(ctx, in)
	telemetry.EndSpan(span, err)
	return run, err
}

type tracedActivity struct {
	interceptor.ActivityInboundInterceptorBase
	tracer *tracer
}

// ExecuteActivity makes one try of an activity a span, below which its calls of sources and destinations are.
func (a *tracedActivity) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	info := activity.GetInfo(ctx)
	traced := telemetry.WithTraceParent(ctx, get(interceptor.Header(ctx)))
	if !trace.SpanContextFromContext(traced).IsValid() { // the workflow's worker makes no traces
		traced = trace.ContextWithSpanContext(ctx, a.tracer.tracing.Root(info.WorkflowExecution.RunID))
	}
	traced, span := a.tracer.tracing.Tracer().Start(traced, info.ActivityType.Name, trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(
			attribute.String("temporal.workflow_id", info.WorkflowExecution.ID), attribute.String("temporal.run_id", info.WorkflowExecution.RunID),
			attribute.String("temporal.task_queue", info.TaskQueue), attribute.Int("temporal.attempt", int(info.Attempt)),
			attribute.String("tranche.run_id", batch.RunID(info.WorkflowExecution.RunID).String()),
			attribute.Float64("temporal.waited_seconds", info.StartedTime.Sub(info.ScheduledTime).Seconds())))
	result, err := a.Next.ExecuteActivity(traced, in)
	telemetry.EndSpan(span, coded(err))
	return result, err
}

// coded gives an error that Temporal carries its code back.
func coded(err error) error {
	if known, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return batch.Errorf(batch.Code(known.Type()), nil, "")
	}
	if temporal.IsCanceledError(err) {
		return batch.Errorf(batch.CodeCancelled, nil, "")
	}
	return err
}

type tracedWorkflow struct {
	interceptor.WorkflowInboundInterceptorBase
	tracer *tracer
}

// Init lets what the workflow starts have its place in the trace.
func (w *tracedWorkflow) Init(outbound interceptor.WorkflowOutboundInterceptor) error {
	return w.Next.Init(&tracedCommands{WorkflowOutboundInterceptorBase: interceptor.WorkflowOutboundInterceptorBase{Next: outbound}})
}

// ExecuteWorkflow makes an execution a span when it ends. Its ids follow from the execution, so that every replay, on
// whatever worker, gives its activities the same parent.
func (w *tracedWorkflow) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	info := workflow.GetInfo(ctx)
	within := telemetry.WithTraceParent(context.Background(), get(interceptor.WorkflowHeader(ctx)))
	self := w.tracer.tracing.Root(info.WorkflowExecution.RunID)
	if parent := trace.SpanContextFromContext(within); parent.IsValid() {
		self = parent.WithSpanID(self.SpanID())
	}
	ctx = workflow.WithValue(ctx, selfKey{}, telemetry.TraceParent(trace.ContextWithSpanContext(context.Background(), self)))
	result, err := w.Next.ExecuteWorkflow(ctx, in)
	if workflow.IsReplaying(ctx) {
		return result, err
	}
	_, span := w.tracer.tracing.Tracer().Start(telemetry.WithIDs(within, self), info.WorkflowType.Name,
		trace.WithTimestamp(info.WorkflowStartTime), trace.WithAttributes(
			attribute.String("temporal.workflow_id", info.WorkflowExecution.ID), attribute.String("temporal.run_id", info.WorkflowExecution.RunID),
			attribute.String("tranche.run_id", batch.RunID(info.WorkflowExecution.RunID).String())))
	failure := coded(err)
	if workflow.IsContinueAsNewError(err) {
		failure = nil
	}
	telemetry.EndSpan(span, failure, trace.WithTimestamp(workflow.Now(ctx)))
	return result, err
}

// selfKey is where a workflow's context has its own place in its trace.
type selfKey struct{}

type tracedCommands struct {
	interceptor.WorkflowOutboundInterceptorBase
}

// ExecuteActivity gives the activity the workflow's place.
func (c *tracedCommands) ExecuteActivity(ctx workflow.Context, kind string, args ...any) workflow.Future {
	lead(ctx)
	return c.Next.ExecuteActivity(ctx, kind, args...)
}

// ExecuteChildWorkflow gives the child the workflow's place.
func (c *tracedCommands) ExecuteChildWorkflow(ctx workflow.Context, kind string, args ...any) workflow.ChildWorkflowFuture {
	lead(ctx)
	return c.Next.ExecuteChildWorkflow(ctx, kind, args...)
}

// NewContinueAsNewError lets the next execution follow in the same trace.
func (c *tracedCommands) NewContinueAsNewError(ctx workflow.Context, fn any, args ...any) error {
	lead(ctx)
	return c.Next.NewContinueAsNewError(ctx, fn, args...)
}

// lead writes the workflow's place into the header of what it starts.
func lead(ctx workflow.Context) {
	if self, ok := ctx.Value(selfKey{}).(string); ok {
		put(interceptor.WorkflowHeader(ctx), self)
	}
}

// put writes a place in a trace into a header; get reads it, whatever is there.
func put(header map[string]*commonpb.Payload, place string) {
	if header == nil || place == "" {
		return
	}
	if payload, err := converter.GetDefaultDataConverter().ToPayload(place); err == nil { // a string can always be
		header[traceHeader] = payload
	}
}

func get(header map[string]*commonpb.Payload) (place string) {
	if payload, ok := header[traceHeader]; ok {
		if err := converter.GetDefaultDataConverter().FromPayload(payload, &place); err != nil {
			return "" // it is not ours
		}
	}
	return place
}
