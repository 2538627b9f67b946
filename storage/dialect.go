package storage

import (
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// A Dialect is a kind of database.
type Dialect string

// The dialects.
const (
	Postgres Dialect = "postgres"
	SQLite   Dialect = "sqlite"
)

// forUpdate locks the rows that a transaction reads until it ends. SQLite needs no lock: it has one writer at a time.
// Foreign keys that point to the row stay usable.
func forUpdate(tx *gorm.DB) *gorm.DB {
	if tx.Name() != string(Postgres) {
		return tx
	}
	return tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"})
}

// clock is the time by which leases are judged: the server's, so that the clocks of workers cannot disagree.
func (db *DB) clock() clause.Expr {
	if db.dialect == Postgres {
		return gorm.Expr("clock_timestamp()")
	}
	return gorm.Expr("?", db.instant())
}

// clockIn is clock plus d.
func (db *DB) clockIn(d time.Duration) clause.Expr {
	if db.dialect == Postgres {
		return gorm.Expr("clock_timestamp() + make_interval(secs => ?)", d.Seconds())
	}
	return gorm.Expr("?", db.instant().Add(d))
}

// like is the operator that matches patterns without regard to case: of ASCII letters on SQLite, of all letters of the
// database's locale on PostgreSQL.
func (db *DB) like() string {
	if db.dialect == Postgres {
		return "ILIKE"
	}
	return "LIKE"
}

// lockName holds a lock with this name until the transaction ends. On SQLite every transaction that writes has it.
func (db *DB) lockName(tx *gorm.DB, name string) error {
	if db.dialect != Postgres {
		return nil
	}
	return tx.Exec("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", name).Error
}
