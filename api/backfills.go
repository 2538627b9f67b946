package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"tranche/batch"
	"tranche/internal/app"
)

// backfillsPage is the number of backfills on a page.
const backfillsPage = 50

// A backfillBody is a backfill as clients see it.
type backfillBody struct {
	ID                uuid.UUID            `json:"id"`
	Progress          *progressBody        `json:"progress"`
	Team              int64                `json:"team"`
	BatchExport       uuid.UUID            `json:"batch_export"`
	StartAt           *instant             `json:"start_at"`
	EndAt             *instant             `json:"end_at"`
	Status            batch.BackfillStatus `json:"status" description:"Running also while it is paused."`
	CreatedAt         instant              `json:"created_at"`
	FinishedAt        *instant             `json:"finished_at"`
	LastUpdatedAt     instant              `json:"last_updated_at"`
	TotalRecordsCount *int64               `json:"total_records_count" description:"Rows of the range by count, when it began."`
	AdjustedStartAt   *instant             `json:"adjusted_start_at" description:"Where it really begins, when the data begin later than asked for."`

	Order         batch.BackfillOrder `json:"order" description:"From which end intervals run."`
	Concurrency   int                 `json:"concurrency" description:"How many intervals run at once."`
	SkipDelivered bool                `json:"skip_delivered" description:"Whether intervals whose time is delivered are left out."`
	Replace       bool                `json:"replace" description:"Whether it takes the place of deliveries of another length."`
	By            batch.Clock         `json:"by" description:"Which time of a row puts it into an interval: when it arrived, or when it happened."`
	Retry         bool                `json:"retry" description:"Whether it is the retry of a run."`
	Paused        bool                `json:"paused"`
	PausedAt      *instant            `json:"paused_at"`
	Runs          tallyBody           `json:"runs"`
	Records       int64               `json:"records_completed"`
	Bytes         int64               `json:"bytes_exported"`
	LatestError   *string             `json:"latest_error" description:"Why it failed."`
	TemporalURL   *string             `json:"temporal_url" description:"Its workflow in Temporal's Web UI."`
}

// A tallyBody counts a backfill's runs.
type tallyBody struct {
	Total     *int64 `json:"total" description:"How many there will be; null = not known."` // expected; null = not known
	Running   int64  `json:"running"`
	Completed int64  `json:"completed"`
	Failed    int64  `json:"failed"`
	Cancelled int64  `json:"cancelled"`
}

// backfillBody is what is shown of a backfill of an export with the calendar; nil = the export is gone.
func (s *Server) backfillBody(b batch.Backfill, calendar *batch.Calendar) backfillBody {
	var failure *string
	if b.LatestError != "" {
		failure = &b.LatestError
	}
	return backfillBody{
		ID: b.ID, Progress: progressOf(b, calendar, s.Now()), Team: b.TeamID, BatchExport: b.ExportID,
		StartAt: instantOf(b.StartAt), EndAt: instantOf(b.EndAt), Status: b.Status,
		CreatedAt: instant(b.CreatedAt), FinishedAt: instantOf(b.FinishedAt), LastUpdatedAt: instant(b.LastUpdatedAt),
		TotalRecordsCount: b.TotalRecords, AdjustedStartAt: instantOf(b.AdjustedStartAt),
		Order: cmp.Or(b.Order, batch.OldestFirst), Concurrency: b.Concurrency, SkipDelivered: b.SkipDelivered, Replace: b.Replace, Retry: b.Retry,
		By:     cmp.Or(b.By, batch.ByIngestion),
		Paused: b.PausedAt != nil, PausedAt: instantOf(b.PausedAt),
		Runs: tallyBody{
			Total: b.TotalRuns, Running: b.Runs.Open, Completed: b.Runs.Completed, Failed: b.Runs.Failed, Cancelled: b.Runs.Cancelled,
		},
		Records: b.Runs.Rows, Bytes: b.Runs.Bytes, LatestError: failure, TemporalURL: s.TemporalUI.backfill(b),
	}
}

