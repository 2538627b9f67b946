package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/batch"
)

// leaseRow is a row of the table leases.
type leaseRow struct {
	ExportID      uuid.UUID `gorm:"primaryKey"`
	IntervalStart time.Time
	IntervalEnd   time.Time `gorm:"primaryKey"`
	RunID         *uuid.UUID
	Token         int64
	ExpiresAt     time.Time
}

// TableName names the table for GORM.
func (leaseRow) TableName() string { return "leases" }

// acquireLease takes the lease unless another run's is valid. A run takes over its own, with a new token: an older try
// of the same commit must not go on beside it.
const acquireLease = `INSERT INTO leases (export_id, interval_start, interval_end, run_id, token, expires_at)
VALUES (?, ?, ?, ?, 1, ?)
ON CONFLICT (export_id, interval_end) DO UPDATE SET token = leases.token + 1,
	interval_start = excluded.interval_start, run_id = excluded.run_id, expires_at = excluded.expires_at
WHERE leases.run_id IS NULL OR leases.run_id = excluded.run_id OR leases.expires_at <= ?
RETURNING token`

// AcquireLease makes the run the only one that may commit the interval, for the time ttl, and returns its fencing token,
// which is greater than all before it. An error with batch.CodeBusy says that another run holds the lease, and for how
// long.
func (db *DB) AcquireLease(
	ctx context.Context, exportID uuid.UUID, i batch.Interval, runID uuid.UUID, ttl time.Duration,
) (token int64, err error) {
	err = db.transact(ctx, "acquire lease", func(tx *gorm.DB) error {
		token = 0
		err := tx.Raw(acquireLease, exportID, utc(i.Start), utc(i.End), runID, db.clockIn(ttl), db.clock()).
			Scan(&token).Error
		if err != nil || token > 0 {
			return err
		}
		return db.busy(tx, exportID, i)
	})
	return token, err
}

// busy tells how long another run's lease will hold.
func (db *DB) busy(tx *gorm.DB, exportID uuid.UUID, i batch.Interval) error {
	now := db.instant()
	if db.dialect == Postgres {
		if err := tx.Raw("SELECT clock_timestamp()").Scan(&now).Error; err != nil {
			return err
		}
	}
	var lease leaseRow
	if err := tx.Where("export_id = ? AND interval_end = ?", exportID, utc(i.End)).Take(&lease).Error; err != nil {
		return err
	}
	e := batch.Errorf(batch.CodeBusy, nil, "another run is committing the interval")
	e.RetryAfter = max(lease.ExpiresAt.Sub(now), time.Millisecond)
	return e
}

// KeepLease makes the lease valid for the time ttl from now. An error with batch.CodeSuperseded says that it is another's.
func (db *DB) KeepLease(
	ctx context.Context, exportID uuid.UUID, i batch.Interval, token int64, ttl time.Duration,
) error {
	result := db.writing(ctx).Exec(
		"UPDATE leases SET expires_at = ? WHERE export_id = ? AND interval_end = ? AND token = ? AND run_id IS NOT NULL",
		db.clockIn(ttl), exportID, utc(i.End), token)
	if result.Error == nil && result.RowsAffected == 0 {
		return errLeaseLost()
	}
	return classify("keep lease", result.Error)
}

// ReleaseLease gives the lease back: from now on the token is worth nothing. A lease that is another's stays as it is.
func (db *DB) ReleaseLease(ctx context.Context, exportID uuid.UUID, i batch.Interval, token int64) error {
	err := db.writing(ctx).Exec(
		"UPDATE leases SET run_id = NULL WHERE export_id = ? AND interval_end = ? AND token = ?",
		exportID, utc(i.End), token).Error
	return classify("release lease", err)
}

// lockLease locks the interval's lease, which must be the token's.
func lockLease(tx *gorm.DB, exportID uuid.UUID, i batch.Interval, token int64) error {
	var leases []leaseRow
	err := forUpdate(tx).Where("export_id = ? AND interval_end = ?", exportID, utc(i.End)).Find(&leases).Error
	if err != nil {
		return err
	}
	if len(leases) == 0 || leases[0].Token != token || leases[0].RunID == nil {
		return errLeaseLost()
	}
	return nil
}

// errLeaseLost tells a commit that it may not go on.
func errLeaseLost() error { return superseded("another run has taken over the interval") }
