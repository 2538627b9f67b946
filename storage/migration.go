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
// A database that is newer than the binary is a *VersionError and stays as it is.
func (db *DB) Migrate(ctx context.Context) error {
	steps, err := db.dialect.migrations()
	if err != nil {
		return err
	}
	for _, step := range steps {
		err := db.transact(ctx, "migrate to version "+strconv.Itoa(step.version), func(tx *gorm.DB) error {
			return db.apply(tx, step, steps[len(steps)-1].version)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// apply does one step unless somebody has done it.
func (db *DB) apply(tx *gorm.DB, step migration, newest int) error {
	if err := db.lockName(tx, migrationLock); err != nil {
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
	exists, err := db.hasTable(reading, "schema_migrations")
	if err == nil && exists {
		done, err = db.applied(reading, &schema)
	} else if err == nil {
		schema.Strangers, err = db.tables(reading)
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

// hasTable says whether there is a table of ours.
func (db *DB) hasTable(tx *gorm.DB, name string) (exists bool, err error) {
	find := "SELECT to_regclass(?) IS NOT NULL"
	if db.dialect == SQLite {
		find = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?)"
	}
	err = tx.Raw(find, name).Scan(&exists).Error
	return exists, err
}

// tables counts the tables of whatever is in the database.
func (db *DB) tables(tx *gorm.DB) (n int64, err error) {
	count := "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema()"
	if db.dialect == SQLite {
		count = "SELECT count(*) FROM sqlite_master WHERE type = 'table'"
	}
	err = tx.Raw(count).Scan(&n).Error
	return n, err
}
