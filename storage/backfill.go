package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/batch"
)

// backfillRow is a row of the table backfills.
type backfillRow struct {
	ID              uuid.UUID `gorm:"primaryKey"`
	ExportID        uuid.UUID
	TeamID          int64
	StartAt         time.Time // zero = from the earliest row
	EndAt           *time.Time
	AdjustedStartAt *time.Time
	Retry           bool
	Direction       string
	Concurrency     int
	SkipDelivered   bool
	Replaces        bool
	Selection       string
	Status          string
	PausedAt        *time.Time
	Steering        int64
	Steered         int64
	CaughtUpAt      *time.Time
	LatestError     string
	TotalRuns       *int64
	TotalRecords    *int64
	CreatedAt       time.Time `gorm:"autoCreateTime:false"`
	FinishedAt      *time.Time
	LastUpdatedAt   time.Time
}

// TableName names the table for GORM.
func (backfillRow) TableName() string { return "backfills" }

// backfillRowOf maps a backfill to its row. Runs are counted, not stored.
func backfillRowOf(b batch.Backfill) backfillRow {
	return backfillRow{
		ID: b.ID, ExportID: b.ExportID, TeamID: b.TeamID,
		StartAt: fromBeginning(b.StartAt), EndAt: utcOrNil(b.EndAt), AdjustedStartAt: utcOrNil(b.AdjustedStartAt),
		Retry: b.Retry, Direction: string(b.Order), Concurrency: b.Concurrency, SkipDelivered: b.SkipDelivered, Replaces: b.Replace,
		Selection: string(b.By),
		Status:    string(b.Status), PausedAt: utcOrNil(b.PausedAt), Steering: b.Steering, Steered: b.Steered,
		CaughtUpAt: utcOrNil(b.CaughtUpAt), LatestError: clean(b.LatestError),
		TotalRuns: b.TotalRuns, TotalRecords: b.TotalRecords,
		CreatedAt: utc(b.CreatedAt), FinishedAt: utcOrNil(b.FinishedAt), LastUpdatedAt: utc(b.LastUpdatedAt),
	}
}

// backfillOf maps a row, and the tally of its runs, to its backfill.
func backfillOf(r backfillRow, runs batch.Tally) batch.Backfill {
	b := batch.Backfill{
		ID: r.ID, ExportID: r.ExportID, TeamID: r.TeamID,
		EndAt: utcOrNil(r.EndAt), AdjustedStartAt: utcOrNil(r.AdjustedStartAt),
		Retry: r.Retry, Order: batch.BackfillOrder(r.Direction), Concurrency: r.Concurrency,
		SkipDelivered: r.SkipDelivered, Replace: r.Replaces, By: batch.Clock(r.Selection),
		Status: batch.BackfillStatus(r.Status), PausedAt: utcOrNil(r.PausedAt), Steering: r.Steering, Steered: r.Steered,
		CaughtUpAt: utcOrNil(r.CaughtUpAt), LatestError: r.LatestError,
		TotalRuns: r.TotalRuns, Runs: runs, TotalRecords: r.TotalRecords,
		CreatedAt: utc(r.CreatedAt), FinishedAt: utcOrNil(r.FinishedAt), LastUpdatedAt: utc(r.LastUpdatedAt),
	}
	if start := utc(r.StartAt); !start.IsZero() {
		b.StartAt = &start
	}
	return b
}

// CreateBackfill inserts a backfill, one after the other within a team. Unless it is a retry, it is refused with
// batch.ErrTooManyBackfills when the team has limit open backfills or more, retries not counted; and always with
// batch.ErrDuplicateBackfill when one of the same export and range is open.
func (db *DB) CreateBackfill(ctx context.Context, b batch.Backfill, limit int) error {
	row := backfillRowOf(b)
	return db.transact(ctx, "create backfill", func(tx *gorm.DB) error {
		if err := db.lockName(tx, fmt.Sprintf("tranche.backfills.%d", b.TeamID)); err != nil {
			return err
		}
		if !b.Retry {
			running, err := countOpen(tx, b.TeamID)
			if err != nil {
				return err
			}
			if running >= int64(limit) {
				return batch.ErrTooManyBackfills
			}
		}
		var same int64
		err := tx.Model(&backfillRow{}).Where("team_id = ? AND export_id = ? AND "+open, b.TeamID, b.ExportID).
			Where("start_at = ? AND end_at IS NOT DISTINCT FROM ?", row.StartAt, row.EndAt).Count(&same).Error
		if err != nil {
			return err
		}
		if same > 0 {
			return batch.ErrDuplicateBackfill
		}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		entry, err := auditNewBackfill(b)
		if err != nil {
			return err
		}
		return db.audit(ctx, tx, entry)
	})
}

// Backfill returns a backfill of a team's export.
func (db *DB) Backfill(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Backfill, error) {
	return db.oneBackfill(ctx, "id = ? AND export_id = ? AND team_id = ?", id, exportID, teamID)
}

// BackfillByID returns any backfill.
func (db *DB) BackfillByID(ctx context.Context, id uuid.UUID) (batch.Backfill, error) {
	return db.oneBackfill(ctx, "id = ?", id)
}

