package engine_test

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"tranche/dev/duckdb/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endless is a statement that would run for ages before its first row, and rows for ages.
const (
	endlessBefore = "SELECT count(*) FROM range(100000000000) a(i) WHERE hash(i) = 1"
	endlessRows   = "SELECT i FROM range(100000000000) a(i)"
)

func connect(t *testing.T) *engine.Conn {
	t.Helper()
	d, err := engine.Open("", map[string]string{"threads": "2"})
	require.NoError(t, err)
	t.Cleanup(d.Close)
	c, err := d.Connect()
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestWhatIsAppendedIsRead(t *testing.T) {
	t.Parallel()
	c := connect(t)
	_, err := c.Exec(t.Context(), "CREATE TABLE t (n BIGINT, s VARCHAR, ts TIMESTAMP, id UUID)")
	require.NoError(t, err)

	const rows = 5000 // more than two chunks
	texts := []string{"", "twelve bytes", "thirteen byte", strings.Repeat("long ", 5000), "nul\x00inside", "Zoë 😀"}
	ids := []uuid.UUID{uuid.Nil, uuid.Max, uuid.MustParse("7fffffff-ffff-ffff-8000-000000000000"), uuid.MustParse("80000000-0000-0000-7fff-ffffffffffff")}
	a, err := c.Append("t", engine.BigInt, engine.Varchar, engine.Timestamp, engine.UUID)
	require.NoError(t, err)
	for i := range rows {
		a.Int64(0, int64(i)*math.MaxInt32)
		if i%7 == 3 {
			a.Null(1)
		} else {
			a.Text(1, []byte(texts[i%len(texts)]))
		}
		a.Int64(2, int64(i)-2500)
		a.UUID(3, ids[i%len(ids)])
		require.NoError(t, a.Next())
	}
	require.NoError(t, a.Close())

	r, err := c.Query(t.Context(), "SELECT n, s, ts, id::VARCHAR FROM t WHERE n >= ? AND s IS DISTINCT FROM ?", int64(0), "nothing")
	require.NoError(t, err)
	defer r.Close()
	i := 0
	for {
		chunk, err := r.Next(t.Context())
		require.NoError(t, err)
		if chunk == nil {
			break
		}
		for row := range chunk.Rows {
			require.Equal(t, int64(i)*math.MaxInt32, chunk.Column(0).Int64(row))
			require.Equal(t, i%7 == 3, chunk.Column(1).Null(row))
			if i%7 != 3 {
				require.Equal(t, texts[i%len(texts)], string(chunk.Column(1).Text(row)))
			}
			require.Equal(t, int64(i)-2500, chunk.Column(2).Int64(row))
			require.Equal(t, ids[i%len(ids)].String(), string(chunk.Column(3).Text(row)))
			i++
		}
		chunk.Close()
	}
	require.Equal(t, rows, i)
}

func TestValuesAreBoundByTheirType(t *testing.T) {
	t.Parallel()
	c := connect(t)
	at := time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.FixedZone("", 3600))
	r, err := c.Query(t.Context(), "SELECT ?::BIGINT, ?::VARCHAR, epoch_us(?), (?::DOUBLE * 4)::BIGINT", int64(-5), "a\x00'b", at, 0.5)
	require.NoError(t, err)
	defer r.Close()
	chunk, err := r.Next(t.Context())
	require.NoError(t, err)
	defer chunk.Close()
	require.Equal(t, int64(-5), chunk.Column(0).Int64(0))
	require.Equal(t, "a\x00'b", string(chunk.Column(1).Text(0)))
	require.Equal(t, at.UnixMicro(), chunk.Column(2).Int64(0))
	require.Equal(t, int64(2), chunk.Column(3).Int64(0))

	_, err = c.Exec(t.Context(), "SELECT ?", []int{1})
	require.Error(t, err)
	_, err = c.Exec(t.Context(), "SELECT 1", "too many")
	require.Error(t, err)
}

func TestAnErrorAmidTheRowsIsNotTheEnd(t *testing.T) {
	t.Parallel()
	c := connect(t)
	r, err := c.Query(t.Context(), "SELECT CASE WHEN i = 3000000 THEN error('broken row') ELSE i END FROM range(4000000) a(i)")
	for err == nil {
		var chunk *engine.Chunk
		if chunk, err = r.Next(t.Context()); err == nil {
			require.NotNil(t, chunk, "the rows ended without an error")
			chunk.Close()
		}
	}
	if r != nil {
		r.Close()
	}
	// With several threads DuckDB may report that the others were interrupted in place of the cause.
	var failure *engine.Error
	require.ErrorAs(t, err, &failure)
	_, err = c.Exec(t.Context(), "CREATE TABLE afterwards AS SELECT 1")
	require.NoError(t, err, "the connection is usable")
	n, err := c.Exec(t.Context(), "INSERT INTO afterwards VALUES (2), (3)")
	require.NoError(t, err)
	require.Equal(t, int64(2), n)
}

func TestTheEndOfTheContextInterrupts(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(context.Context, *engine.Conn) error{
		"a statement": func(ctx context.Context, c *engine.Conn) error {
			_, err := c.Exec(ctx, endlessBefore)
			return err
		},
		"a query before its first row": func(ctx context.Context, c *engine.Conn) error {
			r, err := c.Query(ctx, endlessBefore)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = r.Next(ctx)
			return err
		},
		"a query amid its rows": func(ctx context.Context, c *engine.Conn) error {
			r, err := c.Query(ctx, endlessRows)
			if err != nil {
				return err
			}
			defer r.Close()
			for {
				chunk, err := r.Next(ctx)
				if err != nil {
					return err
				}
				chunk.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			began := time.Now()
			require.ErrorIs(t, call(ctx, c), context.DeadlineExceeded)
			require.Less(t, time.Since(began), 5*time.Second)

			require.ErrorIs(t, call(ctx, c), context.DeadlineExceeded, "and is not begun afterwards")
			_, err := c.Exec(t.Context(), "SELECT 1")
			require.NoError(t, err, "the connection is usable")
		})
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := engine.Open("", map[string]string{"memory_limit": "plenty"})
	require.ErrorContains(t, err, "plenty")
	_, err = engine.Open(filepath.Join(t.TempDir(), "no", "such", "folder.db"), nil)
	require.Error(t, err)
	c := connect(t)
	_, err = c.Query(t.Context(), "SELECT nonsense FROM nowhere")
	require.ErrorContains(t, err, "nowhere")
	_, err = c.Append("nowhere")
	require.Error(t, err)
}
