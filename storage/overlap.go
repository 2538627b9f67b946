package storage

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/batch"
)

// overlapping selects the rows of an export whose interval overlaps another.
const overlapping = "export_id = ? AND interval_start < ? AND interval_end > ?"

// DeliveredWithin returns the bounds, by start, of the deliveries that overlap the range.
func (db *DB) DeliveredWithin(ctx context.Context, exportID uuid.UUID, within batch.Interval) ([]batch.Interval, error) {
	var rows []deliveryRow
	err := db.reading(ctx).Select("interval_start", "interval_end").
		Where(overlapping+" AND superseded_at IS NULL", exportID, utc(within.End), utc(within.Start)).
		Order("interval_start, interval_end").Find(&rows).Error
	if err != nil {
		return nil, classify("list deliveries", err)
	}
	bounds := make([]batch.Interval, len(rows))
	for i, row := range rows {
		bounds[i] = interval(row.IntervalStart, row.IntervalEnd)
	}
	return bounds, nil
}

// DeliveredLately sums up rows and bytes of the newest deliveries of the export that have rows.
func (db *DB) DeliveredLately(ctx context.Context, exportID uuid.UUID, limit int) (rows, bytes int64, err error) {
	var sum struct{ Rows, Bytes int64 }
	err = db.reading(ctx).Raw(`SELECT CAST(COALESCE(SUM(rows), 0) AS bigint) AS rows, CAST(COALESCE(SUM(bytes), 0) AS bigint) AS bytes
		FROM (SELECT rows, bytes FROM deliveries WHERE export_id = ? AND rows > 0 AND superseded_at IS NULL ORDER BY interval_end DESC LIMIT ?) newest`,
		exportID, limited(limit)).Scan(&sum).Error
	return sum.Rows, sum.Bytes, classify("sum up deliveries", err)
}

// Visible returns, by interval, every delivery that overlaps the interval and that a reader may see: those that are
// superseded, but not forgotten, too.
func (db *DB) Visible(ctx context.Context, exportID uuid.UUID, i batch.Interval) ([]batch.Delivery, error) {
	return db.deliveries(ctx, overlapping, exportID, utc(i.End), utc(i.Start))
}

