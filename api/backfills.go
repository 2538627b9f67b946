package api

import (
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
	Status            batch.BackfillStatus `json:"status"`
	CreatedAt         instant              `json:"created_at"`
	FinishedAt        *instant             `json:"finished_at"`
	LastUpdatedAt     instant              `json:"last_updated_at"`
	TotalRecordsCount *int64               `json:"total_records_count"`
	AdjustedStartAt   *instant             `json:"adjusted_start_at"`
	TemporalURL       *string              `json:"temporal_url"`
}

// backfillBody is what is shown of a backfill of an export with the calendar; nil = the export is gone.
func (s *Server) backfillBody(b batch.Backfill, calendar *batch.Calendar) backfillBody {
	return backfillBody{
		ID: b.ID, Progress: progressOf(b, calendar, s.Now()), Team: b.TeamID, BatchExport: b.ExportID,
		StartAt: instantOf(b.StartAt), EndAt: instantOf(b.EndAt), Status: b.Status,
		CreatedAt: instant(b.CreatedAt), FinishedAt: instantOf(b.FinishedAt), LastUpdatedAt: instant(b.LastUpdatedAt),
		TotalRecordsCount: b.TotalRecords, AdjustedStartAt: instantOf(b.AdjustedStartAt), TemporalURL: s.TemporalUI.backfill(b),
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
func boundsOf(f *form) (start, end *string) {
	return f.words("start_at", nullable), f.words("end_at", nullable)
}

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

// createBackfill starts a backfill.
func (s *Server) createBackfill(c *gin.Context, who caller) (int, any, error) {
	exportID, err := pathID(c, "id")
	if err != nil {
		return 0, nil, notFound("BatchExport not found.")
	}
	f, err := decode(c)
	if err != nil {
		return 0, nil, err
	}
	start, end := boundsOf(f)
	if err := f.problem(); err != nil {
		return 0, nil, err
	}
	b, err := s.Backfills.Create(c.Request.Context(), who.teamID, exportID, who.makes, start, end)
	return http.StatusCreated, backfillIDBody{BackfillID: b.ID}, err
}

// createBackfillOld is createBackfill as older clients know it.
func (s *Server) createBackfillOld(c *gin.Context, who caller) (int, any, error) {
	_, body, err := s.createBackfill(c, who)
	return http.StatusOK, body, err
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
