package storage

import (
	"context"
	"time"
)

// Clock returns the time of the database's machine, by which leases expire.
func (db *DB) Clock(ctx context.Context) (now time.Time, err error) {
	if db.dialect == SQLite {
		return db.now(), db.Ping(ctx)
	}
	err = db.reading(ctx).Raw("SELECT clock_timestamp()").Scan(&now).Error
	return now, classify("read the clock of the database", err)
}
