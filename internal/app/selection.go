package app

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"tranche/batch"
	"tranche/query"
)

// A SelectionChange is what a caller wants an export to export of its model. What was not sent stays.
type SelectionChange struct {
	Filters    Sent[any] // decoded JSON, as it was sent
	Query      Sent[*string]
	Modifiers  Sent[map[string]any]
	PrimaryKey Sent[[]string] // nil = none
	VersionKey Sent[[]string]
	Mode       Sent[batch.IncrementalMode]
}

// any says whether something was sent.
func (c SelectionChange) any() bool {
	return c.Filters.Is || c.Query.Is || c.Modifiers.Is || c.PrimaryKey.Is || c.VersionKey.Is || c.Mode.Is
}

// The limits of a selection that package query does not have.
const (
	maxQuery = 16 << 10 // bytes
	maxKey   = 32       // columns
)

// FilterOperators are the operators of filters, FilterTypes what their keys may be of.
func FilterOperators() []string { return query.Operators() }

// FilterTypes are what the keys of filters may be of.
func FilterTypes() []string { return query.FilterTypes() }

// Functions are the names of the functions of queries.
func Functions() []string { return query.Functions() }

// A Schema shows what a customer's query over events became.
type Schema = query.Schema

// Schema is what the query of an export of events became; nil = it has none, or one that this server no longer reads.
func (s *Exports) Schema(e batch.Export) *Schema {
	if e.Model != batch.ModelEvents || !e.Selection.Custom() {
		return nil
	}
	parsed, err := query.ParseEvents(e.Selection.Query, s.Models)
	if err != nil {
		return nil
	}
	schema := parsed.Schema()
	return &schema
}

// setSelection lays c over what the export selects, and checks the whole. The first problem is returned.
func (s *Exports) setSelection(e *batch.Export, c SelectionChange) error {
	if err := setQuery(e, c.Query); err != nil {
		return err
	}
	if c.Modifiers.Is {
		e.Selection.Modifiers = c.Modifiers.Value
	}
	if c.PrimaryKey.Is {
		e.Selection.PrimaryKey = c.PrimaryKey.Value
	}
	if c.VersionKey.Is {
		e.Selection.VersionKey = c.VersionKey.Value
	}
	if c.Mode.Is {
		e.Selection.Mode = c.Mode.Value
	}
	if err := refuseForModel(*e); err != nil {
		return err
	}
	if c.Filters.Is {
		if err := setFilters(e, c.Filters.Value); err != nil {
			return err
		}
	}
	return s.checkSelection(*e)
}

func setQuery(e *batch.Export, sent Sent[*string]) error {
	if !sent.Is {
		return nil
	}
	e.Selection.Query = ""
	if sent.Value == nil {
		return nil
	}
	switch {
	case strings.TrimSpace(*sent.Value) == "":
		return invalid("hogql_query", codeBlank, "This field may not be blank.")
	case len(*sent.Value) > maxQuery || !utf8.ValidString(*sent.Value):
		return invalid("hogql_query", codeLong, "Ensure this field has no more than %d bytes.", maxQuery)
	}
	e.Selection.Query = *sent.Value
	return nil
}

// refuseForModel refuses what means nothing for the export's model.
func refuseForModel(e batch.Export) error {
	if e.Model == batch.ModelHogQL {
		return nil
	}
	for _, field := range []struct {
		name string
		sent bool
	}{
		{"hogql_query", e.Selection.Custom() && e.Model != batch.ModelEvents},
		{"hogql_modifiers", e.Selection.Modifiers != nil},
		{"primary_key", e.Selection.PrimaryKey != nil},
		{"version_key", e.Selection.VersionKey != nil},
	} {
		if field.sent {
			return invalid(field.name, codeInvalid, "'%s' is only supported for 'hogql' not '%s' model", field.name, e.Model)
		}
	}
	return nil
}

