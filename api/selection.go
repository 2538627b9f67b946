package api

import (
	"tranche/batch"
	"tranche/internal/app"
)

// A filterBody is a filter as clients send and see it.
type filterBody map[string]any

// A schemaBody is what a customer's query over events became.
type schemaBody struct {
	Fields []schemaFieldBody `json:"fields"`
	Values map[string]any    `json:"values"`
	Query  *string           `json:"hogql_query,omitempty"`
}

type schemaFieldBody struct {
	Expression string `json:"expression"`
	Alias      string `json:"alias"`
}

// schemaBody is what is shown of an export's query; nil = it has none.
func (s *Server) schemaBody(e batch.Export) *schemaBody {
	shown := s.Exports.Schema(e)
	if shown == nil {
		return nil
	}
	body := &schemaBody{Fields: make([]schemaFieldBody, len(shown.Fields)), Values: shown.Values}
	for i, f := range shown.Fields {
		body.Fields[i] = schemaFieldBody{Expression: f.Expression, Alias: f.Alias}
	}
	if shown.Query != "" {
		body.Query = &shown.Query
	}
	return body
}

// showSelection adds what the export selects.
func (s *Server) showSelection(body *exportBody, e batch.Export) {
	for _, f := range e.Selection.Filters {
		body.Filters = append(body.Filters, f)
	}
	if e.Selection.Custom() {
		body.HogQLQuery = &e.Selection.Query
	}
	body.HogQLModifiers = e.Selection.Modifiers
	body.PrimaryKey, body.VersionKey = e.Selection.PrimaryKey, e.Selection.VersionKey
	body.Schema = s.schemaBody(e)
	body.IncrementalMode = batch.IncrementalAppend
	if e.Selection.Merges() {
		body.IncrementalMode = batch.IncrementalMerge
	}
}

var incrementalModes = oneOf(textsOf(batch.IncrementalModes)...)

// The limits of what a form takes; package query has those of what is in it.
const (
	maxFilters = 100
	maxKey     = 32
)

// selectionOf reads what is exported of the model. Which fields go with which model, and what filters and queries mean, is
// the use case's to check.
func selectionOf(f *form) app.SelectionChange {
	c := app.SelectionChange{
		Query:      sent(f, "hogql_query", f.words("hogql_query", nullable)),
		Modifiers:  sent(f, "hogql_modifiers", f.object("hogql_modifiers", nullable).fields),
		PrimaryKey: sent(f, "primary_key", f.names("primary_key", maxKey)),
		VersionKey: sent(f, "version_key", f.names("version_key", maxKey)),
		Mode:       sent(f, "incremental_mode", batch.IncrementalMode(f.choice("incremental_mode", optional, incrementalModes))),
	}
	f.note("hogql_query", nullable, schema{
		"type": "string", "minLength": 1, "maxLength": 16 << 10,
		"description": "A single SELECT. With the model `hogql` it is what is exported; with `events` its columns take the place of the default ones.",
	})
	f.note("hogql_modifiers", nullable, schema{"type": "object", "description": "Kept and shown; nothing on this server depends on them."})
	f.note("filters", nullable, schema{"type": "array", "maxItems": maxFilters, "items": reference("Filter")})
	filters, _ := f.value("filters", nullable)
	c.Filters = sent(f, "filters", filters)
	return c
}

// filterSchema describes a filter. What its value may be depends on the operator.
func filterSchema() schema {
	values := []string{"string", "number", "boolean"}
	return schema{
		"type": "object", "required": []string{"key", "type"}, "additionalProperties": true,
		"description": "A condition on a property. Rows must fulfil all filters; of the values in a list, one must do.",
		"properties": schema{
			"key":      schema{"type": "string", "minLength": 1, "description": "The name of the property; of the type hogql, a condition itself."},
			"type":     schema{"type": "string", "enum": app.FilterTypes()},
			"operator": orNull(schema{"type": "string", "enum": app.FilterOperators(), "description": "null = exact."}),
			"value": schema{"anyOf": []schema{
				{"type": append([]string{"null"}, values...)}, {"type": "array", "items": schema{"type": values}},
			}},
		},
	}
}
