package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tranche/batch"
	"tranche/query"
	"tranche/query/sql"
	"tranche/sources"
)

var _ sources.Source = (*Source)(nil)

// A Source reads tables.
type Source struct {
	client     *client
	dialect    sql.Dialect
	models     query.Catalog
	duplicates bool
	splitRows  int64
	allocator  memory.Allocator
}

// New makes a source. It does not connect.
func New(o Options) (*Source, error) {
	a, err := parse(o.DSN)
	if err != nil {
		return nil, err
	}
	timeout := o.QueryTimeout
	if timeout <= 0 {
		timeout = defaultQueryTimeout
	}
	s := &Source{
		client: newClient(a, timeout, o.Transport), dialect: sql.ClickHouse(), models: o.Models, duplicates: o.Duplicates,
		splitRows: o.SplitRows, allocator: o.Allocator,
	}
	if s.models == nil {
		s.models = query.PostHog()
	}
	if err := s.models.Validate(); err != nil {
		return nil, err
	}
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
	m, err := s.models.Need(q.Model)
	if err != nil {
		return nil, err
	}
	return sources.SchemaOf(m, q)
}

// Plan cuts the interval at quantiles of the time. Rows of one microsecond stay together, so there can be fewer splits
// than asked for.
func (s *Source) Plan(ctx context.Context, q query.Query, limit int) ([]sources.Split, error) {
	return sources.Splits(ctx, s, q, limit, s.splitRows, func(parts int64) ([]time.Time, error) {
		cuts, err := s.integers(ctx, q, func(t sql.Table) (sql.Statement, error) { return s.dialect.Quantiles(t, q, parts) })
		at := make([]time.Time, len(cuts))
		for i, micros := range cuts {
			at[i] = time.UnixMicro(micros).UTC()
		}
		return at, err
	})
}

// Open streams the rows of one split.
func (s *Source) Open(ctx context.Context, q query.Query, split sources.Split) (array.RecordReader, error) {
	schema, err := s.Schema(ctx, q)
	if err != nil {
		return nil, err
	}
	t, err := s.table(q.Model)
	if err != nil {
		return nil, err
	}
	made, err := s.dialect.Select(t, q, split.Range)
	if err != nil {
		return nil, err
	}
	sent, err := statementOf(made)
	if err != nil {
		return nil, err
	}
	return sources.NewReader(ctx, schema, func(ctx context.Context) (sources.Stream, error) {
		opened, err := open(ctx, s.client, sent, schema, s.allocator)
		if err != nil {
			return nil, err
		}
		return opened, nil
	})
}

// Count counts the query's rows.
func (s *Source) Count(ctx context.Context, q query.Query) (int64, error) {
	all, err := s.integers(ctx, q, func(t sql.Table) (sql.Statement, error) { return s.dialect.Count(t, q) })
	if err != nil {
		return 0, err
	}
	if len(all) != 1 {
		return 0, batch.Errorf(batch.CodeUnavailable, fmt.Errorf("%d rows, not 1", len(all)), "%s", sentences[batch.CodeUnavailable])
	}
	return all[0], nil
}

// Earliest returns the time of the earliest row of the team's whole model.
func (s *Source) Earliest(ctx context.Context, q query.Query) (time.Time, bool, error) {
	at, err := s.integers(ctx, q, func(t sql.Table) (sql.Statement, error) { return s.dialect.Earliest(t, q) })
	if err != nil || len(at) == 0 {
		return time.Time{}, false, err
	}
	return time.UnixMicro(at[0]).UTC(), true, nil
}

// Kind names the source in metrics and traces.
func (s *Source) Kind() string { return "clickhouse" }

// Close releases the connections.
func (s *Source) Close() error {
	s.client.close()
	return nil
}

// integers runs a statement of one column about a model's table, with few rows.
func (s *Source) integers(ctx context.Context, q query.Query, statement func(sql.Table) (sql.Statement, error)) ([]int64, error) {
	t, err := s.table(q.Model)
	if err != nil {
		return nil, err
	}
	made, err := statement(t)
	if err != nil {
		return nil, err
	}
	sent, err := statementOf(made)
	if err != nil {
		return nil, err
	}
	return s.client.integers(ctx, sent)
}
