// Package storage keeps exports, runs, backfills, the state of the delivery protocol, run logs and API keys in our
// database: PostgreSQL in production, SQLite (package storage/sqlite) when embedded. It is the only package that knows
// the database.
//
// Errors: batch.ErrNotFound, wrapped, when a row is not there or not the caller's to see; a *batch.Error wherever the
// cause is known; anything else is a defect or an outage of ours.
package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"tranche/batch"
	"tranche/destinations"
)

// Limits of the connection pool to PostgreSQL, per process.
const (
	maxConnections     = 20
	maxIdleConnections = 10
	maxConnectionLife  = 30 * time.Minute
)

const (
	// maxRows is the most rows that one list returns, whatever its limit says.
	maxRows = 10_000
	// maxTries is how often a transaction that lost a deadlock or a serialisation conflict is run.
	maxTries = 3
)

// A DB is our database, open. It is safe for use by several goroutines.
type DB struct {
	write, read *gorm.DB
	dialect     Dialect
	sealer      *Sealer
	now         func() time.Time
	plugins     *destinations.Registry             // nil = none is known, see WithPlugins
	lost        func(event batch.Event, err error) // nil = nobody is told, see WithLost
}

// Open opens PostgreSQL. It neither connects nor migrates: see Ping and Migrate.
func Open(ctx context.Context, dsn string, sealer *Sealer) (*DB, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("open database: the URL of the database is malformed") // the cause may quote a password
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "tranche"
	}
	pool := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(planAnew))
	pool.SetMaxOpenConns(maxConnections)
	pool.SetMaxIdleConns(maxIdleConnections)
	pool.SetConnMaxLifetime(maxConnectionLife)
	db, err := New(ctx, Config{
		Dialect: Postgres, Write: postgres.New(postgres.Config{Conn: pool}), Sealer: sealer,
	})
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return db, nil
}

// planAnew makes the server plan each statement for its values. A plan for any values reads all runs of an export to find
// the few with a rare status, and it comes into use only once a statement was executed several times.
func planAnew(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SET plan_cache_mode = force_custom_plan")
	return err
}

// A Config is what a DB is made of. Open and package storage/sqlite fill it.
type Config struct {
	Dialect Dialect
	Write   gorm.Dialector
	Read    gorm.Dialector // for reads outside of transactions; nil = Write
	Sealer  *Sealer
}

// New makes a DB over open connection pools, which Close closes.
func New(ctx context.Context, c Config) (*DB, error) {
	if c.Sealer == nil {
		return nil, errors.New("open database: a sealer is needed")
	}
	write, err := openPool(ctx, c.Write)
	if err != nil {
		return nil, err
	}
	db := &DB{write: write, read: write, dialect: c.Dialect, sealer: c.Sealer, now: time.Now}
	if c.Read != nil {
		if db.read, err = openPool(ctx, c.Read); err != nil {
			return nil, err
		}
	}
	return db, nil
}

func openPool(ctx context.Context, dialector gorm.Dialector) (*gorm.DB, error) {
	db, err := gorm.Open(dialector, &gorm.Config{
		SkipDefaultTransaction: true, // we say where transactions are
		DisableAutomaticPing:   true,
		Logger:                 logger.Discard, // errors are returned; statements hold customers' data
	})
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return db.WithContext(ctx), nil
}

// WithClock returns the same database with another clock than time.Now. On PostgreSQL leases keep the server's.
func (db *DB) WithClock(now func() time.Time) *DB {
	other := *db
	other.now = now
	return &other
}

// Ping says whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	for _, pool := range []*gorm.DB{db.read, db.write} {
		connections, err := pool.DB()
		if err != nil {
			return classify("ping database", err)
		}
		if err := connections.PingContext(ctx); err != nil {
			return classify("ping database", err)
		}
	}
	return nil
}

// Close closes the connections.
func (db *DB) Close() error {
	pools := []*gorm.DB{db.read}
	if db.write != db.read {
		pools = append(pools, db.write)
	}
	var problems []error
	for _, pool := range pools {
		connections, err := pool.DB()
		if err == nil {
			err = connections.Close()
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// reading is for reads outside of a transaction.
func (db *DB) reading(ctx context.Context) *gorm.DB { return db.read.WithContext(ctx) }

// writing is for single statements that write.
func (db *DB) writing(ctx context.Context) *gorm.DB { return db.write.WithContext(ctx) }

// transact runs do in a transaction, again when the database chose it as the victim of a deadlock. On SQLite it holds
// the only connection that writes: do must use tx and nothing else.
func (db *DB) transact(ctx context.Context, operation string, do func(tx *gorm.DB) error) error {
	var err error
	for range maxTries {
		err = db.write.WithContext(ctx).Transaction(do, &sql.TxOptions{})
		if !conflicted(err) {
			break
		}
	}
	return classify(operation, err)
}

// instant is now, as the database will return it.
func (db *DB) instant() time.Time { return utc(db.now()) }

// limited bounds the limit of a list.
func limited(limit int) int {
	if limit <= 0 || limit > maxRows {
		return maxRows
	}
	return limit
}

// utc returns t as the database keeps it: UTC, whole microseconds, and the zero time as it is.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// utcOrNil is utc for times that may be missing.
func utcOrNil(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := utc(*t)
	return &u
}

// interval returns the interval as the database keeps it.
func interval(start, end time.Time) batch.Interval {
	return batch.Interval{Start: utc(start), End: utc(end)}
}
