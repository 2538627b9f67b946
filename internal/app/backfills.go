package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
	"tranche/destinations"
	"tranche/query"
)

// BackfillStore is what Backfills needs of the database.
type BackfillStore interface {
	Export(ctx context.Context, teamID int64, id uuid.UUID) (batch.Export, error)
	// CreateBackfill refuses with batch.ErrTooManyBackfills or batch.ErrDuplicateBackfill.
	CreateBackfill(ctx context.Context, b batch.Backfill, limit int) error
	Backfill(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Backfill, error)
	ListBackfills(ctx context.Context, f batch.BackfillFilter) ([]batch.Backfill, error)
	UpdateBackfill(ctx context.Context, id uuid.UUID, change func(*batch.Backfill) error) (batch.Backfill, error)
	// CountOpenBackfills counts a team's open backfills, retries left out.
	CountOpenBackfills(ctx context.Context, teamID int64) (int64, error)
	OpenBackfillsOf(ctx context.Context, exportID uuid.UUID) ([]batch.Backfill, error)
	// DeliveredWithin returns the bounds of the deliveries that overlap the range.
	DeliveredWithin(ctx context.Context, exportID uuid.UUID, within batch.Interval) ([]batch.Interval, error)
	// DeliveredOtherwise returns a delivery that overlaps the range and whose rows were chosen by another time; nil = none.
	DeliveredOtherwise(ctx context.Context, exportID uuid.UUID, within batch.Interval, by batch.Clock) (*batch.Interval, error)
	// DeliveredLately sums up the newest deliveries of the export that have rows.
	DeliveredLately(ctx context.Context, exportID uuid.UUID, limit int) (rows, bytes int64, err error)
}

// A Counter tells of rows in the source.
type Counter interface {
	Earliest(ctx context.Context, q query.Query) (time.Time, bool, error)
	Count(ctx context.Context, q query.Query) (int64, error)
}

// BackfillWorkflows is what Backfills needs of Temporal.
type BackfillWorkflows interface {
	// StartBackfill starts the backfill's workflow under its fixed id. One that runs already is no error.
	StartBackfill(ctx context.Context, e batch.Export, b batch.Backfill) error
	// CancelBackfill asks Temporal to cancel it. It is no error when there is none.
	CancelBackfill(ctx context.Context, b batch.Backfill) error
	// SteerBackfill tells the workflow to ask how the backfill is steered. It is no error when there is none.
	SteerBackfill(ctx context.Context, b batch.Backfill) error
}

// Backfills are the use cases of backfills.
type Backfills struct {
	Store     BackfillStore
	Workflows BackfillWorkflows
	// Source is asked for previews; nil = this process has none.
	Source  Counter
	Models  query.Catalog
	Plugins *destinations.Registry
	Runs    *Runs
	Log     *zap.Logger
	Now     func() time.Time
	// Limit is how many backfills of a team may be open at once; retries are not counted.
	Limit int
	// Concurrency is how many intervals of a backfill run at once unless it says otherwise, MostConcurrency how many it
	// may say.
	Concurrency, MostConcurrency int
	// Lookback leaves out rows that happened longer before their interval; 0 = none.
	Lookback time.Duration
	// Previews counts those that ask the source; nil = there is no limit to them.
	Previews *Previews
}

// Get returns a backfill of the team's export.
func (s *Backfills) Get(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Backfill, error) {
	b, err := s.Store.Backfill(ctx, teamID, exportID, id)
	return b, missing(err, "Not found.")
}

// List returns the backfills that the filter selects.
func (s *Backfills) List(ctx context.Context, f batch.BackfillFilter) ([]batch.Backfill, error) {
	return s.Store.ListBackfills(ctx, f)
}

// A BackfillDraft is a backfill that a caller wants to have.
type BackfillDraft struct {
	Start, End    *string // as the caller wrote them
	Order         batch.BackfillOrder
	Concurrency   *int // nil = as the server's
	SkipDelivered bool
	Replace       bool
	By            batch.Clock // empty = by ingestion
}

// Create validates the draft and starts a backfill. With an id that is not zero, a backfill that has it already is
// returned as it is.
func (s *Backfills) Create(
	ctx context.Context, teamID int64, exportID, id uuid.UUID, d BackfillDraft,
) (batch.Backfill, error) {
	e, err := s.Store.Export(ctx, teamID, exportID)
	if err != nil {
		return batch.Backfill{}, missing(err, "BatchExport not found.")
	}
	if made, err := s.made(ctx, e, id); !errors.Is(err, batch.ErrNotFound) {
		return made, err
	}
	if err := s.checkStart(e, d); err != nil {
		return batch.Backfill{}, err
	}
	if err := s.room(ctx, teamID); err != nil {
		return batch.Backfill{}, err
	}
	b, err := s.backfillOf(e, d)
	if err != nil {
		return batch.Backfill{}, err
	}
	b.ID = id
	return s.start(ctx, e, b)
}

