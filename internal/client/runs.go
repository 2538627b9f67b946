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

// A Run is one attempt to deliver an interval.
type Run struct {
	ID                uuid.UUID       `json:"id"`
	Status            batch.RunStatus `json:"status"`
	RecordsCompleted  *int64          `json:"records_completed"`
	RecordsTotalCount *int64          `json:"records_total_count"`
	BytesExported     *int64          `json:"bytes_exported"`
	LatestError       *string         `json:"latest_error"`
	DataIntervalStart *time.Time      `json:"data_interval_start"`
	DataIntervalEnd   time.Time       `json:"data_interval_end"`
	CreatedAt         time.Time       `json:"created_at"`
	FinishedAt        *time.Time      `json:"finished_at"`
	LastUpdatedAt     time.Time       `json:"last_updated_at"`
	Backfill          *uuid.UUID      `json:"backfill"`
	Attempt           int             `json:"attempt"`
	NextRetryAt       *time.Time      `json:"next_retry_at"`
	WaitingFor        *string         `json:"waiting_for"`
	TemporalURL       *string         `json:"temporal_url"`
}

// A RunQuery says which runs are listed. Times are as the API reads them, "-7d" too; empty = no bound.
type RunQuery struct {
	Statuses      []string
	After, Before string // bounds of the time of creation
	ByInterval    bool   // newest interval first, in place of newest run first
	Start, End    string // with ByInterval: bounds of the interval
}

func (q RunQuery) values() url.Values {
	v := url.Values{"status": q.Statuses}
	if q.ByInterval {
		v.Set("ordering", "-data_interval_start")
	}
	for name, text := range map[string]string{"after": q.After, "before": q.Before, "start": q.Start, "end": q.End} {
		if text != "" {
			v.Set(name, text)
		}
	}
	return v
}

// Runs lists an export's runs, newest first.
func (c *Client) Runs(ctx context.Context, export uuid.UUID, q RunQuery) iter.Seq2[Body[Run], error] {
	return list[Run](ctx, c, c.path(export.String(), "runs"), q.values())
}

// Run reads one run.
func (c *Client) Run(ctx context.Context, export, id uuid.UUID) (Body[Run], error) {
	return typed[Run](c.do(ctx, get(c.path(export.String(), "runs", id.String()), nil)))
}

// A StartedBackfill names a backfill that was started.
type StartedBackfill struct {
	BackfillID uuid.UUID `json:"backfill_id"`
}

// RetryRun delivers a run's interval again, by a backfill of one.
func (c *Client) RetryRun(ctx context.Context, export, id uuid.UUID) (Body[StartedBackfill], error) {
	return typed[StartedBackfill](c.do(ctx, call{
		method: http.MethodPost, path: c.path(export.String(), "runs", id.String(), "retry"), once: true,
	}))
}

// Cancelled says that something is being cancelled.
type Cancelled struct {
	Cancelled bool `json:"cancelled"`
}

// CancelRun ends a run.
func (c *Client) CancelRun(ctx context.Context, export, id uuid.UUID) (Body[Cancelled], error) {
	return typed[Cancelled](c.do(ctx, call{method: http.MethodPost, path: c.path(export.String(), "runs", id.String(), "cancel"), once: true}))
}
