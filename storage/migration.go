package storage

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
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
}

// Current says whether the binary can work with the database.
func (s Schema) Current() bool { return s.Database == s.Binary }

// A VersionError says that the database is newer than the binary, which must not touch it.
type VersionError struct {
	Schema
}

// Error says what to do.
func (e *VersionError) Error() string {
	return fmt.Sprintf("the database has schema version %d, this binary knows versions up to %d: use a newer binary",
		e.Database, e.Binary)
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
	if err := tx.Raw("SELECT COALESCE(MAX(version), 0) FROM schema_migrations").Scan(&schema.Database).Error; err != nil {
		return err
	}
	if schema.Database > schema.Binary {
		return &VersionError{Schema: schema}
	}
	var done bool
	if err := tx.Raw("SELECT EXISTS (SELECT 1 FROM schema_migrations WHERE version = ?)", step.version).Scan(&done).Error; err != nil || done {
		return err
	}
	if err := tx.Exec(step.sql).Error; err != nil {
		return err
	}
	return tx.Exec("INSERT INTO schema_migrations (version, name, applied_at) VALUES (?, ?, ?)",
		step.version, step.name, db.instant().Format(time.RFC3339Nano)).Error
}

// MigrationStatus compares the versions of database and binary. A newer database is a *VersionError beside the answer.
func (db *DB) MigrationStatus(ctx context.Context) (Schema, error) {
	steps, err := db.dialect.migrations()
	if err != nil {
		return Schema{}, err
	}
	schema := Schema{Binary: steps[len(steps)-1].version}
	reading := db.reading(ctx)
	var exists bool
	find := "SELECT to_regclass('schema_migrations') IS NOT NULL"
	if db.dialect == SQLite {
		find = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations')"
	}
	if err := reading.Raw(find).Scan(&exists).Error; err != nil {
		return Schema{}, classify("read schema version", err)
	}
	if !exists {
		return schema, nil
	}
	err = reading.Raw("SELECT COALESCE(MAX(version), 0) FROM schema_migrations").Scan(&schema.Database).Error
	if err != nil {
		return Schema{}, classify("read schema version", err)
	}
	if schema.Database > schema.Binary {
		return schema, &VersionError{Schema: schema}
	}
	return schema, nil
}