// backfillOf validates the draft, but for what checkStart looks at. The first problem is returned.
func (s *Backfills) backfillOf(e batch.Export, d BackfillDraft) (batch.Backfill, error) {
	from, to, err := s.bounds(e, d.Start, d.End)
	if err != nil {
		return batch.Backfill{}, err
	}
	b := batch.Backfill{
		ExportID: e.ID, TeamID: e.TeamID, StartAt: from, EndAt: to, Concurrency: s.Concurrency,
		Order: d.Order, SkipDelivered: d.SkipDelivered, Replace: d.Replace, By: d.By,
	}
	if err := s.checkSelection(e, b.By); err != nil {
		return batch.Backfill{}, err
	}
	if b.Order == "" {
		b.Order = batch.OldestFirst
	}
	if b.Order == batch.NewestFirst && to == nil {
		return batch.Backfill{}, invalid("order", codeInvalid, "A backfill without an end cannot run the newest intervals first.")
	}
	if n := d.Concurrency; n != nil {
		switch {
		case *n < 1:
			return batch.Backfill{}, invalid("concurrency", codeMin, "Ensure this value is greater than or equal to 1.")
		case *n > s.MostConcurrency:
			return batch.Backfill{}, invalid("concurrency", codeMax, "Ensure this value is less than or equal to %d.", s.MostConcurrency)
		}
		b.Concurrency = *n
	}
	return b, nil
}

// checkSelection refuses to choose rows of a model by a time that it does not have.
func (s *Backfills) checkSelection(e batch.Export, by batch.Clock) error {
	if by != batch.ByTimestamp {
		return nil
	}
	if m, ok := s.Models.Model(e.Model); ok && m.Occurred == "" {
		return invalid("by", codeInvalid, "Rows of the model '%s' have no time of their own: they can only be backfilled by 'inserted_at'.", e.Model)
	}
	return nil
}

// checkStart refuses a backfill from the beginning of time of a query that asks where its interval starts.
func (s *Backfills) checkStart(e batch.Export, d BackfillDraft) error {
	if d.Start != nil || !e.Selection.Custom() {
		return nil
	}
	selected, err := s.Models.Select(e)
	if err != nil {
		return refusalOf(err)
	}
	if selected.NeedsStart() {
		return invalid("start_at", codeInvalid, "The query uses {data_interval_start}: a backfill of it needs a 'start_at'")
	}
	return nil
}

// made finds the backfill that an earlier try of the same request made, or batch.ErrNotFound.
func (s *Backfills) made(ctx context.Context, e batch.Export, id uuid.UUID) (batch.Backfill, error) {
	if id == uuid.Nil {
		return batch.Backfill{}, batch.ErrNotFound
	}
	return s.Store.Backfill(ctx, e.TeamID, e.ID, id)
}

// room refuses when the team has as many open backfills as it may. Clients learn of it before their bounds are judged;
// that two requests do not pass at once is up to CreateBackfill.
func (s *Backfills) room(ctx context.Context, teamID int64) error {
	n, err := s.Store.CountOpenBackfills(ctx, teamID)
	if err == nil && n >= int64(s.Limit) {
		err = s.tooMany()
	}
	return err
}

func (s *Backfills) tooMany() error {
	return &Problem{
		Kind: TooMany, Code: "too_many_concurrent_backfills", Detail: fmt.Sprintf(
			"This team already has %d batch export backfills running. Wait for one to finish, or cancel one.", s.Limit),
	}
}

// start stores the backfill and starts its workflow. When Temporal does not answer, the reconciler starts it.
func (s *Backfills) start(ctx context.Context, e batch.Export, b batch.Backfill) (batch.Backfill, error) {
	now := s.Now().UTC().Truncate(time.Microsecond)
	if b.ID == uuid.Nil {
		b.ID = newID()
	}
	if b.Concurrency == 0 {
		b.Concurrency = s.Concurrency
	}
	b.ExportID, b.TeamID, b.Order = e.ID, e.TeamID, cmp.Or(b.Order, batch.OldestFirst)
	b.Status, b.CreatedAt, b.LastUpdatedAt = batch.BackfillStarting, now, now
	if err := s.checkDelivered(ctx, e, b); err != nil {
		return batch.Backfill{}, err
	}
	err := s.Store.CreateBackfill(ctx, b, s.Limit)
	switch {
	case errors.Is(err, batch.ErrTooManyBackfills):
		return batch.Backfill{}, s.tooMany()
	case errors.Is(err, batch.ErrDuplicateBackfill):
		return batch.Backfill{}, &Problem{
			Kind: Conflict, Code: codeDuplicateBackfill,
			Detail: "A backfill of exactly this range is running already.", Err: err,
		}
	case err != nil:
		return batch.Backfill{}, err
	}
	if err := s.Workflows.StartBackfill(ctx, e, b); err != nil {
		logOf(ctx, s.Log).Warn("The backfill's workflow is not started; the reconciler will start it.",
			zap.Stringer("backfill_id", b.ID), zap.Error(err))
	}
	return b, nil
}

