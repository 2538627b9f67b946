package api

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"tranche/batch"
)

// runsPage is the number of runs on a page.
const runsPage = 100

// A runBody is a run as clients see it.
type runBody struct {
	ID                  uuid.UUID       `json:"id"`
	Status              batch.RunStatus `json:"status"`
	RecordsCompleted    *int64          `json:"records_completed" description:"Rows that are staged, and of a run that ended those that it delivered; null = none, or not known yet."`
	RecordsFailed       *int64          `json:"records_failed"`
	LatestError         *string         `json:"latest_error" description:"What went wrong last, in a sentence; also while the run tries again."`
	ErrorCode           *batch.Code     `json:"error_code" description:"The code of that: docs/errors.md says who must act."`
	DataIntervalStart   *instant        `json:"data_interval_start" description:"Null for a run from the beginning of time."`
	DataIntervalEnd     instant         `json:"data_interval_end"`
	Cursor              *string         `json:"cursor"`
	CreatedAt           instant         `json:"created_at"`
	FinishedAt          *instant        `json:"finished_at"`
	LastUpdatedAt       instant         `json:"last_updated_at"`
	RecordsTotalCount   *int64          `json:"records_total_count" description:"Rows of the interval by count."`
	BytesExported       *int64          `json:"bytes_exported" description:"Bytes of files or rows as they were written."`
	BatchExport         uuid.UUID       `json:"batch_export"`
	BatchExportOnDemand *uuid.UUID      `json:"batch_export_on_demand"`
	Backfill            *uuid.UUID      `json:"backfill" description:"The backfill that the run belongs to; null = its schedule started it."`
	Attempt             int             `json:"attempt" description:"How often the step at hand was tried, from 1."`
	NextRetryAt         *instant        `json:"next_retry_at" description:"When it is tried again."`
	WaitingFor          *string         `json:"waiting_for" description:"Which limit of runs at once it waits for; null = none."`
	TemporalURL         *string         `json:"temporal_url" description:"Its workflow in Temporal's Web UI."`
}

// runBody is what is shown of a run.
func (s *Server) runBody(r batch.Run) runBody {
	body := runBody{
		ID: r.ID, Status: r.Status,
		RecordsCompleted: r.RowsCompleted, RecordsFailed: r.RowsFailed, RecordsTotalCount: r.RowsTotal, BytesExported: r.Bytes,
		DataIntervalEnd: instant(r.Interval.End),
		CreatedAt:       instant(r.CreatedAt), FinishedAt: instantOf(r.FinishedAt), LastUpdatedAt: instant(r.LastUpdatedAt),
		BatchExport: r.ExportID, Backfill: r.BackfillID,
		Attempt: r.Attempt, NextRetryAt: instantOf(r.NextRetryAt), TemporalURL: s.TemporalUI.run(r),
	}
	if !r.Interval.Start.IsZero() {
		body.DataIntervalStart = instantOf(&r.Interval.Start)
	}
	if r.WaitingFor != "" && !r.Status.Final() {
		body.WaitingFor = &r.WaitingFor
	}
	if r.LatestError != "" {
		body.LatestError = &r.LatestError
	}
	if r.ErrorCode != "" {
		body.ErrorCode = &r.ErrorCode
	}
	return body
}

// listRuns answers with a page of an export's runs.
func (s *Server) listRuns(c *gin.Context, who caller) (int, any, error) {
	exportID, err := pathID(c, "id")
	if err != nil {
		return 0, nil, err
	}
	p, err := s.params(c, who)
	if err != nil {
		return 0, nil, err
	}
	filter, identity := runFilterOf(p)
	if err := p.problem(); err != nil {
		return 0, nil, err
	}
	filter.TeamID, filter.ExportID = who.teamID, exportID
	identity.Set("list", "runs "+strconv.FormatInt(who.teamID, 10)+" "+exportID.String())
	page, err := turn(s, c, p, cursorList[batch.Run]{
		order: ordering{filter.OrderBy, filter.Desc}, size: runsPage, identity: identity,
		fetch: func(order ordering, after *batch.Position, limit int) ([]batch.Run, error) {
			filter.Desc, filter.After, filter.Limit = order.desc, after, limit
			return s.Runs.List(c.Request.Context(), filter)
		},
		position: func(r batch.Run) batch.Position {
			value := r.CreatedAt
			if filter.OrderBy == batch.OrderIntervalStart {
				value = r.Interval.Start
			}
			if value.IsZero() {
				return batch.Position{ID: r.ID}
			}
			return batch.Position{Value: &value, ID: r.ID}
		},
	})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, bodies(page, s.runBody), nil
}

