package activities_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
)

// A row is an event of the test's source.
type row struct {
	id string
	at time.Time
}

// A table is a source in memory. Its rows can change at any time, as in a real one.
type table struct {
	mu   sync.Mutex
	rows []row
	// splits is how many splits an interval is cut into.
	splits int
}

// add inserts rows that arrived in the interval.
func (t *table) add(i batch.Interval, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range n {
		t.rows = append(t.rows, row{uuid.NewString(), i.Start.Add(time.Duration(len(t.rows)) * time.Second)})
	}
}

// clear deletes all rows.
func (t *table) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = nil
}

// in returns the rows of an interval.
func (t *table) in(i batch.Interval) []row {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []row
	for _, r := range t.rows {
		if i.Contains(r.at) {
			found = append(found, r)
		}
	}
	return found
}

// ids returns the ids of the rows of an interval, sorted.
func (t *table) ids(i batch.Interval) []string {
	var ids []string
	for _, r := range t.in(i) {
		ids = append(ids, r.id)
	}
	slices.Sort(ids)
	return ids
}

// Schema is the Source's. Only two columns matter to the tests.
func (t *table) Schema(context.Context, query.Query) (*arrow.Schema, error) {
	return arrow.NewSchema([]arrow.Field{
		{Name: "uuid", Type: arrow.BinaryTypes.String},
		{Name: "timestamp", Type: arrow.FixedWidthTypes.Timestamp_us},
	}, nil), nil
}

// Plan is the Source's.
func (t *table) Plan(_ context.Context, q query.Query, limit int) ([]sources.Split, error) {
	if len(t.in(q.Interval)) == 0 {
		return nil, nil
	}
	n := min(max(1, t.splits), limit)
	part := q.Interval.Duration() / time.Duration(n)
	var splits []sources.Split
	for i := range n {
		start := q.Interval.Start.Add(time.Duration(i) * part)
		splits = append(splits, sources.Split{Number: i, Range: batch.Interval{Start: start, End: start.Add(part)}})
	}
	splits[n-1].Range.End = q.Interval.End
	return splits, nil
}

// Open is the Source's.
func (t *table) Open(ctx context.Context, q query.Query, s sources.Split) (array.RecordReader, error) {
	schema, err := t.Schema(ctx, q)
	if err != nil {
		return nil, err
	}
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer builder.Release()
	for _, r := range t.in(s.Range) {
		builder.Field(0).(*array.StringBuilder).Append(r.id)
		builder.Field(1).(*array.TimestampBuilder).AppendTime(r.at)
	}
	return array.NewRecordReader(schema, []arrow.RecordBatch{builder.NewRecordBatch()})
}

// Count is the Source's.
func (t *table) Count(_ context.Context, q query.Query) (int64, error) {
	return int64(len(t.in(q.Interval))), nil
}

// Earliest is the Source's.
func (t *table) Earliest(context.Context, query.Query) (time.Time, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rows) == 0 {
		return time.Time{}, false, nil
	}
	return slices.MinFunc(t.rows, func(a, b row) int { return a.at.Compare(b.at) }).at, true, nil
}

// Close is the Source's.
func (t *table) Close() error { return nil }
