package storage

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/batch"
)

// countPermits counts the runs that work beside one, for each limit.
const countPermits = `SELECT COUNT(CASE WHEN export_id = ? THEN 1 END) AS of_export, COUNT(CASE WHEN team_id = ? THEN 1 END) AS of_team,
	COUNT(CASE WHEN host = ? AND host <> '' THEN 1 END) AS of_host
FROM permits WHERE (team_id = ? OR host = ?) AND run_id <> ? AND expires_at > ?`

const insertPermit = `INSERT INTO permits (run_id, export_id, team_id, host, expires_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (run_id) DO UPDATE SET expires_at = excluded.expires_at`

// AcquirePermit lets the run work for the time ttl, unless as many others do already: then it is an error with
// batch.CodeBusy that names the limit. All limits are met at once, so no run holds one place while it waits for another.
func (db *DB) AcquirePermit(ctx context.Context, p batch.Permit, limits batch.Concurrency, ttl time.Duration) error {
	return db.transact(ctx, "acquire permit", func(tx *gorm.DB) error {
		// The team's lock always comes first, so that nobody waits in a circle.
		if err := db.lockName(tx, "tranche.permits.team."+strconv.FormatInt(p.TeamID, 10)); err != nil {
			return err
		}
		if p.Host != "" && limits.PerHost > 0 {
			if err := db.lockName(tx, "tranche.permits.host."+p.Host); err != nil {
				return err
			}
		}
		var working struct{ OfExport, OfTeam, OfHost int }
		err := tx.Raw(countPermits, p.ExportID, p.TeamID, p.Host, p.TeamID, p.Host, p.RunID, db.clock()).Scan(&working).Error
		if err != nil {
			return err
		}
		for _, c := range []struct {
			working, limit int
			whose          string
		}{
			{working.OfExport, limits.PerExport, "of this batch export"},
			{working.OfTeam, limits.PerTeam, "of this project"},
			{working.OfHost, limits.PerHost, "that deliver to " + p.Host},
		} {
			if c.limit > 0 && c.working >= places(c.limit, p.Backfill) {
				return batch.Errorf(batch.CodeBusy, nil, "%d runs %s work already, and the limit is %d", c.working, c.whose, c.limit)
			}
		}
		return tx.Exec(insertPermit, p.RunID, p.ExportID, p.TeamID, p.Host, db.clockIn(ttl)).Error
	})
}

// places are how many of a limit a run may compete for: a backfill leaves the last one to schedules.
func places(limit int, backfill bool) int {
	if backfill && limit > 1 {
		return limit - 1
	}
	return limit
}

// KeepPermit lets a run that has its permit work for the time ttl from now, also when it had expired: a run that has
// begun is not sent back.
func (db *DB) KeepPermit(ctx context.Context, runID uuid.UUID, ttl time.Duration) error {
	err := db.writing(ctx).Exec("UPDATE permits SET expires_at = ? WHERE run_id = ?", db.clockIn(ttl), runID).Error
	return classify("keep permit", err)
}

// ReleasePermit ends a run's permit, if it has one.
func (db *DB) ReleasePermit(ctx context.Context, runID uuid.UUID) error {
	return classify("release permit", db.writing(ctx).Exec("DELETE FROM permits WHERE run_id = ?", runID).Error)
}

// DeletePermits removes permits that expired the time ago, of runs that ended without a word. It returns how many.
func (db *DB) DeletePermits(ctx context.Context, ago time.Duration, limit int) (int64, error) {
	result := db.writing(ctx).Exec(`DELETE FROM permits WHERE run_id IN (
		SELECT run_id FROM permits WHERE expires_at < ? ORDER BY expires_at LIMIT ?)`, db.clockIn(-ago), limited(limit))
	return result.RowsAffected, classify("delete permits", result.Error)
}
