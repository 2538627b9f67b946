package sources

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"tranche/batch"
	"tranche/query"
)

// Splits cuts the query's interval at quantiles of the time into at most limit splits: one for each splitRows rows, none
// without rows. Quantiles returns the inner boundaries of that many equal parts, in ascending order.
func Splits(
	ctx context.Context, s Source, q query.Query, limit int, splitRows int64, quantiles func(parts int64) ([]time.Time, error),
) ([]Split, error) {
	rows, err := s.Count(ctx, q)
	if err != nil || rows == 0 {
		return nil, err
	}
	parts := min(int64(max(limit, 1)), max(rows/splitRows, 1))
	if parts < 2 {
		return cut(q.Interval, nil), nil
	}
	at, err := quantiles(parts)
	if err != nil {
		return nil, err
	}
	return cut(q.Interval, at), nil
}

// cut makes splits of an interval out of times in ascending order at which to cut it. Those that are not strictly
// within it or come twice are passed over: rows of one instant stay together.
func cut(interval batch.Interval, at []time.Time) []Split {
	var splits []Split
	start := interval.Start
	for _, end := range append(at, interval.End) {
		if !end.After(start) || end.After(interval.End) {
			continue
		}
		splits = append(splits, Split{Number: len(splits), Range: batch.Interval{Start: start, End: end.UTC()}})
		start = end.UTC()
	}
	return splits
}

// SchemaOf is the schema of the query's rows. A field that no row is without is not nullable; everything else is.
func SchemaOf(m query.Model, q query.Query) (*arrow.Schema, error) {
	if err := m.Check(q); err != nil {
		return nil, err
	}
	fields := make([]arrow.Field, len(q.Columns))
	for i, column := range q.Columns {
		e := column.Expression(m)
		kind, err := arrowType(e.Type())
		if err != nil {
			return nil, err
		}
		fields[i] = arrow.Field{Name: column.Name, Type: kind, Nullable: true}
		if r, ok := e.(query.Ref); ok {
			spec, _ := m.Spec(r.Field)
			fields[i].Nullable = !spec.Required
		}
		if e.Type() == query.TypeJSON {
			fields[i].Metadata = arrow.MetadataFrom(map[string]string{query.JSONMetadata: "true"})
		}
	}
	return arrow.NewSchema(fields, nil), nil
}

func arrowType(t query.Type) (arrow.DataType, error) {
	switch t {
	case query.TypeString, query.TypeJSON, query.TypeNull:
		return arrow.BinaryTypes.String, nil
	case query.TypeInteger:
		return arrow.PrimitiveTypes.Int64, nil
	case query.TypeFloat:
		return arrow.PrimitiveTypes.Float64, nil
	case query.TypeBoolean:
		return arrow.FixedWidthTypes.Boolean, nil
	case query.TypeInstant:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, nil
	case query.TypeDate:
		return arrow.FixedWidthTypes.Date32, nil
	case query.TypeStrings:
		return arrow.ListOf(arrow.BinaryTypes.String), nil
	}
	return nil, batch.Errorf(batch.CodeInternal, nil, "there is no column type for %s", t)
}