// checkDelivered refuses a backfill that would deliver rows twice that are delivered already.
func (s *Backfills) checkDelivered(ctx context.Context, e batch.Export, b batch.Backfill) error {
	outlook, err := s.look(ctx, e, b, time.Time{})
	if err != nil {
		return err
	}
	if err := refusal(outlook.Check(b.Replace)); err != nil || b.Replace {
		return err
	}
	other, err := s.Store.DeliveredOtherwise(ctx, e.ID, outlook.Range, b.By)
	if err == nil && other != nil {
		err = refusal(batch.MixedSelections(*other, b.By))
	}
	return err
}

// retry starts a backfill of exactly the run's interval. The id is as for Create.
func (s *Backfills) retry(ctx context.Context, r batch.Run, id uuid.UUID) (batch.Backfill, error) {
	e, err := s.Store.Export(ctx, r.TeamID, r.ExportID)
	if err != nil {
		return batch.Backfill{}, missing(err, "Not found.")
	}
	if made, err := s.made(ctx, e, id); !errors.Is(err, batch.ErrNotFound) {
		return made, err
	}
	b := batch.Backfill{ID: id, Retry: true, EndAt: &r.Interval.End, Concurrency: 1}
	if r.BackfillID != nil { // the same rows as before
		of, err := s.Store.Backfill(ctx, r.TeamID, r.ExportID, *r.BackfillID)
		if err != nil {
			return batch.Backfill{}, err
		}
		b.By = of.By
	}
	if !r.Interval.Start.IsZero() {
		b.StartAt = &r.Interval.Start
	}
	return s.start(ctx, e, b)
}

// cover backfills what was due in missed, unless somebody is at it already: the intervals that ended in it. Those at its
// start that were delivered in part, with another length, are left out. It returns the end of the last one.
func (s *Backfills) cover(ctx context.Context, e batch.Export, missed batch.Interval) (until time.Time, err error) {
	calendar, err := e.Calendar()
	if err != nil {
		return until, err
	}
	start, end := calendar.Floor(missed.Start), calendar.Floor(missed.End)
	bounds, err := s.Store.DeliveredWithin(ctx, e.ID, batch.Interval{Start: start, End: end})
	if err != nil {
		return until, err
	}
	delivered := batch.NewDelivered(bounds)
	for start.Before(end) {
		if _, others := delivered.Of(calendar.Containing(start)); len(others) == 0 {
			break
		}
		start = calendar.Next(start)
	}
	if !start.Before(end) {
		return end, nil
	}
	_, err = s.start(ctx, e, batch.Backfill{StartAt: &start, EndAt: &end, Order: batch.OldestFirst, Concurrency: s.Concurrency})
	if errors.Is(err, batch.ErrDuplicateBackfill) {
		err = nil
	}
	return end, err
}

// Cancel cancels a backfill and its open runs. Runs that are committing complete.
func (s *Backfills) Cancel(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Backfill, error) {
	if _, err := s.Get(ctx, teamID, exportID, id); err != nil {
		return batch.Backfill{}, err
	}
	return s.cancel(ctx, id)
}

func (s *Backfills) cancel(ctx context.Context, id uuid.UUID) (batch.Backfill, error) {
	b, err := s.Store.UpdateBackfill(ctx, id, func(b *batch.Backfill) error {
		if b.Status.Final() {
			return invalid("", codeInvalid, "Cannot cancel a backfill that is in '%s' status", b.Status)
		}
		now := s.Now().UTC()
		b.Status, b.FinishedAt = batch.BackfillCancelled, &now
		return nil
	})
	if err != nil {
		return b, missing(err, "Not found.")
	}
	if err := s.Workflows.CancelBackfill(ctx, b); err != nil {
		logOf(ctx, s.Log).Warn("A cancelled backfill's workflow could not be told; it will find out before its next run.",
			zap.Stringer("backfill_id", b.ID), zap.Error(err))
	}
	return b, s.Runs.cancelAll(ctx, b.ExportID, &b.ID)
}

// cancelAll cancels the open backfills of an export, and says how many.
func (s *Backfills) cancelAll(ctx context.Context, exportID uuid.UUID) (cancelled int, err error) {
	open, err := s.Store.OpenBackfillsOf(ctx, exportID)
	if err != nil {
		return 0, err
	}
	for _, b := range open {
		_, err := s.cancel(ctx, b.ID)
		if err != nil && !isProblem(err) {
			return cancelled, err
		}
		if err == nil {
			cancelled++
		}
	}
	return cancelled, nil
}

// isProblem says whether err is a refusal: somebody else was faster.
func isProblem(err error) bool {
	_, ok := errors.AsType[*Problem](err)
	return ok
}
