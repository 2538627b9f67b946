package client

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
)

// A Backfill is a request to run a range of intervals.
type Backfill struct {
	ID                uuid.UUID            `json:"id"`
	Progress          *Progress            `json:"progress"`
	StartAt           *time.Time           `json:"start_at"`
	EndAt             *time.Time           `json:"end_at"`
	Status            batch.BackfillStatus `json:"status"`
	CreatedAt         time.Time            `json:"created_at"`
	FinishedAt        *time.Time           `json:"finished_at"`
	TotalRecordsCount *int64               `json:"total_records_count"`
	AdjustedStartAt   *time.Time           `json:"adjusted_start_at"`
	Order             string               `json:"order"`
	Concurrency       int                  `json:"concurrency"`
	SkipDelivered     bool                 `json:"skip_delivered"`
	Replace           bool                 `json:"replace"`
	Retry             bool                 `json:"retry"`
	Paused            bool                 `json:"paused"`
	Runs              Tally                `json:"runs"`
	RecordsCompleted  int64                `json:"records_completed"`
	BytesExported     int64                `json:"bytes_exported"`
	LatestError       *string              `json:"latest_error"`
	TemporalURL       *string              `json:"temporal_url"`
}

// Progress is how far a backfill is.
type Progress struct {
	TotalRuns    int64   `json:"total_runs"`
	FinishedRuns int64   `json:"finished_runs"`
	Progress     float64 `json:"progress"` // 0 to 1
}

// A Tally counts a backfill's runs.
type Tally struct {
	Total     *int64 `json:"total"` // nil = not known
	Running   int64  `json:"running"`
	Completed int64  `json:"completed"`
	Failed    int64  `json:"failed"`
	Cancelled int64  `json:"cancelled"`
}

// A BackfillDraft is what backfill is wanted.
type BackfillDraft struct {
	StartAt       *string `json:"start_at"` // null = from the beginning
	EndAt         *string `json:"end_at"`   // null = until it has caught up with the clock
	Order         string  `json:"order,omitempty"`
	Concurrency   int     `json:"concurrency,omitempty"` // zero = the server's
	SkipDelivered bool    `json:"skip_delivered,omitempty"`
	Replace       bool    `json:"replace,omitempty"`
}

// A BackfillPreview is what a backfill would do.
type BackfillPreview struct {
	StartAt         *time.Time `json:"start_at"`
	EndAt           time.Time  `json:"end_at"`
	AdjustedStartAt *time.Time `json:"adjusted_start_at"`
	Intervals       int64      `json:"intervals"`
	Delivered       int64      `json:"delivered_intervals"`
	Skipped         int64      `json:"skipped_intervals"`
	Overlapping     int64      `json:"overlapping_deliveries"`
	Records         *int64     `json:"total_records_count"`
	Bytes           *int64     `json:"estimated_bytes"`
}

// Backfills lists an export's backfills, newest first.
func (c *Client) Backfills(ctx context.Context, export uuid.UUID) iter.Seq2[Body[Backfill], error] {
	return list[Backfill](ctx, c, c.path(export.String(), "backfills"), nil)
}

// Backfill reads one backfill.
func (c *Client) Backfill(ctx context.Context, export, id uuid.UUID) (Body[Backfill], error) {
	return typed[Backfill](c.do(ctx, get(c.path(export.String(), "backfills", id.String()), nil)))
}

// CreateBackfill starts a backfill.
func (c *Client) CreateBackfill(ctx context.Context, export uuid.UUID, d BackfillDraft) (Body[StartedBackfill], error) {
	return typed[StartedBackfill](c.do(ctx, call{
		method: http.MethodPost, path: c.path(export.String(), "backfills"), body: d, once: true,
	}))
}

// PreviewBackfill tells what a backfill would do, and starts nothing.
func (c *Client) PreviewBackfill(ctx context.Context, export uuid.UUID, d BackfillDraft) (Body[BackfillPreview], error) {
	body := struct {
		BackfillDraft
		DryRun bool `json:"dry_run"`
	}{d, true}
	return typed[BackfillPreview](c.do(ctx, call{
		method: http.MethodPost, path: c.path(export.String(), "backfills"), body: body, again: true,
	}))
}

// PauseBackfill stops a backfill from starting more runs.
func (c *Client) PauseBackfill(ctx context.Context, export, id uuid.UUID) (Body[Paused], error) {
	return typed[Paused](c.do(ctx, c.steer(export, id, "pause")))
}

// ResumeBackfill goes on with a backfill.
func (c *Client) ResumeBackfill(ctx context.Context, export, id uuid.UUID) (Body[Paused], error) {
	return typed[Paused](c.do(ctx, c.steer(export, id, "resume")))
}

func (c *Client) steer(export, id uuid.UUID, verb string) call {
	return call{method: http.MethodPost, path: c.path(export.String(), "backfills", id.String(), verb), once: true}
}

// CancelBackfill ends a backfill and its runs.
func (c *Client) CancelBackfill(ctx context.Context, export, id uuid.UUID) (Body[Cancelled], error) {
	return typed[Cancelled](c.do(ctx, call{method: http.MethodPost, path: c.path(export.String(), "backfills", id.String(), "cancel"), once: true}))
}
