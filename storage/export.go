package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/batch"
	"tranche/internal/secret"
)

// exportRow is a row of the table exports.
type exportRow struct {
	ID                 uuid.UUID `gorm:"primaryKey"`
	TeamID             int64
	Name               string
	Model              string
	Selection          *string
	DestinationType    string
	IntegrationID      *int64
	ConfigSealed       []byte
	ConfigDataKey      []byte
	ConfigKeyID        string
	Frequency          string
	Timezone           string
	OffsetDay          *int
	OffsetHour         *int
	FirstIntervalStart *time.Time
	FirstIntervalEnd   *time.Time
	StartAt            *time.Time
	EndAt              *time.Time
	Paused             bool
	LastPausedAt       *time.Time
	Deleted            bool
	Revision           int64
	ScheduledRevision  int64
	CreatedAt          time.Time `gorm:"autoCreateTime:false"`
	LastUpdatedAt      time.Time
	LastModifiedBy     int64
}

// TableName names the table for GORM.
func (exportRow) TableName() string { return "exports" }

func (r exportRow) place() place { return place{exportID: r.ID, teamID: r.TeamID} }

func (r exportRow) envelope() sealed {
	return sealed{text: r.ConfigSealed, dataKey: r.ConfigDataKey, keyID: r.ConfigKeyID}
}

// exportRowOf maps an export to its row and seals the settings.
func (s *Sealer) exportRowOf(e batch.Export) (exportRow, error) {
	config, err := json.Marshal(revealed(e.Destination.Config))
	if err != nil {
		return exportRow{}, fmt.Errorf("encode settings: %w", err)
	}
	envelope, err := s.seal(config, place{exportID: e.ID, teamID: e.TeamID})
	if err != nil {
		return exportRow{}, fmt.Errorf("seal settings: %w", err)
	}
	selection, err := selectionTextOf(e.Selection)
	if err != nil {
		return exportRow{}, err
	}
	first, last := boundsOf(e.FirstInterval)
	return exportRow{
		ID: e.ID, TeamID: e.TeamID, Name: e.Name, Model: string(e.Model), Selection: selection,
		DestinationType: e.Destination.Type, IntegrationID: e.Destination.Integration,
		ConfigSealed: envelope.text, ConfigDataKey: envelope.dataKey, ConfigKeyID: envelope.keyID,
		Frequency: string(e.Frequency), Timezone: e.Timezone, OffsetDay: e.OffsetDay, OffsetHour: e.OffsetHour,
		FirstIntervalStart: first, FirstIntervalEnd: last,
		StartAt: utcOrNil(e.StartAt), EndAt: utcOrNil(e.EndAt),
		Paused: e.Paused, LastPausedAt: utcOrNil(e.LastPausedAt), Deleted: e.Deleted,
		Revision: e.Revision, ScheduledRevision: e.ScheduledRevision,
		CreatedAt: utc(e.CreatedAt), LastUpdatedAt: utc(e.LastUpdatedAt), LastModifiedBy: e.LastModifiedBy,
	}, nil
}

// exportOf maps a row to its export and opens the settings.
func (s *Sealer) exportOf(r exportRow) (batch.Export, error) {
	text, err := s.open(r.envelope(), r.place())
	if err != nil {
		return batch.Export{}, fmt.Errorf("export %s: %w", r.ID, err)
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		return batch.Export{}, fmt.Errorf("export %s: decode settings: %w", r.ID, err)
	}
	selection, err := selectionOf(r.Selection)
	if err != nil {
		return batch.Export{}, fmt.Errorf("export %s: decode selection: %w", r.ID, err)
	}
	return batch.Export{
		ID: r.ID, TeamID: r.TeamID, Name: r.Name, Model: batch.Model(r.Model), Selection: selection,
		Destination: batch.Destination{Type: r.DestinationType, Config: config, Integration: r.IntegrationID},
		Frequency:   batch.Frequency(r.Frequency), Timezone: r.Timezone, OffsetDay: r.OffsetDay, OffsetHour: r.OffsetHour,
		FirstInterval: intervalOf(r.FirstIntervalStart, r.FirstIntervalEnd),
		StartAt:       utcOrNil(r.StartAt), EndAt: utcOrNil(r.EndAt),
		Paused: r.Paused, LastPausedAt: utcOrNil(r.LastPausedAt), Deleted: r.Deleted,
		Revision: r.Revision, ScheduledRevision: r.ScheduledRevision,
		CreatedAt: utc(r.CreatedAt), LastUpdatedAt: utc(r.LastUpdatedAt), LastModifiedBy: r.LastModifiedBy,
	}, nil
}

