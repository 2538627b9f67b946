package duckdb_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/dev/duckdb"
)

// open opens a store of the test's.
func open(t *testing.T, o duckdb.Options) *duckdb.Store {
	t.Helper()
	s, err := duckdb.Open(t.Context(), filepath.Join(t.TempDir(), "events.duckdb"), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestAStoreThatIsOpenIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.duckdb")
	first, err := duckdb.Open(t.Context(), path, duckdb.Options{})
	require.NoError(t, err)
	_, err = duckdb.Open(t.Context(), path, duckdb.Options{})
	var inUse *duckdb.InUseError
	require.ErrorAs(t, err, &inUse)
	require.ErrorContains(t, err, "in use by another process")
	require.NoError(t, first.Close())
	second, err := duckdb.Open(t.Context(), path, duckdb.Options{})
	require.NoError(t, err)
	require.NoError(t, second.Close())
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := duckdb.Open(t.Context(), filepath.Join(t.TempDir(), "nowhere", "events.duckdb"), duckdb.Options{})
	require.ErrorContains(t, err, "nowhere")
	_, err = duckdb.Open(t.Context(), filepath.Join(t.TempDir(), "events.duckdb"), duckdb.Options{MemoryLimit: "plenty"})
	require.ErrorContains(t, err, "plenty")
}

func TestWhatAKilledProcessSpilledIsRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.duckdb")
	left := filepath.Join(path+".tmp", "duckdb_temp_storage-0.tmp")
	require.NoError(t, os.Mkdir(path+".tmp", 0o700))
	require.NoError(t, os.WriteFile(left, []byte("spilled"), 0o600))
	s, err := duckdb.Open(t.Context(), path, duckdb.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	require.NoFileExists(t, left)
}
