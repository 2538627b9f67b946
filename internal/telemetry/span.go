package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"tranche/batch"
)

// scope names our instrumentation in traces.
const scope = "tranche"

// StartSpan begins a part of the trace that ctx is in. Without one it costs next to nothing. Attributes are facts about the
// work, never settings or data.
func StartSpan(ctx context.Context, name string, about ...attribute.KeyValue) (context.Context, trace.Span) {
	return trace.SpanFromContext(ctx).TracerProvider().Tracer(scope).Start(ctx, name, trace.WithAttributes(about...))
}

// EndSpan ends it. Of a failure it tells the code only: texts may quote rows or hosts.
func EndSpan(span trace.Span, err error, options ...trace.SpanEndOption) {
	if err != nil {
		code := string(batch.CodeOf(err))
		span.SetStatus(codes.Error, code)
		span.SetAttributes(attribute.String("error.type", code))
	}
	span.End(options...)
}
