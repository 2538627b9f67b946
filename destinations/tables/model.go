// Package tables is what all destinations that fill tables of a database share: which columns a model has there, what
// makes its rows the same, the names of what is staged, and text that such databases refuse.
package tables

import (
	"slices"
	"strings"

	"tranche/batch"
	"tranche/destinations"
	"tranche/query"
)

// A Type is what a column holds; each database has its own names for them.
type Type int

// The types.
const (
	ShortText Type = iota + 1 // up to 200 characters
	Text
	JSON
	Integer // 32 bits
	Bigint
	Real
	Double
	Boolean
	Timestamp // an instant
	Texts     // a list of text
	Date
	// AsRead is the type that fits what the source delivers.
	AsRead
)

// A Column is one column of a model's table.
type Column struct {
	Name string
	Type Type
	// Field is what the source is asked for; empty = the column is always the empty text.
	Field query.Field
	// Member, if not empty, is the member of the JSON object in Field that the column holds.
	Member string
}

// A Model is how the rows of a model live in a table.
type Model struct {
	Columns []Column
	// Key are the columns that make two rows the same.
	Key []string
	// Versions are columns of which one must grow for a row to replace the one of its key. Without any, rows are never
	// changed in the source: they are added, and those of an interval that is delivered again are replaced.
	Versions []string
	// Clock is the column that says when a row happened; empty = none.
	Clock string
	// Merge says that rows replace those of their key unless they are older, the first of the versions first. Without
	// versions they always do.
	Merge bool
}

// Mutable says whether rows change in the source, so that each delivery is merged by key.
func (m Model) Mutable() bool { return m.Merge || len(m.Versions) > 0 }

// known returns the table of a model that has one everywhere.
func known(model batch.Model) (Model, bool) {
	switch model {
	case batch.ModelEvents:
		return events(), true
	case batch.ModelPersons:
		return persons(), true
	case batch.ModelSessions:
		return sessions(), true
	default:
		return Model{}, false
	}
}

// Of returns the table of the run's model. Of models that the operator declared and of queries of the customer's it has no
// columns: what is read has them, see [Model.Read].
func Of(run destinations.Run) Model {
	if m, ok := known(run.Model); ok && !run.Custom {
		return m
	}
	return Model{Key: run.Key, Versions: run.Version, Clock: run.Clock, Merge: run.Merge}
}

// fieldTypes are the types of columns that are as they are read.
var fieldTypes = map[query.Type]Type{
	query.TypeString: Text, query.TypeInteger: Bigint, query.TypeFloat: Double, query.TypeBoolean: Boolean,
	query.TypeInstant: Timestamp, query.TypeDate: Date, query.TypeJSON: JSON, query.TypeStrings: Texts,
}

// For is the table of a model before anything is read.
func For(m query.Model) Model {
	table, ok := known(m.Name)
	if !ok {
		table = Model{Clock: string(m.Occurred)}
		for _, f := range m.Key {
			table.Key = append(table.Key, string(f))
		}
		for _, f := range m.Version {
			table.Versions = append(table.Versions, string(f))
		}
		for _, c := range m.Columns() {
			table.Columns = append(table.Columns, Column{Name: c.Name, Type: AsRead, Field: c.Field})
		}
	}
	for i, c := range table.Columns {
		if spec, ok := m.Spec(c.Field); ok && c.Type == AsRead {
			table.Columns[i].Type = fieldTypes[spec.Type]
		}
	}
	return table
}

// Read is the model with the columns that are read, if it has none of its own.
func (m Model) Read(columns []string) Model {
	if len(m.Columns) > 0 {
		return m
	}
	for _, name := range columns {
		m.Columns = append(m.Columns, Column{Name: name, Type: AsRead, Field: query.Field(name)})
	}
	return m
}

