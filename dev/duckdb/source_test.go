package duckdb_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"tranche/dev/duckdb"
	"tranche/sources/sourcetest"
)

//nolint:paralleltest // the suite counts goroutines
func TestTheStoreIsASource(t *testing.T) { sourcetest.Run(t, fixture) }

//nolint:paralleltest // the tests share a store
func TestTheStoreComputesAsEverySource(t *testing.T) { sourcetest.Agree(t, fixture) }

// fixture is an empty store.
func fixture(t *testing.T) sourcetest.Fixture {
	t.Helper()
	allocator := memory.NewCheckedAllocator(memory.NewGoAllocator())
	s := open(t, duckdb.Options{SplitRows: sourcetest.SplitRows, Allocator: allocator})
	return sourcetest.Fixture{
		Source:    s,
		Allocator: allocator,
		Seed: func(t *testing.T, rows []sourcetest.Row) {
			t.Helper()
			loaded, err := s.Load(t.Context(), writeRows(t, rows))
			require.NoError(t, err)
			require.Equal(t, duckdb.Loaded{Read: int64(len(rows)), Added: int64(len(rows))}, loaded)
		},
	}
}

// line is a row as it stands in a file.
type line struct {
	UUID             string          `json:"uuid"`
	TeamID           int64           `json:"team_id"`
	Event            string          `json:"event"`
	DistinctID       string          `json:"distinct_id"`
	Timestamp        string          `json:"timestamp"`
	InsertedAt       string          `json:"inserted_at"`
	CreatedAt        string          `json:"created_at"`
	Properties       json.RawMessage `json:"properties"`
	PersonProperties json.RawMessage `json:"person_properties,omitempty"`
	PersonID         string          `json:"person_id,omitempty"`
	ElementsChain    string          `json:"elements_chain"`
}

// writeRows writes a .jsonl file.
func writeRows(t *testing.T, rows []sourcetest.Row) string {
	t.Helper()
	const layout = "2006-01-02T15:04:05.000000Z"
	path := filepath.Join(t.TempDir(), "events.jsonl")
	f, err := os.Create(path)
	require.NoError(t, err)
	w := bufio.NewWriter(f)
	encoder := json.NewEncoder(w)
	for _, r := range rows {
		l := line{
			UUID: r.UUID, TeamID: r.TeamID, Event: r.Event, DistinctID: r.DistinctID,
			Timestamp: r.Timestamp.Format(layout), InsertedAt: r.InsertedAt.Format(layout), CreatedAt: r.CreatedAt.Format(layout),
			Properties: json.RawMessage(r.Properties), PersonID: r.PersonID, ElementsChain: r.ElementsChain,
		}
		if r.PersonProperties != "" {
			l.PersonProperties = json.RawMessage(r.PersonProperties)
		}
		require.NoError(t, encoder.Encode(l))
	}
	require.NoError(t, w.Flush())
	require.NoError(t, f.Close())
	return path
}
