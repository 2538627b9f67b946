// Package sqlite opens our database in a file, for the embedded service. Only what imports it links SQLite.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	gormsqlite "gorm.io/driver/sqlite"
	_ "modernc.org/sqlite" // registers the driver "sqlite", once for everybody in the process

	"tranche/storage"
)

const (
	driver = "sqlite"
	// busyTimeout is how long to wait for another process that writes. Inside the process nobody waits for a lock of
	// SQLite's: there is one connection that writes, and readers never block.
	busyTimeout = 10 * time.Second
	// readers is the number of connections that read.
	readers = 4
)

// Open opens or creates the database in the file path. It does not migrate: see storage.DB.Migrate.
func Open(ctx context.Context, path string, sealer *storage.Sealer) (*storage.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	writer, err := connect(ctx, absolute, 1, "_txlock=immediate", "_pragma=journal_mode(WAL)", "_pragma=synchronous(NORMAL)")
	if err != nil {
		return nil, err
	}
	reader, err := connect(ctx, absolute, readers, "_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	db, err := storage.New(ctx, storage.Config{
		Dialect: storage.SQLite,
		Write:   gormsqlite.New(gormsqlite.Config{DriverName: driver, Conn: writer}),
		Read:    gormsqlite.New(gormsqlite.Config{DriverName: driver, Conn: reader}),
		Sealer:  sealer,
	})
	if err != nil {
		return nil, errors.Join(err, reader.Close(), writer.Close())
	}
	return db, nil
}

// connect opens a pool of connections with these options. Times are whole microseconds since 1970, so that they sort.
func connect(ctx context.Context, path string, connections int, options ...string) (*sql.DB, error) {
	file := url.URL{Scheme: "file", Path: path}
	dsn := fmt.Sprintf("%s?_pragma=busy_timeout(%d)&_pragma=foreign_keys(1)&_inttotime=1&_time_integer_format=unix_micro",
		file.String(), busyTimeout.Milliseconds())
	for _, option := range options {
		dsn += "&" + option
	}
	pool, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), pool.Close())
	}
	return pool, nil
}
