package app

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/query"
)

// A Preview is what a backfill would do, had it been started.
type Preview struct {
	batch.Outlook
	// AdjustedStartAt is where it would start because the data begin later than asked; nil = as asked.
	AdjustedStartAt *time.Time
	// Rows is what it would export; nil = not known: counting took too long, or this process has no source.
	Rows *int64
	// Bytes is estimated from the rows and from what the export has delivered so far; nil = not known.
	Bytes *int64
}

const (
	// previewTimeout is how long counting may take: well below the time of a request.
	previewTimeout = 20 * time.Second
	// sample is how many deliveries the size of a row is taken from.
	sample = 100
)

// Preview says what a backfill would do. It writes nothing and starts nothing.
func (s *Backfills) Preview(ctx context.Context, teamID int64, exportID uuid.UUID, d BackfillDraft) (Preview, error) {
	e, err := s.Store.Export(ctx, teamID, exportID)
	if err != nil {
		return Preview{}, missing(err, "BatchExport not found.")
	}
	if err := s.checkStart(e, d); err != nil {
		return Preview{}, err
	}
	b, err := s.backfillOf(e, d)
	if err != nil {
		return Preview{}, err
	}
	calendar, err := e.Calendar()
	if err != nil {
		return Preview{}, err
	}
	var p Preview
	selection, err := s.Models.Select(e)
	if err != nil {
		return Preview{}, refusalOf(err)
	}
	end, err := s.Previews.begin(teamID)
	if err != nil {
		return Preview{}, err
	}
	defer end()
	earliest, any, known, err := s.earliest(ctx, e, b, selection)
	if err != nil {
		return Preview{}, err
	}
	whole := b.Range(calendar, s.Now())
	if known && (!any || !earliest.Before(whole.End)) {
		p.Outlook.Range, p.Rows, p.Bytes = whole, new(int64), new(int64)
		return p, nil
	}
	if first := calendar.Floor(earliest); known && b.StartAt != nil && first.After(*b.StartAt) {
		b.AdjustedStartAt, p.AdjustedStartAt = &first, &first
	}
	if p.Outlook, err = s.look(ctx, e, b, earliest); err != nil {
		return Preview{}, err
	}
	if !known {
		return p, nil
	}
	return p, s.weigh(ctx, e, b, selection, &p)
}

// earliest asks the source for its earliest row. It is not known without a source, or when the answer takes too long.
func (s *Backfills) earliest(ctx context.Context, e batch.Export, b batch.Backfill, selection query.Selection) (at time.Time, any, known bool, err error) {
	if s.Source == nil {
		return at, false, false, nil
	}
	known, err = inTime(ctx, previewTimeout, func(ctx context.Context) error {
		at, any, err = s.Source.Earliest(ctx, query.Query{TeamID: e.TeamID, Model: selection.Model.Name, By: query.TimeOf(b.By)})
		return err
	})
	return at, any, known, err
}

// weigh counts the rows of a preview and estimates their size.
func (s *Backfills) weigh(ctx context.Context, e batch.Export, b batch.Backfill, selection query.Selection, p *Preview) error {
	if selection.Bounded() {
		return nil // which rows it exports depends on the interval of each run
	}
	var rows int64
	known, err := inTime(ctx, previewTimeout, func(ctx context.Context) (err error) {
		asked := s.Plugins.Rows(e, selection, p.Range)
		asked.By, asked.Lookback = query.TimeOf(b.By), s.Lookback
		rows, err = s.Source.Count(ctx, asked)
		return err
	})
	if err != nil || !known {
		return err
	}
	p.Rows = &rows
	sampleRows, sampleBytes, err := s.Store.DeliveredLately(ctx, e.ID, sample)
	if err != nil || sampleRows == 0 {
		return err
	}
	bytes := int64(float64(rows) * float64(sampleBytes) / float64(sampleRows))
	p.Bytes = &bytes
	return nil
}

// inTime says whether ask was done within the time of a preview.
func inTime(ctx context.Context, limit time.Duration, ask func(context.Context) error) (bool, error) {
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := ask(asking)
	if err != nil && errors.Is(asking.Err(), context.DeadlineExceeded) && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}

// look compares the backfill with what was delivered.
func (s *Backfills) look(ctx context.Context, e batch.Export, b batch.Backfill, earliest time.Time) (batch.Outlook, error) {
	calendar, err := e.Calendar()
	if err != nil {
		return batch.Outlook{}, err
	}
	bounds, err := s.Store.DeliveredWithin(ctx, e.ID, b.Range(calendar, s.Now()))
	if err != nil {
		return batch.Outlook{}, err
	}
	return b.Look(calendar, batch.NewDelivered(bounds), earliest, s.Now()), nil
}

// refusal turns an overlap into a Problem.
func refusal(err error) error {
	if e, ok := errors.AsType[*batch.Error](err); ok && e.Code == batch.CodeOverlap {
		return &Problem{Kind: Conflict, Code: codeOverlapping, Detail: sentence(e.Message)}
	}
	return err
}
