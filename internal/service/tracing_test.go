package service

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"tranche/batch"
	"tranche/internal/telemetry"
)

func work(ctx context.Context, fail bool) error {
	_, span := telemetry.StartSpan(ctx, "destination commit")
	telemetry.EndSpan(span, nil)
	if fail {
		return temporal.NewNonRetryableApplicationError("text of s3cret things", string(batch.CodePermission), nil)
	}
	return nil
}

func child(ctx workflow.Context, fail bool) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{ScheduleToCloseTimeout: 1e9})
	return workflow.ExecuteActivity(ctx, work, fail).Get(ctx, nil)
}

func parent(ctx workflow.Context, fail bool) error {
	return workflow.ExecuteChildWorkflow(ctx, child, fail).Get(ctx, nil)
}

// execute runs parent, and returns its spans by name.
func execute(t *testing.T, header string, fail bool) map[string]tracetest.SpanStub {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	tracing, err := telemetry.NewTracing(t.Context(), telemetry.TraceOptions{Exporter: exporter, Ratio: 1})
	require.NoError(t, err)
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	var interceptors []interceptor.WorkerInterceptor
	for _, i := range TraceInterceptors(tracing) {
		interceptors = append(interceptors, i.(interceptor.WorkerInterceptor))
	}
	env.SetWorkerOptions(worker.Options{Interceptors: interceptors})
	env.RegisterWorkflow(child)
	env.RegisterActivity(work)
	if header != "" {
		fields := map[string]*commonpb.Payload{}
		put(fields, header)
		env.SetHeader(&commonpb.Header{Fields: fields})
	}
	env.ExecuteWorkflow(parent, fail)
	require.True(t, env.IsWorkflowCompleted())
	require.Equal(t, fail, env.GetWorkflowError() != nil)
	require.NoError(t, tracing.Flush(t.Context()))
	spans := map[string]tracetest.SpanStub{}
	for _, s := range exporter.GetSpans() {
		spans[s.Name] = s
	}
	require.NoError(t, tracing.Stop(t.Context()))
	return spans
}

func TestATraceGoesThroughWorkflowsChildrenAndActivities(t *testing.T) {
	t.Parallel()
	const theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, header := range map[string]string{"of a request": theirs, "of its own": "", "after a header of others": "not one of ours"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spans := execute(t, header, false)
			require.Len(t, spans, 4)
			if header == theirs {
				require.Equal(t, "0af7651916cd43dd8448eb211c80319c", spans["parent"].SpanContext.TraceID().String())
				require.Equal(t, "b7ad6b7169203331", spans["parent"].Parent.SpanID().String())
			} else {
				require.False(t, spans["parent"].Parent.IsValid())
			}
			for below, above := range map[string]string{"child": "parent", "work": "child", "destination commit": "work"} {
				require.Equal(t, spans["parent"].SpanContext.TraceID(), spans[below].SpanContext.TraceID(), below)
				require.Equal(t, spans[above].SpanContext.SpanID(), spans[below].Parent.SpanID(), below)
			}
		})
	}
}

func TestATraceTellsWhatFailedByItsCode(t *testing.T) {
	t.Parallel()
	spans := execute(t, "", true)
	require.Equal(t, string(batch.CodePermission), spans["work"].Status.Description)
	require.Equal(t, string(batch.CodePermission), spans["parent"].Status.Description)
	for _, s := range spans {
		require.NotContains(t, s.Status.Description, "s3cret")
		require.Empty(t, s.Events)
	}
}

func TestErrorsOfTemporalHaveTheirCodesBack(t *testing.T) {
	t.Parallel()
	require.NoError(t, coded(nil))
	require.Equal(t, batch.CodeTimeout, batch.CodeOf(coded(temporal.NewApplicationError("text", string(batch.CodeTimeout)))))
	require.Equal(t, batch.CodeCancelled, batch.CodeOf(coded(temporal.NewCanceledError())))
	require.Equal(t, batch.CodeInternal, batch.CodeOf(coded(errors.New("anything"))))
}

func TestWithoutTracesNothingIsIntercepted(t *testing.T) {
	t.Parallel()
	require.Empty(t, TraceInterceptors(nil))
	require.Empty(t, TraceInterceptors(&telemetry.Tracing{}))
	require.Equal(t, trace.SpanContext{}, trace.SpanContextFromContext(t.Context()))
}
