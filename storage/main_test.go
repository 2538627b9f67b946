package storage_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/internal/pgtest"
	"tranche/sources"
	"tranche/storage"
	"tranche/storage/storagetest"
)

var server pgtest.Server

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

// each runs the test on both databases.
func each(t *testing.T, test func(t *testing.T, db *storage.DB)) {
	t.Helper()
	storagetest.Each(t, &server, test)
}

// createExport puts an export into the database.
func createExport(t *testing.T, db *storage.DB) batch.Export {
	t.Helper()
	e := storagetest.Export()
	require.NoError(t, db.CreateExport(t.Context(), e))
	return e
}

// beginRun puts a run of the export into the database.
func beginRun(t *testing.T, db *storage.DB, e batch.Export, i batch.Interval) batch.Run {
	t.Helper()
	r, created, err := db.BeginRun(t.Context(), storagetest.Run(e, i))
	require.NoError(t, err)
	require.True(t, created)
	return r
}

// finish ends a run.
func finish(t *testing.T, db *storage.DB, r batch.Run, status batch.RunStatus, at time.Time) {
	t.Helper()
	_, err := db.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error {
		r.Status, r.FinishedAt = status, &at
		return nil
	})
	require.NoError(t, err)
}

// planned begins a run and saves a plan of two splits.
func planned(t *testing.T, db *storage.DB, e batch.Export, i batch.Interval) batch.Run {
	t.Helper()
	r := beginRun(t, db, e, i)
	require.NoError(t, db.SavePlan(t.Context(), r.ID, 1, halves(i)))
	return r
}

// halves cuts an interval in two.
func halves(i batch.Interval) []sources.Split {
	middle := i.Start.Add(i.Duration() / 2)
	return []sources.Split{
		{Number: 0, Range: batch.Interval{Start: i.Start, End: middle}},
		{Number: 1, Range: batch.Interval{Start: middle, End: i.End}},
	}
}

// refRow is an entry of the journal for the run's first generation.
func refRow(r batch.Run, split, attempt int, ref string) destinations.Journaled {
	return destinations.Journaled{
		RunID: r.ID, ExportID: r.ExportID, Interval: r.Interval, Generation: 1, Split: split, Attempt: attempt,
		Ref: destinations.Ref(ref),
	}
}

// requireCode fails unless the error has the code.
func requireCode(t *testing.T, want batch.Code, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, want, batch.CodeOf(err), "%v", err)
}

func ptr[T any](v T) *T { return &v }
