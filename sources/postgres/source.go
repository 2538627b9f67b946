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
	"tranche/query/sql"
	"tranche/sources"
)

var _ sources.Source = (*Source)(nil)

// A Source reads tables. Each call has a connection of its own, for as long as it lasts: calls are few and long.
type Source struct {
	config    *pgx.ConnConfig
	begin     string
	dialect   sql.Dialect
	models    query.Catalog
	tables    tables
	splitRows int64
	allocator memory.Allocator

	snapshotFor time.Duration // below zero = none is held
	snapshots   snapshots
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
	s := &Source{config: config, dialect: sql.PostgreSQL(), models: o.Models, splitRows: o.SplitRows, allocator: o.Allocator}
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
	if s.snapshotFor = o.SnapshotFor; s.snapshotFor == 0 {
		s.snapshotFor = defaultSnapshotFor
	}
	timeout := o.StatementTimeout
	if timeout <= 0 {
		timeout = defaultStatementTimeout
	}
	// Compiling a statement that only copies rows costs seconds and wins nothing. How texts are read and values are written
	// is not left to what the role or the database has set.
	s.begin = fmt.Sprintf("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "+
		"SET LOCAL statement_timeout = %d; SET LOCAL TimeZone = 'UTC'; SET LOCAL jit = off; SET LOCAL standard_conforming_strings = on; "+
		"SET LOCAL client_encoding = 'UTF8'; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'postgres'; "+
		"SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'", max(timeout.Milliseconds(), 1))
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
		cuts, err := column[*time.Time](ctx, s, q, func(t sql.Table) (sql.Statement, error) { return s.dialect.Quantiles(t, q, parts) })
		at := make([]time.Time, 0, len(cuts))
		for _, cut := range cuts {
			if cut != nil { // the rows have gone since they were counted
				at = append(at, *cut)
			}
		}
		return at, err
	})
}

// Open streams the rows of one split, out of a snapshot: the one that the split names, as long as somebody holds it.
func (s *Source) Open(ctx context.Context, q query.Query, split sources.Split) (array.RecordReader, error) {
	schema, err := s.Schema(ctx, q)
	if err != nil {
		return nil, err
	}
	return sources.NewReader(ctx, schema, func(ctx context.Context) (sources.Stream, error) {
		c, t, err := s.prepare(ctx, q, split.Snapshot)
		if err != nil {
			return nil, err
		}
		if t, err = s.unrepeated(ctx, c, t, q, split.Snapshot); err != nil {
			hangUp(ctx, c)
			return nil, err
		}
		statement, err := s.dialect.Select(t, q, split.Range)
		if err != nil {
			hangUp(ctx, c)
			return nil, err
		}
		opened, err := openStream(ctx, c, statement, schema, s)
		if err != nil {
			return nil, err
		}
		return opened, nil
	})
}

// unrepeated is the table without distinct fields, if no rows of the query agree in them. All splits of a snapshot get the
// same answer, so one of a process asks.
func (s *Source) unrepeated(ctx context.Context, c *pgx.Conn, t sql.Table, q query.Query, snapshot string) (sql.Table, error) {
	if len(t.Distinct) == 0 {
		return t, nil
	}
	statement, err := s.dialect.Repeated(t, q)
	if err != nil {
		return t, err
	}
	about := fmt.Sprint(statement)
	repeated, known := s.snapshots.answer(snapshot, about)
	if !known {
		if err := c.QueryRow(ctx, statement.Text, statement.Values...).Scan(&repeated); err != nil {
			return t, s.classify(ctx, err)
		}
		s.snapshots.remember(snapshot, about, repeated)
	}
	if !repeated {
		t.Distinct = nil
	}
	return t, nil
}

// Count counts the query's rows.
func (s *Source) Count(ctx context.Context, q query.Query) (int64, error) {
	counted, err := column[int64](ctx, s, q, func(t sql.Table) (sql.Statement, error) { return s.dialect.Count(t, q) })
	if err != nil {
		return 0, err
	}
	return counted[0], nil
}

// Earliest returns the time of the earliest row of the team's whole model.
func (s *Source) Earliest(ctx context.Context, q query.Query) (time.Time, bool, error) {
	at, err := column[*time.Time](ctx, s, q, func(t sql.Table) (sql.Statement, error) { return s.dialect.Earliest(t, q) })
	if err != nil || at[0] == nil {
		return time.Time{}, false, err
	}
	return at[0].UTC(), true, nil
}

// Kind names the source in metrics and traces.
func (s *Source) Kind() string { return "postgres" }

// Close lets go of the snapshots that are held. All other connections end with their calls.
func (s *Source) Close() error {
	s.snapshots.close()
	return nil
}

// prepare connects and finds out how a model is kept. The caller hangs up.
func (s *Source) prepare(ctx context.Context, q query.Query, snapshot string) (*pgx.Conn, sql.Table, error) {
	m, err := s.models.Need(q.Model)
	if err != nil {
		return nil, sql.Table{}, err
	}
	c, err := s.join(ctx, snapshot)
	if err != nil {
		return nil, sql.Table{}, err
	}
	t, err := s.table(ctx, c, m, q.Uses(m))
	if err != nil {
		hangUp(ctx, c)
		return nil, sql.Table{}, s.classify(ctx, err)
	}
	return c, t, nil
}

// column runs a query of one column with few rows.
func column[T any](
	ctx context.Context, s *Source, q query.Query, statement func(sql.Table) (sql.Statement, error),
) ([]T, error) {
	c, t, err := s.prepare(ctx, q, "")
	if err != nil {
		return nil, err
	}
	defer hangUp(ctx, c)
	made, err := statement(t)
	if err != nil {
		return nil, err
	}
	rows, err := c.Query(ctx, made.Text, made.Values...)
	if err != nil {
		return nil, s.classify(ctx, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	return all, s.classify(ctx, err)
}

// classify is classify, and looks at the tables again the next time when they may have changed.
func (s *Source) classify(ctx context.Context, err error) error {
	err = classify(ctx, err)
	if err != nil {
		if code := batch.CodeOf(err); code == batch.CodeConfig || code == batch.CodeNotFound || code == batch.CodeSchema {
			s.tables.forget()
		}
	}
	return err
}
