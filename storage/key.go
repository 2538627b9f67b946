package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"tranche/batch"
	"tranche/internal/auth"
)

// touchEvery is how often the last use of a key is written at most.
const touchEvery = time.Minute

// keyRow is a row of the table api_keys.
type keyRow struct {
	ID             uuid.UUID `gorm:"primaryKey"`
	Label          string
	Prefix         string
	Hash           string
	OrganizationID int64
	UserID         int64
	Scopes         string    // JSON
	CreatedAt      time.Time `gorm:"autoCreateTime:false"`
	LastUsedAt     *time.Time
	ExpiresAt      *time.Time
	RevokedAt      *time.Time
}

// TableName names the table for GORM.
func (keyRow) TableName() string { return "api_keys" }

// keyRowOf maps a key to its row.
func keyRowOf(k auth.Key) (keyRow, error) {
	scopes, err := json.Marshal(append([]auth.Scope{}, k.Scopes...))
	if err != nil {
		return keyRow{}, fmt.Errorf("encode scopes: %w", err)
	}
	return keyRow{
		ID: k.ID, Label: k.Label, Prefix: k.Prefix, Hash: k.Hash, OrganizationID: k.OrganizationID, UserID: k.UserID,
		Scopes: string(scopes), CreatedAt: utc(k.CreatedAt), LastUsedAt: utcOrNil(k.LastUsedAt),
		ExpiresAt: utcOrNil(k.ExpiresAt), RevokedAt: utcOrNil(k.RevokedAt),
	}, nil
}

// keyOf maps a row to its key.
func keyOf(r keyRow) (auth.Key, error) {
	var scopes []auth.Scope
	if err := json.Unmarshal([]byte(r.Scopes), &scopes); err != nil {
		return auth.Key{}, fmt.Errorf("decode scopes: %w", err)
	}
	return auth.Key{
		ID: r.ID, Label: r.Label, Prefix: r.Prefix, Hash: r.Hash, OrganizationID: r.OrganizationID, UserID: r.UserID,
		Scopes: scopes, CreatedAt: utc(r.CreatedAt), LastUsedAt: utcOrNil(r.LastUsedAt),
		ExpiresAt: utcOrNil(r.ExpiresAt), RevokedAt: utcOrNil(r.RevokedAt),
	}, nil
}

// CreateKey inserts a key. A key with the same hash stays as it is.
func (db *DB) CreateKey(ctx context.Context, k auth.Key) error {
	row, err := keyRowOf(k)
	if err != nil {
		return classify("create key", err)
	}
	return db.transact(ctx, "create key", func(tx *gorm.DB) error {
		result := tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "hash"}}, DoNothing: true}).Create(&row)
		if result.Error != nil || result.RowsAffected == 0 {
			return result.Error
		}
		entry := auditKey(row, batch.ActKeyCreated)
		if entry.Changes, err = changesOf(nil, map[string]any{
			"prefix": row.Prefix, "label": row.Label, "user_id": row.UserID, "scopes": json.RawMessage(row.Scopes), "expires_at": row.ExpiresAt,
		}); err != nil {
			return err
		}
		return db.audit(ctx, tx, entry)
	})
}

// KeyByHash returns the key whose secret has this hash, revoked and expired ones too.
func (db *DB) KeyByHash(ctx context.Context, hash string) (auth.Key, error) {
	var row keyRow
	if err := db.reading(ctx).Where("hash = ?", hash).Take(&row).Error; err != nil {
		return auth.Key{}, classify("read key", err)
	}
	return keyOf(row)
}

// ListKeys returns an organization's keys, oldest first, revoked and expired ones too.
func (db *DB) ListKeys(ctx context.Context, organizationID int64) ([]auth.Key, error) {
	var rows []keyRow
	err := db.reading(ctx).Where("organization_id = ?", organizationID).
		Order("created_at, id").Limit(maxRows).Find(&rows).Error
	if err != nil {
		return nil, classify("list keys", err)
	}
	keys := make([]auth.Key, 0, len(rows))
	for _, row := range rows {
		k, err := keyOf(row)
		if err != nil {
			return nil, classify("list keys", err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// RevokeKey ends a key. One that is revoked keeps its time.
func (db *DB) RevokeKey(ctx context.Context, id uuid.UUID, at time.Time) error {
	return db.transact(ctx, "revoke key", func(tx *gorm.DB) error {
		var row keyRow
		if err := forUpdate(tx).Where("id = ?", id).Take(&row).Error; err != nil || row.RevokedAt != nil {
			return err
		}
		if err := tx.Model(&keyRow{}).Where("id = ?", id).UpdateColumn("revoked_at", utc(at)).Error; err != nil {
			return err
		}
		changes, err := changesOf(map[string]any{"revoked_at": nil}, map[string]any{"revoked_at": utc(at)})
		if err != nil {
			return err
		}
		entry := auditKey(row, batch.ActKeyRevoked)
		entry.Changes = changes
		return db.audit(ctx, tx, entry)
	})
}

// auditKey is an entry about a key, which belongs to an organization.
func auditKey(row keyRow, action batch.Action) batch.AuditEntry {
	return batch.AuditEntry{OrganizationID: row.OrganizationID, SubjectID: row.ID, Action: action, Note: "Key " + row.Prefix + "… of user " + strconv.FormatInt(row.UserID, 10) + "."}
}

// TouchKey notes that the key was used, once a minute at most. A key that does not exist is nothing to note.
func (db *DB) TouchKey(ctx context.Context, id uuid.UUID, at time.Time) error {
	err := db.writing(ctx).Model(&keyRow{}).
		Where("id = ? AND (last_used_at IS NULL OR last_used_at <= ?)", id, utc(at.Add(-touchEvery))).
		UpdateColumn("last_used_at", utc(at)).Error
	return classify("touch key", err)
}
