package destinations

import (
	"fmt"
	"maps"
	"slices"

	"tranche/batch"
	"tranche/query"
)

// A Registry knows the kinds of destination that a process serves.
type Registry struct {
	plugins map[string]Plugin
}

// NewRegistry makes a registry. It panics on two plugins of one type.
func NewRegistry(plugins ...Plugin) *Registry {
	r := &Registry{plugins: make(map[string]Plugin, len(plugins))}
	for _, p := range plugins {
		if _, ok := r.plugins[p.Type]; ok {
			panic(fmt.Sprintf("destinations: two plugins of type %q", p.Type))
		}
		r.plugins[p.Type] = p
	}
	return r
}

// Plugin returns the plugin of a type.
func (r *Registry) Plugin(kind string) (Plugin, bool) {
	p, ok := r.plugins[kind]
	return p, ok
}

// Rows is the query for the rows of an interval that the export wants, with the columns of its own query if it has one.
func (r *Registry) Rows(e batch.Export, s query.Selection, i batch.Interval) query.Query {
	q := query.Query{TeamID: e.TeamID, Model: s.Model.Name, Interval: i, Columns: s.Columns, Where: s.Where}
	if _, named := s.Model.Spec(query.FieldEvent); named {
		q.IncludeEvents, q.ExcludeEvents = r.plugins[e.Destination.Type].Events(e.Destination.Config)
	}
	return q
}

// Types returns every type, sorted.
func (r *Registry) Types() []string {
	return slices.Sorted(maps.Keys(r.plugins))
}
