package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// A Preview is what an export would deliver of a range.
type Preview struct {
	Model             string            `json:"model"`
	DataIntervalStart time.Time         `json:"data_interval_start"`
	DataIntervalEnd   time.Time         `json:"data_interval_end"`
	Intervals         int64             `json:"intervals"`
	Columns           []Column          `json:"columns"`
	Records           *int64            `json:"total_records_count"`
	Results           []json.RawMessage `json:"results"`
	Table             *string           `json:"table"`
	TableColumns      []Column          `json:"table_columns"`
	Files             []PreviewedFile   `json:"files"`
}

// A Column is one that is read, or one of a table.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// A PreviewedFile names the first file of an interval, and its manifest.
type PreviewedFile struct {
	DataIntervalStart time.Time `json:"data_interval_start"`
	DataIntervalEnd   time.Time `json:"data_interval_end"`
	Key               string    `json:"key"`
	Manifest          string    `json:"manifest"`
}

// PreviewExport tells what an export that need not exist would deliver, and writes nothing. Without bounds the API
// chooses the range.
func (c *Client) PreviewExport(ctx context.Context, draft map[string]any, start, end *time.Time) (Body[Preview], error) {
	body := map[string]any{}
	for name, value := range draft {
		body[name] = value
	}
	if start != nil {
		body["data_interval_start"] = start.UTC()
	}
	if end != nil {
		body["data_interval_end"] = end.UTC()
	}
	return typed[Preview](c.do(ctx, call{method: http.MethodPost, path: c.path("preview"), body: body, again: true}))
}
