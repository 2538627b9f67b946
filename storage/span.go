package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/batch"
)

// spanRow is a row of the table export_spans.
type spanRow struct {
	ExportID           uuid.UUID `gorm:"primaryKey"`
	Revision           int64     `gorm:"primaryKey;autoIncrement:false"`
	TeamID             int64
	StartedAt          time.Time
	EndedAt            *time.Time
	Frequency          string
	Timezone           string
	OffsetDay          *int
	OffsetHour         *int
	FirstIntervalStart *time.Time
	FirstIntervalEnd   *time.Time
	StartAt            *time.Time
	EndAt              *time.Time
	SettledUntil       time.Time
	CheckAt            *time.Time
}

// TableName names the table for GORM.
func (spanRow) TableName() string { return "export_spans" }

// spanRowOf maps a span to its row.
func spanRowOf(s batch.Span) spanRow {
	first, last := boundsOf(s.FirstInterval)
	return spanRow{
		ExportID: s.ExportID, Revision: s.Revision, TeamID: s.TeamID, StartedAt: utc(s.StartedAt), EndedAt: utcOrNil(s.EndedAt),
		Frequency: string(s.Frequency), Timezone: s.Timezone, OffsetDay: s.OffsetDay, OffsetHour: s.OffsetHour,
		FirstIntervalStart: first, FirstIntervalEnd: last, StartAt: utcOrNil(s.StartAt), EndAt: utcOrNil(s.EndAt),
		SettledUntil: utc(s.SettledUntil), CheckAt: utcOrNil(s.CheckAt),
	}
}

// spanOf maps a row to its span.
func spanOf(r spanRow) batch.Span {
	return batch.Span{
		ExportID: r.ExportID, Revision: r.Revision, TeamID: r.TeamID, StartedAt: utc(r.StartedAt), EndedAt: utcOrNil(r.EndedAt),
		Frequency: batch.Frequency(r.Frequency), Timezone: r.Timezone, OffsetDay: r.OffsetDay, OffsetHour: r.OffsetHour,
		FirstInterval: intervalOf(r.FirstIntervalStart, r.FirstIntervalEnd), StartAt: utcOrNil(r.StartAt), EndAt: utcOrNil(r.EndAt),
		SettledUntil: utc(r.SettledUntil), CheckAt: utcOrNil(r.CheckAt),
	}
}

// boundsOf and intervalOf map an interval that may be missing.
func boundsOf(i *batch.Interval) (start, end *time.Time) {
	if i == nil {
		return nil, nil
	}
	return utcOrNil(&i.Start), utcOrNil(&i.End)
}

func intervalOf(start, end *time.Time) *batch.Interval {
	if start == nil || end == nil {
		return nil
	}
	i := interval(*start, *end)
	return &i
}

// beginSpan records that a new export is active.
func beginSpan(tx *gorm.DB, e batch.Export) error {
	span := batch.SpanOf(e, e.CreatedAt)
	if span == nil {
		return nil
	}
	row := spanRowOf(*span)
	return tx.Create(&row).Error
}

// respan ends the export's span and begins another when a change makes other intervals due than before.
func respan(tx *gorm.DB, before, after batch.Export) error {
	if sameSpan(before, after) {
		return nil
	}
	// After a change of the calendar, the old one's last interval is where the first one of the new one begins.
	at := after.LastUpdatedAt
	if first := after.FirstInterval; first != nil && !sameFirst(first, before.FirstInterval) {
		at = first.Start
	}
	var current []spanRow
	if err := tx.Where("export_id = ? AND ended_at IS NULL", after.ID).Find(&current).Error; err != nil {
		return err
	}
	for _, row := range current {
		span := spanOf(row)
		span.EndedAt = &at
		if span.CheckAt = span.Overdue(span.SettledUntil, 0); after.Deleted {
			span.CheckAt = nil
		}
		row = spanRowOf(span)
		if err := tx.Select("ended_at", "check_at").Updates(&row).Error; err != nil {
			return err
		}
	}
	next := batch.SpanOf(after, at)
	if next == nil {
		return nil
	}
	row := spanRowOf(*next)
	return tx.Create(&row).Error
}

