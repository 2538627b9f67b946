package storage

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"
)

// rotationBatch is the number of records that Rotate reads at once.
const rotationBatch = 200

// Rotate puts the data key of every record under the newest master key and returns how many it changed. After it, older
// keys can be dropped. Records that cannot be opened stay as they are and are reported together at the end. It is safe
// beside everything else and can be repeated.
func (db *DB) Rotate(ctx context.Context) (int64, error) {
	var problems []error
	changed, err := rotate(ctx, db, &problems, db.exportsBehind, exportRow.sealedRecord)
	if err != nil {
		return changed, err
	}
	// After the exports: a change in between may have moved an envelope from there to here.
	n, err := rotate(ctx, db, &problems, db.revisionsBehind, revisionRow.sealedRecord)
	if err != nil {
		return changed + n, err
	}
	subscriptions, err := rotate(ctx, db, &problems, db.subscriptionsBehind, subscriptionRow.sealedRecord)
	if err != nil {
		return changed + n + subscriptions, err
	}
	return changed + n + subscriptions, errors.Join(problems...)
}

// A sealedRecord is a row whose data key can be replaced.
type sealedRecord struct {
	name     string
	place    place
	envelope sealed
	replace  func(tx *gorm.DB) *gorm.DB // the row, if it is as it was read
}

// rotate rewraps every record that behind lists, which does so in the order of their keys from behind a row; nil = the
// first.
func rotate[R any](
	ctx context.Context, db *DB, problems *[]error, behind func(context.Context, *R) ([]R, error), record func(R) sealedRecord,
) (int64, error) {
	var (
		changed int64
		after   *R
	)
	for {
		rows, err := behind(ctx, after)
		if err != nil || len(rows) == 0 {
			return changed, err
		}
		after = &rows[len(rows)-1]
		for _, row := range rows {
			n, err := db.rewrap(ctx, record(row), problems)
			if err != nil {
				return changed, err
			}
			changed += n
		}
	}
}

// rewrap writes the envelope under the newest key unless the settings were sealed anew in the meantime.
func (db *DB) rewrap(ctx context.Context, r sealedRecord, problems *[]error) (int64, error) {
	envelope, err := db.sealer.rewrap(r.envelope, r.place)
	if err != nil {
		*problems = append(*problems, fmt.Errorf("%s: %w", r.name, err))
		return 0, nil
	}
	var n int64
	err = db.transact(ctx, "rotate master keys", func(tx *gorm.DB) error {
		result := r.replace(tx).UpdateColumns(map[string]any{"config_data_key": envelope.dataKey, "config_key_id": envelope.keyID})
		n = result.RowsAffected
		return result.Error
	})
	return n, err
}

// exportsBehind returns a batch of exports behind the one given whose data key is under an older master key.
func (db *DB) exportsBehind(ctx context.Context, after *exportRow) ([]exportRow, error) {
	query := db.reading(ctx).Where("config_key_id <> ?", db.sealer.newest().id)
	if after != nil {
		query = query.Where("id > ?", after.ID)
	}
	var rows []exportRow
	err := query.Order("id").Limit(rotationBatch).Find(&rows).Error
	return rows, classify("rotate master keys", err)
}

func (r exportRow) sealedRecord() sealedRecord {
	return sealedRecord{
		name: "export " + r.ID.String(), place: r.place(), envelope: r.envelope(),
		replace: func(tx *gorm.DB) *gorm.DB {
			return tx.Model(&exportRow{}).Where("id = ? AND config_data_key = ?", r.ID, r.ConfigDataKey)
		},
	}
}

// revisionsBehind is exportsBehind for replaced definitions.
func (db *DB) revisionsBehind(ctx context.Context, after *revisionRow) ([]revisionRow, error) {
	query := db.reading(ctx).Where("config_key_id <> ?", db.sealer.newest().id)
	if after != nil {
		query = query.Where("(export_id, revision) > (?, ?)", after.ExportID, after.Revision)
	}
	var rows []revisionRow
	err := query.Order("export_id, revision").Limit(rotationBatch).Find(&rows).Error
	return rows, classify("rotate master keys", err)
}

func (r revisionRow) sealedRecord() sealedRecord {
	return sealedRecord{
		name: fmt.Sprintf("revision %d of export %s", r.Revision, r.ExportID), place: r.place(), envelope: r.envelope(),
		replace: func(tx *gorm.DB) *gorm.DB {
			return tx.Model(&revisionRow{}).
				Where("export_id = ? AND revision = ? AND config_data_key = ?", r.ExportID, r.Revision, r.ConfigDataKey)
		},
	}
}
