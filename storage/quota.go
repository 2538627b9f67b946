package storage

import "context"

// CountOpenBackfills counts a team's open backfills. Retries do not count.
func (db *DB) CountOpenBackfills(ctx context.Context, teamID int64) (int64, error) {
	var n int64
	err := db.reading(ctx).Model(&backfillRow{}).Where("team_id = ? AND NOT retry AND "+open, teamID).Count(&n).Error
	return n, classify("count backfills", err)
}