// listBackfills answers with a page of an export's backfills. Those of an export that is not the project's are none.
func (s *Server) listBackfills(c *gin.Context, who caller) (int, any, error) {
	exportID, err := pathID(c, "id")
	if err != nil {
		return 0, nil, err
	}
	p, err := s.params(c, who)
	if err != nil {
		return 0, nil, err
	}
	order := backfillOrderOf(p)
	if err := p.problem(); err != nil {
		return 0, nil, err
	}
	ctx, sorted := c.Request.Context(), orderingOf(order)
	page, err := turn(s, c, p, cursorList[batch.Backfill]{
		order: sorted, size: backfillsPage,
		identity: url.Values{"list": {"backfills " + strconv.FormatInt(who.teamID, 10) + " " + exportID.String()}, "ordering": {order}},
		fetch: func(order ordering, after *batch.Position, limit int) ([]batch.Backfill, error) {
			return s.Backfills.List(ctx, batch.BackfillFilter{
				TeamID: who.teamID, ExportID: exportID, OrderBy: order.by, Desc: order.desc, After: after, Limit: limit,
			})
		},
		position: func(b batch.Backfill) batch.Position {
			if sorted.by == batch.OrderStartAt {
				return batch.Position{Value: b.StartAt, ID: b.ID}
			}
			return batch.Position{Value: &b.CreatedAt, ID: b.ID}
		},
	})
	if err != nil {
		return 0, nil, err
	}
	calendar, err := s.calendar(ctx, who, exportID)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, bodies(page, func(b batch.Backfill) backfillBody { return s.backfillBody(b, calendar) }), nil
}

// backfillOrderOf reads in what order backfills are listed.
func backfillOrderOf(p *params) string {
	return p.choice("ordering", "-created_at", "created_at", "start_at", "-start_at")
}

// boundsOf reads the bounds of a backfill as they are written.
func boundsOf(f *form) app.BackfillDraft {
	return app.BackfillDraft{Start: f.words("start_at", nullable), End: f.words("end_at", nullable)}
}

// draftOfBackfill reads what backfill is wanted, and whether only to be told what it would do.
func (s *Server) draftOfBackfill(f *form) (d app.BackfillDraft, dryRun bool) {
	d = boundsOf(f)
	d.Order = batch.BackfillOrder(f.choice("order", optional, backfillOrders))
	d.Concurrency = f.integerWithin("concurrency", optional, 1, s.Backfills.MostConcurrency)
	d.SkipDelivered = f.boolean("skip_delivered")
	d.Replace = f.boolean("replace")
	d.By = batch.Clock(f.choice("by", optional, selections))
	return d, f.boolean("dry_run")
}

// selections are the times by which a backfill may choose rows.
var selections = oneOf(textsOf(batch.Clocks)...)

// backfillOrders are the orders in which intervals may run.
var backfillOrders = oneOf(textsOf(batch.BackfillOrders)...)

// calendar returns the calendar of an export, or nil when it is gone: its backfills stay.
func (s *Server) calendar(ctx context.Context, who caller, exportID uuid.UUID) (*batch.Calendar, error) {
	e, err := s.Exports.Get(ctx, who.teamID, exportID)
	if p, ok := errors.AsType[*app.Problem](err); ok && p.Kind == app.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	calendar, err := e.Calendar()
	return &calendar, err
}

// getBackfill answers with one backfill.
func (s *Server) getBackfill(c *gin.Context, who caller) (int, any, error) {
	exportID, id, err := pathIDs(c, "backfill_id")
	if err != nil {
		return 0, nil, err
	}
	b, err := s.Backfills.Get(c.Request.Context(), who.teamID, exportID, id)
	if err != nil {
		return 0, nil, err
	}
	calendar, err := s.calendar(c.Request.Context(), who, exportID)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.backfillBody(b, calendar), nil
}

// A previewBody is what a backfill would do.
type previewBody struct {
	DryRun bool `json:"dry_run"` // true
	// StartAt and EndAt bound the intervals that would run; a null start is the beginning of time.
	StartAt         *instant `json:"start_at"`
	EndAt           instant  `json:"end_at"`
	AdjustedStartAt *instant `json:"adjusted_start_at" description:"Where it would really begin, when the data begin later than asked for."`
	Intervals       int64    `json:"intervals" description:"How many would run."`
	Delivered       int64    `json:"delivered_intervals" description:"How many of them are delivered already."`
	Skipped         int64    `json:"skipped_intervals" description:"How many are left out by skip_delivered."`
	Overlapping     int64    `json:"overlapping_deliveries" description:"Deliveries of another length that are in the way: replace takes their place."`
	Records         *int64   `json:"total_records_count" description:"Rows by count; null = the source does not answer in time."`
	Bytes           *int64   `json:"estimated_bytes" description:"By the size of earlier deliveries; null = there are none."`
}

