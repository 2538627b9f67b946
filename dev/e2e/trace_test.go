package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"tranche/batch"
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

// A collector is a receiver of OTLP over HTTP, as processes are told to send their spans to.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans []collected
}

// A collected span says which process sent it.
type collected struct {
	*tracepb.Span
	process string
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var sent collectorpb.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &sent) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range sent.GetResourceSpans() {
			process := ""
			for _, a := range resource.GetResource().GetAttributes() {
				if a.GetKey() == "tranche.process" {
					process = a.GetValue().GetStringValue()
				}
			}
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					c.spans = append(c.spans, collected{span, process})
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// byID are the spans that have come so far.
func (c *collector) byID() map[string]collected {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]collected{}
	for _, span := range c.spans {
		all[string(span.GetSpanId())] = span
	}
	return all
}

// The same with processes of their own and a receiver of OTLP: what Temporal carries from one to the other keeps the trace
// together.
func TestOneTraceLeadsThroughAllProcesses(t *testing.T) {
	t.Parallel()
	received := startCollector(t)
	d := deploy(t, newEventMaker(22).within(epoch, time.Hour, 30)).with("TRANCHE_TRACES_ENDPOINT=" + received.URL)
	stop := d.both(d.start())
	export := d.create(fileExport("traced", "hour", "hours"))
	backfill := d.backfillHour(export, epoch)
	d.completed(export, backfill, workPatience)
	// The span of a workflow is made when it ends, which is after it has said so.
	require.NoError(t, d.temporal.GetWorkflow(t.Context(), batch.BackfillWorkflowID(export, backfill), "").Get(t.Context(), nil))
	stop() // what is not sent yet is sent now
	all := received.byID()
	var commits []collected
	for _, span := range all {
		if span.GetName() == "destination commit" {
			commits = append(commits, span)
		}
	}
	require.Len(t, commits, 1)
	var path []string
	for span, ok := commits[0], true; ok; span, ok = all[string(span.GetParentSpanId())] {
		require.Equal(t, commits[0].GetTraceId(), span.GetTraceId())
		path = append(path, span.process+": "+span.GetName())
	}
	slices.Reverse(path)
	require.Equal(t, []string{
		"api: POST /api/projects/:project_id/batch_exports/:id/backfills", "api: start Backfill",
		"worker: Backfill", "worker: ExportInterval", "worker: Commit", "worker: destination commit",
	}, path)
}
