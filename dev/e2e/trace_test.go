package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"tranche/dev/stack"
	"tranche/internal/telemetry"
)

// One trace shows a request from the API to what it delivers, with nothing in it that is not to be seen.
func TestATraceLeadsFromTheRequestToTheDestination(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	tracing, err := telemetry.NewTracing(t.Context(), telemetry.TraceOptions{Exporter: exporter, Ratio: 1})
	require.NoError(t, err)
	events := newEventMaker(53).within(epoch, 2*time.Hour, 30)
	s := startStackWith(t, events, func(o *stack.Options) { o.Tracing = tracing })
	export := s.create(fileExport("a name of the customer's", "hour", "a-prefix-of-the-customer"))
	s.completed(export, s.backfill(export, epoch.Format(time.RFC3339), epoch.Add(2*time.Hour).Format(time.RFC3339)), workPatience)

	all := map[string][]tracetest.SpanStub{}
	byID := map[trace.SpanID]tracetest.SpanStub{}
	until(t, workPatience, "the span of the backfill", func() bool {
		require.NoError(t, tracing.Flush(t.Context()))
		clear(all)
		for _, span := range exporter.GetSpans() {
			all[span.Name] = append(all[span.Name], span)
			byID[span.SpanContext.SpanID()] = span
		}
		return len(all["Backfill"]) == 1
	})
	request := all["POST /api/projects/:project_id/batch_exports/:id/backfills"]
	require.Len(t, request, 1)
	require.Len(t, all["destination commit"], 2)
	for _, commit := range all["destination commit"] {
		var path []string
		for span, ok := commit, true; ok; span, ok = byID[span.Parent.SpanID()] {
			require.Equal(t, request[0].SpanContext.TraceID(), span.SpanContext.TraceID())
			path = append(path, span.Name)
		}
		slices.Reverse(path)
		require.Equal(t, []string{request[0].Name, "start Backfill", "Backfill", "ExportInterval", "Commit", "destination commit"}, path)
	}
	for _, name := range []string{"source plan", "source count", "source read", "destination stage", "Begin", "Finish"} {
		require.NotEmpty(t, all[name], name)
	}
	require.True(t, slices.ContainsFunc(request[0].Attributes, func(a attribute.KeyValue) bool { return a.Key == "tranche.request_id" }))
	for _, span := range byID {
		for _, a := range span.Attributes {
			require.NotContains(t, a.Value.String(), "customer", span.Name)
			require.NotContains(t, a.Value.String(), theKey, span.Name)
		}
	}
	require.True(t, slices.ContainsFunc(s.logs.lines(), func(line string) bool {
		return strings.Contains(line, request[0].SpanContext.TraceID().String()) && strings.Contains(line, `"request_id"`)
	}), "a line of the log leads from the request's id to the trace")

	// A schedule is no part of the trace of the request that made it.
	for name, spans := range all {
		if strings.Contains(name, " /api/") {
			continue
		}
		for _, span := range spans {
			require.Equal(t, request[0].SpanContext.TraceID(), span.SpanContext.TraceID(), name)
		}
	}
	require.NoError(t, tracing.Stop(t.Context()))
}