// backfilled returns the id of the export to backfill. That there is none is told whatever the body says.
func (s *Server) backfilled(c *gin.Context, who caller) (uuid.UUID, error) {
	id, err := pathID(c, "id")
	if err == nil {
		_, err = s.Exports.Get(c.Request.Context(), who.teamID, id)
	}
	if err != nil && refusalOf(err).status == http.StatusNotFound {
		return id, notFound("BatchExport not found.")
	}
	return id, err
}

// createBackfill starts a backfill, or tells what it would do.
func (s *Server) createBackfill(c *gin.Context, who caller) (int, any, error) {
	exportID, err := s.backfilled(c, who)
	if err != nil {
		return 0, nil, err
	}
	f, err := decode(c)
	if err != nil {
		return 0, nil, err
	}
	draft, dryRun := s.draftOfBackfill(f)
	if err := f.problem(); err != nil {
		return 0, nil, err
	}
	ctx := c.Request.Context()
	if !dryRun {
		b, err := s.Backfills.Create(ctx, who.teamID, exportID, who.makes, draft)
		return http.StatusCreated, backfillIDBody{BackfillID: b.ID}, err
	}
	p, err := s.Backfills.Preview(ctx, who.teamID, exportID, draft)
	body := previewBody{
		DryRun: true, EndAt: instant(p.Range.End), AdjustedStartAt: instantOf(p.AdjustedStartAt),
		Intervals: p.Outlook.Runs, Delivered: p.Delivered, Skipped: p.Skipped, Overlapping: p.Overlapping, Records: p.Rows, Bytes: p.Bytes,
	}
	if !p.Range.Start.IsZero() {
		body.StartAt = instantOf(&p.Range.Start)
	}
	return http.StatusOK, body, err
}

// pauseBackfill stops a backfill from starting more runs. The body is ignored.
func (s *Server) pauseBackfill(c *gin.Context, who caller) (int, any, error) {
	return steerBackfill(c, who, s.Backfills.Pause)
}

// resumeBackfill goes on with a backfill. The body is ignored.
func (s *Server) resumeBackfill(c *gin.Context, who caller) (int, any, error) {
	return steerBackfill(c, who, s.Backfills.Resume)
}

func steerBackfill(
	c *gin.Context, who caller, steer func(ctx context.Context, teamID int64, exportID, id uuid.UUID) (batch.Backfill, error),
) (int, any, error) {
	exportID, id, err := pathIDs(c, "backfill_id")
	if err != nil {
		return 0, nil, err
	}
	b, err := steer(c.Request.Context(), who.teamID, exportID, id)
	return http.StatusOK, pausedBody{Paused: b.PausedAt != nil}, err
}

// createBackfillOld starts a backfill as older clients know it: with bounds, and nothing else.
func (s *Server) createBackfillOld(c *gin.Context, who caller) (int, any, error) {
	exportID, err := s.backfilled(c, who)
	if err != nil {
		return 0, nil, err
	}
	f, err := decode(c)
	if err != nil {
		return 0, nil, err
	}
	draft := boundsOf(f)
	if err := f.problem(); err != nil {
		return 0, nil, err
	}
	b, err := s.Backfills.Create(c.Request.Context(), who.teamID, exportID, who.makes, draft)
	return http.StatusOK, backfillIDBody{BackfillID: b.ID}, err
}

// cancelBackfill ends a backfill and its runs. The body is ignored.
func (s *Server) cancelBackfill(c *gin.Context, who caller) (int, any, error) {
	exportID, id, err := pathIDs(c, "backfill_id")
	if err != nil {
		return 0, nil, err
	}
	_, err = s.Backfills.Cancel(c.Request.Context(), who.teamID, exportID, id)
	return http.StatusOK, cancelledBody{Cancelled: true}, err
}
