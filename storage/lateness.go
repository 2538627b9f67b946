package storage

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/batch"
)

// TellLate notifies all for whom an interval is late by now, once. Those who want to know at different times are told by
// notifications of their own.
func (db *DB) TellLate(ctx context.Context, e batch.Export, l batch.Lateness) error {
	return db.transact(ctx, "notify", func(tx *gorm.DB) error {
		subscriptions, err := wanting(tx, e.TeamID, e.ID)
		if err != nil {
			return err
		}
		at := map[time.Duration][]subscriptionRow{}
		for _, s := range subscriptions {
			if (batch.Subscription{LateAfter: s.lateAfter()}).LateFor(l.Frequency) <= l.By {
				at[s.lateAfter()] = append(at[s.lateAfter()], s)
			}
		}
		if len(at) == 0 {
			return nil
		}
		facts, err := factsOfExport(tx, e.ID)
		if err != nil {
			return err
		}
		facts.Start, facts.End = &l.Interval.Start, &l.Interval.End
		for _, after := range slices.Sorted(maps.Keys(at)) {
			n := batch.Notification{TeamID: e.TeamID, ExportID: e.ID, Event: batch.EventLate, Key: l.Interval.String(), Facts: facts}
			if after > 0 {
				n.Key += fmt.Sprintf(" after %s", after)
			}
			if err := db.notify(tx, at[after], n); err != nil {
				return err
			}
		}
		return nil
	})
}

// WatchedForLateness pages through the active exports of which somebody wants to be told when they are late, by id.
func (db *DB) WatchedForLateness(ctx context.Context, after uuid.UUID, limit int) ([]batch.Watched, error) {
	var rows []exportRow
	err := db.reading(ctx).Where(`id > ? AND NOT deleted AND NOT paused AND EXISTS (SELECT 1 FROM subscriptions s
		WHERE s.team_id = exports.team_id AND s.enabled AND s.events LIKE '%,late,%' AND (s.export_id IS NULL OR s.export_id = exports.id))`, after).
		Order("id").Limit(limited(limit)).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return nil, classify("list watched exports", err)
	}
	exports, err := db.sealer.exportsOf(rows)
	if err != nil {
		return nil, err
	}
	var wishes []struct {
		TeamID    int64
		ExportID  *uuid.UUID
		LateAfter int64
	}
	err = db.reading(ctx).Model(&subscriptionRow{}).Distinct("team_id", "export_id", "late_after").
		Where("enabled AND events LIKE '%,late,%' AND team_id IN ?", teamsOf(rows)).Find(&wishes).Error
	if err != nil {
		return nil, classify("list watched exports", err)
	}
	watched := make([]batch.Watched, len(exports))
	for i, e := range exports {
		watched[i].Export = e
		for _, w := range wishes {
			if w.TeamID == e.TeamID && (w.ExportID == nil || *w.ExportID == e.ID) {
				watched[i].LateAfter = append(watched[i].LateAfter, time.Duration(w.LateAfter)*time.Minute)
			}
		}
	}
	return watched, nil
}

// teamsOf are the teams of exports, each once.
func teamsOf(rows []exportRow) []int64 {
	teams := make([]int64, len(rows))
	for i, row := range rows {
		teams[i] = row.TeamID
	}
	slices.SortFunc(teams, cmp.Compare)
	return slices.Compact(teams)
}

// DeliveredUntil returns the end of the last interval that an export has delivered; zero = none.
func (db *DB) DeliveredUntil(ctx context.Context, exportID uuid.UUID) (time.Time, error) {
	var rows []deliveryRow
	err := db.reading(ctx).Select("interval_end").Where("export_id = ? AND superseded_at IS NULL", exportID).
		Order("interval_end DESC").Limit(1).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return time.Time{}, classify("read deliveries", err)
	}
	return utc(rows[0].IntervalEnd), nil
}
