package activities

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"tranche/batch"
	"tranche/destinations"
	"tranche/internal/telemetry"
	"tranche/query"
	"tranche/sources"
)

// observed makes a call that is a span of the trace, and records how long it took.
func observed[T any](
	ctx context.Context, name string, record func(took time.Duration, err error), call func(ctx context.Context) (T, error), about ...attribute.KeyValue,
) (T, error) {
	ctx, span := telemetry.StartSpan(ctx, name, about...)
	began := time.Now()
	result, err := call(ctx)
	record(time.Since(began), err)
	telemetry.EndSpan(span, err)
	return result, err
}

// An observedDestination measures and traces the calls of the protocol.
type observedDestination struct {
	destinations.Destination
	kind    string
	metrics Metrics
}

func (d *observedDestination) record(operation string) func(time.Duration, error) {
	return func(took time.Duration, err error) { d.metrics.DestinationCalled(d.kind, operation, took, err) }
}

func (d *observedDestination) about() attribute.KeyValue {
	return attribute.String("tranche.destination", d.kind)
}

// Stage is the Destination's.
func (d *observedDestination) Stage(ctx context.Context, job destinations.Job, records array.RecordReader) (destinations.Receipt, error) {
	return observed(ctx, "destination stage", d.record("stage"), func(ctx context.Context) (destinations.Receipt, error) {
		return d.Destination.Stage(ctx, job, records)
	}, d.about(), attribute.Int("tranche.split", job.Split))
}

// Commit is the Destination's.
func (d *observedDestination) Commit(
	ctx context.Context, run destinations.Run, receipts []destinations.Receipt, previous *batch.Delivery,
) (destinations.Published, error) {
	return observed(ctx, "destination commit", d.record("commit"), func(ctx context.Context) (destinations.Published, error) {
		return d.Destination.Commit(ctx, run, receipts, previous)
	}, d.about(), attribute.Int("tranche.splits", len(receipts)))
}

// Abort is the Destination's.
func (d *observedDestination) Abort(ctx context.Context, refs []destinations.Ref) error {
	_, err := observed(ctx, "destination abort", d.record("abort"), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, d.Destination.Abort(ctx, refs)
	}, d.about(), attribute.Int("tranche.refs", len(refs)))
	return err
}

// An observedSource measures and traces what a source does.
type observedSource struct {
	sources.Source
	kind    string
	metrics Metrics
}

// source is the worker's source, observed.
func (a *Activities) source() *observedSource {
	kind := "other"
	if s, ok := a.Source.(interface{ Kind() string }); ok {
		kind = s.Kind()
	}
	return &observedSource{Source: a.Source, kind: kind, metrics: a.Metrics}
}

func (s *observedSource) record(operation string) func(time.Duration, error) {
	return func(took time.Duration, err error) { s.metrics.SourceCalled(s.kind, operation, took, err) }
}

func (s *observedSource) about() attribute.KeyValue {
	return attribute.String("tranche.source", s.kind)
}

// Plan is the Source's.
func (s *observedSource) Plan(ctx context.Context, q query.Query, limit int) ([]sources.Split, error) {
	return observed(ctx, "source plan", s.record("plan"), func(ctx context.Context) ([]sources.Split, error) {
		return s.Source.Plan(ctx, q, limit)
	}, s.about())
}

// Count is the Source's.
func (s *observedSource) Count(ctx context.Context, q query.Query) (int64, error) {
	return observed(ctx, "source count", s.record("count"), func(ctx context.Context) (int64, error) {
		return s.Source.Count(ctx, q)
	}, s.about())
}

// Open is the Source's.
func (s *observedSource) Open(ctx context.Context, q query.Query, split sources.Split) (array.RecordReader, error) {
	ctx, span := telemetry.StartSpan(ctx, "source read", s.about(), attribute.Int("tranche.split", split.Number))
	began := time.Now()
	records, err := s.Source.Open(ctx, q, split)
	if err != nil {
		s.record("first_batch")(time.Since(began), err)
		telemetry.EndSpan(span, err)
		return nil, err
	}
	return &observedReader{RecordReader: records, source: s, span: span, began: began}, nil
}

// An observedReader measures a reading. It has one user at a time, like any reader.
type observedReader struct {
	array.RecordReader
	source       *observedSource
	span         trace.Span
	began        time.Time
	first, ended bool
	rows         int64
}

// Next is the RecordReader's.
func (r *observedReader) Next() bool {
	more := r.RecordReader.Next()
	if !r.first {
		r.first = true
		r.source.record("first_batch")(time.Since(r.began), r.Err())
		r.span.AddEvent("first batch")
	}
	if more {
		r.rows += r.RecordBatch().NumRows()
	} else if !r.ended {
		r.source.record("read")(time.Since(r.began), r.Err())
		r.end(r.Err())
	}
	return more
}

// Release is the RecordReader's. A reading that nobody wanted to its end is no measurement.
func (r *observedReader) Release() {
	if !r.ended {
		r.end(nil)
	}
	r.RecordReader.Release()
}

func (r *observedReader) end(err error) {
	r.ended = true
	r.span.SetAttributes(attribute.Int64("tranche.rows", r.rows))
	telemetry.EndSpan(r.span, err)
}
