package query

import (
	"errors"
	"slices"

	"tranche/batch"
)

// A Selection is what an export wants of a model of the catalog: see [Catalog.Select].
type Selection struct {
	// Model is the one whose rows are read.
	Model Model
	// Columns are those of the customer's query; nil = the model's own, as the destination wants them.
	Columns []Column
	// Where, if not nil, is what rows must fulfil besides what their interval demands.
	Where Expr
	// Merge says that rows of a customer's query replace those of their key, if they are not older by their version.
	Merge bool
	// Key and Version are the names of the columns that tell rows apart, and that say which of two is newer: those of the
	// model, or of the customer's query. Without Merge, a query's key is what no two rows of the model have in common.
	// Clock is the name of the column that says when a row happened. Any may be empty.
	Key, Version []string
	Clock        string
}

// Custom says whether the columns are the customer's own.
func (s Selection) Custom() bool { return s.Columns != nil }

// Delivered is the model as its destination sees it: a query's columns are the fields of a model of their own.
func (s Selection) Delivered() Model {
	if !s.Custom() {
		return s.Model
	}
	m := Model{Name: batch.ModelHogQL, Occurred: Field(s.Clock)}
	for _, c := range s.Columns {
		m.Fields = append(m.Fields, FieldSpec{Name: Field(c.Name), Type: c.Expression(s.Model).Type(), Column: c.Name})
	}
	for _, name := range s.Key {
		m.Key = append(m.Key, Field(name))
	}
	for _, name := range s.Version {
		m.Version = append(m.Version, Field(name))
	}
	return m
}

// Select reads what an export wants. It is read each time that it is used, so that nothing older than the parser reaches a
// source. Errors are *FilterError or *RefusalError; that the server lacks the model is a *batch.Error.
func (c Catalog) Select(e batch.Export) (Selection, error) {
	s, err := c.rows(e)
	if err != nil || len(e.Selection.Filters) == 0 {
		return s, err
	}
	sent := make([]any, len(e.Selection.Filters))
	for i, f := range e.Selection.Filters {
		sent[i] = f
	}
	filters, err := ParseFilters(sent)
	if err != nil {
		return s, err
	}
	condition, err := Compile(filters, s.Model)
	s.Where = And(s.Where, condition)
	return s, err
}

// rows is what an export wants without its filters.
func (c Catalog) rows(e batch.Export) (s Selection, err error) {
	if !e.Selection.Custom() {
		s.Model, err = c.Need(e.Model)
		s.Key, s.Version, s.Clock = namesOf(s.Model.Key), namesOf(s.Model.Version), string(s.Model.Occurred)
		return s, err
	}
	read := ParseEvents
	if e.Model == batch.ModelHogQL {
		read = ParseSelect
	}
	parsed, err := read(e.Selection.Query, c)
	if err != nil {
		return s, err
	}
	s.Model, _ = c.Model(parsed.Model) // which was found before
	s.Columns, s.Where = parsed.Columns, parsed.Where
	s.Key = s.named(s.Model.identity())
	if s.Merge = e.Selection.Merges(); s.Merge {
		s.Key, s.Version = e.Selection.PrimaryKey, e.Selection.VersionKey
	}
	if clock := s.named([]Field{s.Model.Occurred}); len(clock) == 1 {
		s.Clock = clock[0]
	}
	return s, nil
}

func namesOf(fields []Field) []string {
	var names []string
	for _, f := range fields {
		names = append(names, string(f))
	}
	return names
}

// identity are the fields that no two rows of the model ever have in common, if it is known.
func (m Model) identity() []Field {
	switch {
	case m.Mutable():
		return nil // another interval may have a row of the same key
	case len(m.Key) == 0 && m.Name == batch.ModelEvents:
		return []Field{FieldUUID}
	}
	return m.Key
}

// named are the columns that hold the fields as they are; nil unless there is one for each.
func (s Selection) named(fields []Field) []string {
	var names []string
	for _, f := range fields {
		i := slices.IndexFunc(s.Columns, func(c Column) bool {
			r, ok := c.Expression(s.Model).(Ref)
			return ok && r.Field == f
		})
		if i < 0 {
			return nil
		}
		names = append(names, s.Columns[i].Name)
	}
	return names
}

// Bounded says whether which rows are exported depends on the bounds of a run's interval in more than that.
func (s Selection) Bounded() bool { return uses(s.Where, Bound{Start: true}) || uses(s.Where, Bound{}) }

// Placed says whether what is exported depends on the bounds of a run's interval in any way but which rows are in it.
func (s Selection) Placed() bool {
	return s.Bounded() || slices.ContainsFunc(s.Columns, func(c Column) bool { return uses(c.Expr, Bound{}) || uses(c.Expr, Bound{Start: true}) })
}

// NeedsStart says whether there is something to ask of the start of an interval, so that it must have one.
func (s Selection) NeedsStart() bool {
	start := Bound{Start: true}
	return uses(s.Where, start) || slices.ContainsFunc(s.Columns, func(c Column) bool { return uses(c.Expr, start) })
}

func uses(e Expr, b Bound) bool {
	found := false
	Walk(e, func(e Expr) { found = found || e == Expr(b) })
	return found
}

// Sendable is an error about an export's selection as a *batch.Error, for runs; others stay as they are.
func Sendable(err error) error {
	if f, ok := errors.AsType[*FilterError](err); ok {
		return batch.Errorf(batch.CodeFilter, err, "the filters of the export cannot be used: %s", f.Detail)
	}
	if r, ok := errors.AsType[*RefusalError](err); ok {
		return batch.Errorf(batch.CodeFilter, err, "the query of the export cannot be used: %s", r.Message)
	}
	return err
}
