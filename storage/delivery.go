package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"tranche/batch"
)

// deliveryRow is a row of the table deliveries.
type deliveryRow struct {
	ExportID      uuid.UUID `gorm:"primaryKey"`
	IntervalStart time.Time `gorm:"primaryKey"`
	IntervalEnd   time.Time `gorm:"primaryKey"`
	RunID         uuid.UUID
	Generation    int
	Token         int64
	Rows          int64
	Bytes         int64
	Objects       string // JSON
	Manifest      string
	CommittedAt   time.Time
	SupersededAt  *time.Time
	LateRows      int64
	RecountedAt   *time.Time
}

// TableName names the table for GORM.
func (deliveryRow) TableName() string { return "deliveries" }

// deliveryRowOf maps a delivery to its row.
func deliveryRowOf(d batch.Delivery) (deliveryRow, error) {
	objects, err := json.Marshal(append([]batch.Object{}, d.Objects...))
	if err != nil {
		return deliveryRow{}, fmt.Errorf("encode objects: %w", err)
	}
	return deliveryRow{
		ExportID: d.ExportID, IntervalStart: utc(d.Interval.Start), IntervalEnd: utc(d.Interval.End),
		RunID: d.RunID, Generation: d.Generation, Token: d.Token, Rows: d.Rows, Bytes: d.Bytes,
		Objects: string(objects), Manifest: d.Manifest, CommittedAt: utc(d.CommittedAt), LateRows: d.LateRows, SupersededAt: utcOrNil(d.SupersededAt),
	}, nil
}

// deliveryOf maps a row to its delivery.
func deliveryOf(r deliveryRow) (batch.Delivery, error) {
	var objects []batch.Object
	if err := json.Unmarshal([]byte(r.Objects), &objects); err != nil {
		return batch.Delivery{}, fmt.Errorf("decode objects: %w", err)
	}
	if len(objects) == 0 {
		objects = nil
	}
	return batch.Delivery{
		ExportID: r.ExportID, Interval: interval(r.IntervalStart, r.IntervalEnd),
		RunID: r.RunID, Generation: r.Generation, Token: r.Token, Rows: r.Rows, Bytes: r.Bytes,
		Objects: objects, Manifest: r.Manifest, CommittedAt: utc(r.CommittedAt), LateRows: r.LateRows, SupersededAt: utcOrNil(r.SupersededAt),
	}, nil
}

// Delivery returns what is delivered for exactly this interval; nil = nothing.
func (db *DB) Delivery(ctx context.Context, exportID uuid.UUID, i batch.Interval) (*batch.Delivery, error) {
	var rows []deliveryRow
	err := db.reading(ctx).Where("export_id = ? AND interval_end = ? AND interval_start = ? AND superseded_at IS NULL",
		exportID, utc(i.End), utc(i.Start)).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return nil, classify("read delivery", err)
	}
	d, err := deliveryOf(rows[0])
	if err != nil {
		return nil, classify("read delivery", err)
	}
	return &d, nil
}

// Deliveries returns an export's deliveries whose interval overlaps [start, end), ordered by interval.
func (db *DB) Deliveries(ctx context.Context, exportID uuid.UUID, start, end time.Time) ([]batch.Delivery, error) {
	return db.deliveries(ctx, "export_id = ? AND interval_start < ? AND interval_end > ? AND superseded_at IS NULL", exportID, utc(end), utc(start))
}

func (db *DB) deliveries(ctx context.Context, condition string, args ...any) ([]batch.Delivery, error) {
	var rows []deliveryRow
	err := db.reading(ctx).Where(condition, args...).Order("interval_start, interval_end").Find(&rows).Error
	if err != nil {
		return nil, classify("list deliveries", err)
	}
	return deliveriesOf(rows)
}

func deliveriesOf(rows []deliveryRow) ([]batch.Delivery, error) {
	deliveries := make([]batch.Delivery, 0, len(rows))
	for _, row := range rows {
		d, err := deliveryOf(row)
		if err != nil {
			return nil, classify("list deliveries", err)
		}
		deliveries = append(deliveries, d)
	}
	return deliveries, nil
}

// RecordDelivery records that the interval is delivered, in the place of what was, and removes the run's plans: nothing
// more can be staged for it. The caller forgets the run's refs. It is an error with batch.CodeSuperseded when the
// delivery's token is not the lease's, or older than that of the delivery that is recorded, or the run is fenced. A
// repeat is fine.
func (db *DB) RecordDelivery(ctx context.Context, d batch.Delivery) error {
	row, err := deliveryRowOf(d)
	if err != nil {
		return classify("record delivery", err)
	}
	return db.transact(ctx, "record delivery", func(tx *gorm.DB) error {
		if err := lockLease(tx, d.ExportID, d.Interval, d.Token); err != nil {
			return err
		}
		if err := forUpdate(tx).Select("id").Where("id = ?", d.RunID).Find(&[]runRow{}).Error; err != nil {
			return err
		}
		if err := unfenced(tx, d.RunID, d.Generation); err != nil {
			return err
		}
		result := tx.Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "export_id"}, {Name: "interval_end"}, {Name: "interval_start"}},
			DoUpdates: clause.AssignmentColumns([]string{
				"run_id", "generation", "token", "rows", "bytes", "objects", "manifest", "committed_at", "superseded_at", "late_rows", "recounted_at",
			}),
			Where: clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: "deliveries.token <= excluded.token"}}},
		}).Create(&row)
		if result.Error != nil {
			return result.Error
		}
		if result.RowsAffected == 0 {
			return errLeaseLost()
		}
		return tx.Where("run_id = ?", d.RunID).Delete(&planRow{}).Error // and its splits
	})
}

// LagOf tells how far the newest exports that are neither paused nor deleted have come, the newest first.
func (db *DB) LagOf(ctx context.Context, limit int) ([]batch.Lag, error) {
	var rows []struct {
		Span      spanRow `gorm:"embedded"`
		Delivered *time.Time
	}
	err := db.reading(ctx).Raw(`SELECT DISTINCT s.*, d.interval_end AS delivered, e.created_at FROM (
			SELECT id, created_at FROM exports WHERE NOT deleted AND NOT paused ORDER BY created_at DESC, id DESC LIMIT ?) e
		JOIN export_spans s ON s.export_id = e.id AND s.ended_at IS NULL
		LEFT JOIN deliveries d ON d.export_id = e.id
			AND d.interval_end = (SELECT MAX(interval_end) FROM deliveries WHERE export_id = e.id AND superseded_at IS NULL)
		ORDER BY e.created_at DESC, s.export_id DESC`,
		limited(limit)).Scan(&rows).Error
	if err != nil {
		return nil, classify("read lag", err)
	}
	lags := make([]batch.Lag, len(rows))
	for i, row := range rows {
		lags[i] = batch.Lag{ExportID: row.Span.ExportID, TeamID: row.Span.TeamID, Span: spanOf(row.Span)}
		if row.Delivered != nil {
			lags[i].Delivered = utc(*row.Delivered)
		}
	}
	return lags, nil
}
