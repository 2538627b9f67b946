package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
)

// A Covered is what became of one interval.
type Covered struct {
	DataIntervalStart *time.Time           `json:"data_interval_start"`
	DataIntervalEnd   time.Time            `json:"data_interval_end"`
	Status            batch.CoverageStatus `json:"status"`
	Records           *int64               `json:"records"`
	Bytes             *int64               `json:"bytes"`
	DeliveredAt       *time.Time           `json:"delivered_at"`
	Overlaps          bool                 `json:"overlaps"`
	Runs              []Run                `json:"runs"`
}

// Coverage tells what became of an export's intervals, oldest first. Times are as the API reads them; empty = its own
// bounds.
func (c *Client) Coverage(ctx context.Context, export uuid.UUID, start, end string) iter.Seq2[Body[Covered], error] {
	query := url.Values{}
	if start != "" {
		query.Set("start", start)
	}
	if end != "" {
		query.Set("end", end)
	}
	return list[Covered](ctx, c, c.path(export.String(), "coverage"), query)
}

// A Fill says which gaps are filled.
type Fill struct {
	Start         *time.Time `json:"start,omitempty"`
	End           *time.Time `json:"end,omitempty"`
	IncludePaused bool       `json:"include_paused"`
}

// Filled is what was started to fill gaps.
type Filled struct {
	Detail      string        `json:"detail"`
	Intervals   int64         `json:"intervals"`
	Remaining   int           `json:"remaining_ranges"`
	Overlapping int           `json:"overlapping_ranges"`
	Backfills   []FilledRange `json:"backfills"`
}

// A FilledRange is one backfill that fills a gap.
type FilledRange struct {
	BackfillID uuid.UUID  `json:"backfill_id"`
	StartAt    *time.Time `json:"start_at"`
	EndAt      *time.Time `json:"end_at"`
	Intervals  int64      `json:"intervals"`
}

// FillCoverage starts backfills of exactly the intervals that failed or are missing.
func (c *Client) FillCoverage(ctx context.Context, export uuid.UUID, f Fill) (Body[Filled], error) {
	return typed[Filled](c.do(ctx, call{
		method: http.MethodPost, path: c.path(export.String(), "coverage", "fill"), body: f, once: true,
	}))
}