// runFilterOf reads which runs are asked for, and what of it identifies the list. Bounds apply to the column of the
// ordering; those of the other one are ignored.
func runFilterOf(p *params) (f batch.RunFilter, identity url.Values) {
	order := p.choice("ordering", "-created_at", "created_at", "data_interval_start", "-data_interval_start")
	sorted := orderingOf(order)
	f.OrderBy, f.Desc = sorted.by, sorted.desc
	p.note("status", schema{"type": "array", "items": schemaOf(reflect.TypeFor[batch.RunStatus]())}, false)
	for _, text := range p.values["status"] {
		status := batch.RunStatus(text)
		if !status.Valid() {
			p.failChoice("status", text)
		}
		f.Statuses = append(f.Statuses, status)
	}
	slices.Sort(f.Statuses)
	f.Statuses = slices.Compact(f.Statuses)
	identity = url.Values{"ordering": {order}}
	for _, status := range f.Statuses {
		identity.Add("status", string(status))
	}
	after, before, start, end := p.instant("after"), p.instant("before"), p.instant("start"), p.instant("end")
	p.explain("after", "Created then or later; only when ordered by that.")
	p.explain("before", "Created then or earlier; only when ordered by that.")
	p.explain("start", "Intervals that start then or later; only when ordered by that.")
	p.explain("end", "Intervals that end then or earlier; only when ordered by the start.")
	p.explain("status", "Several may be given, each as a parameter of its own.")
	bounds := []string{"after", "before"}
	if sorted.by == batch.OrderCreatedAt {
		f.CreatedAfter, f.CreatedBefore = after, before
	} else {
		f.Start, f.End = start, end
		bounds = []string{"start", "end"}
	}
	for _, name := range bounds {
		identity.Set(name, p.get(name)) // as written: a relative time stays the same over the pages
	}
	return f, identity
}

// getRun answers with one run.
func (s *Server) getRun(c *gin.Context, who caller) (int, any, error) {
	r, err := s.run(c, who)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.runBody(r), nil
}

// run returns the run that the path names.
func (s *Server) run(c *gin.Context, who caller) (batch.Run, error) {
	exportID, id, err := pathIDs(c, "run_id")
	if err != nil {
		return batch.Run{}, err
	}
	return s.Runs.Get(c.Request.Context(), who.teamID, exportID, id)
}

// pathIDs returns the ids of the export and of the thing below it that the path names.
func pathIDs(c *gin.Context, name string) (exportID, id uuid.UUID, err error) {
	if exportID, err = pathID(c, "id"); err != nil {
		return exportID, id, err
	}
	id, err = pathID(c, name)
	return exportID, id, err
}

type backfillIDBody struct {
	BackfillID uuid.UUID `json:"backfill_id"`
}

// retryRun delivers a run's interval again. The body is ignored.
func (s *Server) retryRun(c *gin.Context, who caller) (int, any, error) {
	exportID, id, err := pathIDs(c, "run_id")
	if err != nil {
		return 0, nil, err
	}
	b, err := s.Runs.Retry(c.Request.Context(), who.teamID, exportID, id, who.makes)
	return http.StatusCreated, backfillIDBody{BackfillID: b.ID}, err
}

type cancelledBody struct {
	Cancelled bool `json:"cancelled"`
}

// cancelRun ends a run. The body is ignored.
func (s *Server) cancelRun(c *gin.Context, who caller) (int, any, error) {
	exportID, id, err := pathIDs(c, "run_id")
	if err != nil {
		return 0, nil, err
	}
	_, err = s.Runs.Cancel(c.Request.Context(), who.teamID, exportID, id)
	return http.StatusOK, cancelledBody{Cancelled: true}, err
}
