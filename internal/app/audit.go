package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"tranche/batch"
)

// AuditStore is what Audit needs of the database.
type AuditStore interface {
	Export(ctx context.Context, teamID int64, id uuid.UUID) (batch.Export, error)
	ListAudit(ctx context.Context, f batch.AuditFilter) ([]batch.AuditEntry, error)
}

// Audit are the use cases of the audit log.
type Audit struct {
	Store AuditStore
}

// List returns the entries that the filter selects.
func (s *Audit) List(ctx context.Context, f batch.AuditFilter) ([]batch.AuditEntry, error) {
	return s.Store.ListAudit(ctx, f)
}

// ListOf is List for an export of the team that is not deleted, which the filter names.
func (s *Audit) ListOf(ctx context.Context, f batch.AuditFilter) ([]batch.AuditEntry, error) {
	if _, err := s.Store.Export(ctx, f.TeamID, *f.ExportID); err != nil {
		return nil, missing(err, "Not found.")
	}
	return s.Store.ListAudit(ctx, f)
}

// repairActions are the repairs that the audit log is told of: what somebody outside of the service did, or what shows in
// what was delivered. Others are told where the row is changed, or are the service's own business.
var repairActions = map[Repair]batch.Action{
	RepairMissingSchedule: batch.ActScheduleRestored,
	RepairDriftedSchedule: batch.ActScheduleMended,
	RepairInterval:        batch.ActIntervalStarted,
	RepairMissedInterval:  batch.ActIntervalMissed,
}

// told is what one entry of a pass is about.
type told struct {
	action   batch.Action
	exportID uuid.UUID
}

// audit writes an entry for each kind of repair of an export, however often it was made.
func (p *pass) audit(ctx context.Context) error {
	ctx = batch.WithAct(ctx, batch.Act{Actor: batch.Actor{Kind: batch.ActorSystem}})
	var failures []error
	for what, n := range p.told {
		note := map[batch.Action]string{
			batch.ActScheduleRestored: "The schedule was missing in Temporal.",
			batch.ActScheduleMended:   "The schedule had been changed in Temporal.",
			batch.ActIntervalStarted:  fmt.Sprintf("Intervals that were due and that nobody had begun: %d.", n),
			batch.ActIntervalMissed:   fmt.Sprintf("Intervals that were due longer ago than the catch-up window reaches: %d.", n),
		}[what.action]
		failures = append(failures, p.Store.AppendAudit(ctx, batch.AuditEntry{ExportID: what.exportID, Action: what.action, Note: note}))
	}
	return errors.Join(failures...)
}
