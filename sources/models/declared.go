package models

import (
	"slices"

	"tranche/batch"
	"tranche/query"
)

// declared is a model of the operator's own.
func (c *checker) declared(d declaration) query.Model {
	m := query.Model{
		Name: batch.Model(c.name), Table: d.Table, Tenant: d.Tenant, Ingested: d.Ingested, Occurred: d.Occurred,
		Key: d.Key, Version: d.Version,
	}
	if len(m.Table) == 0 {
		m.Table = []string{c.name}
	}
	if len(d.Columns) > 0 {
		c.failf("columns are for models that the server has: say the column of each of its fields there")
	}
	switch {
	case len(d.Fields) == 0:
		c.failf("it needs fields")
	case len(d.Fields) > maxFields:
		c.failf("it has more than %d fields", maxFields)
		return m
	}
	for i, f := range d.Fields {
		c.field(&m, i, f)
	}
	c.roles(m)
	if len(m.Columns()) == 0 {
		c.failf("all its fields are hidden: nothing would be exported")
	}
	// Whose a row is and when it arrived is compared with what is never null, so that no row is passed over unseen.
	for i, f := range m.Fields {
		m.Fields[i].Required = f.Required || f.Name == m.Tenant || f.Name == m.Ingested
	}
	return m
}

// field adds a field.
func (c *checker) field(m *query.Model, i int, f fieldDeclaration) {
	kind, ok := query.ParseType(f.Type)
	switch {
	case !fieldName.MatchString(string(f.Name)):
		c.failf("field %d: its name must be of letters, digits and _, not begin with a digit, and have at most 63", i+1)
		return
	case !ok:
		c.failf("field %s: there is no type %q: there are string, integer, float, boolean, timestamp, date, json and strings", f.Name, f.Type)
	}
	if _, twice := m.Spec(f.Name); twice {
		c.failf("field %s: it is there twice", f.Name)
		return
	}
	if f.Column == "" {
		f.Column = string(f.Name)
	}
	if !usable(f.Column) {
		c.failf("field %s: its column has a name that is empty or ours", f.Name)
	}
	m.Fields = append(m.Fields, query.FieldSpec{Name: f.Name, Type: kind, Column: f.Column, Required: f.Required, Hidden: f.Hidden})
}

// Which types the fields may have that a model cannot do without.
var (
	tenants  = []query.Type{query.TypeInteger}
	instants = []query.Type{query.TypeInstant}
	keys     = []query.Type{query.TypeString, query.TypeInteger, query.TypeBoolean, query.TypeInstant, query.TypeDate}
	versions = []query.Type{query.TypeInteger, query.TypeFloat, query.TypeInstant, query.TypeDate}
)

// roles checks the fields that mean something to the service.
func (c *checker) roles(m query.Model) {
	c.role(m, "tenant", m.Tenant, true, tenants)
	c.role(m, "ingested", m.Ingested, true, instants)
	c.role(m, "occurred", m.Occurred, false, instants)
	for _, f := range m.Key {
		c.role(m, "key", f, true, keys)
	}
	for _, f := range m.Version {
		c.role(m, "version", f, true, versions)
	}
	if len(m.Version) > 0 && len(m.Key) == 0 {
		c.failf("a version without a key says nothing: which rows replace each other?")
	}
	for _, f := range slices.Concat(m.Key, m.Version) {
		// A table is merged by them, so they must be delivered.
		if spec, ok := m.Spec(f); ok && spec.Hidden {
			c.failf("field %s: it is part of the key or the version, and cannot be hidden", f)
		}
	}
}

// role checks one of them.
func (c *checker) role(m query.Model, role string, name query.Field, needed bool, allowed []query.Type) {
	if name == "" {
		if needed {
			c.failf("it needs %s: the name of one of its fields", role)
		}
		return
	}
	spec, ok := m.Spec(name)
	switch {
	case !ok:
		c.failf("%s: it has no field %q", role, name)
	case spec.Type != query.TypeNull && !slices.Contains(allowed, spec.Type):
		c.failf("%s: the field %s is of type %s, and must be of type %s", role, name, spec.Type, listTypes(allowed))
	}
}

func listTypes(types []query.Type) string {
	text := ""
	for i, t := range types {
		if i > 0 {
			text += " or "
		}
		text += t.String()
	}
	return text
}
