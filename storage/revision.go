package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/batch"
)

// revisionRow is a row of the table export_revisions: a definition that a change has replaced. The newest one is the
// export's row.
type revisionRow struct {
	ExportID        uuid.UUID `gorm:"primaryKey"`
	Revision        int64     `gorm:"primaryKey;autoIncrement:false"`
	SupersededAt    time.Time
	TeamID          int64
	Model           string
	Selection       *string
	DestinationType string
	IntegrationID   *int64
	ConfigSealed    []byte
	ConfigDataKey   []byte
	ConfigKeyID     string
	Frequency       string
	Timezone        string
	OffsetDay       *int
	OffsetHour      *int
}

// TableName names the table for GORM.
func (revisionRow) TableName() string { return "export_revisions" }

func (r revisionRow) place() place { return place{exportID: r.ExportID, teamID: r.TeamID} }

func (r revisionRow) envelope() sealed {
	return sealed{text: r.ConfigSealed, dataKey: r.ConfigDataKey, keyID: r.ConfigKeyID}
}

// revisionRowOf keeps what runs work from. The settings stay in their envelope.
func revisionRowOf(r exportRow, supersededAt time.Time) revisionRow {
	return revisionRow{
		ExportID: r.ID, Revision: r.Revision, SupersededAt: supersededAt, TeamID: r.TeamID, Model: r.Model, Selection: r.Selection,
		DestinationType: r.DestinationType, IntegrationID: r.IntegrationID,
		ConfigSealed: r.ConfigSealed, ConfigDataKey: r.ConfigDataKey, ConfigKeyID: r.ConfigKeyID,
		Frequency: r.Frequency, Timezone: r.Timezone, OffsetDay: r.OffsetDay, OffsetHour: r.OffsetHour,
	}
}

// at returns the export as it was defined then. Whether it is paused or deleted, and its name, are as they are now.
func (r exportRow) at(then revisionRow) exportRow {
	r.Revision, r.Model, r.Selection = then.Revision, then.Model, then.Selection
	r.DestinationType, r.IntegrationID = then.DestinationType, then.IntegrationID
	r.ConfigSealed, r.ConfigDataKey, r.ConfigKeyID = then.ConfigSealed, then.ConfigDataKey, then.ConfigKeyID
	r.Frequency, r.Timezone, r.OffsetDay, r.OffsetHour = then.Frequency, then.Timezone, then.OffsetDay, then.OffsetHour
	return r
}

// supersede keeps the definition that is about to be replaced.
func supersede(tx *gorm.DB, row exportRow, now time.Time) error {
	kept := revisionRowOf(row, now)
	return tx.Create(&kept).Error
}

// ExportAt returns any export as it was defined at the revision, for runs that began with it.
func (db *DB) ExportAt(ctx context.Context, id uuid.UUID, revision int64) (batch.Export, error) {
	var (
		row  exportRow
		kept []revisionRow
	)
	reading := db.reading(ctx)
	if err := reading.Where("id = ?", id).Take(&row).Error; err != nil {
		return batch.Export{}, classify("read export", err)
	}
	if row.Revision == revision {
		return db.sealer.exportOf(row)
	}
	err := reading.Where("export_id = ? AND revision = ?", id, revision).Limit(1).Find(&kept).Error
	if err != nil {
		return batch.Export{}, classify("read revision", err)
	}
	if len(kept) == 0 {
		return batch.Export{}, notFound("read revision")
	}
	return db.sealer.exportOf(row.at(kept[0]))
}

// DeleteRevisions removes definitions that were replaced before the time and that nothing needs: no run that is under
// way began with them, and nothing that such a run staged is still to be removed. It returns how many.
func (db *DB) DeleteRevisions(ctx context.Context, supersededBefore time.Time, limit int) (int64, error) {
	result := db.writing(ctx).Exec(`DELETE FROM export_revisions WHERE (export_id, revision) IN (
		SELECT v.export_id, v.revision FROM export_revisions v WHERE v.superseded_at < ? AND NOT EXISTS (
			SELECT 1 FROM runs r WHERE r.export_id = v.export_id AND r.revision = v.revision AND (
				r.status IN ('Starting', 'Running') OR EXISTS (SELECT 1 FROM refs WHERE refs.run_id = r.id)))
		ORDER BY v.superseded_at LIMIT ?)`, utc(supersededBefore), limited(limit))
	return result.RowsAffected, classify("delete revisions", result.Error)
}
