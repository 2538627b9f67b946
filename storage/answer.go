package storage

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"tranche/batch"
)

// answerRow is a row of the table answers.
type answerRow struct {
	Key         string `gorm:"primaryKey"`
	Request     string
	Until       time.Time
	AbandonedAt time.Time
	Status      int // 0 = not answered yet
	Body        []byte
	ETag        string `gorm:"column:etag"`
	Makes       *uuid.UUID
}

// TableName names the table for GORM.
func (answerRow) TableName() string { return "answers" }

// ClaimAnswer takes an idempotency key for a request that is about to be served. When the same request was answered
// before, that answer is returned; when it was cut off, the id of what it makes. It refuses with batch.ErrClaimed or
// batch.ErrOtherRequest.
func (db *DB) ClaimAnswer(ctx context.Context, c batch.Claim) (batch.Claimed, error) {
	var claimed batch.Claimed
	fresh := answerRow{Key: c.Key, Request: c.Request, Until: utc(c.Until), AbandonedAt: utc(c.AbandonedAt), Makes: &c.Makes}
	err := db.transact(ctx, "claim answer", func(tx *gorm.DB) error {
		claimed = batch.Claimed{Makes: c.Makes}
		row := fresh
		result := tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "key"}}, DoNothing: true}).Create(&row)
		if result.Error != nil || result.RowsAffected == 1 {
			return result.Error
		}
		row = answerRow{}
		if err := forUpdate(tx).Where("key = ?", c.Key).Take(&row).Error; err != nil {
			return err
		}
		now := db.instant()
		next := fresh
		switch {
		case !now.Before(row.Until):
		case row.Request != c.Request:
			return batch.ErrOtherRequest
		case row.Status != 0:
			claimed.Answer = &batch.Answer{Status: row.Status, Body: row.Body, ETag: row.ETag}
			return nil
		case now.Before(row.AbandonedAt):
			return batch.ErrClaimed
		case row.Makes != nil:
			claimed.Makes, next.Makes = *row.Makes, row.Makes
		}
		return tx.Select("*").Updates(&next).Error
	})
	if errors.Is(err, gorm.ErrRecordNotFound) || errors.Is(err, batch.ErrNotFound) {
		return batch.Claimed{}, batch.ErrClaimed // it was released a moment ago: the caller may try again
	}
	return claimed, err
}

// SaveAnswer keeps the answer to a request whose key was claimed.
func (db *DB) SaveAnswer(ctx context.Context, c batch.Claim, a batch.Answer) error {
	err := db.writing(ctx).Model(&answerRow{}).Where("key = ? AND request = ?", c.Key, c.Request).
		UpdateColumns(map[string]any{"status": a.Status, "body": a.Body, "etag": a.ETag}).Error
	return classify("save answer", err)
}

// ReleaseAnswer gives a claimed key back: the request was refused and had no effect. It may be sent again after a
// correction.
func (db *DB) ReleaseAnswer(ctx context.Context, c batch.Claim) error {
	return classify("release answer", db.unanswered(ctx, c).Delete(&answerRow{}).Error)
}

// AbandonAnswer says that a request failed, and that nobody knows whether it had its effect. The same request may be
// sent again at once, and makes what it makes under the same id.
func (db *DB) AbandonAnswer(ctx context.Context, c batch.Claim) error {
	err := db.unanswered(ctx, c).Model(&answerRow{}).UpdateColumn("abandoned_at", db.instant()).Error
	return classify("abandon answer", err)
}

// unanswered selects a claim that is still the caller's.
func (db *DB) unanswered(ctx context.Context, c batch.Claim) *gorm.DB {
	return db.writing(ctx).
		Where("key = ? AND request = ? AND abandoned_at = ? AND status = 0", c.Key, c.Request, utc(c.AbandonedAt))
}

// DeleteAnswers forgets answers whose time was over before the time. It returns how many.
func (db *DB) DeleteAnswers(ctx context.Context, before time.Time, limit int) (int64, error) {
	result := db.writing(ctx).Exec("DELETE FROM answers WHERE key IN (SELECT key FROM answers WHERE until < ? ORDER BY until LIMIT ?)",
		utc(before), limited(limit))
	return result.RowsAffected, classify("delete answers", result.Error)
}
