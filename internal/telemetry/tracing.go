package telemetry

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
)

// TraceOptions say where traces go.
type TraceOptions struct {
	// Endpoint is the URL of a receiver of OTLP over HTTP, such as http://collector:4318; empty = no traces.
	Endpoint string
	// Ratio is the part of the traces that is kept, 0 to 1, of those that nobody before us decided on.
	Ratio float64
	// Process names the process among others: api, worker.
	Process, Version string
	Log              *zap.Logger
	// Exporter, if not nil, takes the place of the receiver: tests look there.
	Exporter sdktrace.SpanExporter
}

// Tracing makes traces. The zero value makes none, and neither does nil.
type Tracing struct {
	provider *sdktrace.TracerProvider
	sampler  sdktrace.Sampler
}

// NewTracing prepares for traces, without connecting: a receiver that is down costs spans, not the service.
func NewTracing(ctx context.Context, o TraceOptions) (*Tracing, error) {
	exporter := o.Exporter
	if exporter == nil && o.Endpoint == "" {
		return &Tracing{}, nil
	}
	if exporter == nil {
		to, err := url.Parse(o.Endpoint)
		if err != nil {
			return nil, errors.New("the endpoint of traces is no URL")
		}
		if to.Path == "" || to.Path == "/" {
			to = to.JoinPath("v1", "traces")
		}
		if exporter, err = otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(to.String())); err != nil {
			return nil, fmt.Errorf("traces: %w", err)
		}
	}
	t := &Tracing{sampler: sdktrace.TraceIDRatioBased(o.Ratio)}
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&tolerant{SpanExporter: exporter, log: o.Log}),
		sdktrace.WithIDGenerator(ids{}),
		sdktrace.WithSampler(sdktrace.ParentBased(t.sampler)),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "tranche"), attribute.String("service.version", o.Version),
			attribute.String("tranche.process", o.Process))),
	)
	return t, nil
}

// On says whether there are traces at all.
func (t *Tracing) On() bool { return t != nil && t.provider != nil }

// Tracer makes spans.
func (t *Tracing) Tracer() trace.Tracer {
	if !t.On() {
		return noop.NewTracerProvider().Tracer(scope)
	}
	return t.provider.Tracer(scope)
}

// Flush sends what waits. Stop does so for the last time.
func (t *Tracing) Flush(ctx context.Context) error {
	if !t.On() {
		return nil
	}
	return t.provider.ForceFlush(ctx)
}

// Stop sends what waits and ends.
func (t *Tracing) Stop(ctx context.Context) error {
	if !t.On() {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Root is the place in a trace of an execution that nobody's trace reaches: always the same for the same name, so that
// all processes that work on it agree without a word.
func (t *Tracing) Root(name string) trace.SpanContext {
	id := trace.TraceID(sum(name, "trace")[:16])
	var flags trace.TraceFlags
	decision := t.sampler.ShouldSample(sdktrace.SamplingParameters{TraceID: id}).Decision
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: SpanIDOf(name), TraceFlags: flags.WithSampled(decision == sdktrace.RecordAndSample), Remote: true,
	})
}

// SpanIDOf is the id of the one span that an execution has.
func SpanIDOf(name string) trace.SpanID { return trace.SpanID(sum(name, "span")[:8]) }

func sum(name, of string) []byte {
	s := sha256.Sum256([]byte(of + " " + name))
	return s[:]
}

// WithIDs lets the next root span of the context, or the next child, have these ids.
func WithIDs(ctx context.Context, c trace.SpanContext) context.Context {
	return context.WithValue(ctx, idsKey{}, c)
}

type idsKey struct{}

// ids makes ids: those that the context asks for, or random ones.
type ids struct{}

// NewIDs is the IDGenerator's.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if c, ok := ctx.Value(idsKey{}).(trace.SpanContext); ok {
		return c.TraceID(), c.SpanID()
	}
	var id trace.TraceID
	_, _ = rand.Read(id[:]) // never fails: the runtime aborts instead
	return id, randomSpanID()
}

// NewSpanID is the IDGenerator's.
func (ids) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if c, ok := ctx.Value(idsKey{}).(trace.SpanContext); ok {
		return c.SpanID()
	}
	return randomSpanID()
}

func randomSpanID() trace.SpanID {
	var id trace.SpanID
	_, _ = rand.Read(id[:])
	return id
}

// propagator reads and writes the header traceparent of the W3C.
var propagator = propagation.TraceContext{}

// TraceParent is the place of ctx in a trace as text; empty = it is in none.
func TraceParent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagator.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// WithTraceParent returns ctx at a place in a trace, as text; anything else than such a text is passed over.
func WithTraceParent(ctx context.Context, parent string) context.Context {
	return propagator.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
}

// WithTraceOf is WithTraceParent for what a client sent.
func WithTraceOf(ctx context.Context, header http.Header) context.Context {
	return propagator.Extract(ctx, propagation.HeaderCarrier(header))
}

// TraceID is a field for log lines; none outside a trace.
func TraceID(ctx context.Context) zap.Field {
	c := trace.SpanContextFromContext(ctx)
	if !c.HasTraceID() {
		return zap.Skip()
	}
	return zap.Stringer("trace_id", c.TraceID())
}

// complainEvery is how often a receiver that does not take spans is told of.
const complainEvery = time.Minute

// A tolerant exporter tells our log of spans that are lost, now and then.
type tolerant struct {
	sdktrace.SpanExporter
	log        *zap.Logger
	complained time.Time // exports are one at a time
}

// ExportSpans is the SpanExporter's.
func (e *tolerant) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err != nil && e.log != nil && time.Since(e.complained) > complainEvery {
		e.complained = time.Now()
		e.log.Warn("Spans of traces are lost: their receiver does not take them.", zap.Int("spans", len(spans)), zap.Error(err))
	}
	return nil
}