// Columns returns what is read of a model for its table.
func Columns(m query.Model) ([]query.Column, error) {
	if table, ok := known(m.Name); ok {
		return table.Query(), nil
	}
	if len(m.Key) == 0 {
		return nil, batch.Errorf(batch.CodeConfig, nil, "the model %s has no key, without which a table cannot tell rows apart", m.Name)
	}
	return m.Columns(), nil
}

func events() Model {
	return Model{
		Columns: []Column{
			{Name: "uuid", Type: ShortText, Field: query.FieldUUID},
			{Name: "event", Type: ShortText, Field: query.FieldEvent},
			{Name: "properties", Type: JSON, Field: query.FieldProperties},
			{Name: "elements", Type: JSON, Field: query.FieldElementsChain},
			{Name: "set", Type: JSON, Field: query.FieldProperties, Member: "$set"},
			{Name: "set_once", Type: JSON, Field: query.FieldProperties, Member: "$set_once"},
			{Name: "distinct_id", Type: ShortText, Field: query.FieldDistinctID},
			{Name: "team_id", Type: Integer, Field: query.FieldTeamID},
			{Name: "ip", Type: ShortText, Field: query.FieldProperties, Member: "$ip"},
			{Name: "site_url", Type: ShortText},
			{Name: "timestamp", Type: Timestamp, Field: query.FieldTimestamp},
			{Name: "person_properties", Type: JSON, Field: query.FieldPersonProperties},
		},
		Key: []string{"team_id", "uuid"}, Clock: "timestamp",
	}
}

func persons() Model {
	return Model{
		Columns: []Column{
			{Name: "team_id", Type: Bigint, Field: query.FieldTeamID},
			{Name: "distinct_id", Type: Text, Field: query.FieldDistinctID},
			{Name: "person_id", Type: Text, Field: query.FieldPersonID},
			{Name: "properties", Type: JSON, Field: query.FieldProperties},
			{Name: "person_distinct_id_version", Type: Bigint, Field: "person_distinct_id_version"},
			{Name: "person_version", Type: Bigint, Field: "person_version"},
			{Name: "created_at", Type: Timestamp, Field: query.FieldCreatedAt},
			{Name: "is_deleted", Type: Boolean, Field: "is_deleted"},
		},
		Key: []string{"team_id", "distinct_id"}, Versions: []string{"person_version", "person_distinct_id_version"},
	}
}

// sessionFields are the columns of sessions, which the source has under the same names.
const sessionFields = `session_id session_id_v7 team_id distinct_id start_timestamp end_timestamp urls num_uniq_urls
	entry_current_url entry_pathname entry_hostname end_current_url end_pathname end_hostname entry_utm_source
	entry_utm_campaign entry_utm_medium entry_utm_term entry_utm_content entry_referring_domain entry_gclid entry_fbclid
	entry_gad_source pageview_count autocapture_count screen_count channel_type session_duration duration is_bounce
	last_external_click_url page_screen_autocapture_count_up_to exit_current_url exit_pathname vitals_lcp entry_gclsrc
	entry_dclid entry_gbraid entry_wbraid entry_msclkid entry_twclid entry_li_fat_id entry_mc_cid entry_igshid entry_ttclid
	entry__kx entry_irclid`

func sessions() Model {
	m := Model{Key: []string{"team_id", "session_id"}, Versions: []string{"end_timestamp"}}
	for name := range strings.FieldsSeq(sessionFields) {
		m.Columns = append(m.Columns, Column{Name: name, Type: AsRead, Field: query.Field(name)})
	}
	return m
}

// Query returns what the source is asked for: each field once, under the name of its field.
func (m Model) Query() []query.Column {
	var asked []query.Column
	for _, c := range m.Columns {
		known := slices.ContainsFunc(asked, func(q query.Column) bool { return q.Field == c.Field })
		if c.Field != "" && !known {
			asked = append(asked, query.Column{Name: string(c.Field), Field: c.Field})
		}
	}
	return asked
}
