package client

import (
	"context"
	"maps"
	"net/http"
	"slices"
)

// A Document is what the API says of itself, as far as we ask: what an export and its destination may be told.
type Document struct {
	Paths map[string]struct {
		Post struct {
			RequestBody struct {
				Content map[string]struct {
					Schema Schema `json:"schema"`
				} `json:"content"`
			} `json:"requestBody"`
		} `json:"post"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]Schema `json:"schemas"`
	} `json:"components"`
}

// A Schema is a JSON Schema, as far as we ask.
type Schema struct {
	Properties map[string]Schema `json:"properties"`
	Required   []string          `json:"required"`
	WriteOnly  bool              `json:"writeOnly"`
	Default    any               `json:"default"`
}

// Document reads the API's description of itself.
func (c *Client) Document(ctx context.Context) (Document, error) {
	body, err := typed[Document](c.do(ctx, call{method: http.MethodGet, path: "/openapi.json", again: true}))
	return body.Value, err
}

// createPath is where the document describes what an export may be made of.
const createPath = "/api/projects/{project_id}/batch_exports"

// ExportFields are the names of the fields of an export that may be set.
func (d Document) ExportFields() []string {
	return slices.Sorted(maps.Keys(d.Paths[createPath].Post.RequestBody.Content["application/json"].Schema.Properties))
}

// Settings describe what a type of destination may be told; false = the server has no such type.
func (d Document) Settings(kind string) (Schema, bool) {
	s, ok := d.Components.Schemas["New"+kind+"Settings"]
	return s, ok
}
