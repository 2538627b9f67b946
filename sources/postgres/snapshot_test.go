package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
	"tranche/sources/postgres"
)

// A plan is a table of 100 rows, one a minute, and two splits of them.
type plan struct {
	dsn           string
	admin         *pgx.Conn
	q             query.Query
	first, second sources.Split
}

func newPlan(t *testing.T) *plan {
	t.Helper()
	p := &plan{dsn: server.Database(t), q: someQuery}
	p.admin = connect(t, p.dsn)
	p.change(t, small, `INSERT INTO events SELECT 'n' || i, 1, 'e', 'd', now(), '2026-03-01T00:00:00Z'::timestamptz + i * interval '1 minute' FROM generate_series(0, 99) i`)
	p.q.Columns = []query.Column{{Name: "id", Field: query.FieldUUID}}
	middle := day.Start.Add(50 * time.Minute)
	p.first = sources.Split{Number: 0, Range: batch.Interval{Start: day.Start, End: middle}}
	p.second = sources.Split{Number: 1, Range: batch.Interval{Start: middle, End: day.End}}
	return p
}

func (p *plan) change(t *testing.T, statements ...string) {
	t.Helper()
	for _, s := range statements {
		_, err := p.admin.Exec(t.Context(), s)
		require.NoError(t, err)
	}
}

// source is one of a worker's own.
func (p *plan) source(t *testing.T, edits ...func(*postgres.Options)) *postgres.Source {
	t.Helper()
	o := postgres.Options{DSN: p.dsn, Models: query.Catalog{renamed(map[query.Field]string{
		query.FieldCreatedAt: "", query.FieldProperties: "", query.FieldPersonProperties: "", query.FieldPersonID: "", query.FieldElementsChain: "",
	})}}
	for _, edit := range edits {
		edit(&o)
	}
	s, err := postgres.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// hold has the source hold a snapshot, under which the splits are read.
func (p *plan) hold(t *testing.T, s *postgres.Source) string {
	t.Helper()
	name, err := s.Hold(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, name)
	p.first.Snapshot, p.second.Snapshot = name, name
	return name
}

// ids are those of a split's rows, sorted.
func (p *plan) ids(t *testing.T, s *postgres.Source, split sources.Split) []string {
	t.Helper()
	r, err := s.Open(t.Context(), p.q, split)
	require.NoError(t, err)
	defer r.Release()
	var ids []string
	for r.Next() {
		for row := range int(r.RecordBatch().NumRows()) {
			ids = append(ids, r.RecordBatch().Column(0).ValueStr(row))
		}
	}
	require.NoError(t, r.Err())
	slices.Sort(ids)
	return ids
}

// numbered are the ids from, to and without to.
func numbered(from, to int) []string {
	var ids []string
	for i := from; i < to; i++ {
		ids = append(ids, fmt.Sprint("n", i))
	}
	slices.Sort(ids)
	return ids
}

// upset inserts a row into the second split, and moves rows between the two so that as many come as go.
func (p *plan) upset(t *testing.T) {
	t.Helper()
	p.change(t, `INSERT INTO events VALUES ('new', 1, 'e', 'd', now(), '2026-03-01T01:00:30Z')`,
		`UPDATE events SET inserted_at = '2026-03-01T00:00:10Z' WHERE uuid = 'n70'`, // from the second to the first, which is read
		`UPDATE events SET inserted_at = '2026-03-01T01:00:10Z' WHERE uuid = 'n20'`, // and the other way
		`DELETE FROM events WHERE uuid = 'n80'`)
}

func TestSplitsThatShareASnapshotSeeNothingOfWhatChangesBetweenThem(t *testing.T) {
	t.Parallel()
	p := newPlan(t)
	holder, other := p.source(t), p.source(t)
	name := p.hold(t, holder)
	require.Equal(t, numbered(0, 50), p.ids(t, holder, p.first))
	p.upset(t)
	require.Equal(t, numbered(50, 100), p.ids(t, other, p.second), "in another process, too")
	require.Equal(t, numbered(0, 50), p.ids(t, other, p.first), "a second try of a split is the first one's equal")
	n, err := holder.Count(t.Context(), p.q)
	require.NoError(t, err)
	require.EqualValues(t, 100, n, "a count is of now: 100 rows, one gone and one new")

	holder.Release(name)
	holder.Release(name)
	requireIdle(t, p.dsn)
	moved := numbered(50, 100)
	moved = slices.DeleteFunc(moved, func(id string) bool { return id == "n70" || id == "n80" })
	moved = append(moved, "n20", "new")
	slices.Sort(moved)
	require.Equal(t, moved, p.ids(t, other, p.second), "without its snapshot a split is read as it is now")
}

// What a split reads outlives the snapshot that it began with.
func TestAReadingGoesOnWhenItsSnapshotIsReleased(t *testing.T) {
	t.Parallel()
	p := newPlan(t)
	s := p.source(t)
	p.hold(t, s)
	r, err := s.Open(t.Context(), p.q, p.second)
	require.NoError(t, err)
	defer r.Release()
	s.Release(p.second.Snapshot)
	p.upset(t)
	rows := int64(0)
	for r.Next() {
		rows += r.RecordBatch().NumRows()
	}
	require.NoError(t, r.Err())
	require.EqualValues(t, 50, rows)
}

func TestASnapshotIsNotHeldForEver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit   func(*postgres.Options)
		before string // a statement of whoever operates the server
		end    func(t *testing.T, s *postgres.Source, p *plan)
	}{
		"its time is up":       {edit: func(o *postgres.Options) { o.SnapshotFor = 100 * time.Millisecond }},
		"the source is closed": {end: func(t *testing.T, s *postgres.Source, _ *plan) { require.NoError(t, s.Close()) }}, //nolint:thelper // it is a table
		"the operator allows less": {
			before: "SET idle_in_transaction_session_timeout = '100ms'",
		},
		"the server ends it": {end: func(t *testing.T, _ *postgres.Source, p *plan) { //nolint:thelper // it is a table
			p.change(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlan(t)
			if c.before != "" {
				p.change(t, "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' "+strings.ReplaceAll(c.before, "'", "''")+"'; END $$")
			}
			edit := c.edit
			if edit == nil {
				edit = func(*postgres.Options) {}
			}
			s := p.source(t, edit)
			p.hold(t, s)
			if c.end != nil {
				c.end(t, s, p)
			}
			requireIdle(t, p.dsn)
			p.upset(t)
			require.Contains(t, p.ids(t, p.source(t), p.second), "new", "it is read without")
		})
	}
}

