package api

import (
	"net/http"
	"reflect"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"tranche/batch"
	"tranche/internal/app"
	"tranche/internal/auth"
)

// A coverageBody is what became of an export's intervals, as clients see it.
type coverageBody struct {
	BatchExport uuid.UUID `json:"batch_export"`
	// Start and End are those of the intervals on this page.
	Start   instant            `json:"start"`
	End     instant            `json:"end"`
	Counts  coverageCountsBody `json:"counts" description:"Of this page."`
	Next    *string            `json:"next" description:"The address of the following page."`
	Results []coveredBody      `json:"results"`
}

// A coverageCountsBody counts the intervals of a page by status.
type coverageCountsBody struct {
	Delivered int64 `json:"delivered"`
	Empty     int64 `json:"empty"`
	Running   int64 `json:"running"`
	Failed    int64 `json:"failed"`
	Paused    int64 `json:"paused"`
	Missing   int64 `json:"missing"`
}

// A coveredBody is one interval.
type coveredBody struct {
	DataIntervalStart *instant             `json:"data_interval_start"`
	DataIntervalEnd   instant              `json:"data_interval_end"`
	Status            batch.CoverageStatus `json:"status"`
	// Records and the others are of the delivery that is visible.
	Records     *int64     `json:"records" description:"Rows of the delivery that is visible."`
	Bytes       *int64     `json:"bytes" description:"Bytes of the delivery that is visible."`
	DeliveredAt *instant   `json:"delivered_at"`
	DeliveredBy *uuid.UUID `json:"delivered_by"`
	// LateRecords arrived after it; a retry delivers them.
	LateRecords *int64 `json:"late_records"`
	// Overlaps says that another delivered interval has some of the same time.
	Overlaps bool       `json:"overlaps" description:"Whether another delivery has some of the same time."`
	Backfill *uuid.UUID `json:"backfill"`
	Runs     []runBody  `json:"runs" description:"The five newest."`
}

// A filledBody is what was started to fill gaps.
type filledBody struct {
	Detail    string `json:"detail"`
	Intervals int64  `json:"intervals"`
	Remaining int    `json:"remaining_ranges" description:"Ranges that are left for another request."`
	// Overlapping ranges hold a part of what was delivered with another length; they were left alone.
	Overlapping int               `json:"overlapping_ranges" description:"Ranges that were left alone: they hold a part of what was delivered with another length."`
	Backfills   []filledRangeBody `json:"backfills"`
}

// A filledRangeBody is one backfill that fills a gap.
type filledRangeBody struct {
	BackfillID uuid.UUID `json:"backfill_id"`
	StartAt    *instant  `json:"start_at"`
	EndAt      *instant  `json:"end_at"`
	Intervals  int64     `json:"intervals"`
}

// getCoverage answers with a page of what became of an export's intervals, oldest first.
func (s *Server) getCoverage(c *gin.Context, who caller) (int, any, error) {
	exportID, err := pathID(c, "id")
	if err != nil {
		return 0, nil, err
	}
	p, err := s.params(c, who)
	if err != nil {
		return 0, nil, err
	}
	asked := coverageRangeOf(p)
	if err := p.problem(); err != nil {
		return 0, nil, err
	}
	page, err := s.Coverage.Page(c.Request.Context(), who.teamID, exportID, asked)
	if err != nil {
		return 0, nil, err
	}
	body := coverageBody{
		BatchExport: exportID, Start: instant(page.Range.Start), End: instant(page.Range.End),
		Counts: coverageCounts(page.Entries), Results: each(page.Entries, s.coveredBody),
	}
	if page.Next != nil {
		more := map[string]string{"start": page.Next.UTC().Format(time.RFC3339Nano)}
		if asked.End != nil { // it may be relative to the time of this request
			more["end"] = asked.End.UTC().Format(time.RFC3339Nano)
		}
		body.Next = s.link(c, p.values, more)
	}
	return http.StatusOK, body, nil
}

// coverageRangeOf reads the range of time.
func coverageRangeOf(p *params) app.CoverageRange {
	return app.CoverageRange{Start: p.instant("start"), End: p.instant("end")}
}

func coverageCounts(entries []batch.Covered) coverageCountsBody {
	var counts coverageCountsBody
	for _, e := range entries {
		switch e.Status {
		case batch.CoverageDelivered:
			counts.Delivered++
		case batch.CoverageEmpty:
			counts.Empty++
		case batch.CoverageRunning:
			counts.Running++
		case batch.CoverageFailed:
			counts.Failed++
		case batch.CoveragePaused:
			counts.Paused++
		case batch.CoverageMissing:
			counts.Missing++
		}
	}
	return counts
}

func (s *Server) coveredBody(e batch.Covered) coveredBody {
	body := coveredBody{
		DataIntervalEnd: instant(e.Interval.End), Status: e.Status, Overlaps: e.Overlaps, Backfill: e.Backfill,
		Runs: each(e.Runs, s.runBody),
	}
	if !e.Interval.Start.IsZero() {
		body.DataIntervalStart = instantOf(&e.Interval.Start)
	}
	if d := e.Delivery; d != nil {
		body.Records, body.Bytes, body.DeliveredAt, body.DeliveredBy = &d.Rows, &d.Bytes, instantOf(&d.CommittedAt), &d.RunID
		body.LateRecords = &d.LateRows
	}
	return body
}

// fillCoverage starts backfills of the gaps.
func (s *Server) fillCoverage(c *gin.Context, who caller) (int, any, error) {
	exportID, err := pathID(c, "id")
	if err != nil {
		return 0, nil, err
	}
	f, err := decode(c)
	if err != nil {
		return 0, nil, err
	}
	asked, paused := fillOf(f, who)
	if err := f.problem(); err != nil {
		return 0, nil, err
	}
	filled, err := s.Coverage.Fill(c.Request.Context(), who.teamID, exportID, asked, paused)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, filledBody{
		Detail: filled.String(), Intervals: filled.Intervals, Remaining: filled.Remaining, Overlapping: filled.Overlapping,
		Backfills: each(filled.Backfills, func(r app.FilledRange) filledRangeBody {
			return filledRangeBody{
				BackfillID: r.Backfill.ID, StartAt: instantOf(r.Backfill.StartAt), EndAt: instantOf(r.Backfill.EndAt), Intervals: r.Intervals,
			}
		}),
	}, nil
}

// fillOf reads which gaps to fill.
func fillOf(f *form, who caller) (asked app.CoverageRange, paused bool) {
	asked.Start, asked.End = f.instant("start", who.zone), f.instant("end", who.zone)
	return asked, f.boolean("include_paused")
}

// coverageRoutes lists the operations on what became of an export's intervals.
func (s *Server) coverageRoutes() []route {
	return []route{
		{http.MethodGet, exportPath + "/coverage", auth.ScopeRead, s.getCoverage, operation{
			id: "coverage_get", summary: "Show what became of every interval, oldest first", status: http.StatusOK,
			answer: reflect.TypeFor[coverageBody](), query: func(p *params) { coverageRangeOf(p) },
		}},
		{http.MethodPost, exportPath + "/coverage/fill", auth.ScopeWrite, s.once(s.fillCoverage), operation{
			id: "coverage_fill", summary: "Start backfills of exactly the intervals that failed or are missing", status: http.StatusOK,
			answer: reflect.TypeFor[filledBody](), body: func(f *form) { fillOf(f, s.nobody()) }, once: true, example: exampleFill,
		}},
	}
}
