package storage

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
)

// longest is more than any interval lasts but one from the beginning: a week joined to a week by a change of the
// calendar. With it, what overlaps a range is a range of the index by end.
const longest = 16 * 24 * time.Hour

// What overlaps a range: the intervals that end within it or soon after, and those from the beginning of time, which may
// end whenever. Each half is a range of an index.
const (
	deliveriesWithin = `SELECT export_id, interval_start, interval_end, run_id, generation, token, rows, bytes, manifest, committed_at, late_rows
	FROM deliveries WHERE superseded_at IS NULL AND export_id = ? AND interval_end > ? AND interval_end <= ? AND interval_start < ?
UNION ALL SELECT export_id, interval_start, interval_end, run_id, generation, token, rows, bytes, manifest, committed_at, late_rows
	FROM deliveries WHERE superseded_at IS NULL AND export_id = ? AND interval_start = ? AND interval_end > ?`
	runsWithin = `SELECT * FROM (
	SELECT *, row_number() OVER (PARTITION BY interval_start, interval_end ORDER BY created_at DESC, id DESC) AS place FROM (
		SELECT * FROM runs WHERE export_id = ? AND interval_end > ? AND interval_end <= ? AND interval_start < ?
		UNION ALL SELECT * FROM runs WHERE export_id = ? AND interval_start = ? AND interval_end > ?) overlapping) ranked
WHERE place <= ?`
)

// overlap are the arguments of what overlaps a range.
func overlap(exportID uuid.UUID, within batch.Interval) []any {
	start, end := utc(within.Start), utc(within.End)
	soon := end.Add(longest)
	return []any{exportID, start, soon, end, exportID, time.Time{}, soon}
}

// DeliveriesWithin returns what is delivered of the intervals that overlap a range, without the objects.
func (db *DB) DeliveriesWithin(ctx context.Context, exportID uuid.UUID, within batch.Interval) ([]batch.Delivery, error) {
	var rows []deliveryRow
	if err := db.reading(ctx).Raw(deliveriesWithin, overlap(exportID, within)...).Scan(&rows).Error; err != nil {
		return nil, classify("list deliveries", err)
	}
	deliveries := make([]batch.Delivery, len(rows))
	for n, row := range rows {
		deliveries[n] = batch.Delivery{
			ExportID: row.ExportID, Interval: interval(row.IntervalStart, row.IntervalEnd), RunID: row.RunID,
			Generation: row.Generation, Token: row.Token, Rows: row.Rows, Bytes: row.Bytes, Manifest: row.Manifest,
			CommittedAt: utc(row.CommittedAt), LateRows: row.LateRows,
		}
	}
	return deliveries, nil
}

// RunsWithin returns the newest runs of every interval that overlaps a range, at most each of one interval.
func (db *DB) RunsWithin(ctx context.Context, exportID uuid.UUID, within batch.Interval, each int) ([]batch.Run, error) {
	var rows []runRow
	err := db.reading(ctx).Raw(runsWithin, append(overlap(exportID, within), each)...).Scan(&rows).Error
	return runsOf(rows), classify("list runs", err)
}

// VoidWithin returns the ranges of an export, as far as they overlap the one that is asked for, in which a backfill found
// no rows: all that it was for, or what is before the earliest row.
func (db *DB) VoidWithin(ctx context.Context, exportID uuid.UUID, within batch.Interval) ([]batch.Interval, error) {
	var rows []backfillRow
	err := db.reading(ctx).Where("export_id = ? AND NOT retry AND status IN ('Completed', 'Failed')", exportID).
		Where("start_at < ? AND (total_runs = 0 AND NOT skip_delivered AND end_at > ? OR adjusted_start_at > ?)",
			utc(within.End), utc(within.Start), utc(within.Start)).Find(&rows).Error
	if err != nil {
		return nil, classify("list void ranges", err)
	}
	void := make([]batch.Interval, len(rows))
	for n, row := range rows {
		until := row.AdjustedStartAt
		if row.TotalRuns != nil && *row.TotalRuns == 0 && !row.SkipDelivered && row.EndAt != nil {
			until = row.EndAt
		}
		void[n] = interval(row.StartAt, *until)
	}
	return void, nil
}

// CalendarChanges returns the calendars that an export had before its present one, oldest first, each with the time
// until which it had it.
func (db *DB) CalendarChanges(ctx context.Context, exportID uuid.UUID) ([]batch.PastCalendar, error) {
	var rows []revisionRow
	err := db.reading(ctx).Select("revision", "superseded_at", "frequency", "timezone", "offset_day", "offset_hour").
		Where("export_id = ?", exportID).Order("revision").Find(&rows).Error
	if err != nil {
		return nil, classify("list calendars", err)
	}
	past := make([]batch.PastCalendar, len(rows))
	for n, row := range rows {
		past[n].Until = utc(row.SupersededAt)
		past[n].Calendar, err = batch.NewCalendar(batch.Frequency(row.Frequency), row.Timezone, row.OffsetDay, row.OffsetHour)
		if err != nil {
			return nil, classify("list calendars", err)
		}
	}
	return past, nil
}

// FirstDelivered returns the end of the export's earliest delivered interval; nil = there is none.
func (db *DB) FirstDelivered(ctx context.Context, exportID uuid.UUID) (*time.Time, error) {
	var rows []deliveryRow
	err := db.reading(ctx).Select("interval_end").Where("export_id = ? AND superseded_at IS NULL", exportID).
		Order("interval_end").Limit(1).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return nil, classify("read first delivery", err)
	}
	first := utc(rows[0].IntervalEnd)
	return &first, nil
}
