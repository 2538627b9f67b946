package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tranche/batch"
	"tranche/destinations"
	"tranche/query"
)

// A Sampler shows rows of the source.
type Sampler interface {
	// Sample returns at most limit rows of the query as JSON objects, fewer when they are longer than maxBytes together.
	Sample(ctx context.Context, q query.Query, limit, maxBytes int) ([]json.RawMessage, error)
}

// An ExportPreview is what an export would deliver of a range, had it been created.
type ExportPreview struct {
	Export batch.Export
	// Range has whole intervals, Intervals many.
	Range     batch.Interval
	Intervals int64
	Columns   []PreviewedColumn
	// Places are where the first of the intervals would be delivered.
	Places []PreviewedPlace
	// Rows is how many rows there are; nil = not known: counting took too long, which rows depends on each interval, or this
	// process has no source.
	Rows *int64
	// Sample are some of the rows; nil = not known, for the same reasons.
	Sample []json.RawMessage
}

// A PreviewedColumn is a column as the source delivers it.
type PreviewedColumn struct {
	Name string
	Type string
}

// A PreviewedPlace is where an interval would be delivered.
type PreviewedPlace struct {
	Interval batch.Interval
	destinations.Place
}

// A PreviewRange is the range of a preview; without a start and an end, the last complete interval.
type PreviewRange struct {
	Start, End *time.Time
}

// The limits of a preview. Both times together are shorter than the time for a request.
const (
	previewedRows        = 20
	previewedBytes       = 256 << 10
	previewedPlaces      = 20
	exportPreviewTimeout = 12 * time.Second
	longestPreview       = 366 * 24 * time.Hour
)

// Preview says what an export of the team would deliver. It writes nothing and does not connect to the destination.
func (s *Exports) Preview(ctx context.Context, teamID int64, d Draft, asked PreviewRange) (ExportPreview, error) {
	e, err := s.exportOf(d)
	if err != nil {
		return ExportPreview{}, err
	}
	e.TeamID = teamID
	calendar, err := e.Calendar()
	if err != nil {
		return ExportPreview{}, err
	}
	r := ExportPreview{Export: e}
	if r.Range, err = asked.within(calendar, s.Now()); err != nil {
		return ExportPreview{}, err
	}
	r.Intervals = calendar.Count(r.Range.Start, r.Range.End)
	selected, err := s.Models.Select(e)
	if err != nil {
		return ExportPreview{}, refusalOf(err)
	}
	plugin, ok := s.Plugins.Plugin(e.Destination.Type)
	if !ok {
		return ExportPreview{}, invalid("destination__type", codeChoice, "%q is not a valid choice.", e.Destination.Type)
	}
	q := s.Plugins.Rows(e, selected, r.Range)
	if !selected.Custom() {
		if q.Columns, err = plugin.Columns(e.Destination.Config, selected.Model); err != nil {
			return ExportPreview{}, refusalOf(err)
		}
	}
	for _, c := range q.Columns {
		r.Columns = append(r.Columns, PreviewedColumn{Name: c.Name, Type: c.Expression(selected.Model).Type().String()})
	}
	if err := r.place(plugin, calendar, selected); err != nil {
		return ExportPreview{}, err
	}
	return r, s.look(ctx, &r, q, selected, calendar.Before(r.Range.End))
}

// within is the range in whole intervals.
func (r PreviewRange) within(calendar batch.Calendar, now time.Time) (batch.Interval, error) {
	switch {
	case r.Start == nil && r.End == nil:
		return calendar.LastComplete(now), nil
	case r.Start == nil:
		return batch.Interval{}, invalid("data_interval_start", "required", "This field is required.")
	case r.End == nil:
		return batch.Interval{}, invalid("data_interval_end", "required", "This field is required.")
	case !r.Start.Before(*r.End):
		return batch.Interval{}, invalid("data_interval_end", codeInvalid, "'data_interval_end' must be after 'data_interval_start'")
	case r.End.Sub(*r.Start) > longestPreview:
		return batch.Interval{}, invalid("data_interval_end", codeInvalid, "The range is longer than %d days", int(longestPreview.Hours()/24))
	}
	return batch.Interval{Start: calendar.Floor(*r.Start), End: calendar.Ceil(*r.End)}, nil
}

// place says where the first intervals would be delivered.
func (r *ExportPreview) place(plugin destinations.Plugin, calendar batch.Calendar, selected query.Selection) error {
	for i := range calendar.Within(r.Range.Start, r.Range.End) {
		if len(r.Places) == previewedPlaces {
			break
		}
		run := destinations.Run{TeamID: r.Export.TeamID, Model: r.Export.Model, Interval: i, Generation: 1}
		place, err := plugin.Place(r.Export.Destination.Config, run, selected.Delivered())
		if err != nil {
			return fmt.Errorf("say where a run would deliver: %w", err)
		}
		r.Places = append(r.Places, PreviewedPlace{Interval: i, Place: place})
	}
	return nil
}

// look counts and reads the rows. What takes too long is left out; what the caller can mend is told. Rows that depend on
// their interval are those of the last one.
func (s *Exports) look(ctx context.Context, r *ExportPreview, q query.Query, selected query.Selection, last batch.Interval) error {
	if s.Source == nil || s.Rows == nil {
		return nil
	}
	end, err := s.Previews.begin(r.Export.TeamID)
	if err != nil {
		return err
	}
	defer end()
	var rows int64
	if r.Intervals == 1 || !selected.Bounded() {
		counted, err := inTime(ctx, exportPreviewTimeout, func(ctx context.Context) (err error) {
			rows, err = s.Source.Count(ctx, q)
			return err
		})
		if err != nil {
			return mendable(err)
		}
		if counted {
			r.Rows = &rows
		}
	}
	if selected.Placed() {
		q.Interval = last
	}
	var sample []json.RawMessage
	read, err := inTime(ctx, exportPreviewTimeout, func(ctx context.Context) (err error) {
		sample, err = s.Rows.Sample(ctx, q, previewedRows, previewedBytes)
		return err
	})
	if err != nil {
		return mendable(err)
	}
	if read {
		r.Sample = sample
	}
	return nil
}

// mendable tells the caller of what nobody else can mend.
func mendable(err error) error {
	if known, ok := errors.AsType[*batch.Error](err); ok && known.Code.Fault() == batch.Customers {
		return invalid("", codeInvalid, "%s", sentence(known.Message))
	}
	return err
}
