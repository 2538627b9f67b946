package postgres_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/pgtest"
	"tranche/query"
	"tranche/sources"
	"tranche/sources/postgres"
	"tranche/sources/sourcetest"
)

var server pgtest.Server

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

// A layout is a way in which an operator may keep events.
type layout struct {
	uuid, text, json, instant, integer string
	model                              query.Model
}

func layouts() map[string]layout {
	posthog, _ := query.PostHog().Model(batch.ModelEvents)
	other := renamed(map[query.Field]string{
		query.FieldUUID: "id", query.FieldTeamID: "tenant", query.FieldTimestamp: "Occurred At",
		query.FieldInsertedAt: "ingested", query.FieldProperties: `"props"`, query.FieldEvent: "select",
	})
	other.Table = []string{`Odd "schema"`, "the events; --"}
	return map[string]layout{
		"PostHog's columns":     {"uuid", "text", "jsonb", "timestamptz", "bigint", posthog},
		"other names and types": {"text", "varchar", "text", "timestamp", "integer", other},
	}
}

// renamed is the model events with other columns; "" = the table has none.
func renamed(columns map[query.Field]string) query.Model {
	m, _ := query.PostHog().Model(batch.ModelEvents)
	return m.At(nil, columns)
}

// column is the name of the field's column.
func (l layout) column(f query.Field) string {
	spec, _ := l.model.Spec(f)
	return spec.Column
}

func (l layout) table() pgx.Identifier { return pgx.Identifier(l.model.Table) }

// create makes the table.
func (l layout) create(t *testing.T, c *pgx.Conn) {
	t.Helper()
	if len(l.model.Table) > 1 {
		_, err := c.Exec(t.Context(), "CREATE SCHEMA "+l.table()[:1].Sanitize())
		require.NoError(t, err)
	}
	kinds := map[query.Field]string{
		query.FieldUUID: l.uuid, query.FieldTeamID: l.integer, query.FieldTimestamp: l.instant, query.FieldInsertedAt: l.instant,
		query.FieldCreatedAt: l.instant, query.FieldProperties: l.json, query.FieldPersonProperties: l.json,
	}
	var columns []string
	for _, f := range fields {
		kind, ok := kinds[f]
		if !ok {
			kind = l.text
		}
		columns = append(columns, pgx.Identifier{l.column(f)}.Sanitize()+" "+kind)
	}
	// The index spares the suite the search for duplicates, of which it has none.
	_, err := c.Exec(t.Context(), "CREATE TABLE "+l.table().Sanitize()+" ("+strings.Join(columns, ", ")+"); CREATE UNIQUE INDEX ON "+
		l.table().Sanitize()+" ("+pgx.Identifier{l.column(query.FieldUUID)}.Sanitize()+")")
	require.NoError(t, err)
}

// fields are in the order of seed.
var fields = []query.Field{
	query.FieldUUID, query.FieldTeamID, query.FieldEvent, query.FieldDistinctID, query.FieldTimestamp,
	query.FieldInsertedAt, query.FieldCreatedAt, query.FieldProperties, query.FieldPersonProperties,
	query.FieldPersonID, query.FieldElementsChain,
}

func (l layout) seed(t *testing.T, c *pgx.Conn, rows []sourcetest.Row) {
	t.Helper()
	null := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = l.column(f)
	}
	n, err := c.CopyFrom(t.Context(), l.table(), names, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		r := rows[i]
		return []any{
			r.UUID, r.TeamID, r.Event, r.DistinctID, r.Timestamp, r.InsertedAt, r.CreatedAt, r.Properties,
			null(r.PersonProperties), null(r.PersonID), r.ElementsChain,
		}, nil
	}))
	require.NoError(t, err)
	require.Equal(t, int64(len(rows)), n)
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(context.Background())) })
	return c
}

//nolint:paralleltest // the suite counts goroutines
func TestATableIsASource(t *testing.T) {
	for name, l := range layouts() {
		t.Run(name, func(t *testing.T) { sourcetest.Run(t, l.fixture) })
	}
}

//nolint:paralleltest // the tests of a layout share a database
func TestATableComputesAsEverySource(t *testing.T) {
	for name, l := range layouts() {
		t.Run(name, func(t *testing.T) { sourcetest.Agree(t, l.fixture) })
	}
}

