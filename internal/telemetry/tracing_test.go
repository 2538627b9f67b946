package telemetry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"tranche/batch"
)

func TestWithoutAReceiverThereAreNoTraces(t *testing.T) {
	t.Parallel()
	off, err := NewTracing(t.Context(), TraceOptions{})
	require.NoError(t, err)
	for _, tracing := range []*Tracing{off, nil} {
		require.False(t, tracing.On())
		ctx, span := tracing.Tracer().Start(t.Context(), "nothing")
		require.False(t, span.IsRecording())
		require.Empty(t, TraceParent(ctx))
		ctx, span = StartSpan(ctx, "nothing")
		EndSpan(span, errors.New("nothing"))
		require.Equal(t, zap.Skip(), TraceID(ctx))
		require.NoError(t, tracing.Flush(t.Context()))
		require.NoError(t, tracing.Stop(t.Context()))
	}
}

func TestSpansGoToTheReceiver(t *testing.T) {
	t.Parallel()
	bodies := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- r.URL.Path + " " + string(body)
	}))
	defer receiver.Close()
	tracing, err := NewTracing(t.Context(), TraceOptions{Endpoint: receiver.URL, Ratio: 1, Process: "worker", Version: "v9"})
	require.NoError(t, err)
	ctx, span := tracing.Tracer().Start(t.Context(), "a request")
	_, child := StartSpan(ctx, "a call")
	EndSpan(child, nil)
	span.End()
	require.NoError(t, tracing.Stop(within(t)))
	body := <-bodies
	require.True(t, strings.HasPrefix(body, "/v1/traces "), body)
	for _, text := range []string{"a request", "a call", "tranche.process", "worker", "service.version", "v9"} {
		require.Contains(t, body, text)
	}
}

func TestALostSpanIsToldOfAndIsNoError(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }))
	defer receiver.Close()
	core, logs := observer.New(zap.WarnLevel)
	tracing, err := NewTracing(t.Context(), TraceOptions{Endpoint: receiver.URL, Ratio: 1, Log: zap.New(core)})
	require.NoError(t, err)
	for range 3 {
		_, span := tracing.Tracer().Start(t.Context(), "a request")
		span.End()
		require.NoError(t, tracing.Flush(within(t)))
	}
	require.NoError(t, tracing.Stop(within(t)))
	require.Equal(t, 1, logs.Len(), "once a minute is often enough")
}

func TestAnEndpointThatIsNoURLIsRefused(t *testing.T) {
	t.Parallel()
	_, err := NewTracing(t.Context(), TraceOptions{Endpoint: "http://a b"})
	require.Error(t, err)
}

func TestAnExecutionHasTheSamePlaceInEveryProcess(t *testing.T) {
	t.Parallel()
	place := func(ratio float64, name string) trace.SpanContext {
		tracing, err := NewTracing(t.Context(), TraceOptions{Exporter: tracetest.NewInMemoryExporter(), Ratio: ratio})
		require.NoError(t, err)
		defer func() { require.NoError(t, tracing.Stop(within(t))) }()
		return tracing.Root(name)
	}
	here, elsewhere := place(1, "an execution"), place(1, "an execution")
	require.Equal(t, here, elsewhere)
	require.NotEqual(t, place(1, "an execution").TraceID(), place(1, "another").TraceID())
	require.True(t, place(1, "an execution").IsSampled())
	require.False(t, place(0, "an execution").IsSampled())
	require.Equal(t, place(1, "an execution").TraceID(), place(0, "an execution").TraceID())
}

func TestASpanHasTheIDsThatAreAskedFor(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	tracing, err := NewTracing(t.Context(), TraceOptions{Exporter: exporter, Ratio: 1})
	require.NoError(t, err)
	root := tracing.Root("an execution")
	_, span := tracing.Tracer().Start(WithIDs(t.Context(), root), "the execution")
	span.End()
	parent := tracing.Root("its parent")
	_, span = tracing.Tracer().Start(WithIDs(trace.ContextWithSpanContext(t.Context(), parent), root), "the child")
	span.End()
	require.NoError(t, tracing.Flush(within(t)))
	spans := exporter.GetSpans()
	require.Len(t, spans, 2)
	require.Equal(t, root.TraceID(), spans[0].SpanContext.TraceID())
	require.Equal(t, root.SpanID(), spans[0].SpanContext.SpanID())
	require.Equal(t, parent.TraceID(), spans[1].SpanContext.TraceID())
	require.Equal(t, root.SpanID(), spans[1].SpanContext.SpanID())
	require.Equal(t, parent.SpanID(), spans[1].Parent.SpanID())
	require.NoError(t, tracing.Stop(within(t)))
}

// What a failure's text quotes is nobody's business who reads traces.
func TestASpanTellsTheCodeOfAFailureOnly(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	tracing, err := NewTracing(t.Context(), TraceOptions{Exporter: exporter, Ratio: 1})
	require.NoError(t, err)
	ctx, span := tracing.Tracer().Start(t.Context(), "a request")
	_, call := StartSpan(ctx, "a call")
	EndSpan(call, batch.Errorf(batch.CodePermission, errors.New("s3cret"), "of bucket b"))
	span.End()
	require.NoError(t, tracing.Flush(within(t)))
	failed := exporter.GetSpans()[0]
	require.Equal(t, codes.Error, failed.Status.Code)
	require.Equal(t, "permission_denied", failed.Status.Description)
	for _, a := range failed.Attributes {
		require.NotContains(t, a.Value.String(), "s3cret")
		require.NotContains(t, a.Value.String(), "bucket")
	}
	require.Empty(t, failed.Events)
	require.NoError(t, tracing.Stop(within(t)))
}

func TestAPlaceInATraceTravelsAsText(t *testing.T) {
	t.Parallel()
	const text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := WithTraceParent(t.Context(), text)
	require.Equal(t, text, TraceParent(ctx))
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", TraceID(ctx).Interface.(trace.TraceID).String())
	header := http.Header{}
	header.Set("Traceparent", text)
	require.Equal(t, text, TraceParent(WithTraceOf(context.Background(), header)))
	for _, bad := range []string{"", "x", "00-0-0-0", strings.Repeat("0", 4000), text + text} {
		require.Empty(t, TraceParent(WithTraceParent(t.Context(), bad)), bad)
	}
}

func TestTracesOfNobodyAreSampledByRatio(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	tracing, err := NewTracing(t.Context(), TraceOptions{Exporter: exporter, Ratio: 0})
	require.NoError(t, err)
	_, span := tracing.Tracer().Start(t.Context(), "mine")
	span.End()
	asked := WithTraceParent(t.Context(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	_, span = tracing.Tracer().Start(asked, "of somebody who keeps it", trace.WithTimestamp(time.Now()))
	span.End()
	require.NoError(t, tracing.Flush(within(t)))
	require.Len(t, exporter.GetSpans(), 1)
	require.NoError(t, tracing.Stop(within(t)))
}