// setFilters keeps filters as they were sent. What is in them is read later.
func setFilters(e *batch.Export, sent any) error {
	e.Selection.Filters = nil
	list, ok := sent.([]any)
	switch {
	case sent == nil:
		return nil
	case !ok:
		return invalid("filters", codeInvalid, "'filters' should be an array of filters")
	case len(list) > 0 && e.Model != batch.ModelEvents:
		return invalid("filters", codeInvalid, "'filters' is only supported for 'events' not '%s' model", e.Model)
	}
	if _, err := query.ParseFilters(list); err != nil {
		return refusalOf(err)
	}
	for _, f := range list {
		object, _ := f.(map[string]any) // which it is, now that it was read
		e.Selection.Filters = append(e.Selection.Filters, object)
	}
	return nil
}

// checkSelection refuses what a run could not do.
func (s *Exports) checkSelection(e batch.Export) error {
	if e.Model == batch.ModelHogQL && !e.Selection.Custom() {
		return invalid("hogql_query", codeInvalid, "'hogql_query' is required when 'model' is 'hogql'")
	}
	if e.Selection.Merges() && len(e.Selection.PrimaryKey) == 0 {
		return invalid("primary_key", codeInvalid, "'primary_key' is required when 'incremental_mode' is 'MERGE'")
	}
	if !e.Selection.Custom() && len(e.Selection.Filters) == 0 {
		return nil
	}
	selected, err := s.Models.Select(e)
	if err != nil {
		return refusalOf(err)
	}
	if err := s.checkNames(e, selected); err != nil {
		return err
	}
	if err := checkKey("primary_key", e.Selection.PrimaryKey, selected); err != nil {
		return err
	}
	return checkKey("version_key", e.Selection.VersionKey, selected)
}

// checkNames refuses columns whose names the destination cannot hold.
func (s *Exports) checkNames(e batch.Export, selected query.Selection) error {
	plugin, _ := s.Plugins.Plugin(e.Destination.Type) // one that is gone says nothing
	for _, c := range selected.Columns {
		if plugin.LongestColumn > 0 && len(c.Name) > plugin.LongestColumn {
			return invalid("hogql_query", codeInvalid,
				"The name of a column is longer than the %d bytes that the destination allows: give it an alias. It begins with '%s'",
				plugin.LongestColumn, strings.ToValidUTF8(c.Name[:plugin.LongestColumn], ""))
		}
	}
	return nil
}

// checkKey refuses columns that the query does not have, or that cannot be compared.
func checkKey(attr string, key []string, selected query.Selection) error {
	var absent, mute []string
	for i, name := range key {
		if slices.Contains(key[:i], name) {
			return invalid(attr, codeInvalid, "'%s' names the column '%s' twice", attr, name)
		}
		at := slices.IndexFunc(selected.Columns, func(c query.Column) bool { return c.Name == name })
		if at < 0 {
			absent = append(absent, name)
			continue
		}
		if kind := selected.Columns[at].Expression(selected.Model).Type(); kind == query.TypeJSON || kind == query.TypeStrings {
			mute = append(mute, name)
		}
	}
	if len(absent) > 0 {
		return invalid(attr, codeInvalid, "'%s' contains columns that are not present in the query: %s", attr, strings.Join(absent, ", "))
	}
	if len(mute) > 0 {
		return invalid(attr, codeInvalid, "'%s' contains columns that cannot be compared, such as JSON: %s", attr, strings.Join(mute, ", "))
	}
	return nil
}

// refusalOf turns an error about filters or a query into a Problem.
func refusalOf(err error) error {
	if f, ok := errors.AsType[*query.FilterError](err); ok {
		return invalid(f.Attr(), codeInvalid, "%s", f.Detail)
	}
	if r, ok := errors.AsType[*query.RefusalError](err); ok {
		return invalid("hogql_query", codeInvalid, "%s", r.Message)
	}
	if known, ok := errors.AsType[*batch.Error](err); ok && known.Code == batch.CodeConfig {
		return invalid("model", codeInvalid, "%s", sentence(known.Message))
	}
	return err
}