func (s *Sealer) exportsOf(rows []exportRow) ([]batch.Export, error) {
	exports := make([]batch.Export, 0, len(rows))
	for _, row := range rows {
		e, err := s.exportOf(row)
		if err != nil {
			return nil, err
		}
		exports = append(exports, e)
	}
	return exports, nil
}

// revealed returns the settings with the text of each secret.String in them, which would encode as redacted.
func revealed(v any) any {
	switch v := v.(type) {
	case secret.String:
		return v.Reveal()
	case *secret.String:
		if v == nil {
			return nil
		}
		return v.Reveal()
	case map[string]any:
		if v == nil {
			return nil
		}
		out := make(map[string]any, len(v))
		for name, value := range v {
			out[name] = revealed(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = revealed(value)
		}
		return out
	}
	return v
}

// CreateExport inserts an export, whose Revision must be 1 or more: smaller ones would never be scheduled.
func (db *DB) CreateExport(ctx context.Context, e batch.Export) error {
	if e.Revision < 1 {
		return errors.New("create export: revisions start at 1")
	}
	row, err := db.sealer.exportRowOf(e)
	if err != nil {
		return classify("create export", err)
	}
	return db.transact(ctx, "create export", func(tx *gorm.DB) error {
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		if err := beginSpan(tx, e); err != nil {
			return err
		}
		entry, err := db.auditExport(nil, e)
		if err != nil {
			return err
		}
		return db.audit(ctx, tx, entry)
	})
}

// Export returns a team's export. Deleted ones are not found.
func (db *DB) Export(ctx context.Context, teamID int64, id uuid.UUID) (batch.Export, error) {
	var row exportRow
	err := db.reading(ctx).Where("id = ? AND team_id = ? AND NOT deleted", id, teamID).Take(&row).Error
	if err != nil {
		return batch.Export{}, classify("read export", err)
	}
	return db.sealer.exportOf(row)
}

// ExportByID returns any export, deleted ones too.
func (db *DB) ExportByID(ctx context.Context, id uuid.UUID) (batch.Export, error) {
	var row exportRow
	if err := db.reading(ctx).Where("id = ?", id).Take(&row).Error; err != nil {
		return batch.Export{}, classify("read export", err)
	}
	return db.sealer.exportOf(row)
}

// ListExports returns a page of a team's exports, newest first, and how many there are in all. Deleted ones do not count.
func (db *DB) ListExports(ctx context.Context, teamID int64, limit, offset int) ([]batch.Export, int64, error) {
	var (
		total int64
		rows  []exportRow
	)
	team := func() *gorm.DB {
		return db.reading(ctx).Model(&exportRow{}).Where("team_id = ? AND NOT deleted", teamID)
	}
	if err := team().Count(&total).Error; err != nil {
		return nil, 0, classify("count exports", err)
	}
	if int64(offset) >= total {
		return nil, total, nil
	}
	const newest = "created_at DESC, id DESC"
	page := team()
	if offset > 0 {
		// What lies before the page is skipped in the index, without reading its rows.
		var first exportRow
		err := team().Select("created_at", "id").Order(newest).Offset(offset).Limit(1).Find(&first).Error
		if err != nil {
			return nil, 0, classify("list exports", err)
		}
		page = page.Where("(created_at, id) <= (?, ?)", first.CreatedAt, first.ID)
	}
	if err := page.Order(newest).Limit(limited(limit)).Find(&rows).Error; err != nil {
		return nil, 0, classify("list exports", err)
	}
	exports, err := db.sealer.exportsOf(rows)
	return exports, total, err
}

// UpdateExport changes an export that is not deleted, under a lock: nobody else changes it at the same time. The
// revision grows by one and LastUpdatedAt becomes now, unless change returns batch.ErrUnchanged: then nothing is
// written. Change must not use the database and may be called more than once; who the export is stays.
func (db *DB) UpdateExport(
	ctx context.Context, teamID int64, id uuid.UUID, change func(*batch.Export) error,
) (batch.Export, error) {
	return db.updateExport(ctx, teamID, id, 0, change)
}

// RaiseRevision gives the export, as it is, a revision above the given one, unless it has reached that already: then it
// returns batch.ErrUnchanged.
func (db *DB) RaiseRevision(ctx context.Context, teamID int64, id uuid.UUID, above int64) (batch.Export, error) {
	raised := false
	e, err := db.updateExport(ctx, teamID, id, above, func(e *batch.Export) error {
		if raised = e.Revision < above; !raised {
			return batch.ErrUnchanged
		}
		return nil
	})
	if err == nil && !raised {
		err = batch.ErrUnchanged
	}
	return e, err
}

// updateExport is UpdateExport with a revision that is above the given one.
func (db *DB) updateExport(
	ctx context.Context, teamID int64, id uuid.UUID, above int64, change func(*batch.Export) error,
) (batch.Export, error) {
	var updated batch.Export
	err := db.transact(ctx, "update export", func(tx *gorm.DB) error {
		var row exportRow
		err := forUpdate(tx).Where("id = ? AND team_id = ? AND NOT deleted", id, teamID).Take(&row).Error
		if err != nil {
			return err
		}
		before, err := db.sealer.exportOf(row)
		if err != nil {
			return err
		}
		after := before
		if err := change(&after); errors.Is(err, batch.ErrUnchanged) {
			updated, err = db.sealer.exportOf(row)
			return err
		} else if err != nil {
			return err
		}
		if err := supersede(tx, row, db.instant()); err != nil {
			return err
		}
		after.ID, after.TeamID, after.CreatedAt = row.ID, row.TeamID, row.CreatedAt
		after.Revision, after.ScheduledRevision = max(row.Revision, above)+1, row.ScheduledRevision
		after.LastUpdatedAt = db.instant()
		if row, err = db.sealer.exportRowOf(after); err != nil {
			return err
		}
		if updated, err = db.sealer.exportOf(row); err != nil {
			return err
		}
		if err := tx.Select("*").Updates(&row).Error; err != nil {
			return err
		}
		if err := respan(tx, before, updated); err != nil {
			return err
		}
		entry, err := db.auditExport(&before, updated)
		if err != nil {
			return err
		}
		if err := db.audit(ctx, tx, entry); err != nil {
			return err
		}
		db.tellOfPause(ctx, tx, before, updated)
		return nil
	})
	if err != nil {
		return batch.Export{}, err
	}
	return updated, nil
}

// StaleSchedules returns exports, deleted ones too, whose schedule was last put for an older revision; longest first.
func (db *DB) StaleSchedules(ctx context.Context, limit int) ([]batch.Export, error) {
	var rows []exportRow
	err := db.reading(ctx).Where("scheduled_revision < revision").
		Order("last_updated_at, id").Limit(limited(limit)).Find(&rows).Error
	if err != nil {
		return nil, classify("list stale schedules", err)
	}
	return db.sealer.exportsOf(rows)
}

// MarkScheduled says that the schedule was put for this revision. It never lowers what was marked before.
func (db *DB) MarkScheduled(ctx context.Context, id uuid.UUID, revision int64) error {
	err := db.writing(ctx).Model(&exportRow{}).Where("id = ? AND scheduled_revision < ?", id, revision).
		UpdateColumn("scheduled_revision", revision).Error
	return classify("mark schedule", err)
}

// ActiveExports pages through the exports that are not deleted, by id, from behind after.
func (db *DB) ActiveExports(ctx context.Context, after uuid.UUID, limit int) ([]batch.Export, error) {
	var rows []exportRow
	err := db.reading(ctx).Where("id > ? AND NOT deleted", after).Order("id").Limit(limited(limit)).Find(&rows).Error
	if err != nil {
		return nil, classify("list active exports", err)
	}
	return db.sealer.exportsOf(rows)
}
