package storage

import (
	"context"

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

const backfillOutcome = `SELECT
	(SELECT CAST(COALESCE(SUM(COALESCE(rows_completed, 0) + COALESCE(rows_failed, 0)), 0) AS bigint)
		FROM runs WHERE backfill_id = b.id AND status = 'Completed') AS records,
	(SELECT COUNT(*) FROM (
		SELECT DISTINCT r.interval_start, r.interval_end FROM runs r
		WHERE r.backfill_id = b.id AND r.status <> 'Completed'
			AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.export_id = r.export_id
				AND d.interval_end = r.interval_end AND d.interval_start = r.interval_start
				AND d.committed_at >= b.created_at)) AS missing) AS undelivered
FROM backfills b WHERE b.id = ?`

// BackfillOutcome sums up a backfill whose workflows are over: a run that is still open is one that was terminated
// before it could say so.
func (db *DB) BackfillOutcome(ctx context.Context, id uuid.UUID) (batch.Outcome, error) {
	var outcomes []batch.Outcome
	if err := db.reading(ctx).Raw(backfillOutcome, id).Scan(&outcomes).Error; err != nil {
		return batch.Outcome{}, classify("sum up backfill", err)
	}
	if len(outcomes) == 0 {
		return batch.Outcome{}, notFound("sum up backfill")
	}
	return outcomes[0], nil
}