// sameSpan says whether the same intervals are due under both definitions.
func sameSpan(a, b batch.Export) bool {
	spanA, spanB := batch.SpanOf(a, a.CreatedAt), batch.SpanOf(b, a.CreatedAt)
	if spanA == nil || spanB == nil {
		return spanA == spanB
	}
	return a.Frequency == b.Frequency && a.Timezone == b.Timezone && equal(a.OffsetDay, b.OffsetDay) && equal(a.OffsetHour, b.OffsetHour) &&
		sameInstant(a.StartAt, b.StartAt) && sameInstant(a.EndAt, b.EndAt) && sameFirst(a.FirstInterval, b.FirstInterval)
}

func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

func sameFirst(a, b *batch.Interval) bool { return a == b || a != nil && b != nil && a.Equal(*b) }

func sameInstant(a, b *time.Time) bool { return a == b || a != nil && b != nil && a.Equal(*b) }

// OverdueSpans returns the spans that are to be looked at by now, those that wait longest first.
func (db *DB) OverdueSpans(ctx context.Context, now time.Time, limit int) ([]batch.Span, error) {
	var rows []spanRow
	err := db.reading(ctx).Where("check_at <= ?", utc(now)).Order("check_at, export_id, revision").Limit(limited(limit)).Find(&rows).Error
	return spansOf(rows), classify("list overdue spans", err)
}

// SettleSpan says until when the span's intervals are seen to, and when to look again. It never goes back; a span that
// has ended since it was read is left for another look.
func (db *DB) SettleSpan(ctx context.Context, s batch.Span) error {
	row := spanRowOf(s)
	query := db.writing(ctx).Model(&spanRow{}).Where("export_id = ? AND revision = ? AND settled_until <= ?", row.ExportID, row.Revision, row.SettledUntil)
	if row.EndedAt == nil {
		query = query.Where("ended_at IS NULL")
	}
	err := query.Updates(map[string]any{"settled_until": row.SettledUntil, "check_at": row.CheckAt}).Error
	return classify("settle span", err)
}

// SpanAt returns the span in which an interval with this end is due; nil when there is none.
func (db *DB) SpanAt(ctx context.Context, exportID uuid.UUID, end time.Time) (*batch.Span, error) {
	var rows []spanRow
	err := db.reading(ctx).Where("export_id = ? AND started_at < ? AND (ended_at IS NULL OR ended_at >= ?)", exportID, utc(end), utc(end)).
		Order("started_at DESC, revision DESC").Find(&rows).Error
	if err != nil {
		return nil, classify("read span", err)
	}
	for _, span := range spansOf(rows) {
		if span.Covers(end) {
			return &span, nil
		}
	}
	return nil, nil
}

// Spans returns an export's spans that overlap the range, oldest first.
func (db *DB) Spans(ctx context.Context, exportID uuid.UUID, within batch.Interval) ([]batch.Span, error) {
	var rows []spanRow
	err := db.reading(ctx).Where("export_id = ? AND started_at < ? AND (ended_at IS NULL OR ended_at > ?)", exportID, utc(within.End), utc(within.Start)).
		Order("started_at, revision").Find(&rows).Error
	return spansOf(rows), classify("list spans", err)
}

func spansOf(rows []spanRow) []batch.Span {
	spans := make([]batch.Span, len(rows))
	for i, row := range rows {
		spans[i] = spanOf(row)
	}
	return spans
}

// RunsEnding returns the runs of an export whose intervals end in the range, and after its start, in the order of their
// creation. Only what says whose they are and how they ended is filled in.
func (db *DB) RunsEnding(ctx context.Context, exportID uuid.UUID, after, until time.Time) ([]batch.Run, error) {
	var rows []runRow
	err := db.reading(ctx).Select("id, export_id, team_id, backfill_id, interval_start, interval_end, status, error_code, workflow_id, temporal_run_id, created_at").
		Where("export_id = ? AND interval_end > ? AND interval_end <= ?", exportID, utc(after), utc(until)).Order("created_at, id").Find(&rows).Error
	return runsOf(rows), classify("list runs by interval", err)
}
