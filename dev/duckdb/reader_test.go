package duckdb

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
)

// fill adds n events without the loader; each has one KB of properties.
func fill(t *testing.T, s *Store, n int64) {
	t.Helper()
	c, err := s.connect()
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Exec(t.Context(), `INSERT INTO events SELECT uuid(), 1, 'e', 'd', ts, ts, ts, '{"x":"' || repeat('x', 1000) || '"}', NULL, NULL, ''
		FROM (SELECT TIMESTAMP '2026-03-01 12:00:00' + INTERVAL (i) MILLISECOND AS ts FROM range(?) r(i))`, n)
	require.NoError(t, err)
}

func everything() query.Query {
	return query.Query{
		TeamID: 1, Model: batch.ModelEvents, Columns: query.ObjectStoreEvents(),
		Interval: batch.Interval{End: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
}

func TestTheEndOfTheContextFreesAReaderThatNobodyReads(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "events.duckdb"), Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	fill(t, s, 20_000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opened, err := s.Open(ctx, everything(), sources.Split{Range: everything().Interval})
	require.NoError(t, err)
	defer opened.Release()
	require.True(t, opened.Next())
	cancel()
	require.Eventually(t, func() bool { return opened.Err() != nil }, 5*time.Second, time.Millisecond)
	require.ErrorIs(t, opened.Err(), context.Canceled)
	require.NotZero(t, opened.RecordBatch().NumRows(), "the batch at hand stays valid until the release")
}

func TestABatchIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "events.duckdb"), Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	c, err := s.connect()
	require.NoError(t, err)
	_, err = c.Exec(t.Context(), `INSERT INTO events SELECT uuid(), 1, 'e', 'd', ts, ts, ts, repeat('x', CASE i WHEN 3 THEN 10000000 ELSE 1000000 END), NULL, NULL, ''
		FROM (SELECT i, TIMESTAMP '2026-03-01 12:00:00' AS ts FROM range(30) r(i))`)
	c.Close()
	require.NoError(t, err)
	opened, err := s.Open(t.Context(), everything(), sources.Split{Range: everything().Interval})
	require.NoError(t, err)
	defer opened.Release()
	rows := int64(0)
	for opened.Next() {
		n := opened.RecordBatch().NumRows()
		size := 0
		for i := range int(n) {
			size += len(opened.RecordBatch().Column(5).ValueStr(i))
		}
		require.True(t, size <= maxBatchBytes || n == 1, "%d rows of %d bytes", n, size)
		rows += n
	}
	require.NoError(t, opened.Err())
	require.Equal(t, int64(30), rows)
}
