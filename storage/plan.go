package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"tranche/destinations"
	"tranche/sources"
)

// planRow is a row of the table plans: one generation of a run.
type planRow struct {
	RunID      uuid.UUID `gorm:"primaryKey"`
	Generation int       `gorm:"primaryKey;autoIncrement:false"`
	Splits     int
	Taken      bool // a split was handed out: the plan is fixed
	Fenced     bool // a newer run threw away what was staged
}

// TableName names the table for GORM.
func (planRow) TableName() string { return "plans" }

// splitRow is a row of the table splits.
type splitRow struct {
	RunID      uuid.UUID `gorm:"primaryKey"`
	Generation int       `gorm:"primaryKey;autoIncrement:false"`
	Number     int       `gorm:"primaryKey;autoIncrement:false"`
	RangeStart time.Time
	RangeEnd   time.Time
	Attempt    int     // the newest that is known to have begun
	Receipt    *string // JSON
	Snapshot   string  // of the source's
}

// TableName names the table for GORM.
func (splitRow) TableName() string { return "splits" }

// splitRowOf maps a split to its row.
func splitRowOf(runID uuid.UUID, generation int, s sources.Split) splitRow {
	return splitRow{
		RunID: runID, Generation: generation, Number: s.Number,
		RangeStart: utc(s.Range.Start), RangeEnd: utc(s.Range.End), Snapshot: s.Snapshot,
	}
}

// splitOf maps a row to its split.
func splitOf(r splitRow) sources.Split {
	return sources.Split{Number: r.Number, Range: interval(r.RangeStart, r.RangeEnd), Snapshot: r.Snapshot}
}

// SavePlan saves how the interval is cut in this generation, also into no splits at all. It replaces an earlier plan of
// the generation until a split of that is handed out; from then on only the same plan may be saved again. An error with
// batch.CodeSuperseded says that it is too late: another plan is being staged, or the run is over or fenced.
func (db *DB) SavePlan(ctx context.Context, runID uuid.UUID, generation int, splits []sources.Split) error {
	rows := make([]splitRow, 0, len(splits))
	for _, s := range splits {
		rows = append(rows, splitRowOf(runID, generation, s))
	}
	return db.transact(ctx, "save plan", func(tx *gorm.DB) error {
		if err := lockOpenRun(tx, runID); err != nil {
			return err
		}
		var plans []planRow
		if err := ofGeneration(tx, runID, generation).Find(&plans).Error; err != nil {
			return err
		}
		if len(plans) > 0 {
			// Until a split is handed out, the same plan is saved anew: it may be read as of another moment.
			if same, err := samePlan(tx, plans[0], rows); err != nil || same && plans[0].Taken {
				return err
			}
			if plans[0].Taken {
				return superseded("the interval is being staged by another plan")
			}
			if err := ofGeneration(tx, runID, generation).Delete(&planRow{}).Error; err != nil { // and its splits
				return err
			}
		}
		if err := tx.Create(&planRow{RunID: runID, Generation: generation, Splits: len(rows)}).Error; err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		return tx.CreateInBatches(rows, insertBatch).Error
	})
}

// insertBatch is the number of rows that one statement inserts.
const insertBatch = 500

// samePlan says whether the saved plan has exactly these splits. A fenced plan is an error.
func samePlan(tx *gorm.DB, plan planRow, rows []splitRow) (bool, error) {
	if plan.Fenced {
		return false, errFenced()
	}
	if plan.Splits != len(rows) {
		return false, nil
	}
	var saved []splitRow
	err := ofGeneration(tx, plan.RunID, plan.Generation).Order("number").Find(&saved).Error
	if err != nil || len(saved) != len(rows) {
		return false, err
	}
	for i := range rows {
		a, b := splitOf(saved[i]), splitOf(rows[i])
		if a.Number != b.Number || !a.Range.Equal(b.Range) {
			return false, nil
		}
	}
	return true, nil
}

// ofGeneration selects plans and splits of a generation. Keys are always written out: GORM leaves zero ones out of its
// conditions, and there is a split 0.
func ofGeneration(query *gorm.DB, runID uuid.UUID, generation int) *gorm.DB {
	return query.Where("run_id = ? AND generation = ?", runID, generation)
}

// ofSplit selects one split.
func ofSplit(query *gorm.DB, runID uuid.UUID, generation, number int) *gorm.DB {
	return ofGeneration(query, runID, generation).Where("number = ?", number)
}

// errFenced tells a run that what it staged is gone.
func errFenced() error {
	return superseded("a newer run of the interval has taken the place of this one")
}

// lockOpenRun locks the run, which must not be over.
func lockOpenRun(tx *gorm.DB, runID uuid.UUID) error {
	run, err := lockRun(tx, runID)
	if err != nil {
		return err
	}
	if run.Status.Final() {
		return superseded("the run is over: it is %s", run.Status)
	}
	return nil
}

