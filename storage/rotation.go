package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// rotationBatch is the number of records that Rotate reads at once.
const rotationBatch = 200

// Rotate puts the data key of every record under the newest master key and returns how many it changed. After it, older
// keys can be dropped. Records that cannot be opened stay as they are and are reported together at the end. It is safe
// beside everything else and can be repeated.
func (db *DB) Rotate(ctx context.Context) (int64, error) {
	var (
		changed  int64
		problems []error
		after    uuid.UUID
	)
	for {
		rows, err := db.sealedBehind(ctx, after)
		if err != nil {
			return changed, err
		}
		if len(rows) == 0 {
			return changed, errors.Join(problems...)
		}
		after = rows[len(rows)-1].ID
		for _, row := range rows {
			envelope, err := db.sealer.rewrap(row.envelope(), row.place())
			if err != nil {
				problems = append(problems, fmt.Errorf("export %s: %w", row.ID, err))
				continue
			}
			n, err := db.replaceDataKey(ctx, row, envelope)
			if err != nil {
				return changed, err
			}
			changed += n
		}
	}
}

// sealedBehind returns a batch of exports behind the id whose data key is under an older master key.
func (db *DB) sealedBehind(ctx context.Context, after uuid.UUID) ([]exportRow, error) {
	var rows []exportRow
	err := db.reading(ctx).Where("id > ? AND config_key_id <> ?", after, db.sealer.newest().id).
		Order("id").Limit(rotationBatch).Find(&rows).Error
	return rows, classify("rotate master keys", err)
}

// replaceDataKey writes the envelope unless the settings were sealed anew in the meantime.
func (db *DB) replaceDataKey(ctx context.Context, row exportRow, envelope sealed) (int64, error) {
	var n int64
	err := db.transact(ctx, "rotate master keys", func(tx *gorm.DB) error {
		result := tx.Model(&exportRow{}).Where("id = ? AND config_data_key = ?", row.ID, row.ConfigDataKey).
			UpdateColumns(map[string]any{"config_data_key": envelope.dataKey, "config_key_id": envelope.keyID})
		n = result.RowsAffected
		return result.Error
	})
	return n, err
}
