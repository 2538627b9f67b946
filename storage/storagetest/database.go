// Package storagetest gives tests a database of their own, and nouns to put into it.
package storagetest

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/internal/pgtest"
	"tranche/storage"
	"tranche/storage/sqlite"
)

// Sealer makes a sealer with one random key.
func Sealer(t testing.TB) *storage.Sealer {
	t.Helper()
	key, err := storage.NewMasterKey("test")
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := storage.NewSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

// SQLite opens a new, migrated database in a file.
func SQLite(t testing.TB) *storage.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tranche.db"), Sealer(t))
	return prepared(t, db, err)
}

// Postgres opens a new, migrated database on the server.
func Postgres(t testing.TB, server *pgtest.Server) *storage.DB {
	t.Helper()
	dsn := server.Database(t)
	db, err := storage.Open(t.Context(), dsn, Sealer(t))
	return prepared(t, db, err)
}

// Each runs the test on both databases.
func Each(t *testing.T, server *pgtest.Server, test func(t *testing.T, db *storage.DB)) {
	t.Helper()
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, Postgres(t, server))
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, SQLite(t))
	})
}

// prepared migrates the database and closes it after the test.
func prepared(t testing.TB, db *storage.DB, err error) *storage.DB {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// Noon is the time around which the nouns are made.
var Noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Export makes an hourly export of team 1, not in the database.
func Export() batch.Export {
	return batch.Export{
		ID: NewID(), TeamID: 1, Name: "Events", Model: batch.ModelEvents,
		Destination: batch.Destination{Type: "File", Config: map[string]any{"prefix": "events"}},
		Frequency:   batch.Hourly, Timezone: "UTC", Revision: 1,
		CreatedAt: Noon, LastUpdatedAt: Noon, LastModifiedBy: 1,
	}
}

// Hour is the interval of an hour that ends the hours after Noon.
func Hour(hours int) batch.Interval {
	end := Noon.Add(time.Duration(hours) * time.Hour)
	return batch.Interval{Start: end.Add(-time.Hour), End: end}
}

// Run makes a run of the export that is Running, not in the database.
func Run(e batch.Export, i batch.Interval) batch.Run {
	id := uuid.NewString()
	return batch.Run{
		ID: batch.RunID(id), ExportID: e.ID, TeamID: e.TeamID, Interval: i, Status: batch.RunRunning, Revision: e.Revision,
		WorkflowID: batch.WorkflowID(e.ID, i.End), TemporalRunID: id, Generation: 1, Attempt: 1,
		CreatedAt: i.End, LastUpdatedAt: i.End,
	}
}

// Backfill makes a backfill of the export that is Running, not in the database.
func Backfill(e batch.Export, start, end time.Time) batch.Backfill {
	return batch.Backfill{
		ID: NewID(), ExportID: e.ID, TeamID: e.TeamID, StartAt: &start, EndAt: &end, Status: batch.BackfillRunning,
		Order: batch.OldestFirst, Concurrency: 1, CreatedAt: Noon, LastUpdatedAt: Noon,
	}
}

// NewID makes an id that is ordered by time.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
