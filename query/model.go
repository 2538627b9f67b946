package query

import (
	"maps"
	"slices"
	"strings"

	"tranche/batch"
)

// A Model is a kind of rows that can be exported: fields with types, and where they are in the source.
type Model struct {
	Name batch.Model
	// Table is the name of the table in the source, after the names of what it lies in, such as its schema.
	Table []string
	// Tenant, Ingested and Occurred are the fields that say whose a row is, when it arrived, and when it happened.
	// Without Occurred the model has no time but that of its arrival.
	Tenant, Ingested, Occurred Field
	// Key is what tells rows apart; of several rows of an interval with one key, those with Version export the newest.
	Key, Version []Field
	// Fields in the order in which they are exported.
	Fields []FieldSpec
}

// The names that statements have for things of theirs: the number of a row among those of its key, and the beginning of
// what they give out.
const (
	NewestColumn   = "tranche_newest"
	NumberedColumn = "tranche_column_"
)

// Reserved says whether no column of a table may have the name, in any case, since statements have it.
func Reserved(column string) bool {
	column = strings.ToLower(column)
	return column == NewestColumn || strings.HasPrefix(column, NumberedColumn)
}

// A FieldSpec is a field of a model.
type FieldSpec struct {
	Name Field
	Type Type
	// Required says that no row is without a value.
	Required bool
	// Column is its name in the source's table; "" = the table has none, and the field is Instead.
	Column string
	// Instead is what the field is without a column: a constant, or an expression over fields that have one. Nil = the
	// table needs the column.
	Instead Expr
	// Hidden says that the field is exported only where it is asked for by name.
	Hidden bool
}

// Spec finds a field.
func (m Model) Spec(f Field) (FieldSpec, bool) {
	i := slices.IndexFunc(m.Fields, func(s FieldSpec) bool { return s.Name == f })
	if i < 0 {
		return FieldSpec{}, false
	}
	return m.Fields[i], true
}

// Ref refers to a field, which must exist.
func (m Model) Ref(f Field) Ref {
	spec, _ := m.Spec(f)
	return Ref{Field: f, Of: spec.Type}
}

// Mutable says that rows of one key replace each other, so that an interval has one of each.
func (m Model) Mutable() bool { return len(m.Key) > 0 && len(m.Version) > 0 }

// Columns are all fields that are not hidden, under their own names.
func (m Model) Columns() []Column {
	var columns []Column
	for _, f := range m.Fields {
		if !f.Hidden {
			columns = append(columns, Column{Name: string(f.Name), Field: f.Name})
		}
	}
	return columns
}

// At is the model in another table, with other columns for some of its fields; "" = the table has none. An empty table
// leaves it where it is.
func (m Model) At(table []string, columns map[Field]string) Model {
	if len(table) > 0 {
		m.Table = table
	}
	m.Fields = slices.Clone(m.Fields)
	for i, f := range m.Fields {
		if name, ok := columns[f.Name]; ok {
			m.Fields[i].Column = name
		}
	}
	return m
}

// A Catalog is the models of a server, in order.
type Catalog []Model

// Model finds a model.
func (c Catalog) Model(name batch.Model) (Model, bool) {
	i := slices.IndexFunc(c, func(m Model) bool { return m.Name == name })
	if i < 0 {
		return Model{}, false
	}
	return c[i], true
}

// With is the catalog with a model in place of the one of its name.
func (c Catalog) With(m Model) Catalog {
	all := slices.Clone(c)
	for i := range all {
		if all[i].Name == m.Name {
			all[i] = m
			return all
		}
	}
	return append(all, m)
}

// Validate refuses a model that no table could hold: a field without a column needs something in its place, and whose
// rows are and when they arrived are never computed.
func (c Catalog) Validate() error {
	for _, m := range c {
		for _, f := range m.Fields {
			if f.Column == "" && (f.Instead == nil || f.Name == m.Tenant || f.Name == m.Ingested) {
				return batch.Errorf(batch.CodeConfig, nil, "the table of the model %s needs a column for %s", m.Name, f.Name)
			}
			if Reserved(f.Column) {
				return batch.Errorf(batch.CodeConfig, nil, "the model %s cannot have the column %q: the name is ours", m.Name, f.Column)
			}
		}
		for _, f := range slices.Concat([]Field{m.Tenant, m.Ingested}, m.Key, m.Version) {
			if _, ok := m.Spec(f); !ok {
				return batch.Errorf(batch.CodeConfig, nil, "the model %s has no field %q", m.Name, f)
			}
		}
	}
	return nil
}

// Listed are the columns of a table, sorted, as far as anybody would read them.
func Listed(types map[string]string) string {
	const most = 40
	names := slices.Sorted(maps.Keys(types))
	if len(names) > most {
		return strings.Join(names[:most], ", ") + " and more"
	}
	return strings.Join(names, ", ")
}

// Names are the names of the models.
func (c Catalog) Names() []string {
	names := make([]string, len(c))
	for i, m := range c {
		names[i] = string(m.Name)
	}
	return names
}

// Need finds a model and refuses one that the server does not have.
func (c Catalog) Need(name batch.Model) (Model, error) {
	m, ok := c.Model(name)
	if !ok {
		return Model{}, batch.Errorf(batch.CodeConfig, nil, "this server has no model %q", name)
	}
	return m, nil
}

// Check refuses a query that the model cannot answer.
func (m Model) Check(q Query) error {
	if len(q.Columns) == 0 {
		return batch.Errorf(batch.CodeConfig, nil, "the query names no columns")
	}
	var unknown Expr
	check := func(e Expr) {
		if r, ok := e.(Ref); ok {
			if spec, ok := m.Spec(r.Field); !ok || spec.Type != r.Of {
				unknown = r
			}
		}
	}
	for _, c := range q.Columns {
		Walk(c.Expression(m), check)
	}
	Walk(q.Where, check)
	if r, ok := unknown.(Ref); ok {
		return batch.Errorf(batch.CodeConfig, nil, "the model %s has no field %q", m.Name, r.Field)
	}
	return nil
}