// fixture is an empty table.
func (l layout) fixture(t *testing.T) sourcetest.Fixture {
	t.Helper()
	dsn := server.Database(t)
	c := connect(t, dsn)
	l.create(t, c)
	allocator := memory.NewCheckedAllocator(memory.NewGoAllocator())
	s, err := postgres.New(postgres.Options{
		DSN: dsn, Models: query.Catalog{l.model}, Allocator: allocator, SplitRows: sourcetest.SplitRows,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		requireIdle(t, dsn)
	})
	return sourcetest.Fixture{
		Source: s, Allocator: allocator, Parsed: l.json == "jsonb",
		Seed: func(t *testing.T, rows []sourcetest.Row) {
			t.Helper()
			l.seed(t, c, rows)
		},
	}
}

// requireIdle waits until the server works on nothing for us any more.
func requireIdle(t *testing.T, dsn string) {
	t.Helper()
	ctx := context.Background() // the test's has ended in its clean-up
	c, err := pgx.Connect(ctx, dsn)
	require.NoError(t, err)
	defer c.Close(ctx)
	require.Eventually(t, func() bool {
		var n int
		err := c.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()`).Scan(&n)
		return err == nil && n == 0
	}, 10*time.Second, 10*time.Millisecond)
}

// start makes a source with PostHog's columns and rows, and returns its address.
func start(t *testing.T, o postgres.Options, statements ...string) *postgres.Source {
	t.Helper()
	o.DSN = server.Database(t)
	c := connect(t, o.DSN)
	for _, statement := range statements {
		_, err := c.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	s, err := postgres.New(o)
	require.NoError(t, err)
	return s
}

var (
	day       = batch.Interval{Start: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)}
	someQuery = query.Query{TeamID: 1, Model: batch.ModelEvents, Interval: day, Columns: []query.Column{
		{Name: "id", Field: query.FieldUUID},
		{Name: "at", Field: query.FieldTimestamp},
		{Name: "created", Field: query.FieldCreatedAt},
		{Name: "props", Field: query.FieldProperties},
		{Name: "person", Field: query.FieldPersonProperties},
		{Name: "chain", Field: query.FieldElementsChain},
	}}
)

func read(ctx context.Context, s *postgres.Source) ([]string, error) {
	r, err := s.Open(ctx, someQuery, sources.Split{Range: day})
	if err != nil {
		return nil, err
	}
	defer r.Release()
	var all []string
	for r.Next() {
		for row := range int(r.RecordBatch().NumRows()) {
			var values []string
			for i := range someQuery.Columns {
				values = append(values, r.RecordBatch().Column(i).ValueStr(row))
			}
			all = append(all, strings.Join(values, " | "))
		}
	}
	return all, r.Err()
}

const small = `CREATE TABLE events (uuid text, team_id int, event text, distinct_id text, "timestamp" timestamptz, inserted_at timestamptz)`

func TestColumnsThatTheTableLacksHaveSubstitutes(t *testing.T) {
	t.Parallel()
	s := start(t, postgres.Options{Models: query.Catalog{renamed(map[query.Field]string{
		query.FieldCreatedAt: "", query.FieldProperties: "", query.FieldPersonProperties: "", query.FieldPersonID: "", query.FieldElementsChain: "",
	})}}, small, `INSERT INTO events VALUES ('a', 1, 'e', 'd', NULL, '2026-03-01 13:00:00+01')`)
	rows, err := read(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, []string{"a | (null) | 2026-03-01T12:00:00Z | {} | (null) | "}, rows)
}

func TestAnAddressThatCannotWork(t *testing.T) {
	t.Parallel()
	_, err := postgres.New(postgres.Options{DSN: "postgres://user:secret@host:port/"})
	require.Equal(t, batch.CodeConfig, batch.CodeOf(err), "%v", err)
	require.NotContains(t, fmt.Sprintf("%+v", err), "secret")
}

func TestATableWithoutTheTimeOfArrivalCannotWork(t *testing.T) {
	t.Parallel()
	_, err := postgres.New(postgres.Options{DSN: "postgres://host/x", Models: query.Catalog{renamed(map[query.Field]string{query.FieldInsertedAt: ""})}})
	require.Equal(t, batch.CodeConfig, batch.CodeOf(err), "%v", err)
}

func TestCheckNamesTheColumnsThatAreWrong(t *testing.T) {
	t.Parallel()
	s := start(t, postgres.Options{}, strings.Replace(small, "distinct_id text", "distinct_id text, properties bytea", 1))
	err := s.Check(t.Context(), query.PostHog())
	for _, problem := range []string{
		`the table events of the PostgreSQL source has no column "created_at", which the model events has for created_at`,
		`the column "properties" of the table events of the PostgreSQL source has the type bytea, and the field properties of the model events is a json`,
		`the PostgreSQL source has no table persons, which the model persons is in`,
	} {
		require.ErrorContains(t, err, problem)
	}
	require.NotContains(t, err.Error(), `"uuid"`)
}

func TestErrorsSayWhoMustAct(t *testing.T) {
	t.Parallel()
	const complete = `CREATE TABLE events (uuid uuid, team_id int, event text, distinct_id text, "timestamp" timestamptz,
		inserted_at timestamptz, created_at timestamptz, properties text, person_properties text, person_id text, elements_chain text)`
	const row = `INSERT INTO events (uuid, team_id, inserted_at, "timestamp") VALUES (gen_random_uuid(), 1, '2026-03-01 12:00:00Z', %s)`
	elsewhere := renamed(nil)
	elsewhere.Table = []string{"nowhere", "events"}
	for name, test := range map[string]struct {
		options    postgres.Options
		dsn        func(string) string
		statements []string
		want       batch.Code
	}{
		"no table":     {want: batch.CodeNotFound},
		"no schema":    {options: postgres.Options{Models: query.Catalog{elsewhere}}, want: batch.CodeNotFound},
		"no database":  {dsn: func(s string) string { return strings.Replace(s, "test_", "nowhere_", 1) }, want: batch.CodeNotFound},
		"no user":      {dsn: func(s string) string { return strings.Replace(s, "postgres@", "nobody@", 1) }, want: batch.CodeCredentials},
		"no server":    {dsn: func(string) string { return "postgres://postgres@127.0.0.1:1/x" }, want: batch.CodeUnavailable},
		"no TLS":       {dsn: func(s string) string { return strings.Replace(s, "disable", "require", 1) }, want: batch.CodeUnavailable},
		"no column":    {statements: []string{small}, want: batch.CodeConfig},
		"no right":     {statements: []string{complete, "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'stranger') THEN CREATE ROLE stranger LOGIN; END IF; END $$"}, dsn: func(s string) string { return strings.Replace(s, "postgres@", "stranger@", 1) }, want: batch.CodePermission},
		"another type": {statements: []string{strings.Replace(complete, `"timestamp" timestamptz`, `"timestamp" text`, 1), fmt.Sprintf(row, "'noon'")}, want: batch.CodeSchema},
		"infinity":     {statements: []string{complete, fmt.Sprintf(row, "'infinity'")}, want: batch.CodeSchema},
		"too slow":     {options: postgres.Options{StatementTimeout: 50 * time.Millisecond}, statements: []string{complete, "ALTER TABLE events RENAME TO real", "CREATE VIEW events AS SELECT real.* FROM real, pg_sleep(60)", strings.Replace(fmt.Sprintf(row, "now()"), "events", "real", 1)}, want: batch.CodeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := test.options
			o.DSN = server.Database(t)
			c := connect(t, o.DSN)
			for _, statement := range test.statements {
				_, err := c.Exec(t.Context(), statement)
				require.NoError(t, err)
			}
			if test.dsn != nil {
				o.DSN = test.dsn(o.DSN)
			}
			s, err := postgres.New(o)
			require.NoError(t, err)
			_, err = read(t.Context(), s)
			require.Equal(t, test.want, batch.CodeOf(err), "%v", err)
			require.NotEqual(t, batch.InternalMessage, batch.MessageOf(err))
		})
	}
}

func TestAConnectionThatIsCutIsNotTheEndOfTheRows(t *testing.T) {
	t.Parallel()
	s := start(t, postgres.Options{}, `CREATE VIEW events AS SELECT gen_random_uuid() uuid, 1 team_id, 'e' event, 'd' distinct_id,
		TIMESTAMPTZ '2026-03-01 12:00:00Z' "timestamp", TIMESTAMPTZ '2026-03-01 12:00:00Z' inserted_at, now() created_at,
		repeat('x', 1000) properties, '' person_properties, '' person_id,
		CASE WHEN i = 50000 THEN pg_terminate_backend(pg_backend_pid())::text ELSE '' END elements_chain FROM generate_series(1, 100000) i`)
	rows, err := read(t.Context(), s)
	require.Equal(t, batch.CodeUnavailable, batch.CodeOf(err), "%d rows, then %v", len(rows), err)
	require.Less(t, len(rows), 100_000)
}

func TestWritingIsImpossible(t *testing.T) {
	t.Parallel()
	s := start(t, postgres.Options{}, small, `CREATE FUNCTION sneak() RETURNS text LANGUAGE plpgsql AS 'BEGIN DELETE FROM real; RETURN ''x''; END'`,
		`ALTER TABLE events RENAME TO real`, `CREATE VIEW events AS SELECT sneak() uuid, 1 team_id, 'e' event, 'd' distinct_id, now() "timestamp", now() inserted_at`)
	_, _, err := s.Earliest(t.Context(), query.Query{TeamID: 1, Model: batch.ModelEvents})
	require.ErrorContains(t, err, "read-only")
}

func TestTheEndOfTheContextFreesAReaderThatNobodyReads(t *testing.T) {
	t.Parallel()
	dsn := server.Database(t)
	c := connect(t, dsn)
	_, err := c.Exec(t.Context(), `CREATE VIEW events AS SELECT i::text uuid, 1 team_id, 'e' event, 'd' distinct_id,
		TIMESTAMPTZ '2026-03-01 12:00:00Z' "timestamp", TIMESTAMPTZ '2026-03-01 12:00:00Z' inserted_at, now() created_at,
		repeat('x', 1000) properties, '' person_properties, '' person_id, '' elements_chain FROM generate_series(1, 300000) i`)
	require.NoError(t, err)
	s, err := postgres.New(postgres.Options{DSN: dsn})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := s.Open(ctx, someQuery, sources.Split{Range: day})
	require.NoError(t, err)
	defer r.Release()
	require.True(t, r.Next(), "%v", r.Err())
	cancel()
	requireIdle(t, dsn)
	require.ErrorIs(t, r.Err(), context.Canceled)
}

// Of events that come twice one is read, over all splits, and counted once; a table with a unique index has none of them,
// and is spared the search.
func TestAnEventThatComesTwiceIsReadOnce(t *testing.T) {
	t.Parallel()
	db := server.Database(t)
	c, err := pgx.Connect(t.Context(), db)
	require.NoError(t, err)
	defer c.Close(t.Context())
	_, err = c.Exec(t.Context(), `CREATE TABLE events (uuid uuid, team_id bigint, event text, distinct_id text, timestamp timestamptz, inserted_at timestamptz);
		INSERT INTO events SELECT lpad(i::text, 32, '0')::uuid, i % 2 + 1, 'e', 'd', now(), '2026-03-01T00:00:00Z'::timestamptz + i * interval '1 second' + copy * interval '200 seconds'
			FROM generate_series(0, 399) i, generate_series(0, 2) copy;
		INSERT INTO events SELECT * FROM events WHERE uuid = lpad('10', 32, '0')::uuid; -- at the same instant, too
		INSERT INTO events SELECT uuid, team_id, event, 'somebody else', timestamp, inserted_at FROM events WHERE uuid = lpad('12', 32, '0')::uuid; -- these are others
		INSERT INTO events SELECT NULL, 1, NULL, 'd', now(), '2026-03-01T00:00:00Z'::timestamptz + i * interval '7 minutes' FROM generate_series(1, 3) i; -- nulls are equal
		INSERT INTO events SELECT uuid, 1, event, distinct_id, timestamp, inserted_at FROM events WHERE uuid = lpad('11', 32, '0')::uuid; -- of the other team`)
	require.NoError(t, err)
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	q := query.Query{
		TeamID: 1, Model: batch.ModelEvents, Interval: batch.Interval{Start: start, End: start.Add(time.Hour)},
		Columns: []query.Column{{Name: "uuid", Field: query.FieldUUID}},
	}
	read := func() (rows, splits int) {
		t.Helper()
		s, err := postgres.New(postgres.Options{DSN: db, SplitRows: 50})
		require.NoError(t, err)
		n, err := s.Count(t.Context(), q)
		require.NoError(t, err)
		planned, err := s.Plan(t.Context(), q, 4)
		require.NoError(t, err)
		for _, split := range planned {
			r, err := s.Open(t.Context(), q, split)
			require.NoError(t, err)
			for r.Next() {
				rows += int(r.RecordBatch().NumRows())
			}
			require.NoError(t, r.Err())
			r.Release()
		}
		require.EqualValues(t, n, rows)
		return rows, len(planned)
	}
	rows, splits := read()
	require.Equal(t, 200+1+1+1, rows)
	require.Equal(t, 4, splits)
	_, err = c.Exec(t.Context(), `DELETE FROM events a USING events b WHERE a.uuid = b.uuid AND a.ctid > b.ctid; DELETE FROM events WHERE uuid IS NULL; CREATE UNIQUE INDEX ON events (team_id, uuid)`)
	require.NoError(t, err)
	rows, _ = read()
	require.Equal(t, 200, rows)
}
