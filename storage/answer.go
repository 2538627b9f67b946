package storage

import (
	"context"
	"errors"
	"time"

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
}

// TableName names the table for GORM.
func (answerRow) TableName() string { return "answers" }

// ClaimAnswer takes an idempotency key for a request that is about to be served: nil, nil. When the same request was
// answered before, that answer is returned. It refuses with batch.ErrClaimed or batch.ErrOtherRequest.
func (db *DB) ClaimAnswer(ctx context.Context, c batch.Claim) (*batch.Answer, error) {
	var answer *batch.Answer
	fresh := answerRow{Key: c.Key, Request: c.Request, Until: utc(c.Until), AbandonedAt: utc(c.AbandonedAt)}
	err := db.transact(ctx, "claim answer", func(tx *gorm.DB) error {
		answer = nil
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
		switch {
		case !now.Before(row.Until), row.Status == 0 && row.Request == c.Request && !now.Before(row.AbandonedAt):
			row = fresh
			return tx.Select("*").Updates(&row).Error
		case row.Request != c.Request:
			return batch.ErrOtherRequest
		case row.Status == 0:
			return batch.ErrClaimed
		}
		answer = &batch.Answer{Status: row.Status, Body: row.Body, ETag: row.ETag}
		return nil
	})
	if errors.Is(err, gorm.ErrRecordNotFound) || errors.Is(err, batch.ErrNotFound) {
		return nil, batch.ErrClaimed // it was released a moment ago: the caller may try again
	}
	return answer, err
}

// SaveAnswer keeps the answer to a request whose key was claimed.
func (db *DB) SaveAnswer(ctx context.Context, c batch.Claim, a batch.Answer) error {
	err := db.writing(ctx).Model(&answerRow{}).Where("key = ? AND request = ?", c.Key, c.Request).
		UpdateColumns(map[string]any{"status": a.Status, "body": a.Body, "etag": a.ETag}).Error
	return classify("save answer", err)
}

// ReleaseAnswer gives a claimed key back: the request was refused, and may be sent again after a correction.
func (db *DB) ReleaseAnswer(ctx context.Context, c batch.Claim) error {
	err := db.writing(ctx).Where("key = ? AND request = ? AND status = 0", c.Key, c.Request).Delete(&answerRow{}).Error
	return classify("release answer", err)
}

// DeleteAnswers forgets answers whose time was over before the time. It returns how many.
func (db *DB) DeleteAnswers(ctx context.Context, before time.Time, limit int) (int64, error) {
	result := db.writing(ctx).Exec("DELETE FROM answers WHERE key IN (SELECT key FROM answers WHERE until < ? ORDER BY until LIMIT ?)",
		utc(before), limited(limit))
	return result.RowsAffected, classify("delete answers", result.Error)
}