// Should we be gone and the connection not, the server ends the transaction soon after we would have; or before, as whoever
// operates it wishes.
func TestTheServerKnowsHowLongASnapshotIsHeld(t *testing.T) {
	t.Parallel()
	for operators, want := range map[string]string{"0": "2min", "5s": "5s", "1h": "2min"} {
		t.Run(operators, func(t *testing.T) {
			t.Parallel()
			p := newPlan(t)
			p.change(t, "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET idle_in_transaction_session_timeout = ''"+operators+"'''; END $$")
			_, c, err := postgres.Export(p.source(t, func(o *postgres.Options) { o.SnapshotFor = time.Minute }), t.Context())
			require.NoError(t, err)
			defer c.Close(t.Context())
			var got string
			require.NoError(t, c.QueryRow(t.Context(), "SHOW idle_in_transaction_session_timeout").Scan(&got))
			require.Equal(t, want, got)
		})
	}
}

func TestNamesOfSnapshotsThatAreNot(t *testing.T) {
	t.Parallel()
	p := newPlan(t)
	s := p.source(t)
	id, start, _ := strings.Cut(p.hold(t, s), "@")
	p.upset(t)
	require.NotContains(t, p.ids(t, s, p.second), "new")
	for name, snapshot := range map[string]string{ //nolint:paralleltest // the table is the test's
		"of another server, or of this one before it was started anew": id + "@" + start[:len(start)-1] + "0" + "1",
		"of nothing":         "00000000-00000000-1@" + start,
		"of no form":         "x",
		"with SQL in it":     id + "'; COMMIT; DROP TABLE events; --@" + start,
		"without the server": id,
		"with a path":        "../../" + id + "@" + start,
	} {
		t.Run(name, func(t *testing.T) {
			split := p.second
			split.Snapshot = snapshot
			require.Contains(t, p.ids(t, s, split), "new", "it is read as it is now")
		})
	}
}

func TestSnapshotsAreLimited(t *testing.T) {
	t.Parallel()
	p := newPlan(t)
	s := p.source(t)
	var names []string
	for range 16 {
		names = append(names, p.hold(t, s))
	}
	_, err := s.Hold(t.Context())
	require.Equal(t, batch.CodeThrottled, batch.CodeOf(err), "%v", err)
	s.Release(names[0])
	p.hold(t, s)
	require.NoError(t, s.Close())
	requireIdle(t, p.dsn)
	_, err = s.Hold(t.Context())
	require.Error(t, err, "the source is closed")

	none := p.source(t, func(o *postgres.Options) { o.SnapshotFor = -1 })
	name, err := none.Hold(t.Context())
	require.NoError(t, err)
	require.Empty(t, name)
}

// A source whose server is away holds nothing, and can still hold as many as ever.
func TestASnapshotThatCannotBeTakenLeavesNothing(t *testing.T) {
	t.Parallel()
	p := newPlan(t)
	s := p.source(t, func(o *postgres.Options) { o.DSN = "postgres://postgres@127.0.0.1:1/x" })
	for range 20 {
		_, err := s.Hold(t.Context())
		require.Equal(t, batch.CodeUnavailable, batch.CodeOf(err), "%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.source(t).Hold(ctx)
	require.ErrorIs(t, err, context.Canceled)
	requireIdle(t, p.dsn)
}
