package storage

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"tranche/batch"
)

// open are the statuses of what is under way, written out so that the partial indexes apply.
const open = "status IN ('Starting', 'Running')"

// runRow is a row of the table runs.
type runRow struct {
	ID              uuid.UUID `gorm:"primaryKey"`
	ExportID        uuid.UUID
	TeamID          int64
	BackfillID      *uuid.UUID
	IntervalStart   time.Time
	IntervalEnd     time.Time
	Status          string
	Revision        int64
	WorkflowID      string
	TemporalRunID   string
	Generation      int
	Attempt         int
	LatestError     string
	ErrorCode       string
	NextRetryAt     *time.Time
	WaitingFor      string
	RowsTotal       *int64
	RowsCompleted   *int64
	RowsFailed      *int64
	Bytes           *int64
	Files           *int64
	CommitStartedAt *time.Time
	CreatedAt       time.Time `gorm:"autoCreateTime:false"`
	FinishedAt      *time.Time
	LastUpdatedAt   time.Time
}

// TableName names the table for GORM.
func (runRow) TableName() string { return "runs" }

// runRowOf maps a run to its row.
func runRowOf(r batch.Run) runRow {
	return runRow{
		ID: r.ID, ExportID: r.ExportID, TeamID: r.TeamID, BackfillID: r.BackfillID,
		IntervalStart: utc(r.Interval.Start), IntervalEnd: utc(r.Interval.End),
		Status: string(r.Status), Revision: r.Revision, WorkflowID: r.WorkflowID, TemporalRunID: r.TemporalRunID,
		Generation: r.Generation, Attempt: r.Attempt,
		LatestError: clean(r.LatestError), ErrorCode: string(r.ErrorCode), NextRetryAt: utcOrNil(r.NextRetryAt), WaitingFor: r.WaitingFor,
		RowsTotal: r.RowsTotal, RowsCompleted: r.RowsCompleted, RowsFailed: r.RowsFailed, Bytes: r.Bytes, Files: r.Files,
		CommitStartedAt: utcOrNil(r.CommitStartedAt), CreatedAt: utc(r.CreatedAt), FinishedAt: utcOrNil(r.FinishedAt),
		LastUpdatedAt: utc(r.LastUpdatedAt),
	}
}

// runOf maps a row to its run.
func runOf(r runRow) batch.Run {
	return batch.Run{
		ID: r.ID, ExportID: r.ExportID, TeamID: r.TeamID, BackfillID: r.BackfillID,
		Interval: interval(r.IntervalStart, r.IntervalEnd),
		Status:   batch.RunStatus(r.Status), Revision: r.Revision, WorkflowID: r.WorkflowID, TemporalRunID: r.TemporalRunID,
		Generation: r.Generation, Attempt: r.Attempt,
		LatestError: r.LatestError, ErrorCode: batch.Code(r.ErrorCode), NextRetryAt: utcOrNil(r.NextRetryAt), WaitingFor: r.WaitingFor,
		RowsTotal: r.RowsTotal, RowsCompleted: r.RowsCompleted, RowsFailed: r.RowsFailed, Bytes: r.Bytes, Files: r.Files,
		CommitStartedAt: utcOrNil(r.CommitStartedAt), CreatedAt: utc(r.CreatedAt), FinishedAt: utcOrNil(r.FinishedAt),
		LastUpdatedAt: utc(r.LastUpdatedAt),
	}
}

func runsOf(rows []runRow) []batch.Run {
	runs := make([]batch.Run, 0, len(rows))
	for _, row := range rows {
		runs = append(runs, runOf(row))
	}
	return runs
}

// BeginRun inserts the run, or returns the one that has its id: a repeated beginning finds its own row. The answer says
// whether the run was created. Zero times of creation and change become now.
func (db *DB) BeginRun(ctx context.Context, r batch.Run) (batch.Run, bool, error) {
	now := db.instant()
	if r.CreatedAt.IsZero() {
		r.CreatedAt = now
	}
	if r.LastUpdatedAt.IsZero() {
		r.LastUpdatedAt = now
	}
	var (
		row     runRow
		created bool
	)
	err := db.transact(ctx, "begin run", func(tx *gorm.DB) error {
		row = runRowOf(r)
		result := tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoNothing: true}).Create(&row)
		created = result.RowsAffected == 1
		if result.Error != nil || created {
			return result.Error
		}
		row = runRow{}
		return tx.Where("id = ?", r.ID).Take(&row).Error
	})
	if err != nil {
		return batch.Run{}, false, err
	}
	return runOf(row), created, nil
}

