package models

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"tranche/batch"
	"tranche/query"
)

// A declaration is what a model may say.
type declaration struct {
	Table    names                   `yaml:"table"`
	Columns  map[query.Field]*string `yaml:"columns"`
	Fields   []fieldDeclaration      `yaml:"fields"`
	Key      []query.Field           `yaml:"key"`
	Version  []query.Field           `yaml:"version"`
	Tenant   query.Field             `yaml:"tenant"`
	Ingested query.Field             `yaml:"ingested"`
	Occurred query.Field             `yaml:"occurred"`
}

// A fieldDeclaration is a field of a model that the file declares.
type fieldDeclaration struct {
	Name     query.Field `yaml:"name"`
	Type     string      `yaml:"type"`
	Column   string      `yaml:"column"`
	Required bool        `yaml:"required"`
	Hidden   bool        `yaml:"hidden"`
}

// names are the parts of a table's name: a text with dots between them, or a list when a part has a dot in it.
type names []string

// UnmarshalYAML reads either form.
func (n *names) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*n = strings.Split(node.Value, ".")
		return nil
	}
	return node.Decode((*[]string)(n))
}

// Names of models are part of the API, those of fields of every file and table; no wider ones are of use.
var (
	modelName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
)

// reservedNames are those of models that are something else.
var reservedNames = []string{string(batch.ModelHogQL)}

// A checker collects what is wrong with a model.
type checker struct {
	name     string
	problems []error
}

func (c *checker) failf(format string, args ...any) {
	c.problems = append(c.problems, fmt.Errorf("model %s: "+format, append([]any{c.name}, args...)...))
}

// model is what the entry makes of the server's models; keep = false takes the model away.
func (e entry) model(base query.Catalog) (m query.Model, keep bool, err error) {
	c := &checker{name: e.name}
	if !modelName.MatchString(e.name) || slices.Contains(reservedNames, e.name) {
		c.failf("its name must be of lower-case letters, digits and _, begin with a letter, have at most 63, and not be %s", reservedNames[0])
	}
	known, builtIn := base.Model(batch.Model(e.name))
	if e.value.Tag == "!!bool" && e.value.Value == "false" {
		if !builtIn {
			c.failf("it cannot be taken away, since the server does not have it")
		}
		return query.Model{}, false, errors.Join(c.problems...)
	}
	d, ok := c.decode(e.value)
	switch {
	case !ok:
	case builtIn:
		m = c.moved(known, d)
	default:
		m = c.declared(d)
	}
	return m, true, errors.Join(c.problems...)
}

// decode reads the entry, and refuses keys that mean nothing.
func (c *checker) decode(value *yaml.Node) (d declaration, ok bool) {
	if value.Kind != yaml.MappingNode {
		c.failf("it must be a mapping")
		return d, false
	}
	known := []string{"table", "columns", "fields", "key", "version", "tenant", "ingested", "occurred"}
	c.keys(value, "", known)
	for i := 0; i+1 < len(value.Content); i += 2 {
		if list := value.Content[i+1]; value.Content[i].Value == "fields" && list.Kind == yaml.SequenceNode {
			for n, field := range list.Content {
				c.keys(field, fmt.Sprintf("field %d: ", n+1), []string{"name", "type", "column", "required", "hidden"})
			}
		}
	}
	if err := value.Decode(&d); err != nil {
		c.failf("%v", describe(err))
		return d, false
	}
	for i, part := range d.Table {
		if strings.TrimSpace(part) == "" {
			c.failf("part %d of the name of its table is empty", i+1)
		}
	}
	return d, true
}

// keys refuses keys that are not known, and keys that are there twice.
func (c *checker) keys(of *yaml.Node, where string, known []string) {
	if of.Kind != yaml.MappingNode {
		c.failf("%sit must be a mapping", where)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(of.Content); i += 2 {
		key := of.Content[i].Value
		if !slices.Contains(known, key) {
			c.failf("%sthe key %q is unknown: it may have %s", where, key, strings.Join(known, ", "))
		}
		if seen[key] {
			c.failf("%sthe key %q is there twice", where, key)
		}
		seen[key] = true
	}
}

// moved is a model that the server has, in another table or with other columns.
func (c *checker) moved(m query.Model, d declaration) query.Model {
	if len(d.Fields)+len(d.Key)+len(d.Version) > 0 || d.Tenant != "" || d.Ingested != "" || d.Occurred != "" {
		c.failf("the server has it already: only its table and its columns can be said")
	}
	columns := make(map[query.Field]string, len(d.Columns))
	for name, column := range d.Columns {
		spec, ok := m.Spec(name)
		switch {
		case !ok:
			c.failf("it has no field %q: it has %s", name, listOf(m))
		case column == nil && (spec.Instead == nil || name == m.Tenant || name == m.Ingested):
			c.failf("the field %s needs a column", name)
		case column == nil:
			columns[name] = ""
		case !usable(*column):
			c.failf("the column of %s has a name that is empty or ours", name)
		default:
			columns[name] = *column
		}
	}
	return m.At(d.Table, columns)
}

// usable says whether a column may have the name.
func usable(column string) bool {
	return strings.TrimSpace(column) != "" && !query.Reserved(column) && !strings.ContainsRune(column, 0)
}

func listOf(m query.Model) string {
	all := make([]string, len(m.Fields))
	for i, f := range m.Fields {
		all[i] = string(f.Name)
	}
	return strings.Join(all, ", ")
}
