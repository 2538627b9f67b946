package duckdb

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
)

var _ sources.Source = (*Store)(nil)

// Schema returns the columns of the query's rows.
func (s *Store) Schema(_ context.Context, q query.Query) (*arrow.Schema, error) {
	return schemaOf(q)
}

// Plan cuts the interval at quantiles of the ingestion time. Rows of one microsecond stay together, so there can be fewer
// splits than asked for.
func (s *Store) Plan(ctx context.Context, q query.Query, limit int) ([]sources.Split, error) {
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
func (s *Store) cuts(ctx context.Context, q query.Query, parts int64) ([]time.Time, error) {
	if parts < 2 {
		return nil, nil
	}
	quantiles := make([]string, 0, parts-1)
	for i := int64(1); i < parts; i++ {
		quantiles = append(quantiles, fmt.Sprintf("%.9f", float64(i)/float64(parts)))
	}
	// The approximation needs no memory for the rows, and any cut is a right one.
	chosen := selectRows(q, q.Interval)
	at, err := s.integers(ctx, "SELECT unnest(approx_quantile(epoch_us(inserted_at), ["+strings.Join(quantiles, ", ")+
		"])) FROM events "+chosen.where, chosen.values...)
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
func (s *Store) Open(ctx context.Context, q query.Query, split sources.Split) (array.RecordReader, error) {
	schema, err := schemaOf(q)
	if err != nil {
		return nil, err
	}
	c, err := s.connect()
	if err != nil {
		return nil, err
	}
	chosen := selectRows(q, split.Range)
	rows, err := c.Query(ctx, "SELECT "+columnList(q)+" FROM events "+chosen.where, chosen.values...)
	if err != nil {
		c.Close()
		return nil, classify(err)
	}
	return newReader(ctx, c, rows, schema, s.allocator), nil
}

// Count counts the query's rows. A uuid is stored once, so there is nothing to deduplicate.
func (s *Store) Count(ctx context.Context, q query.Query) (int64, error) {
	if err := checkModel(q.Model); err != nil {
		return 0, err
	}
	chosen := selectRows(q, q.Interval)
	counted, err := s.integers(ctx, "SELECT count(*) FROM events "+chosen.where, chosen.values...)
	if err != nil {
		return 0, err
	}
	return counted[0], nil
}

// Earliest returns the ingestion time of the team's earliest row.
func (s *Store) Earliest(ctx context.Context, teamID int64, model batch.Model) (time.Time, bool, error) {
	if err := checkModel(model); err != nil {
		return time.Time{}, false, err
	}
	at, err := s.integers(ctx, "SELECT epoch_us(min(inserted_at)) FROM events WHERE team_id = ? HAVING count(*) > 0", teamID)
	if err != nil || len(at) == 0 {
		return time.Time{}, false, err
	}
	return time.UnixMicro(at[0]).UTC(), true, nil
}

// integers runs a query of one BIGINT column with few rows.
func (s *Store) integers(ctx context.Context, sql string, values ...any) ([]int64, error) {
	c, err := s.connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	rows, err := c.Query(ctx, sql, values...)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	var all []int64
	for {
		chunk, err := rows.Next(ctx)
		if err != nil || chunk == nil {
			return all, classify(err)
		}
		for row := range chunk.Rows {
			all = append(all, chunk.Column(0).Int64(row))
		}
		chunk.Close()
	}
}
