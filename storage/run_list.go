package storage

import (
	"context"
	"database/sql"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/batch"
)

// behind orders the query by column and id, and keeps the rows strictly behind the position in that order. A position
// without a value is one from the beginning of time, which sorts before everything else.
func behind(p *batch.Position, query *gorm.DB, column string, desc bool) *gorm.DB {
	comparison, direction := " > ", ""
	if desc {
		comparison, direction = " < ", " DESC"
	}
	if p != nil {
		query = query.Where("("+column+", id)"+comparison+"(?, ?)", fromBeginning(p.Value), p.ID)
	}
	return query.Order(column + direction + ", id" + direction)
}

// fromBeginning returns the stored form of a start that may be open.
func fromBeginning(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return utc(*t)
}

// ListRuns returns the runs that the filter selects.
func (db *DB) ListRuns(ctx context.Context, f batch.RunFilter) ([]batch.Run, error) {
	query := db.reading(ctx).Where("team_id = ? AND export_id = ?", f.TeamID, f.ExportID)
	if f.BackfillID != nil {
		query = query.Where("backfill_id = ?", *f.BackfillID)
	}
	if len(f.Statuses) > 0 {
		query = query.Where("status IN ?", f.Statuses)
	}
	query = bounded(query, "created_at >= ?", f.CreatedAfter)
	query = bounded(query, "created_at <= ?", f.CreatedBefore)
	query = bounded(query, "interval_start >= ?", f.Start)
	query = bounded(query, "interval_end <= ?", f.End)
	column := "created_at"
	if f.OrderBy == batch.OrderIntervalStart {
		column = "interval_start"
	}
	var rows []runRow
	err := behind(f.After, query, column, f.Desc).Limit(limited(f.Limit)).Find(&rows).Error
	return runsOf(rows), classify("list runs", err)
}

// bounded adds a condition on a time unless there is none.
func bounded(query *gorm.DB, condition string, t *time.Time) *gorm.DB {
	if t == nil {
		return query
	}
	return query.Where(condition, utc(*t))
}

// The newest runs of many exports. A lateral join reads a few rows from the index for each export; SQLite has none.
const (
	latestRunsPostgres = `SELECT r.* FROM exports e CROSS JOIN LATERAL (
	SELECT * FROM runs WHERE export_id = e.id ORDER BY created_at DESC, id DESC LIMIT ?) r
WHERE e.id IN ? ORDER BY r.created_at DESC, r.id DESC`
	latestRunsSQLite = `SELECT * FROM (
	SELECT *, row_number() OVER (PARTITION BY export_id ORDER BY created_at DESC, id DESC) AS place FROM runs
	WHERE export_id IN ?) WHERE place <= ? ORDER BY created_at DESC, id DESC`
)

// LatestRuns returns the newest runs of each export, at most each of them, newest first.
func (db *DB) LatestRuns(ctx context.Context, exportIDs []uuid.UUID, each int) (map[uuid.UUID][]batch.Run, error) {
	latest := make(map[uuid.UUID][]batch.Run, len(exportIDs))
	if len(exportIDs) == 0 || each <= 0 {
		return latest, nil
	}
	query := db.reading(ctx).Raw(latestRunsPostgres, each, exportIDs)
	if db.dialect == SQLite {
		query = db.reading(ctx).Raw(latestRunsSQLite, exportIDs, each)
	}
	rows, err := query.Rows()
	if err != nil {
		return nil, classify("list latest runs", err)
	}
	defer rows.Close()
	var row runRow
	targets, err := row.targets(rows)
	if err != nil {
		return nil, classify("list latest runs", err)
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return nil, classify("list latest runs", err)
		}
		latest[row.ExportID] = append(latest[row.ExportID], runOf(row))
	}
	return latest, classify("list latest runs", rows.Err())
}

// targets are where the columns of rows go. A page of exports has a thousand runs, for which GORM's own way of scanning
// takes as long as all else together.
func (r *runRow) targets(rows *sql.Rows) ([]any, error) {
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	known := map[string]any{
		"id": &r.ID, "export_id": &r.ExportID, "team_id": &r.TeamID, "backfill_id": &r.BackfillID,
		"interval_start": &r.IntervalStart, "interval_end": &r.IntervalEnd, "status": &r.Status, "revision": &r.Revision,
		"workflow_id": &r.WorkflowID, "temporal_run_id": &r.TemporalRunID, "generation": &r.Generation, "attempt": &r.Attempt,
		"latest_error": &r.LatestError, "error_code": &r.ErrorCode, "next_retry_at": &r.NextRetryAt, "waiting_for": &r.WaitingFor,
		"rows_total": &r.RowsTotal, "rows_completed": &r.RowsCompleted, "rows_failed": &r.RowsFailed, "bytes": &r.Bytes, "files": &r.Files,
		"commit_started_at": &r.CommitStartedAt, "created_at": &r.CreatedAt, "finished_at": &r.FinishedAt, "last_updated_at": &r.LastUpdatedAt,
	}
	targets := make([]any, len(columns))
	for i, column := range columns {
		targets[i] = new(any) // a column of a newer release, or one that only the query has
		if target, ok := known[column]; ok {
			targets[i] = target
		}
	}
	return targets, nil
}

// OpenRuns pages through the runs that are under way, by id, from behind after.
func (db *DB) OpenRuns(ctx context.Context, after uuid.UUID, limit int) ([]batch.Run, error) {
	var rows []runRow
	err := db.reading(ctx).Where("id > ? AND "+open, after).Order("id").Limit(limited(limit)).Find(&rows).Error
	return runsOf(rows), classify("list open runs", err)
}

// OpenRunsOf returns an export's runs that are under way; with a backfill, only those that it asked for.
func (db *DB) OpenRunsOf(ctx context.Context, exportID uuid.UUID, backfillID *uuid.UUID) ([]batch.Run, error) {
	query := db.reading(ctx).Where("export_id = ? AND "+open, exportID)
	if backfillID != nil {
		query = query.Where("backfill_id = ?", *backfillID)
	}
	var rows []runRow
	err := query.Order("id").Limit(maxRows).Find(&rows).Error
	return runsOf(rows), classify("list open runs", err)
}
