package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/batch"
)

// subscriptionRow is a row of the table subscriptions.
type subscriptionRow struct {
	ID            uuid.UUID `gorm:"primaryKey"`
	TeamID        int64
	ExportID      *uuid.UUID
	Name          string
	Kind          string
	Events        string // with a comma before and behind each
	LateAfter     int64  // minutes; 0 = as the export's frequency has it
	Enabled       bool
	ConfigSealed  []byte
	ConfigDataKey []byte
	ConfigKeyID   string
	CreatedAt     time.Time `gorm:"autoCreateTime:false"`
	LastUpdatedAt time.Time
}

// TableName names the table for GORM.
func (subscriptionRow) TableName() string { return "subscriptions" }

// subscriptionConfig is what of a subscription is sealed.
type subscriptionConfig struct {
	URL            string    `json:"url"`
	Secret         string    `json:"secret"`
	OldSecret      string    `json:"old_secret,omitzero"`
	OldSecretUntil time.Time `json:"old_secret_until,omitzero"`
}

// place binds what is sealed to the subscription, as if it was an export: ids are nobody else's.
func (r subscriptionRow) place() place { return place{exportID: r.ID, teamID: r.TeamID} }

func (r subscriptionRow) envelope() sealed {
	return sealed{text: r.ConfigSealed, dataKey: r.ConfigDataKey, keyID: r.ConfigKeyID}
}

// subscriptionRowOf maps a subscription to its row and seals where it goes.
func (s *Sealer) subscriptionRowOf(n batch.Subscription) (subscriptionRow, error) {
	config, err := json.Marshal(subscriptionConfig{n.URL, n.Secret, n.OldSecret, n.OldSecretUntil})
	if err != nil {
		return subscriptionRow{}, fmt.Errorf("encode address: %w", err)
	}
	row := subscriptionRow{
		ID: n.ID, TeamID: n.TeamID, ExportID: idOrNil(n.ExportID), Name: n.Name, Kind: string(n.Kind), Events: listed(n.Events),
		LateAfter: int64(n.LateAfter / time.Minute), Enabled: n.Enabled, CreatedAt: utc(n.CreatedAt), LastUpdatedAt: utc(n.LastUpdatedAt),
	}
	envelope, err := s.seal(config, row.place())
	if err != nil {
		return subscriptionRow{}, fmt.Errorf("seal address: %w", err)
	}
	row.ConfigSealed, row.ConfigDataKey, row.ConfigKeyID = envelope.text, envelope.dataKey, envelope.keyID
	return row, nil
}

// subscriptionOf maps a row to its subscription and opens where it goes.
func (s *Sealer) subscriptionOf(r subscriptionRow) (batch.Subscription, error) {
	text, err := s.open(r.envelope(), r.place())
	if err != nil {
		return batch.Subscription{}, fmt.Errorf("subscription %s: %w", r.ID, err)
	}
	var config subscriptionConfig
	if err := json.Unmarshal(text, &config); err != nil {
		return batch.Subscription{}, fmt.Errorf("subscription %s: decode address: %w", r.ID, err)
	}
	return batch.Subscription{
		ID: r.ID, TeamID: r.TeamID, ExportID: idOf(r.ExportID), Name: r.Name, Kind: batch.SubscriptionKind(r.Kind),
		URL: config.URL, Secret: config.Secret, OldSecret: config.OldSecret, OldSecretUntil: config.OldSecretUntil, Events: r.events(),
		LateAfter: r.lateAfter(), Enabled: r.Enabled,
		CreatedAt: utc(r.CreatedAt), LastUpdatedAt: utc(r.LastUpdatedAt),
	}, nil
}

// listed is the stored form of events, in which one is found by ",event,".
func listed(events []batch.Event) string {
	var out strings.Builder
	for _, e := range events {
		out.WriteString("," + string(e))
	}
	return out.String() + ","
}

func (r subscriptionRow) events() []batch.Event {
	var events []batch.Event
	for text := range strings.SplitSeq(strings.Trim(r.Events, ","), ",") {
		if text != "" {
			events = append(events, batch.Event(text))
		}
	}
	return events
}

func (r subscriptionRow) lateAfter() time.Duration { return time.Duration(r.LateAfter) * time.Minute }

func (r subscriptionRow) wants(e batch.Event) bool {
	return r.Enabled && strings.Contains(r.Events, ","+string(e)+",")
}

// CreateSubscription inserts a subscription. It is refused with batch.ErrTooManySubscriptions when its export, or its
// team for all exports, has limit of them.
func (db *DB) CreateSubscription(ctx context.Context, n batch.Subscription, limit int) error {
	row, err := db.sealer.subscriptionRowOf(n)
	if err != nil {
		return classify("create subscription", err)
	}
	return db.transact(ctx, "create subscription", func(tx *gorm.DB) error {
		if err := db.lockName(tx, fmt.Sprintf("tranche.subscriptions.%d", n.TeamID)); err != nil {
			return err
		}
		var have int64
		if err := ofExport(tx.Model(&subscriptionRow{}), n.TeamID, n.ExportID).Count(&have).Error; err != nil {
			return err
		}
		if have >= int64(limit) {
			return batch.ErrTooManySubscriptions
		}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		return db.auditSubscription(ctx, tx, batch.ActNotificationCreated, nil, &n)
	})
}

// ofExport selects a team's subscriptions to an export; zero = to all of its exports.
func ofExport(query *gorm.DB, teamID int64, exportID uuid.UUID) *gorm.DB {
	if exportID == uuid.Nil {
		return query.Where("team_id = ? AND export_id IS NULL", teamID)
	}
	return query.Where("team_id = ? AND export_id = ?", teamID, exportID)
}

