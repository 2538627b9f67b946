package query

import (
	"errors"
	"slices"
	"strings"

	"tranche/batch"
)

// A resolver gives names their meaning: fields of one model, functions of the allow-list, and the bounds of the interval.
type resolver struct {
	model        Model
	table, alias string
	// hidden are names that a query may not read.
	hidden map[string]bool
}

// readable are the fields of events that a customer's query over events may read, besides those that the operator adds.
var readable = []Field{
	FieldCreatedAt, FieldDistinctID, FieldElementsChain, FieldEvent, FieldPersonID, FieldPersonProperties, FieldProperties,
	FieldTeamID, FieldTimestamp, FieldUUID,
}

// unreadable are names that PostHog's events have and exports cannot read.
func unreadable(m Model) map[string]bool {
	all := map[string]bool{
		"$session_id": true, "$window_id": true, "_timestamp": true, "person_mode": true, "person_created_at": true,
		"elements_chain_href": true, "elements_chain_texts": true, "elements_chain_ids": true, "elements_chain_elements": true,
		"session": true, "poe": true, "pdi": true, "group_0": true, "group_1": true, "group_2": true, "group_3": true, "group_4": true,
		"$group_0": true, "$group_1": true, "$group_2": true, "$group_3": true, "$group_4": true,
	}
	posthog := eventsModel()
	for _, f := range m.Fields {
		if _, ours := posthog.Spec(f.Name); ours && !slices.Contains(readable, f.Name) {
			all[string(f.Name)] = true
		}
	}
	return all
}

// supported lists what can be read.
func (r resolver) supported() string {
	var names []string
	for _, f := range r.model.Fields {
		if !r.hidden[string(f.Name)] {
			names = append(names, string(f.Name))
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// query resolves a SELECT. With named, a column that is no field must have an alias.
func (r resolver) query(parsed selectNode, named bool) (Select, error) {
	if len(parsed.columns) > maxColumns {
		return Select{}, refuse("Invalid HogQL query: a query has at most %d columns", maxColumns)
	}
	s := Select{Model: r.model.Name, Text: parsed.String(), parsed: parsed}
	seen := make(map[string]bool)
	for _, c := range parsed.columns {
		if contains[subqueryNode](c.expression) {
			return Select{}, refuse("Subqueries in SELECT expressions are not supported")
		}
		e, err := r.expression(c.expression)
		if err != nil {
			return Select{}, r.invalid(err)
		}
		name, ok := c.name()
		if named && !ok || name == "" {
			return Select{}, refuse("Each column of the query must be a field or have an alias: '%s' is neither", clip(textOf(c.expression)))
		}
		if seen[name] {
			return Select{}, refuse("Invalid HogQL query: two columns have the name '%s'", clip(name))
		}
		if len(name) > maxName {
			return Select{}, refuse("Invalid HogQL query: the name of the column '%s' is longer than %d bytes: give it an alias", clip(name), maxName)
		}
		seen[name] = true
		if e.Type() == TypeNull {
			e = Literal{Of: TypeString}
		}
		s.Columns = append(s.Columns, Column{Name: name, Expr: e})
	}
	if parsed.where != nil {
		if contains[subqueryNode](parsed.where) {
			return Select{}, refuse("Subqueries are not supported")
		}
		e, err := r.expression(parsed.where)
		if err == nil {
			e, err = convert(e, TypeBoolean)
		}
		if err != nil {
			return Select{}, r.invalid(err)
		}
		s.Where = e
	}
	return s, nil
}

// name is the name of a column: its alias, its field's, or its text. A text is no name that its writer chose.
func (c columnNode) name() (name string, chosen bool) {
	if c.alias != "" {
		return c.alias, true
	}
	switch n := c.expression.(type) {
	case pathNode:
		return n.parts[len(n.parts)-1], true
	case literalNode:
		if text, ok := n.value.(string); ok {
			return text, false
		}
	}
	return textOf(c.expression), false
}

// invalid is an error about the meaning of a query.
func (r resolver) invalid(err error) error {
	if _, ok := errors.AsType[*TypeError](err); ok {
		return refuse("Invalid HogQL query: %s", err)
	}
	return err
}

// contains says whether n is an N or made of one.
func contains[N node](n node) bool {
	switch n := n.(type) {
	case N:
		return true
	case callNode:
		return slices.ContainsFunc(n.args, contains[N])
	}
	return false
}

func (r resolver) expression(n node) (Expr, error) {
	switch n := n.(type) {
	case literalNode:
		return literalOf(n.value), nil
	case pathNode:
		return r.path(n)
	case callNode:
		args := make([]Expr, len(n.args))
		for i, arg := range n.args {
			var err error
			if args[i], err = r.expression(arg); err != nil {
				return nil, err
			}
		}
		return Apply(canonical(n.name), args...)
	case placeholderNode:
		return placeholder(n.text)
	case starNode:
		return nil, refuse("Invalid HogQL query: * is not supported, name the columns")
	}
	return nil, refuse(unsupported)
}

// canonical finds a function whatever its case, as SQL has it.
func canonical(name string) string {
	names := Functions()
	if slices.Contains(names, name) || name == FunctionAnd || name == FunctionOr || name == FunctionNot {
		return name
	}
	if i := slices.IndexFunc(names, func(known string) bool { return strings.EqualFold(known, name) }); i >= 0 {
		return names[i]
	}
	return name
}

func literalOf(value any) Literal {
	switch v := value.(type) {
	case string:
		return Text(v)
	case int64:
		return Integer(v)
	case float64:
		return Number(v)
	case bool:
		return Truth(v)
	}
	return Literal{}
}

// The placeholders that a query may have.
const (
	placeholderStart = "data_interval_start"
	placeholderEnd   = "data_interval_end"
	onlyPlaceholders = "Only {" + placeholderStart + "} and {" + placeholderEnd + "} are supported."
)

func placeholder(text string) (Expr, error) {
	if text == placeholderStart || text == placeholderEnd {
		return Bound{Start: text == placeholderStart}, nil
	}
	for i := range len(text) {
		if !nameByte(text[i]) {
			return nil, refuse("Unsupported placeholder. %s", onlyPlaceholders)
		}
	}
	return nil, refuse("Unknown placeholder '{%s}'. %s", clip(text), onlyPlaceholders)
}

// path finds a field, and what lies in it.
func (r resolver) path(n pathNode) (Expr, error) {
	parts := n.parts
	if len(parts) > 1 && (parts[0] == r.alias || parts[0] == r.table && r.alias == "") {
		if _, field := r.model.Spec(Field(parts[0])); !field {
			parts = parts[1:]
		}
	}
	if len(parts) > 1 && parts[0] == "person" && r.model.Name == batch.ModelEvents {
		switch parts[1] {
		case "properties":
			parts = append([]string{string(FieldPersonProperties)}, parts[2:]...)
		case "id":
			parts = append([]string{string(FieldPersonID)}, parts[2:]...)
		}
	}
	if r.hidden[parts[0]] {
		return nil, refuse("Batch exports cannot read these fields: %s. Supported fields are: %s", parts[0], r.supported())
	}
	spec, ok := r.model.Spec(Field(parts[0]))
	if !ok || len(parts) > 1 && spec.Type != TypeJSON {
		return nil, refuse("Invalid HogQL query: Unable to resolve field: %s", clip(strings.Join(parts, ".")))
	}
	ref := Ref{Field: spec.Name, Of: spec.Type}
	if len(parts) == 1 {
		return ref, nil
	}
	return property(ref, parts[1:])
}
