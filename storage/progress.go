package storage

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// SaveProgress saves how far a try of a split has come, and what that makes of the run's rows and bytes: those of all
// splits of the generation. It is an error with batch.CodeSuperseded when a later try has begun, or the run is over or
// fenced.
func (db *DB) SaveProgress(ctx context.Context, runID uuid.UUID, generation, split, attempt int, rows, bytes int64) error {
	return db.transact(ctx, "save progress", func(tx *gorm.DB) error {
		if _, err := lockSplit(tx, runID, generation, split, attempt); err != nil {
			return err
		}
		err := ofSplit(tx, runID, generation, split).Model(&splitRow{}).
			UpdateColumns(map[string]any{"rows_done": rows, "bytes_done": bytes}).Error
		if err != nil {
			return err
		}
		return tx.Exec(`UPDATE runs SET last_updated_at = ?,
			rows_completed = (SELECT CAST(SUM(rows_done) AS bigint) FROM splits WHERE run_id = ? AND generation = ?),
			bytes = (SELECT CAST(SUM(bytes_done) AS bigint) FROM splits WHERE run_id = ? AND generation = ?)
			WHERE id = ?`, db.instant(), runID, generation, runID, generation, runID).Error
	})
}
