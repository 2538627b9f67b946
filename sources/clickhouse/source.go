package clickhouse

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
)

var _ sources.Source = (*Source)(nil)

// A Source reads one table.
type Source struct {
	client    *client
	table     table
	splitRows int64
	allocator memory.Allocator
}

// New makes a source. It does not connect.
func New(o Options) (*Source, error) {
	a, err := parse(o.DSN)
	if err != nil {
		return nil, err
	}
	events, err := newTable(o)
	if err != nil {
		return nil, err
	}
	timeout := o.QueryTimeout
	if timeout <= 0 {
		timeout = defaultQueryTimeout
	}
	s := &Source{client: newClient(a, timeout, o.Transport), table: events, splitRows: o.SplitRows, allocator: o.Allocator}
	if s.splitRows <= 0 {
		s.splitRows = defaultSplitRows
	}
	if s.allocator == nil {
		s.allocator = memory.NewGoAllocator()
	}
	return s, nil
}

// Schema returns the columns of the query's rows.
func (s *Source) Schema(_ context.Context, q query.Query) (*arrow.Schema, error) {
	return schemaOf(q)
}

// Plan cuts the interval at quantiles of the ingestion time. Rows of one microsecond stay together, so there can be fewer
// splits than asked for.
func (s *Source) Plan(ctx context.Context, q query.Query, limit int) ([]sources.Split, error) {
	rows, err := s.Count(ctx, q)
	if err != nil || rows == 0 {
		return nil, err
	}
	parts := min(int64(max(limit, 1)), max(rows/s.splitRows, 1))
	cuts, err := s.cuts(ctx, q, parts)
	if err != nil {
		return nil, err
	}
	splits := make([]sources.Split, 0, len(cuts)+1)
	start := q.Interval.Start
	for _, cut := range append(cuts, q.Interval.End) {
		splits = append(splits, sources.Split{Number: len(splits), Range: batch.Interval{Start: start, End: cut}})
		start = cut
	}
	return splits, nil
}

// cuts returns the inner boundaries of about equal parts: ascending, distinct, and strictly within the interval.
func (s *Source) cuts(ctx context.Context, q query.Query, parts int64) ([]time.Time, error) {
	if parts < 2 {
		return nil, nil
	}
	quantiles := make([]string, 0, parts-1)
	for i := int64(1); i < parts; i++ {
		quantiles = append(quantiles, strconv.FormatFloat(float64(i)/float64(parts), 'f', 9, 64))
	}
	// The approximation needs no memory for the rows, and any cut is a right one.
	list := &statement{}
	list.add("SELECT toInt64(arrayJoin(quantiles(%s)(toUnixTimestamp64Micro(toDateTime64(%s, 6, 'UTC')))))",
		strings.Join(quantiles, ", "), s.table.columns[query.FieldInsertedAt])
	s.table.rows(list, q, q.Interval)
	at, err := s.client.integers(ctx, list)
	if err != nil {
		return nil, err
	}
	var cuts []time.Time
	last := q.Interval.Start
	for _, micros := range at {
		if cut := time.UnixMicro(micros).UTC(); cut.After(last) && cut.Before(q.Interval.End) {
			cuts = append(cuts, cut)
			last = cut
		}
	}
	return cuts, nil
}

// Open streams the rows of one split.
func (s *Source) Open(ctx context.Context, q query.Query, split sources.Split) (array.RecordReader, error) {
	schema, err := schemaOf(q)
	if err != nil {
		return nil, err
	}
	r, err := open(ctx, s.client, s.table.split(q, split.Range), schema, s.allocator)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Count counts the query's rows.
func (s *Source) Count(ctx context.Context, q query.Query) (int64, error) {
	if err := checkModel(q.Model); err != nil {
		return 0, err
	}
	return s.one(ctx, s.table.count(q))
}

// Earliest returns the ingestion time of the team's earliest row.
func (s *Source) Earliest(ctx context.Context, teamID int64, model batch.Model) (time.Time, bool, error) {
	if err := checkModel(model); err != nil {
		return time.Time{}, false, err
	}
	list := &statement{}
	column := s.table.columns[query.FieldInsertedAt]
	list.add("SELECT toUnixTimestamp64Micro(toDateTime64(min(%s), 6, 'UTC')) FROM %s WHERE %s = %s HAVING count(%s) > 0", column, s.table.name,
		s.table.columns[query.FieldTeamID], list.bind("Int64", strconv.FormatInt(teamID, 10)), column)
	at, err := s.client.integers(ctx, list)
	if err != nil || len(at) == 0 {
		return time.Time{}, false, err
	}
	return time.UnixMicro(at[0]).UTC(), true, nil
}

// Close releases the connections.
func (s *Source) Close() error {
	s.client.close()
	return nil
}

// one runs a statement of one row and one column.
func (s *Source) one(ctx context.Context, list *statement) (int64, error) {
	all, err := s.client.integers(ctx, list)
	if err != nil {
		return 0, err
	}
	if len(all) != 1 {
		return 0, batch.Errorf(batch.CodeUnavailable, fmt.Errorf("%d rows, not 1", len(all)), "%s", sentences[batch.CodeUnavailable])
	}
	return all[0], nil
}
