package storage_test

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/nettest"
	"tranche/storage"
	"tranche/storage/sqlite"
	"tranche/storage/storagetest"
)

func TestSeveralProcessesMigrateAtOnce(t *testing.T) {
	t.Parallel()
	eachFresh(t, func(t *testing.T, open func() *storage.DB, _ *sql.DB) {
		db := open()
		status, err := db.MigrationStatus(t.Context())
		require.NoError(t, err)
		require.Zero(t, status.Database)
		require.Positive(t, status.Binary)
		require.False(t, status.Current())

		var group sync.WaitGroup
		for range 4 {
			db := open()
			group.Go(func() {
				if err := db.Migrate(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		status, err = db.MigrationStatus(t.Context())
		require.NoError(t, err)
		require.True(t, status.Current())
		require.NoError(t, db.Migrate(t.Context()), "a repeat")
		require.NoError(t, db.CreateExport(t.Context(), storagetest.Export()))
	})
}

func TestADatabaseThatIsTooNewIsLeftAlone(t *testing.T) {
	t.Parallel()
	eachFresh(t, func(t *testing.T, open func() *storage.DB, raw *sql.DB) {
		db := open()
		require.NoError(t, db.Migrate(t.Context()))
		_, err := raw.Exec("INSERT INTO schema_migrations (version, name, applied_at) VALUES (1000, 'future', '')")
		require.NoError(t, err)
		_, err = raw.Exec("UPDATE schema_compatibility SET oldest_binary = 999")
		require.NoError(t, err)
		_, err = db.MigrationStatus(t.Context())
		var version *storage.VersionError
		require.ErrorAs(t, err, &version)
		require.Equal(t, 1000, version.Database)
		require.ErrorContains(t, err, "1000")
		require.ErrorContains(t, err, "999")
		require.ErrorAs(t, db.Migrate(t.Context()), &version)

		_, err = raw.Exec("DROP TABLE schema_compatibility")
		require.NoError(t, err)
		_, err = db.MigrationStatus(t.Context())
		require.ErrorAs(t, err, &version, "one that does not say is too new")
	})
}

// While a new version is rolled out, and after it was rolled back, an older binary starts on the newer database.
func TestABinaryStartsOnADatabaseThatIsNewerAndSaysThatItMay(t *testing.T) {
	t.Parallel()
	eachFresh(t, func(t *testing.T, open func() *storage.DB, raw *sql.DB) {
		db := open()
		require.NoError(t, db.Migrate(t.Context()))
		_, err := raw.Exec("INSERT INTO schema_migrations (version, name, applied_at) VALUES (1000, 'future', '')")
		require.NoError(t, err)
		status, err := db.MigrationStatus(t.Context())
		require.NoError(t, err)
		require.True(t, status.Current())
		require.Equal(t, 1000, status.Database)
		require.NoError(t, db.Migrate(t.Context()), "there is nothing to do")

		_, err = raw.Exec("DELETE FROM schema_migrations WHERE version = 1")
		require.NoError(t, err)
		status, err = db.MigrationStatus(t.Context())
		require.NoError(t, err)
		require.False(t, status.Current(), "a gap is seen below newer ones")
		require.Equal(t, []int{1}, status.Missing)
	})
}

// Most likely the URL is wrong.
func TestNothingIsPutAmongTheTablesOfSomethingElse(t *testing.T) {
	t.Parallel()
	eachFresh(t, func(t *testing.T, open func() *storage.DB, raw *sql.DB) {
		_, err := raw.Exec("CREATE TABLE orders (id integer)")
		require.NoError(t, err)
		db := open()
		err = db.Migrate(t.Context())
		var strangers *storage.StrangersError
		require.ErrorAs(t, err, &strangers)
		require.EqualValues(t, 1, strangers.Tables)
		require.ErrorContains(t, err, "the database has no table of ours, and 1 of something else: give the service a database of its own")
		status, err := db.MigrationStatus(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, status.Strangers, "nothing was made")

		require.NoError(t, db.MigrateShared(t.Context()))
		require.NoError(t, db.Migrate(t.Context()), "now it is ours, too")
		status, err = db.MigrationStatus(t.Context())
		require.NoError(t, err)
		require.True(t, status.Current())
	})
}

// Rails and others keep a table of that name.
func TestAListOfMigrationsOfSomethingElseIsNotOurs(t *testing.T) {
	t.Parallel()
	eachFresh(t, func(t *testing.T, open func() *storage.DB, raw *sql.DB) {
		_, err := raw.Exec("CREATE TABLE schema_migrations (version varchar(255) PRIMARY KEY)")
		require.NoError(t, err)
		_, err = raw.Exec("INSERT INTO schema_migrations VALUES ('20240101000000')")
		require.NoError(t, err)
		db := open()
		status, err := db.MigrationStatus(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, status.Strangers)
		for _, migrate := range []func(context.Context) error{db.Migrate, db.MigrateShared} {
			require.ErrorContains(t, migrate(t.Context()), "one is called schema_migrations as ours would be")
		}
	})
}

// A schema of its own is as good as a database, also behind tables of others on the way.
func TestASchemaOfItsOwnIsEnough(t *testing.T) {
	t.Parallel()
	dsn := server.Database(t)
	raw, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, raw.Close()) })
	for _, statement := range []string{"CREATE TABLE schema_migrations (version varchar(255))", "CREATE TABLE exports (id int)", "CREATE SCHEMA tranche"} {
		_, err = raw.Exec(statement)
		require.NoError(t, err)
	}
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	values := u.Query()
	values.Set("search_path", "tranche,public")
	u.RawQuery = values.Encode()
	db, err := storage.Open(t.Context(), u.String(), storagetest.Sealer(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	status, err := db.MigrationStatus(t.Context())
	require.NoError(t, err)
	require.Zero(t, status.Strangers)
	require.NoError(t, db.Migrate(t.Context()))
	require.NoError(t, db.CreateExport(t.Context(), storagetest.Export()))
	var theirs int
	require.NoError(t, raw.QueryRow("SELECT count(*) FROM public.exports").Scan(&theirs))
	require.Zero(t, theirs)
}

func TestAnInstallationIsToldFromOthers(t *testing.T) {
	t.Parallel()
	eachFresh(t, func(t *testing.T, open func() *storage.DB, _ *sql.DB) {
		db := open()
		require.NoError(t, db.Migrate(t.Context()))
		id, err := db.Installation(t.Context())
		require.NoError(t, err)
		require.NotEqual(t, uuid.Nil, id)
		require.NoError(t, db.Migrate(t.Context()))
		again, err := open().Installation(t.Context())
		require.NoError(t, err)
		require.Equal(t, id, again)
		other, err := storagetest.SQLite(t).Installation(t.Context())
		require.NoError(t, err)
		require.NotEqual(t, id, other)
		require.Equal(t, uuid.Version(4), other.Version())
	})
}

func TestADatabaseThatIsGoneIsUnavailable(t *testing.T) {
	t.Parallel()
	db, err := storage.Open(t.Context(), "postgres://nobody:hunter2@127.0.0.1:1/none?connect_timeout=2", storagetest.Sealer(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	err = db.Ping(t.Context())
	requireCode(t, batch.CodeUnavailable, err)
	require.NotContains(t, err.Error(), "hunter2")
	_, err = db.ExportByID(t.Context(), storagetest.NewID())
	requireCode(t, batch.CodeUnavailable, err)
	silent, err := storage.Open(t.Context(), "postgres://nobody:hunter2@"+nettest.Unanswering(t)+"/none?connect_timeout=1", storagetest.Sealer(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, silent.Close()) })
	_, err = silent.ExportByID(t.Context(), storagetest.NewID())
	requireCode(t, batch.CodeUnavailable, err)
	_, err = storage.Open(t.Context(), "postgres://nobody:hunter2@%zz", storagetest.Sealer(t))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
	_, err = storage.Open(t.Context(), "postgres://nobody@127.0.0.1/none", nil)
	require.Error(t, err)
}

func TestPing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		require.NoError(t, db.Ping(t.Context()))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, db.Ping(ended), context.Canceled)
		_, err := db.ExportByID(ended, storagetest.NewID())
		require.ErrorIs(t, err, context.Canceled)
		_, err = db.UpdateRun(ended, storagetest.NewID(), func(*batch.Run) error { return nil })
		require.ErrorIs(t, err, context.Canceled)
	})
}

