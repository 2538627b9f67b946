package storage

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
)

// idBatch is the number of ids that one query asks for.
const idBatch = 1000

// CountFinishedRuns counts the runs of each backfill that are Completed or Failed.
func (db *DB) CountFinishedRuns(ctx context.Context, backfillIDs []uuid.UUID) (map[uuid.UUID]int64, error) {
	finished := make(map[uuid.UUID]int64, len(backfillIDs))
	for from := 0; from < len(backfillIDs); from += idBatch {
		var counts []struct {
			BackfillID uuid.UUID
			Runs       int64
		}
		err := db.reading(ctx).Raw(`SELECT backfill_id, COUNT(*) AS runs FROM runs
			WHERE backfill_id IN ? AND status IN ? GROUP BY backfill_id`,
			backfillIDs[from:min(from+idBatch, len(backfillIDs))],
			[]batch.RunStatus{batch.RunCompleted, batch.RunFailed}).Scan(&counts).Error
		if err != nil {
			return nil, classify("count finished runs", err)
		}
		for _, c := range counts {
			finished[c.BackfillID] = c.Runs
		}
	}
	return finished, nil
}

// BackfillRecords sums the rows that the backfill's completed runs handled, delivered or not.
func (db *DB) BackfillRecords(ctx context.Context, id uuid.UUID) (int64, error) {
	var records int64
	err := db.reading(ctx).Raw(`SELECT CAST(COALESCE(SUM(COALESCE(rows_completed, 0) + COALESCE(rows_failed, 0)), 0) AS bigint)
		FROM runs WHERE backfill_id = ? AND status = 'Completed'`, id).Scan(&records).Error
	return records, classify("sum up backfill", err)
}

// DeliveredSince returns the bounds, in order, of the intervals within a range that were delivered at the time or later.
func (db *DB) DeliveredSince(ctx context.Context, exportID uuid.UUID, within batch.Interval, since time.Time) ([]batch.Interval, error) {
	var rows []struct{ IntervalStart, IntervalEnd time.Time }
	err := db.reading(ctx).Raw(`SELECT interval_start, interval_end FROM deliveries
		WHERE export_id = ? AND interval_end > ? AND interval_end <= ? AND committed_at >= ? ORDER BY interval_end, interval_start`,
		exportID, utc(within.Start), utc(within.End), utc(since)).Scan(&rows).Error
	if err != nil {
		return nil, classify("list deliveries", err)
	}
	bounds := make([]batch.Interval, len(rows))
	for i, row := range rows {
		bounds[i] = interval(row.IntervalStart, row.IntervalEnd)
	}
	return bounds, nil
}

// DeliveredBounds returns the bounds of an export's deliveries that overlap the range, by their start. Those from the
// beginning of time are left out: they are copies of their own.
func (db *DB) DeliveredBounds(ctx context.Context, exportID uuid.UUID, within batch.Interval) ([]batch.Interval, error) {
	var rows []struct{ IntervalStart, IntervalEnd time.Time }
	err := db.reading(ctx).Raw(`SELECT interval_start, interval_end FROM deliveries
		WHERE export_id = ? AND interval_end > ? AND interval_start < ? AND interval_start > ? ORDER BY interval_start, interval_end`,
		exportID, utc(within.Start), utc(within.End), time.Time{}).Scan(&rows).Error
	if err != nil {
		return nil, classify("list deliveries", err)
	}
	bounds := make([]batch.Interval, len(rows))
	for i, row := range rows {
		bounds[i] = interval(row.IntervalStart, row.IntervalEnd)
	}
	return bounds, nil
}