func (db *DB) oneBackfill(ctx context.Context, condition string, args ...any) (batch.Backfill, error) {
	var row backfillRow
	if err := db.reading(ctx).Where(condition, args...).Take(&row).Error; err != nil {
		return batch.Backfill{}, classify("read backfill", err)
	}
	backfills, err := db.withRuns(ctx, []backfillRow{row})
	if err != nil {
		return batch.Backfill{}, err
	}
	return backfills[0], nil
}

// withRuns maps rows to backfills and counts their runs.
func (db *DB) withRuns(ctx context.Context, rows []backfillRow) ([]batch.Backfill, error) {
	ids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	tallies, err := db.tallies(ctx, ids)
	if err != nil {
		return nil, err
	}
	backfills := make([]batch.Backfill, len(rows))
	for i, row := range rows {
		backfills[i] = backfillOf(row, tallies[row.ID])
	}
	return backfills, nil
}

// ListBackfills returns the backfills that the filter selects. Those without a start sort as the earliest.
func (db *DB) ListBackfills(ctx context.Context, f batch.BackfillFilter) ([]batch.Backfill, error) {
	column := "created_at"
	if f.OrderBy == batch.OrderStartAt {
		column = "start_at"
	}
	var rows []backfillRow
	query := db.reading(ctx).Where("team_id = ? AND export_id = ?", f.TeamID, f.ExportID)
	if err := behind(f.After, query, column, f.Desc).Limit(limited(f.Limit)).Find(&rows).Error; err != nil {
		return nil, classify("list backfills", err)
	}
	return db.withRuns(ctx, rows)
}

// UpdateBackfill changes a backfill under a lock. LastUpdatedAt becomes now, unless change returns batch.ErrUnchanged:
// then nothing is written. Change must not use the database and may be called more than once. What it makes of
// Runs is not stored. A final status never changes: trying is an error with batch.CodeSuperseded.
func (db *DB) UpdateBackfill(
	ctx context.Context, id uuid.UUID, change func(*batch.Backfill) error,
) (batch.Backfill, error) {
	tallies, err := db.tallies(ctx, []uuid.UUID{id})
	if err != nil {
		return batch.Backfill{}, err
	}
	var updated batch.Backfill
	err = db.transact(ctx, "update backfill", func(tx *gorm.DB) error {
		var row backfillRow
		if err := forUpdate(tx).Where("id = ?", id).Take(&row).Error; err != nil {
			return err
		}
		before, after := backfillOf(row, tallies[id]), backfillOf(row, tallies[id])
		if err := change(&after); errors.Is(err, batch.ErrUnchanged) {
			updated = before
			return nil
		} else if err != nil {
			return err
		}
		if before.Status.Final() && after.Status != before.Status {
			return superseded("the backfill is over: it is %s", before.Status)
		}
		after.ID, after.ExportID, after.TeamID = before.ID, before.ExportID, before.TeamID
		after.CreatedAt, after.LastUpdatedAt = before.CreatedAt, db.instant()
		row = backfillRowOf(after)
		updated = backfillOf(row, tallies[id])
		if err := tx.Select("*").Updates(&row).Error; err != nil {
			return err
		}
		entry, audited := auditBackfill(batch.ActOf(ctx), before, updated)
		if !audited {
			return nil
		}
		return db.audit(ctx, tx, entry)
	})
	if err != nil {
		return batch.Backfill{}, err
	}
	return updated, nil
}

func countOpen(tx *gorm.DB, teamID int64) (n int64, err error) {
	err = tx.Model(&backfillRow{}).Where("team_id = ? AND NOT retry AND "+open, teamID).Count(&n).Error
	return n, err
}

// OpenBackfills pages through the backfills that are under way, by id, from behind after.
func (db *DB) OpenBackfills(ctx context.Context, after uuid.UUID, limit int) ([]batch.Backfill, error) {
	return db.backfillsWhere(ctx, limit, "id > ? AND "+open, after)
}

// CancelledInPause returns backfills that were cancelled since the time while they were paused, by id.
func (db *DB) CancelledInPause(ctx context.Context, since time.Time, limit int) ([]batch.Backfill, error) {
	return db.backfillsWhere(ctx, limit, "status = 'Cancelled' AND paused_at IS NOT NULL AND finished_at > ?", since.UTC())
}

// OpenBackfillsOf returns an export's backfills that are under way.
func (db *DB) OpenBackfillsOf(ctx context.Context, exportID uuid.UUID) ([]batch.Backfill, error) {
	return db.backfillsWhere(ctx, maxRows, "export_id = ? AND "+open, exportID)
}

func (db *DB) backfillsWhere(ctx context.Context, limit int, condition string, args ...any) ([]batch.Backfill, error) {
	var rows []backfillRow
	err := db.reading(ctx).Where(condition, args...).Order("id").Limit(limited(limit)).Find(&rows).Error
	if err != nil {
		return nil, classify("list backfills", err)
	}
	return db.withRuns(ctx, rows)
}
