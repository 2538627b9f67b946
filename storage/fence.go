package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/batch"
	"tranche/destinations"
)

// Fence ends the staging of all other runs and generations whose interval overlaps: from now on they can record neither
// refs nor receipts and cannot be committed. It returns what the journal knows of them, also of runs that are over, for
// the caller to abort; called again it returns what is not forgotten yet. An error with batch.CodeSuperseded says that
// the lease is another's, or that a run of an overlapping interval has fenced this one.
func (db *DB) Fence(
	ctx context.Context, exportID uuid.UUID, i batch.Interval, token int64, keepRun uuid.UUID, keepGeneration int,
) ([]destinations.Journaled, error) {
	start, end := utc(i.Start), utc(i.End)
	var rows []refRow
	err := db.transact(ctx, "fence", func(tx *gorm.DB) error {
		if err := lockLease(tx, exportID, i, token); err != nil {
			return err
		}
		// Who records holds its run's lock: after this, all that was recorded is seen, and nothing more comes.
		var runs []runRow
		err := forUpdate(tx).Select("id").Where(overlapping, exportID, end, start).
			Where("id IN (SELECT run_id FROM plans WHERE NOT fenced UNION ALL SELECT ?)", keepRun).
			Order("id").Find(&runs).Error // in order, so that two fences cannot wait for each other
		if err != nil {
			return err
		}
		if err := unfenced(tx, keepRun, keepGeneration); err != nil {
			return err
		}
		for _, run := range runs {
			err := tx.Model(&planRow{}).Where("run_id = ?", run.ID).
				Where("NOT (run_id = ? AND generation = ?)", keepRun, keepGeneration).UpdateColumn("fenced", true).Error
			if err != nil {
				return err
			}
		}
		rows = nil
		return tx.Where(overlapping, exportID, end, start).
			Where("NOT (run_id = ? AND generation = ?)", keepRun, keepGeneration).Order("id").Find(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	return refsOf(rows), nil
}

// unfenced is an error when the generation of a run that the transaction has locked is fenced. Runs of overlapping
// intervals with different ends hold different leases: the first of them to fence wins.
func unfenced(tx *gorm.DB, runID uuid.UUID, generation int) error {
	var fenced int64
	err := tx.Model(&planRow{}).Where("run_id = ? AND generation = ? AND fenced", runID, generation).Count(&fenced).Error
	if err == nil && fenced > 0 {
		return errFenced()
	}
	return err
}

// FencedObjects returns the files that fenced generations of the interval had staged, of runs whose commit had begun:
// each may be visible without being recorded. The order is that of their keys.
func (db *DB) FencedObjects(ctx context.Context, exportID uuid.UUID, i batch.Interval) ([]batch.Object, error) {
	var receipts []string
	err := db.reading(ctx).Raw(`SELECT s.receipt FROM splits s
		JOIN plans p ON p.run_id = s.run_id AND p.generation = s.generation
		JOIN runs r ON r.id = s.run_id
		WHERE r.export_id = ? AND r.interval_start = ? AND r.interval_end = ? AND r.commit_started_at IS NOT NULL
			AND p.fenced AND s.receipt IS NOT NULL`, exportID, utc(i.Start), utc(i.End)).Scan(&receipts).Error
	if err != nil {
		return nil, classify("read fenced receipts", err)
	}
	byKey := map[string]batch.Object{}
	for _, text := range receipts {
		var r destinations.Receipt
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return nil, fmt.Errorf("read fenced receipt: %w", err)
		}
		for _, o := range r.Objects {
			byKey[o.Key] = o.Object
		}
	}
	return slices.SortedFunc(maps.Values(byKey), func(a, b batch.Object) int { return strings.Compare(a.Key, b.Key) }), nil
}
