package storage

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
)

// idBatch is the number of ids that one query asks for.
const idBatch = 1000

// tallies counts the runs of each backfill by how they stand.
func (db *DB) tallies(ctx context.Context, backfillIDs []uuid.UUID) (map[uuid.UUID]batch.Tally, error) {
	tallies := make(map[uuid.UUID]batch.Tally, len(backfillIDs))
	for from := 0; from < len(backfillIDs); from += idBatch {
		var groups []struct {
			BackfillID  uuid.UUID
			Status      batch.RunStatus
			Runs        int64
			Rows, Bytes int64
		}
		err := db.reading(ctx).Raw(`SELECT backfill_id, status, COUNT(*) AS runs,
				CAST(COALESCE(SUM(rows_completed), 0) AS bigint) AS rows, CAST(COALESCE(SUM(bytes), 0) AS bigint) AS bytes
			FROM runs WHERE backfill_id IN ? GROUP BY backfill_id, status`,
			backfillIDs[from:min(from+idBatch, len(backfillIDs))]).Scan(&groups).Error
		if err != nil {
			return nil, classify("count runs", err)
		}
		for _, g := range groups {
			tallies[g.BackfillID] = counted(tallies[g.BackfillID], g.Status, g.Runs, g.Rows, g.Bytes)
		}
	}
	return tallies, nil
}

// counted adds runs of one status to the tally.
func counted(t batch.Tally, status batch.RunStatus, runs, rows, bytes int64) batch.Tally {
	switch status {
	case batch.RunStarting, batch.RunRunning:
		t.Open += runs
	case batch.RunCompleted:
		t.Completed, t.Rows, t.Bytes = t.Completed+runs, t.Rows+rows, t.Bytes+bytes
	case batch.RunCancelled:
		t.Cancelled += runs
	case batch.RunFailed, batch.RunFailedRetryable, batch.RunFailedBilling, batch.RunContinuedAsNew, batch.RunTerminated, batch.RunTimedOut:
		t.Failed += runs
	}
	return t
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
	err := db.reading(ctx).Raw(`SELECT interval_start, interval_end FROM deliveries WHERE superseded_at IS NULL
		AND export_id = ? AND interval_end > ? AND interval_end <= ? AND committed_at >= ? ORDER BY interval_end, interval_start`,
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
	err := db.reading(ctx).Raw(`SELECT interval_start, interval_end FROM deliveries WHERE superseded_at IS NULL
		AND export_id = ? AND interval_end > ? AND interval_start < ? AND interval_start > ? ORDER BY interval_start, interval_end`,
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
