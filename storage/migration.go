package storage

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"
)

//go:embed migrations
var migrationFiles embed.FS

// migrationLock is the name of the lock under which processes migrate one after the other.
const migrationLock = "tranche.schema_migrations"

const createMigrations = `CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name    text NOT NULL,
    applied_at text NOT NULL
)`

// A Schema compares the version of the database's tables with the one that this binary is made for.
type Schema struct {
	Database int // 0 = empty
	Binary   int
	// Missing are the binary's migrations that the database lacks.
	Missing []int
	// Oldest is the version of the oldest binary that can work with the database; 0 = the database does not say.
	Oldest int
	// Strangers is how many tables of something else are where ours belong, when there is none of ours.
	Strangers int64
}

// Current says whether the binary can work with the database, which may be newer: see VersionError.
func (s Schema) Current() bool { return len(s.Missing) == 0 }

// tooNew says whether the database is newer than the binary can take. One that does not say is.
func (s Schema) tooNew() bool { return s.Database > s.Binary && (s.Oldest == 0 || s.Oldest > s.Binary) }

// A VersionError says that the database is too new for the binary, which must not touch it.
type VersionError struct {
	Schema
}

// Error says what to do.
func (e *VersionError) Error() string {
	oldest := e.Oldest
	if oldest == 0 {
		oldest = e.Database
	}
	return fmt.Sprintf("the database has schema version %d and needs binaries of version %d, this one knows versions up to %d: use a newer binary",
		e.Database, oldest, e.Binary)
}

// A StrangersError says that tables of something else are where ours would go.
type StrangersError struct {
	Tables int64
	// Taken says that one of them has the name of our list of migrations: no choice of anybody's makes room for it.
	Taken bool
}

// Error says what to do.
func (e *StrangersError) Error() string {
	what := fmt.Sprintf("the database has no table of ours, and %d of something else", e.Tables)
	if e.Taken {
		return what + ", of which one is called schema_migrations as ours would be: give the service a database of its own, or a schema with search_path in the URL of the database"
	}
	return what + ": give the service a database of its own, or a schema with search_path in the URL of the database; or say that it may share this one"
}

// A migration is one step of the schema. Steps are never changed once released, and never undone.
type migration struct {
	version int
	name    string
	sql     string
}