// Supersede marks the deliveries of other lengths that overlap the interval, all at once: from now on they do not count
// as delivered. Only the run that holds the interval's lease with the token, and is not fenced, may do so. The others are
// those that the caller knows and may replace: one that was recorded since is an error with batch.CodeBusy, and a repeat
// will know it.
func (db *DB) Supersede(ctx context.Context, r batch.Run, token int64, others []batch.Interval) error {
	i := r.Interval
	return db.transact(ctx, "supersede deliveries", func(tx *gorm.DB) error {
		if err := mayCommit(tx, r, token); err != nil {
			return err
		}
		var found []deliveryRow
		err := forUpdate(tx).Select("export_id", "interval_start", "interval_end").
			Where(overlapping+" AND superseded_at IS NULL", r.ExportID, utc(i.End), utc(i.Start)).
			Order("interval_start, interval_end").Find(&found).Error
		if err != nil {
			return err
		}
		for _, row := range found {
			other := interval(row.IntervalStart, row.IntervalEnd)
			if other.Equal(i) {
				continue
			}
			if !slices.ContainsFunc(others, other.Equal) {
				return batch.Errorf(batch.CodeBusy, nil, "%s was delivered in the meantime", other)
			}
			err := tx.Model(&deliveryRow{}).
				Where("export_id = ? AND interval_start = ? AND interval_end = ?", r.ExportID, row.IntervalStart, row.IntervalEnd).
				UpdateColumn("superseded_at", db.instant()).Error
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Forget removes a superseded delivery, of which nothing is visible any more. What was delivered in its place since then
// stays. Who may do so is as with Supersede.
func (db *DB) Forget(ctx context.Context, r batch.Run, token int64, d batch.Delivery) error {
	return db.transact(ctx, "forget delivery", func(tx *gorm.DB) error {
		if err := mayCommit(tx, r, token); err != nil {
			return err
		}
		return tx.Where("export_id = ? AND interval_end = ? AND interval_start = ?", d.ExportID, utc(d.Interval.End), utc(d.Interval.Start)).
			Where("run_id = ? AND superseded_at IS NOT NULL", d.RunID).Delete(&deliveryRow{}).Error
	})
}

// mayCommit is an error with batch.CodeSuperseded unless the token is that of the lease of the run's interval, and the
// run is not fenced.
func mayCommit(tx *gorm.DB, r batch.Run, token int64) error {
	if err := lockLease(tx, r.ExportID, r.Interval, token); err != nil {
		return err
	}
	return unfenced(tx, r.ID, r.Generation)
}

// FencedIntervals returns the other intervals that overlap this one and of which FencedObjects knows files.
func (db *DB) FencedIntervals(ctx context.Context, exportID uuid.UUID, i batch.Interval) ([]batch.Interval, error) {
	var rows []runRow
	err := db.reading(ctx).Raw(`SELECT DISTINCT r.interval_start, r.interval_end FROM runs r
		JOIN plans p ON p.run_id = r.id
		JOIN splits s ON s.run_id = p.run_id AND s.generation = p.generation
		WHERE r.export_id = ? AND r.interval_start < ? AND r.interval_end > ? AND r.commit_started_at IS NOT NULL
			AND p.fenced AND s.receipt IS NOT NULL ORDER BY r.interval_start, r.interval_end`,
		exportID, utc(i.End), utc(i.Start)).Scan(&rows).Error
	if err != nil {
		return nil, classify("list fenced intervals", err)
	}
	var others []batch.Interval
	for _, row := range rows {
		if other := interval(row.IntervalStart, row.IntervalEnd); !other.Equal(i) {
			others = append(others, other)
		}
	}
	return others, nil
}

// DeliveredOtherwise returns a delivery that overlaps the range and whose rows were chosen by another time; nil = there is
// none.
func (db *DB) DeliveredOtherwise(ctx context.Context, exportID uuid.UUID, within batch.Interval, by batch.Clock) (*batch.Interval, error) {
	if by == batch.ByIngestion {
		by = "" // as it is stored
	}
	var rows []deliveryRow
	err := db.reading(ctx).Raw(`SELECT d.interval_start, d.interval_end FROM deliveries d
		LEFT JOIN runs r ON r.id = d.run_id LEFT JOIN backfills b ON b.id = r.backfill_id
		WHERE d.export_id = ? AND d.interval_start < ? AND d.interval_end > ? AND d.superseded_at IS NULL
			AND COALESCE(NULLIF(b.selection, 'inserted_at'), '') <> ?
		ORDER BY d.interval_start, d.interval_end LIMIT 1`, exportID, utc(within.End), utc(within.Start), string(by)).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return nil, classify("list deliveries", err)
	}
	i := interval(rows[0].IntervalStart, rows[0].IntervalEnd)
	return &i, nil
}

// NotRecounted returns deliveries of the time that nobody has counted late rows of, the oldest first.
func (db *DB) NotRecounted(ctx context.Context, since, until time.Time, limit int) ([]batch.Delivery, error) {
	var rows []deliveryRow
	err := db.reading(ctx).Where("recounted_at IS NULL AND superseded_at IS NULL AND committed_at >= ? AND committed_at < ?", utc(since), utc(until)).
		Order("committed_at").Limit(limited(limit)).Find(&rows).Error
	if err != nil {
		return nil, classify("list deliveries", err)
	}
	return deliveriesOf(rows)
}

// MarkRecounted saves how many rows came late. It is false when another process was faster, or another delivery took the
// place of this one.
func (db *DB) MarkRecounted(ctx context.Context, d batch.Delivery, late int64, at time.Time) (bool, error) {
	result := db.writing(ctx).Model(&deliveryRow{}).
		Where("export_id = ? AND interval_start = ? AND interval_end = ? AND run_id = ? AND token = ? AND recounted_at IS NULL",
			d.ExportID, utc(d.Interval.Start), utc(d.Interval.End), d.RunID, d.Token).
		Updates(map[string]any{"late_rows": late, "recounted_at": utc(at)})
	return result.RowsAffected > 0, classify("save late rows", result.Error)
}
