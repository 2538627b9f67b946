package duckdb

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"tranche/batch"
	"tranche/query"
	"tranche/query/sql"
	"tranche/sources"
)

var _ sources.Source = (*Store)(nil)

// Schema returns the columns of the query's rows.
func (s *Store) Schema(_ context.Context, q query.Query) (*arrow.Schema, error) {
	t, err := s.table(q.Model)
	if err != nil {
		return nil, err
	}
	return sources.SchemaOf(t.Model, q)
}

// table is a model as it is in the store: its columns have the names and types of the fields.
func (s *Store) table(name batch.Model) (sql.Table, error) {
	m, err := s.models.Need(name)
	return sql.Table{Model: m}, err
}

// Plan cuts the interval at quantiles of the time. Rows of one microsecond stay together, so there can be fewer splits
// than asked for.
func (s *Store) Plan(ctx context.Context, q query.Query, limit int) ([]sources.Split, error) {
	return sources.Splits(ctx, s, q, limit, s.splitRows, func(parts int64) ([]time.Time, error) {
		cuts, err := s.integers(ctx, q.Model, func(t sql.Table) (sql.Statement, error) { return sql.DuckDB().Quantiles(t, q, parts) })
		at := make([]time.Time, len(cuts))
		for i, micros := range cuts {
			at[i] = time.UnixMicro(*micros).UTC()
		}
		return at, err
	})
}

// Open streams the rows of one split.
func (s *Store) Open(ctx context.Context, q query.Query, split sources.Split) (array.RecordReader, error) {
	t, err := s.table(q.Model)
	if err != nil {
		return nil, err
	}
	schema, err := sources.SchemaOf(t.Model, q)
	if err != nil {
		return nil, err
	}
	statement, err := sql.DuckDB().Select(t, q, split.Range)
	if err != nil {
		return nil, err
	}
	return sources.NewReader(ctx, schema, func(ctx context.Context) (sources.Stream, error) {
		c, err := s.connect()
		if err != nil {
			return nil, err
		}
		rows, err := c.Query(ctx, statement.Text, statement.Values...)
		if err != nil {
			c.Close()
			return nil, classify(err)
		}
		return &stream{ctx: ctx, schema: schema, builder: array.NewRecordBuilder(s.allocator, schema), conn: c, rows: rows}, nil
	})
}

// Count counts the query's rows. A uuid is stored once, so there is nothing to deduplicate.
func (s *Store) Count(ctx context.Context, q query.Query) (int64, error) {
	counted, err := s.integers(ctx, q.Model, func(t sql.Table) (sql.Statement, error) { return sql.DuckDB().Count(t, q) })
	if err != nil {
		return 0, err
	}
	return *counted[0], nil
}

// Earliest returns the time of the earliest row of the team's whole model.
func (s *Store) Earliest(ctx context.Context, q query.Query) (time.Time, bool, error) {
	at, err := s.integers(ctx, q.Model, func(t sql.Table) (sql.Statement, error) { return sql.DuckDB().Earliest(t, q) })
	if err != nil || at[0] == nil {
		return time.Time{}, false, err
	}
	return time.UnixMicro(*at[0]).UTC(), true, nil
}

// integers runs a query of one column of BIGINT or TIMESTAMP with few rows; nil = null.
func (s *Store) integers(ctx context.Context, model batch.Model, statement func(sql.Table) (sql.Statement, error)) ([]*int64, error) {
	t, err := s.table(model)
	if err != nil {
		return nil, err
	}
	made, err := statement(t)
	if err != nil {
		return nil, err
	}
	c, err := s.connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	rows, err := c.Query(ctx, made.Text, made.Values...)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	var all []*int64
	for {
		chunk, err := rows.Next(ctx)
		if err != nil || chunk == nil {
			return all, classify(err)
		}
		for row := range chunk.Rows {
			if chunk.Column(0).Null(row) {
				all = append(all, nil)
				continue
			}
			n := chunk.Column(0).Int64(row)
			all = append(all, &n)
		}
		chunk.Close()
	}
}
