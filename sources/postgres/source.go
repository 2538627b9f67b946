package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
)

var _ sources.Source = (*Source)(nil)

// A Source reads one table. Each call has a connection of its own, for as long as it lasts: calls are few and long.
type Source struct {
	config    *pgx.ConnConfig
	begin     string
	table     table
	splitRows int64
	allocator memory.Allocator
}

// New makes a source. It does not connect.
func New(o Options) (*Source, error) {
	config, err := pgx.ParseConfig(o.DSN)
	if err != nil {
		return nil, batch.Errorf(batch.CodeConfig, err, "the address of the PostgreSQL source is not valid")
	}
	// Statements are sent once, so there is nothing to gain from preparing them, and poolers may not allow it.
	config.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	events, err := newTable(o)
	if err != nil {
		return nil, err
	}
	s := &Source{config: config, table: events, splitRows: o.SplitRows, allocator: o.Allocator}
	if s.splitRows <= 0 {
		s.splitRows = defaultSplitRows
	}
	if s.allocator == nil {
		s.allocator = memory.NewGoAllocator()
	}
	timeout := o.StatementTimeout
	if timeout <= 0 {
		timeout = defaultStatementTimeout
	}
	s.begin = fmt.Sprintf("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "+
		"SET LOCAL statement_timeout = %d; SET LOCAL TimeZone = 'UTC'", max(timeout.Milliseconds(), 1))
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
	quantiles := make([]float64, 0, parts-1)
	for i := int64(1); i < parts; i++ {
		quantiles = append(quantiles, float64(i)/float64(parts))
	}
	chosen := s.table.rows(q, q.Interval)
	var at []time.Time
	err := s.one(ctx, fmt.Sprintf("SELECT percentile_disc($%d::float8[]) WITHIN GROUP (ORDER BY (%s)::timestamptz) %s",
		len(chosen.values)+1, s.table.columns[query.FieldInsertedAt], chosen.from), append(chosen.values, quantiles), &at)
	if err != nil {
		return nil, err
	}
	var cuts []time.Time
	last := q.Interval.Start
	for _, cut := range at {
		if cut.After(last) && cut.Before(q.Interval.End) {
			cuts = append(cuts, cut.UTC())
			last = cut
		}
	}
	return cuts, nil
}

// Open streams the rows of one split, out of a snapshot.
func (s *Source) Open(ctx context.Context, q query.Query, split sources.Split) (array.RecordReader, error) {
	schema, err := schemaOf(q)
	if err != nil {
		return nil, err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	chosen := s.table.rows(q, split.Range)
	r, err := openReader(ctx, c, "SELECT "+s.table.list(q)+" "+chosen.from, chosen.values, schema, s.allocator)
	if err != nil {
		return nil, classify(ctx, err)
	}
	return r, nil
}

// Count counts the query's rows.
func (s *Source) Count(ctx context.Context, q query.Query) (int64, error) {
	if err := checkModel(q.Model); err != nil {
		return 0, err
	}
	chosen := s.table.rows(q, q.Interval)
	var n int64
	err := s.one(ctx, "SELECT count(*) "+chosen.from, chosen.values, &n)
	return n, err
}

// Earliest returns the ingestion time of the team's earliest row.
func (s *Source) Earliest(ctx context.Context, teamID int64, model batch.Model) (time.Time, bool, error) {
	if err := checkModel(model); err != nil {
		return time.Time{}, false, err
	}
	var at *time.Time
	err := s.one(ctx, fmt.Sprintf("SELECT min(%s)::timestamptz FROM %s WHERE %s = $1::bigint",
		s.table.columns[query.FieldInsertedAt], s.table.name, s.table.columns[query.FieldTeamID]), []any{teamID}, &at)
	if err != nil || at == nil {
		return time.Time{}, false, err
	}
	return at.UTC(), true, nil
}

// Close has nothing to do: connections end with their calls.
func (s *Source) Close() error { return nil }

// one runs a query of one row and one column.
func (s *Source) one(ctx context.Context, sql string, values []any, into any) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer hangUp(ctx, c)
	return classify(ctx, c.QueryRow(ctx, sql, values...).Scan(into))
}
