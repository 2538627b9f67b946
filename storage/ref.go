package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"tranche/destinations"
)

// refRow is a row of the table refs.
type refRow struct {
	ID            int64 `gorm:"primaryKey"`
	RunID         uuid.UUID
	ExportID      uuid.UUID
	IntervalStart time.Time
	IntervalEnd   time.Time
	Generation    int
	Split         int
	Attempt       int
	Ref           string
	RefHash       string
	NotBefore     time.Time // for the sweep
}

// TableName names the table for GORM.
func (refRow) TableName() string { return "refs" }

// refRowOf maps an entry of the journal to its row.
func refRowOf(r destinations.Journaled) refRow {
	hash := sha256.Sum256([]byte(r.Ref))
	return refRow{
		ID: r.ID, RunID: r.RunID, ExportID: r.ExportID,
		IntervalStart: utc(r.Interval.Start), IntervalEnd: utc(r.Interval.End),
		Generation: r.Generation, Split: r.Split, Attempt: r.Attempt,
		Ref: string(r.Ref), RefHash: hex.EncodeToString(hash[:]),
	}
}

// refOf maps a row to its entry of the journal.
func refOf(r refRow) destinations.Journaled {
	return destinations.Journaled{
		ID: r.ID, RunID: r.RunID, ExportID: r.ExportID, Interval: interval(r.IntervalStart, r.IntervalEnd),
		Generation: r.Generation, Split: r.Split, Attempt: r.Attempt, Ref: destinations.Ref(r.Ref),
	}
}

func refsOf(rows []refRow) []destinations.Journaled {
	refs := make([]destinations.Journaled, 0, len(rows))
	for _, row := range rows {
		refs = append(refs, refOf(row))
	}
	return refs
}

// RecordRef writes an entry of the journal, before what it names is made. The same ref of a run is one entry, which
// belongs to the newest attempt that recorded it. It is an error with batch.CodeSuperseded, and nothing may be made, when
// the run is over, its generation is fenced, or a later attempt at the split has begun. A later attempt than before
// makes the split's receipt invalid, since it replaces what that tells of.
func (db *DB) RecordRef(ctx context.Context, r destinations.Journaled) error {
	return db.transact(ctx, "record ref", func(tx *gorm.DB) error {
		split, err := lockSplit(tx, r.RunID, r.Generation, r.Split, r.Attempt)
		if err != nil {
			return err
		}
		if r.Attempt > split.Attempt {
			err := ofSplit(tx, r.RunID, r.Generation, r.Split).Model(&splitRow{}).
				UpdateColumns(map[string]any{"attempt": r.Attempt, "receipt": nil}).Error
			if err != nil {
				return err
			}
		}
		row := refRowOf(r)
		row.ID = 0
		return tx.Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "run_id"}, {Name: "ref_hash"}},
			DoUpdates: clause.AssignmentColumns([]string{"generation", "split", "attempt"}),
			Where: clause.Where{Exprs: []clause.Expression{
				clause.Expr{SQL: "refs.generation <= excluded.generation"},
			}},
		}).Create(&row).Error
	})
}

// Refs returns a run's entries of the journal in the order of their making.
func (db *DB) Refs(ctx context.Context, runID uuid.UUID) ([]destinations.Journaled, error) {
	var rows []refRow
	err := db.reading(ctx).Where("run_id = ?", runID).Order("id").Find(&rows).Error
	return refsOf(rows), classify("list refs", err)
}

// ForgetRefs removes entries of the journal: what they name is published or gone.
func (db *DB) ForgetRefs(ctx context.Context, ids []int64) error {
	return db.eachBatch(ctx, "forget refs", ids, func(tx *gorm.DB, ids []int64) error {
		return tx.Where("id IN ?", ids).Delete(&refRow{}).Error
	})
}

// DanglingRefs returns entries of the journal that nobody will come back for: their run ended before the time, or does
// not exist. Those that PostponeRefs put off are left out.
func (db *DB) DanglingRefs(ctx context.Context, finishedBefore time.Time, limit int) ([]destinations.Journaled, error) {
	var rows []refRow
	err := db.reading(ctx).Raw(`SELECT refs.* FROM refs LEFT JOIN runs r ON r.id = refs.run_id
		WHERE refs.not_before <= ? AND (r.id IS NULL OR `+over+`) ORDER BY refs.id LIMIT ?`,
		db.instant(), utc(finishedBefore), limited(limit)).Scan(&rows).Error
	return refsOf(rows), classify("list dangling refs", err)
}

// PostponeRefs keeps DanglingRefs from returning these until the time, so that what cannot be removed at the moment
// does not stand before the others.
func (db *DB) PostponeRefs(ctx context.Context, ids []int64, until time.Time) error {
	return db.eachBatch(ctx, "postpone refs", ids, func(tx *gorm.DB, ids []int64) error {
		return tx.Model(&refRow{}).Where("id IN ?", ids).UpdateColumn("not_before", utc(until)).Error
	})
}

// eachBatch runs do for a limited number of ids at once, in one transaction.
func (db *DB) eachBatch(ctx context.Context, operation string, ids []int64, do func(*gorm.DB, []int64) error) error {
	if len(ids) == 0 {
		return nil
	}
	return db.transact(ctx, operation, func(tx *gorm.DB) error {
		for from := 0; from < len(ids); from += insertBatch {
			if err := do(tx, ids[from:min(from+insertBatch, len(ids))]); err != nil {
				return err
			}
		}
		return nil
	})
}