// Run returns a run of a team's export.
func (db *DB) Run(ctx context.Context, teamID int64, exportID, runID uuid.UUID) (batch.Run, error) {
	var row runRow
	err := db.reading(ctx).Where("id = ? AND export_id = ? AND team_id = ?", runID, exportID, teamID).Take(&row).Error
	if err != nil {
		return batch.Run{}, classify("read run", err)
	}
	return runOf(row), nil
}

// RunByID returns any run.
func (db *DB) RunByID(ctx context.Context, runID uuid.UUID) (batch.Run, error) {
	var row runRow
	if err := db.reading(ctx).Where("id = ?", runID).Take(&row).Error; err != nil {
		return batch.Run{}, classify("read run", err)
	}
	return runOf(row), nil
}

// UpdateRun changes a run under a lock. LastUpdatedAt becomes now, unless change returns batch.ErrUnchanged: then
// nothing is written. Change must not use the database and may be called more than once. A final status never changes,
// except from Cancelled to Completed when the commit had begun: trying is an error with batch.CodeSuperseded.
func (db *DB) UpdateRun(ctx context.Context, runID uuid.UUID, change func(*batch.Run) error) (batch.Run, error) {
	var updated batch.Run
	err := db.transact(ctx, "update run", func(tx *gorm.DB) error {
		before, err := lockRun(tx, runID)
		if err != nil {
			return err
		}
		after := runOf(runRowOf(before))
		if err := change(&after); errors.Is(err, batch.ErrUnchanged) {
			updated = before
			return nil
		} else if err != nil {
			return err
		}
		if !mayFollow(before, after.Status) {
			return superseded("the run is over: it is %s", before.Status)
		}
		after.ID, after.ExportID, after.TeamID = before.ID, before.ExportID, before.TeamID
		after.CreatedAt, after.LastUpdatedAt = before.CreatedAt, db.instant()
		row := runRowOf(after)
		updated = runOf(row)
		if err := tx.Select("*").Updates(&row).Error; err != nil {
			return err
		}
		if entry, audited := auditRun(batch.ActOf(ctx), before, updated); audited {
			if err := db.audit(ctx, tx, entry); err != nil {
				return err
			}
		}
		db.tellOfRun(tx, before, updated)
		return nil
	})
	if err != nil {
		return batch.Run{}, err
	}
	return updated, nil
}

// mayFollow says whether the run may take the status next.
func mayFollow(r batch.Run, next batch.RunStatus) bool {
	if !r.Status.Final() || r.Status == next {
		return true
	}
	return r.Status == batch.RunCancelled && next == batch.RunCompleted && r.CommitStartedAt != nil
}

// lockRun returns the run and keeps others from changing it until the transaction ends.
func lockRun(tx *gorm.DB, runID uuid.UUID) (batch.Run, error) {
	var row runRow
	if err := forUpdate(tx).Where("id = ?", runID).Take(&row).Error; err != nil {
		return batch.Run{}, err
	}
	return runOf(row), nil
}

// BeginCommit marks the point of no return, once: from then on a cancel is refused. It is an error with
// batch.CodeCancelled when the run was cancelled before, and with batch.CodeSuperseded when it is over otherwise. A run
// whose commit had begun when it was marked as cancelled goes on: its rows may be visible already.
func (db *DB) BeginCommit(ctx context.Context, runID uuid.UUID) (batch.Run, error) {
	var run batch.Run
	err := db.transact(ctx, "begin commit", func(tx *gorm.DB) error {
		var err error
		if run, err = lockRun(tx, runID); err != nil {
			return err
		}
		begun := run.CommitStartedAt != nil
		switch {
		case run.Status == batch.RunCancelled && !begun:
			return batch.Errorf(batch.CodeCancelled, nil, "the run was cancelled")
		case run.Status.Final() && run.Status != batch.RunCancelled:
			return superseded("the run is over: it is %s", run.Status)
		case begun:
			return nil
		}
		now := db.instant()
		run.CommitStartedAt, run.LastUpdatedAt = &now, now
		row := runRowOf(run)
		return tx.Select("commit_started_at", "last_updated_at").Updates(&row).Error
	})
	if err != nil {
		return batch.Run{}, err
	}
	return run, nil
}