// lockPlan locks the run and returns the plan of the generation. It is an error with batch.CodeSuperseded when nothing
// may be staged for it any more: the run is over, or the plan is fenced, delivered, or was never made.
func lockPlan(tx *gorm.DB, runID uuid.UUID, generation int) (planRow, error) {
	if err := lockOpenRun(tx, runID); err != nil {
		return planRow{}, err
	}
	var plans []planRow
	if err := ofGeneration(tx, runID, generation).Find(&plans).Error; err != nil {
		return planRow{}, err
	}
	if len(plans) == 0 {
		return planRow{}, superseded("the run has no plan of generation %d", generation)
	}
	if plans[0].Fenced {
		return planRow{}, errFenced()
	}
	return plans[0], nil
}

// lockSplit is lockPlan, and returns the split's row. A try must not be older than one that is known to have begun.
func lockSplit(tx *gorm.DB, runID uuid.UUID, generation, number, attempt int) (splitRow, error) {
	if _, err := lockPlan(tx, runID, generation); err != nil {
		return splitRow{}, err
	}
	var row splitRow
	if err := ofSplit(tx, runID, generation, number).Take(&row).Error; err != nil {
		return splitRow{}, err
	}
	if attempt < row.Attempt {
		return splitRow{}, superseded("attempt %d stages the split already", row.Attempt)
	}
	return row, nil
}

// Split hands out a split to be staged, which fixes the plan.
func (db *DB) Split(ctx context.Context, runID uuid.UUID, generation, number int) (sources.Split, error) {
	var row splitRow
	err := db.transact(ctx, "read split", func(tx *gorm.DB) error {
		plan, err := lockPlan(tx, runID, generation)
		if err != nil {
			return err
		}
		row = splitRow{}
		err = ofSplit(tx, runID, generation, number).Take(&row).Error
		if err != nil || plan.Taken {
			return err
		}
		return ofGeneration(tx, runID, generation).Model(&planRow{}).UpdateColumn("taken", true).Error
	})
	if err != nil {
		return sources.Split{}, err
	}
	return splitOf(row), nil
}

// SaveReceipt saves what staging a split returned. It is an error with batch.CodeSuperseded when a later attempt has
// begun, or the run is over or fenced.
func (db *DB) SaveReceipt(
	ctx context.Context, runID uuid.UUID, generation, attempt int, r destinations.Receipt,
) error {
	encoded, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("save receipt: %w", err)
	}
	return db.transact(ctx, "save receipt", func(tx *gorm.DB) error {
		if _, err := lockSplit(tx, runID, generation, r.Split, attempt); err != nil {
			return err
		}
		return ofSplit(tx, runID, generation, r.Split).Model(&splitRow{}).
			UpdateColumns(map[string]any{"attempt": attempt, "receipt": string(encoded)}).Error
	})
}

// Receipts returns the receipts of a generation, ordered by split, and the number of splits that were planned: fewer
// receipts mean that something is not staged. It is an error with batch.CodeSuperseded when the generation is fenced,
// and batch.ErrNotFound when it was never planned or its delivery is recorded.
func (db *DB) Receipts(
	ctx context.Context, runID uuid.UUID, generation int,
) (receipts []destinations.Receipt, planned int, err error) {
	var plan planRow
	reading := db.reading(ctx)
	if err := ofGeneration(reading, runID, generation).Take(&plan).Error; err != nil {
		return nil, 0, classify("read plan", err)
	}
	if plan.Fenced {
		return nil, 0, errFenced()
	}
	var rows []splitRow
	err = ofGeneration(reading, runID, generation).Where("receipt IS NOT NULL").Order("number").Find(&rows).Error
	if err != nil {
		return nil, 0, classify("read receipts", err)
	}
	for _, row := range rows {
		var r destinations.Receipt
		if err := json.Unmarshal([]byte(*row.Receipt), &r); err != nil {
			return nil, 0, fmt.Errorf("read receipt of split %d: %w", row.Number, err)
		}
		receipts = append(receipts, r)
	}
	return receipts, plan.Splits, nil
}

// DeletePlans removes the plans, with splits and receipts, of runs that ended before the time. It returns how many.
func (db *DB) DeletePlans(ctx context.Context, finishedBefore time.Time, limit int) (int64, error) {
	result := db.writing(ctx).Exec(`DELETE FROM plans WHERE run_id IN (
		SELECT p.run_id FROM plans p JOIN runs r ON r.id = p.run_id WHERE `+over+` ORDER BY p.run_id LIMIT ?)`,
		utc(finishedBefore), limited(limit))
	return result.RowsAffected, classify("delete plans", result.Error)
}

// over are the runs r that ended before a time.
const over = `r.status NOT IN ('Starting', 'Running') AND COALESCE(r.finished_at, r.last_updated_at) < ?`