// Subscription returns a team's subscription to an export; zero = to all of its exports.
func (db *DB) Subscription(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Subscription, error) {
	var row subscriptionRow
	if err := ofExport(db.reading(ctx), teamID, exportID).Where("id = ?", id).Take(&row).Error; err != nil {
		return batch.Subscription{}, classify("read subscription", err)
	}
	return db.sealer.subscriptionOf(row)
}

// ListSubscriptions returns a team's subscriptions to an export, oldest first; zero = those to all of its exports.
func (db *DB) ListSubscriptions(ctx context.Context, teamID int64, exportID uuid.UUID) ([]batch.Subscription, error) {
	var rows []subscriptionRow
	err := ofExport(db.reading(ctx), teamID, exportID).Order("created_at, id").Limit(maxRows).Find(&rows).Error
	if err != nil {
		return nil, classify("list subscriptions", err)
	}
	all := make([]batch.Subscription, 0, len(rows))
	for _, row := range rows {
		n, err := db.sealer.subscriptionOf(row)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// UpdateSubscription changes a subscription under a lock, unless change returns an error. Whose it is stays. Change must
// not use the database and may be called more than once.
func (db *DB) UpdateSubscription(
	ctx context.Context, teamID int64, exportID, id uuid.UUID, change func(*batch.Subscription) error,
) (batch.Subscription, error) {
	var after batch.Subscription
	err := db.transact(ctx, "update subscription", func(tx *gorm.DB) error {
		var row subscriptionRow
		if err := ofExport(forUpdate(tx), teamID, exportID).Where("id = ?", id).Take(&row).Error; err != nil {
			return err
		}
		before, err := db.sealer.subscriptionOf(row)
		if err != nil {
			return err
		}
		after = before
		if err := change(&after); errors.Is(err, batch.ErrUnchanged) {
			after = before
			return nil
		} else if err != nil {
			return err
		}
		after.ID, after.TeamID, after.ExportID = before.ID, before.TeamID, before.ExportID
		after.CreatedAt, after.LastUpdatedAt = before.CreatedAt, db.instant()
		if row, err = db.sealer.subscriptionRowOf(after); err != nil {
			return err
		}
		if err := tx.Select("*").Updates(&row).Error; err != nil {
			return err
		}
		return db.auditSubscription(ctx, tx, batch.ActNotificationUpdated, &before, &after)
	})
	return after, err
}

// DeleteSubscription removes a subscription, and its secrets with it. What was sent to it stays in the log.
func (db *DB) DeleteSubscription(ctx context.Context, teamID int64, exportID, id uuid.UUID) error {
	return db.transact(ctx, "delete subscription", func(tx *gorm.DB) error {
		var row subscriptionRow
		if err := ofExport(forUpdate(tx), teamID, exportID).Where("id = ?", id).Take(&row).Error; err != nil {
			return err
		}
		before, err := db.sealer.subscriptionOf(row)
		if err != nil {
			return err
		}
		if err := tx.Delete(&row).Error; err != nil {
			return err
		}
		return db.auditSubscription(ctx, tx, batch.ActNotificationDeleted, &before, nil)
	})
}

// auditSubscription writes what became of a subscription into the audit log; nil = there was none, or is none any more.
func (db *DB) auditSubscription(ctx context.Context, tx *gorm.DB, action batch.Action, before, after *batch.Subscription) error {
	entry := batch.AuditEntry{Action: action}
	sides := [2]map[string]any{}
	for i, n := range []*batch.Subscription{before, after} {
		if n == nil {
			continue
		}
		entry.TeamID, entry.ExportID, entry.SubjectID = n.TeamID, n.ExportID, n.ID
		sides[i] = map[string]any{
			"name": n.Name, "kind": n.Kind, "events": n.Events, "enabled": n.Enabled,
			"late_after_minutes": int64(n.LateAfter / time.Minute), "old_secret_until": untilOrNil(n),
		}
		for name, text := range map[string]string{"url": n.URL, "secret": n.Secret} {
			fingerprint, err := db.fingerprint(n.TeamID, text)
			if err != nil {
				return err
			}
			sides[i][name] = fingerprint
		}
	}
	var err error
	if entry.Changes, err = changesOf(sides[0], sides[1]); err != nil {
		return err
	}
	return db.audit(ctx, tx, entry)
}

// untilOrNil is until when the secret before is signed with too.
func untilOrNil(n *batch.Subscription) any {
	if n.OldSecretUntil.IsZero() {
		return nil
	}
	return n.OldSecretUntil.UTC().Format(time.RFC3339)
}

// subscriptionsBehind is exportsBehind for subscriptions.
func (db *DB) subscriptionsBehind(ctx context.Context, after *subscriptionRow) ([]subscriptionRow, error) {
	query := db.reading(ctx).Where("config_key_id <> ?", db.sealer.newest().id)
	if after != nil {
		query = query.Where("id > ?", after.ID)
	}
	var rows []subscriptionRow
	err := query.Order("id").Limit(rotationBatch).Find(&rows).Error
	return rows, classify("rotate master keys", err)
}

func (r subscriptionRow) sealedRecord() sealedRecord {
	return sealedRecord{
		name: "subscription " + r.ID.String(), place: r.place(), envelope: r.envelope(),
		replace: func(tx *gorm.DB) *gorm.DB {
			return tx.Model(&subscriptionRow{}).Where("id = ? AND config_data_key = ?", r.ID, r.ConfigDataKey)
		},
	}
}