// migrations lists the dialect's steps in the order of their versions.
func (d Dialect) migrations() ([]migration, error) {
	dir := path.Join("migrations", string(d))
	entries, err := fs.ReadDir(migrationFiles, dir) // sorted by name
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, entry := range entries {
		number, name, _ := strings.Cut(strings.TrimSuffix(entry.Name(), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil || len(all) > 0 && version <= all[len(all)-1].version {
			return nil, fmt.Errorf("migration %s: want a number that no other has", entry.Name())
		}
		text, err := fs.ReadFile(migrationFiles, path.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, migration{version: version, name: name, sql: string(text)})
	}
	return all, nil
}

// SchemaVersion is the number of the newest migration that this binary has.
func (d Dialect) SchemaVersion() (int, error) {
	steps, err := d.migrations()
	if err != nil {
		return 0, err
	}
	return steps[len(steps)-1].version, nil
}

// Migrate brings the tables to the binary's version, each step in a transaction. Several processes may do so at once.
// A database that is newer than the binary is a *VersionError and stays as it is, and one in which there is something else
// and nothing of ours a *StrangersError.
func (db *DB) Migrate(ctx context.Context) error { return db.migrate(ctx, false) }

// MigrateShared is Migrate in a database that others may use, too.
func (db *DB) MigrateShared(ctx context.Context) error { return db.migrate(ctx, true) }

func (db *DB) migrate(ctx context.Context, shared bool) error {
	steps, err := db.dialect.migrations()
	if err != nil {
		return err
	}
	for _, step := range steps {
		err := db.transact(ctx, "migrate to version "+strconv.Itoa(step.version), func(tx *gorm.DB) error {
			return db.apply(tx, step, steps[len(steps)-1].version, shared)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// apply does one step unless somebody has done it.
func (db *DB) apply(tx *gorm.DB, step migration, newest int, shared bool) error {
	if err := db.lockName(tx, migrationLock); err != nil {
		return err
	}
	if err := db.checkStrangers(tx, shared); err != nil {
		return err
	}
	if err := tx.Exec(createMigrations).Error; err != nil {
		return err
	}
	schema := Schema{Binary: newest}
	done, err := db.applied(tx, &schema)
	if err != nil {
		return err
	}
	if schema.tooNew() {
		return &VersionError{Schema: schema}
	}
	if slices.Contains(done, step.version) {
		return nil
	}
	if err := tx.Exec(step.sql).Error; err != nil {
		return err
	}
	return tx.Exec("INSERT INTO schema_migrations (version, name, applied_at) VALUES (?, ?, ?)",
		step.version, step.name, db.instant().Format(time.RFC3339Nano)).Error
}

// MigrationStatus compares the versions of database and binary. A database that is too new is a *VersionError beside the
// answer.
func (db *DB) MigrationStatus(ctx context.Context) (Schema, error) {
	steps, err := db.dialect.migrations()
	if err != nil {
		return Schema{}, err
	}
	schema := Schema{Binary: steps[len(steps)-1].version}
	reading := db.reading(ctx)
	var done []int
	exists, err := db.begun(reading)
	if err == nil && exists {
		done, err = db.applied(reading, &schema)
	} else if err == nil {
		schema.Strangers, err = db.tables(reading, "")
	}
	if err != nil {
		return Schema{}, classify("read schema version", err)
	}
	for _, step := range steps {
		if !slices.Contains(done, step.version) {
			schema.Missing = append(schema.Missing, step.version)
		}
	}
	if schema.tooNew() {
		return schema, &VersionError{Schema: schema}
	}
	return schema, nil
}

// applied returns the migrations that were run, and fills in what the database says of itself.
func (db *DB) applied(tx *gorm.DB, schema *Schema) (done []int, err error) {
	if err := tx.Raw("SELECT version FROM schema_migrations ORDER BY version").Scan(&done).Error; err != nil || len(done) == 0 {
		return nil, err
	}
	schema.Database = done[len(done)-1]
	says, err := db.hasTable(tx, "schema_compatibility")
	if err != nil || !says {
		return done, err
	}
	return done, tx.Raw("SELECT oldest_binary FROM schema_compatibility").Scan(&schema.Oldest).Error
}

// begun says whether a migration of ours was run. Others keep a table of that name, too, with other columns.
func (db *DB) begun(tx *gorm.DB) (ours bool, err error) {
	find := `SELECT count(*) = 3 FROM pg_catalog.pg_attribute
		WHERE attrelid = to_regclass('schema_migrations') AND attname IN ('version', 'name', 'applied_at') AND NOT attisdropped`
	if db.dialect == SQLite {
		find = "SELECT count(*) = 3 FROM pragma_table_info('schema_migrations') WHERE name IN ('version', 'name', 'applied_at')"
	}
	err = tx.Raw(find).Scan(&ours).Error
	return ours, err
}

// checkStrangers refuses to begin among the tables of something else.
func (db *DB) checkStrangers(tx *gorm.DB, shared bool) error {
	ours, err := db.begun(tx)
	if err != nil || ours {
		return err
	}
	strangers := &StrangersError{}
	if strangers.Tables, err = db.tables(tx, ""); err != nil {
		return err
	}
	taken, err := db.tables(tx, "schema_migrations")
	if strangers.Taken = taken > 0; err == nil && (strangers.Taken || strangers.Tables > 0 && !shared) {
		return strangers
	}
	return err
}

// hasTable says whether there is a table of ours.
func (db *DB) hasTable(tx *gorm.DB, name string) (exists bool, err error) {
	find := "SELECT to_regclass(?) IS NOT NULL"
	if db.dialect == SQLite {
		find = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?)"
	}
	err = tx.Raw(find, name).Scan(&exists).Error
	return exists, err
}

// tables counts the tables of whatever is where ours belong, all of them or those of a name.
func (db *DB) tables(tx *gorm.DB, name string) (n int64, err error) {
	count := "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND ?::text IN ('', tablename::text)"
	if db.dialect == SQLite {
		count = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND ? IN ('', name)"
	}
	err = tx.Raw(count, name).Scan(&n).Error
	return n, err
}