// eachFresh runs the test on both databases, empty, with a way to open them once more, and one around storage.
func eachFresh(t *testing.T, test func(t *testing.T, open func() *storage.DB, raw *sql.DB)) {
	t.Helper()
	run := func(t *testing.T, driver, rawDSN, dsn string, open func(ctx context.Context, dsn string, s *storage.Sealer) (*storage.DB, error)) {
		t.Helper()
		raw, err := sql.Open(driver, rawDSN)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, raw.Close()) })
		test(t, func() *storage.DB {
			db, err := open(t.Context(), dsn, storagetest.Sealer(t))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			return db
		}, raw)
	}
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		dsn := server.Database(t)
		run(t, "pgx", dsn, dsn, storage.Open)
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "a path with spaces & 100%?.db")
		run(t, "sqlite", (&url.URL{Scheme: "file", Path: path}).String(), path, sqlite.Open)
	})
}

// TestTimesAreStoredSortable guards the driver's settings: times as text would not sort.
func TestTimesAreStoredSortable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tranche.db")
	db, err := sqlite.Open(t.Context(), path, storagetest.Sealer(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	e := storagetest.Export()
	e.CreatedAt = time.Date(2026, 3, 1, 12, 0, 0, 1999, time.FixedZone("", 3600))
	require.NoError(t, db.CreateExport(t.Context(), e))
	raw, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, raw.Close()) })
	var kind string
	var value int64
	require.NoError(t, raw.QueryRow("SELECT typeof(created_at), created_at + 0 FROM exports").Scan(&kind, &value))
	require.Equal(t, "integer", kind)
	require.Equal(t, e.CreatedAt.UnixMicro(), value)
}
