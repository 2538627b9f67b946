package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// An Export is a batch export.
type Export struct {
	ID            uuid.UUID   `json:"id"`
	TeamID        int64       `json:"team_id"`
	Name          string      `json:"name"`
	Model         string      `json:"model"`
	Destination   Destination `json:"destination"`
	Interval      string      `json:"interval"`
	Paused        bool        `json:"paused"`
	CreatedAt     time.Time   `json:"created_at"`
	LastUpdatedAt time.Time   `json:"last_updated_at"`
	LastPausedAt  *time.Time  `json:"last_paused_at"`
	StartAt       *time.Time  `json:"start_at"`
	EndAt         *time.Time  `json:"end_at"`
	LatestRuns    []Run       `json:"latest_runs"`
	Timezone      string      `json:"timezone"`
	OffsetDay     *int        `json:"offset_day"`
	OffsetHour    *int        `json:"offset_hour"`
}

// A Destination is where an export delivers. Its settings have no secrets: the API never shows them.
type Destination struct {
	Type   string         `json:"type"`
	Config map[string]any `json:"config"`
}

// A TestStep is a step of a connection test; without a result it has not run.
type TestStep struct {
	Name        string      `json:"name"`
	Description string      `json:"description"`
	Result      *TestResult `json:"result"`
}

// A TestResult is how a step ended.
type TestResult struct {
	Status  string  `json:"status"`
	Message *string `json:"message"`
}

// How a step of a connection test may end.
const (
	StepPassed  = "Passed"
	StepFailed  = "Failed"
	StepSkipped = "Skipped"
)

// exportsPage is how many exports are asked for at once: each comes with its newest runs.
const exportsPage = 200

// Exports lists the project's exports, newest first.
func (c *Client) Exports(ctx context.Context) iter.Seq2[Body[Export], error] {
	return list[Export](ctx, c, c.path(), url.Values{"limit": {strconv.Itoa(exportsPage)}})
}

// Export reads one export; the body has its ETag.
func (c *Client) Export(ctx context.Context, id uuid.UUID) (Body[Export], error) {
	return typed[Export](c.do(ctx, get(c.path(id.String()), nil)))
}

// CreateExport makes an export.
func (c *Client) CreateExport(ctx context.Context, draft any) (Body[Export], error) {
	return typed[Export](c.do(ctx, call{method: http.MethodPost, path: c.path(), body: draft, once: true}))
}

// ChangeExport changes what is sent of an export, unless it has another ETag by now.
func (c *Client) ChangeExport(ctx context.Context, id uuid.UUID, match string, change any) (Body[Export], error) {
	return typed[Export](c.do(ctx, call{method: http.MethodPatch, path: c.path(id.String()), body: change, match: match}))
}

// DeleteExport deletes an export, unless it has another ETag by now; an empty one = whatever it has.
func (c *Client) DeleteExport(ctx context.Context, id uuid.UUID, match string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: c.path(id.String()), match: match})
	return err
}

// Paused says whether an export or a backfill is paused.
type Paused struct {
	Paused bool `json:"paused"`
}

// PauseExport stops an export's schedule.
func (c *Client) PauseExport(ctx context.Context, id uuid.UUID) (Body[Paused], error) {
	return typed[Paused](c.do(ctx, call{method: http.MethodPost, path: c.path(id.String(), "pause"), once: true}))
}

// UnpauseExport resumes an export's schedule, and backfills what was missed when asked to.
func (c *Client) UnpauseExport(ctx context.Context, id uuid.UUID, backfill bool) (Body[Paused], error) {
	return typed[Paused](c.do(ctx, call{
		method: http.MethodPost, path: c.path(id.String(), "unpause"), body: map[string]any{"backfill": backfill}, once: true,
	}))
}

// TestSteps lists the steps of the connection test for a type of destination.
func (c *Client) TestSteps(ctx context.Context, kind string) ([]TestStep, error) {
	body, err := typed[struct {
		Steps []TestStep `json:"steps"`
	}](c.do(ctx, get(c.path("test"), url.Values{"destination": {kind}})))
	return body.Value.Steps, err
}

// TestExport runs a step of the connection test of an export as it is.
func (c *Client) TestExport(ctx context.Context, id uuid.UUID, step int) (Body[TestStep], error) {
	return typed[TestStep](c.do(ctx, call{
		method: http.MethodPost, path: c.path(id.String(), "run_test_step"), body: map[string]any{"step": step}, again: true,
	}))
}

// TestDraft runs a step of the connection test of an export that does not exist yet.
func (c *Client) TestDraft(ctx context.Context, draft map[string]any, step int) (Body[TestStep], error) {
	body := map[string]any{"step": step}
	for name, value := range draft {
		body[name] = value
	}
	return typed[TestStep](c.do(ctx, call{method: http.MethodPost, path: c.path("run_test_step_new"), body: body, again: true}))
}
