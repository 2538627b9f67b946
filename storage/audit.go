package storage

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/batch"
)

// auditRow is a row of the table audit_log.
type auditRow struct {
	ID             uuid.UUID `gorm:"primaryKey"`
	TeamID         int64
	OrganizationID int64
	ExportID       *uuid.UUID
	SubjectID      *uuid.UUID
	Action         string
	Actor          string
	UserID         int64
	KeyID          *uuid.UUID
	KeyPrefix      string
	Address        string
	RequestID      string
	Note           string
	Changes        string    // JSON
	CreatedAt      time.Time `gorm:"autoCreateTime:false"`
}

// TableName names the table for GORM.
func (auditRow) TableName() string { return "audit_log" }

// auditRowOf maps an entry to its row.
func auditRowOf(e batch.AuditEntry) (auditRow, error) {
	changes, err := json.Marshal(append([]batch.FieldChange{}, e.Changes...))
	if err != nil {
		return auditRow{}, fmt.Errorf("encode changes: %w", err)
	}
	return auditRow{
		ID: e.ID, TeamID: e.TeamID, OrganizationID: e.OrganizationID, ExportID: idOrNil(e.ExportID), SubjectID: idOrNil(e.SubjectID),
		Action: string(e.Action), Actor: string(e.Actor.Kind), UserID: e.Actor.UserID, KeyID: idOrNil(e.Actor.KeyID),
		KeyPrefix: e.Actor.KeyPrefix, Address: e.Actor.Address, RequestID: e.Actor.RequestID,
		Note: clean(e.Note), Changes: clean(string(changes)), CreatedAt: utc(e.CreatedAt),
	}, nil
}

// auditOf maps a row to its entry.
func auditOf(r auditRow) (batch.AuditEntry, error) {
	var changes []batch.FieldChange
	if err := json.Unmarshal([]byte(r.Changes), &changes); err != nil {
		return batch.AuditEntry{}, fmt.Errorf("decode changes: %w", err)
	}
	return batch.AuditEntry{
		ID: r.ID, TeamID: r.TeamID, OrganizationID: r.OrganizationID, ExportID: idOf(r.ExportID), SubjectID: idOf(r.SubjectID),
		Action: batch.Action(r.Action), Note: r.Note, Changes: changes, CreatedAt: utc(r.CreatedAt),
		Actor: batch.Actor{
			Kind: batch.ActorKind(r.Actor), UserID: r.UserID, KeyID: idOf(r.KeyID), KeyPrefix: r.KeyPrefix,
			Address: r.Address, RequestID: r.RequestID,
		},
	}, nil
}

func idOrNil(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

func idOf(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}

// audit writes an entry in the transaction of the change that it tells of: there is no change without its entry, and no
// entry of a change that was not made. Who did it, and why, is what the context says.
func (db *DB) audit(ctx context.Context, tx *gorm.DB, e batch.AuditEntry) error {
	act := batch.ActOf(ctx)
	if act.Action.Subject() == e.Action.Subject() {
		e.Action = act.Action
	}
	e.ID, e.Actor, e.CreatedAt = uuid.Must(uuid.NewV7()), act.Actor, db.instant()
	e.Note = cmp.Or(e.Note, act.Note)
	row, err := auditRowOf(e)
	if err != nil {
		return err
	}
	return tx.Create(&row).Error
}

// AppendAudit writes an entry about something that was not a change of ours. Who did it is what the context says. Without
// a team it is that of the export.
func (db *DB) AppendAudit(ctx context.Context, e batch.AuditEntry) error {
	return db.transact(ctx, "append to audit log", func(tx *gorm.DB) error {
		if e.TeamID == 0 && e.ExportID != uuid.Nil {
			var row exportRow
			if err := tx.Select("team_id").Where("id = ?", e.ExportID).Take(&row).Error; err != nil {
				return err
			}
			e.TeamID = row.TeamID
		}
		return db.audit(ctx, tx, e)
	})
}

// ListAudit returns the entries that the filter selects, by their time.
func (db *DB) ListAudit(ctx context.Context, f batch.AuditFilter) ([]batch.AuditEntry, error) {
	rows, err := db.auditRows(ctx, f, "team_id = ?", f.TeamID)
	if err != nil {
		return nil, err
	}
	if f.OrganizationID != 0 && f.ExportID == nil {
		// Two reads that an index answers each are cheaper than one with an OR that none does.
		more, err := db.auditRows(ctx, f, "team_id = 0 AND organization_id = ?", f.OrganizationID)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
		slices.SortFunc(rows, func(a, b auditRow) int {
			order := cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID.String(), b.ID.String()))
			if f.Desc {
				return -order
			}
			return order
		})
		rows = rows[:min(len(rows), limited(f.Limit))]
	}
	entries := make([]batch.AuditEntry, 0, len(rows))
	for _, row := range rows {
		e, err := auditOf(row)
		if err != nil {
			return nil, classify("list audit log", err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func (db *DB) auditRows(ctx context.Context, f batch.AuditFilter, whose string, id int64) ([]auditRow, error) {
	query := db.reading(ctx).Where(whose, id)
	if f.ExportID != nil {
		query = query.Where("export_id = ?", *f.ExportID)
	}
	if len(f.Actions) > 0 {
		query = query.Where("action IN ?", f.Actions)
	}
	if f.ActorKind != "" {
		query = query.Where("actor = ?", f.ActorKind)
	}
	if f.UserID != nil {
		query = query.Where("user_id = ?", *f.UserID)
	}
	if f.KeyPrefix != "" {
		query = query.Where("key_prefix = ?", clean(f.KeyPrefix))
	}
	query = bounded(query, "created_at >= ?", f.CreatedAfter)
	query = bounded(query, "created_at < ?", f.CreatedBefore)
	var rows []auditRow
	err := behind(f.After, query, "created_at", f.Desc).Limit(limited(f.Limit)).Find(&rows).Error
	return rows, classify("list audit log", err)
}

// DeleteAudit removes entries that are older than the time, the oldest first, and returns how many. It is the only way:
// the database refuses every other change of the log.
func (db *DB) DeleteAudit(ctx context.Context, before time.Time, limit int) (int64, error) {
	var deleted int64
	err := db.transact(ctx, "delete from audit log", func(tx *gorm.DB) error {
		if err := db.lockName(tx, "tranche.audit_retention"); err != nil {
			return err
		}
		if err := tx.Exec("INSERT INTO audit_retention (id, delete_before) VALUES (1, ?)", utc(before)).Error; err != nil {
			return err
		}
		result := tx.Exec("DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE created_at < ? ORDER BY created_at, id LIMIT ?)",
			utc(before), limited(limit))
		if result.Error != nil {
			return result.Error
		}
		deleted = result.RowsAffected
		return tx.Exec("DELETE FROM audit_retention").Error
	})
	return deleted, err
}
