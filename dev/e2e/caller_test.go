package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// A caller uses the API as a user's program would.
type caller struct {
	t    *testing.T
	base string
	key  string
}

// An apiRun is a run as the API shows it.
type apiRun struct {
	ID          uuid.UUID
	Status      string
	Start       *time.Time `json:"data_interval_start"`
	End         time.Time  `json:"data_interval_end"`
	Rows        *int64     `json:"records_completed"`
	Failed      *int64     `json:"records_failed"`
	Total       *int64     `json:"records_total_count"`
	Bytes       *int64     `json:"bytes_exported"`
	Export      uuid.UUID  `json:"batch_export"`
	Backfill    *uuid.UUID
	FinishedAt  *time.Time `json:"finished_at"`
	LatestError *string    `json:"latest_error"`
}

// An apiBackfill is a backfill as the API shows it.
type apiBackfill struct {
	ID       uuid.UUID
	Status   string
	Records  *int64 `json:"total_records_count"`
	Progress *struct {
		Total    int64 `json:"total_runs"`
		Finished int64 `json:"finished_runs"`
		Progress float64
	}
}

func (b apiBackfill) over() bool { return b.Status != "Starting" && b.Status != "Running" }

// An apiError is the envelope of every error.
type apiError struct {
	Type, Code, Detail string
	Attr               *string
}

// An apiLog is a line of a log as the API shows it.
type apiLog struct {
	Source   uuid.UUID `json:"log_source_id"`
	Instance string    `json:"instance_id"`
	Level    string
	Message  string
}

// exports is where the exports of project 1 are.
const exports = "/api/projects/1/batch_exports"

// call makes a request and returns status and body.
func (c *caller) call(method, path string, in any) (int, []byte) {
	c.t.Helper()
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		require.NoError(c.t, err)
		body = bytes.NewReader(encoded)
	}
	if strings.HasPrefix(path, "/") {
		path = c.base + path
	}
	request, err := http.NewRequestWithContext(c.t.Context(), method, path, body)
	require.NoError(c.t, err)
	request.Header.Set("Authorization", "Bearer "+c.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(c.t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	requireNothingPlanted(c.t, "the answers of "+method+" "+path, answer)
	return response.StatusCode, answer
}

// do makes a request that must succeed.
func (c *caller) do(method, path string, in, into any) {
	c.t.Helper()
	status, answer := c.call(method, path, in)
	require.Less(c.t, status, 300, "%s %s: %s", method, path, answer)
	if into != nil {
		require.NoError(c.t, json.Unmarshal(answer, into), "%s", answer)
	}
}

// refused makes a request that must fail with the status, and returns the envelope.
func (c *caller) refused(status int, method, path string, in any) apiError {
	c.t.Helper()
	got, answer := c.call(method, path, in)
	require.Equal(c.t, status, got, "%s %s: %s", method, path, answer)
	var e apiError
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.DisallowUnknownFields()
	require.NoError(c.t, decoder.Decode(&e), "%s", answer)
	return e
}

// pages reads all pages of a list.
func pages[T any](c *caller, path string) []T {
	c.t.Helper()
	var all []T
	for next := &path; next != nil; {
		var page struct {
			Next    *string
			Results []T
		}
		c.do(http.MethodGet, *next, nil, &page)
		all, next = append(all, page.Results...), page.Next
	}
	return all
}

// settings of an export that delivers gzipped JSONLines.
func fileExport(name, interval, prefix string) map[string]any {
	return map[string]any{
		"name": name, "interval": interval, "paused": true, // its schedule must not add runs while the test counts them
		"destination": map[string]any{"type": "File", "config": map[string]any{
			"prefix": prefix, "file_format": "JSONLines", "compression": "gzip",
		}},
	}
}

func (c *caller) create(settings map[string]any) uuid.UUID {
	c.t.Helper()
	var made struct{ ID uuid.UUID }
	c.do(http.MethodPost, exports, settings, &made)
	return made.ID
}

func (c *caller) backfill(export uuid.UUID, start, end string) uuid.UUID {
	c.t.Helper()
	var made struct {
		ID uuid.UUID `json:"backfill_id"`
	}
	c.do(http.MethodPost, at(export)+"/backfills", map[string]any{"start_at": start, "end_at": end}, &made)
	return made.ID
}

func at(export uuid.UUID) string { return exports + "/" + export.String() }

func (c *caller) getBackfill(export, id uuid.UUID) apiBackfill {
	c.t.Helper()
	var b apiBackfill
	c.do(http.MethodGet, at(export)+"/backfills/"+id.String(), nil, &b)
	return b
}

// completed waits until a backfill is over, which must be well.
func (c *caller) completed(export, id uuid.UUID, patience time.Duration) apiBackfill {
	c.t.Helper()
	var b apiBackfill
	until(c.t, patience, "the end of the backfill", func() bool {
		b = c.getBackfill(export, id)
		return b.over()
	})
	require.Equal(c.t, "Completed", b.Status)
	return b
}

func (c *caller) runs(export uuid.UUID) []apiRun {
	c.t.Helper()
	return pages[apiRun](c, at(export)+"/runs?ordering=data_interval_start")
}

// finished counts the runs that are completed.
func (c *caller) finished(export uuid.UUID) int {
	c.t.Helper()
	return len(pages[apiRun](c, at(export)+"/runs?status=Completed"))
}

// logs are the lines of an export, or of one of its runs.
func (c *caller) logs(path string) []apiLog {
	c.t.Helper()
	var page struct{ Results []apiLog }
	c.do(http.MethodGet, path+"/logs?limit=500", nil, &page)
	return page.Results
}
