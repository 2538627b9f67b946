package storage

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/batch"
)

// logRow is a row of the table logs.
type logRow struct {
	ID        int64 `gorm:"primaryKey"`
	TeamID    int64
	ExportID  uuid.UUID
	RunID     *uuid.UUID
	Timestamp time.Time
	Level     string
	Message   string
}

// TableName names the table for GORM.
func (logRow) TableName() string { return "logs" }

// logRowOf maps a log entry to its row.
func logRowOf(e batch.LogEntry) logRow {
	row := logRow{
		TeamID: e.TeamID, ExportID: e.ExportID, Timestamp: utc(e.Timestamp), Level: string(e.Level), Message: clean(e.Message),
	}
	if e.RunID != uuid.Nil {
		row.RunID = &e.RunID
	}
	return row
}

// logOf maps a row to its log entry.
func logOf(r logRow) batch.LogEntry {
	e := batch.LogEntry{
		TeamID: r.TeamID, ExportID: r.ExportID, Timestamp: utc(r.Timestamp), Level: batch.LogLevel(r.Level), Message: r.Message,
	}
	if r.RunID != nil {
		e.RunID = *r.RunID
	}
	return e
}

// AppendLogs inserts the entries, all or none.
func (db *DB) AppendLogs(ctx context.Context, entries []batch.LogEntry) error {
	if len(entries) == 0 {
		return nil
	}
	return db.transact(ctx, "append logs", func(tx *gorm.DB) error {
		rows := make([]logRow, len(entries)) // anew for each try: an insert fills the ids
		for i, e := range entries {
			rows[i] = logRowOf(e)
		}
		return tx.CreateInBatches(rows, insertBatch).Error
	})
}

// escapeLike makes the wildcards of LIKE literal.
var escapeLike = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// ListLogs returns the entries that the filter selects, newest first.
func (db *DB) ListLogs(ctx context.Context, f batch.LogFilter) ([]batch.LogEntry, error) {
	query := db.reading(ctx).Where("team_id = ? AND export_id = ?", f.TeamID, f.ExportID)
	if f.RunID != nil {
		query = query.Where("run_id = ?", *f.RunID)
	}
	if len(f.Levels) > 0 {
		query = query.Where("level IN ?", f.Levels)
	}
	if f.Search != "" {
		query = query.Where("message "+db.like()+` ? ESCAPE '\'`, "%"+escapeLike.Replace(clean(f.Search))+"%")
	}
	query = bounded(query, "timestamp > ?", f.After)
	query = bounded(query, "timestamp < ?", f.Before)
	var rows []logRow
	err := query.Order("timestamp DESC, id DESC").Limit(limited(f.Limit)).Find(&rows).Error
	if err != nil {
		return nil, classify("list logs", err)
	}
	entries := make([]batch.LogEntry, 0, len(rows))
	for _, row := range rows {
		entries = append(entries, logOf(row))
	}
	return entries, nil
}

// DeleteLogs removes entries that are older than the time, the oldest first, and returns how many.
func (db *DB) DeleteLogs(ctx context.Context, before time.Time, limit int) (int64, error) {
	result := db.writing(ctx).Exec(
		"DELETE FROM logs WHERE id IN (SELECT id FROM logs WHERE timestamp < ? ORDER BY timestamp, id LIMIT ?)",
		utc(before), limited(limit))
	return result.RowsAffected, classify("delete logs", result.Error)
}
