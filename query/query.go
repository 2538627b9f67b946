// Package query is what an export asks of a source, as data: models and their fields, the customer's filters, and the
// subset of SELECT that customers may write. No user text ever reaches SQL unparsed: filters and queries become typed
// expressions, which the printers of package sql turn into SQL with bound constants.
package query

import (
	"slices"
	"time"

	"tranche/batch"
)

// A Query asks for the rows of one interval: those of the team whose ingestion time lies in the interval.
type Query struct {
	TeamID   int64
	Model    batch.Model
	Interval batch.Interval
	// By is the time by which rows belong to the interval.
	By Time
	// Lookback, if not zero, leaves out rows that happened longer before the interval, or more than a day after it.
	Lookback time.Duration
	// Columns to read, in the order of the output.
	Columns []Column
	// Where, if not nil, is what rows must fulfil: a boolean.
	Where Expr
	// IncludeEvents, if not empty, keeps only events of these names; ExcludeEvents drops events of these names. Neither
	// counts for models without events.
	IncludeEvents []string
	ExcludeEvents []string
}

// A Time is one of the two times of a row.
type Time int

// The times.
const (
	ByIngestion Time = iota // when the row arrived: every row is in exactly one interval, however late it came
	ByEvent                 // when it happened
)

// TimeOf is the time that a clock tells.
func TimeOf(s batch.Clock) Time {
	if s == batch.ByTimestamp {
		return ByEvent
	}
	return ByIngestion
}

// Field is the field by which the query's rows belong to the interval.
func (q Query) Field(m Model) (Field, error) {
	if q.By == ByEvent {
		if m.Occurred == "" {
			return "", batch.Errorf(batch.CodeConfig, nil, "rows of the model %s cannot be chosen by the time of an event", m.Name)
		}
		return m.Occurred, nil
	}
	return m.Ingested, nil
}

// lookahead is how far after its interval a row may claim to have happened, when there is a lookback.
const lookahead = 24 * time.Hour

// Condition is all that rows must fulfil besides the team and the interval; nil = nothing.
func (q Query) Condition(m Model) Expr {
	var conditions []Expr
	if q.Lookback > 0 && q.By == ByIngestion && m.Occurred != "" {
		occurred := m.Ref(m.Occurred)
		if !q.Interval.Start.IsZero() {
			conditions = append(conditions, call(FunctionGreaterOrEquals, TypeBoolean, occurred, Instant(q.Interval.Start.Add(-q.Lookback))))
		}
		conditions = append(conditions, call(FunctionLess, TypeBoolean, occurred, Instant(q.Interval.End.Add(lookahead))))
	}
	_, named := m.Spec(FieldEvent) // persons and sessions have no events to choose from
	if named && len(q.IncludeEvents) > 0 {
		conditions = append(conditions, anyOf(m.Ref(FieldEvent), q.IncludeEvents))
	}
	if named && len(q.ExcludeEvents) > 0 {
		conditions = append(conditions, call(FunctionNot, TypeBoolean, anyOf(m.Ref(FieldEvent), q.ExcludeEvents)))
	}
	return And(append(conditions, q.Where)...)
}

// Uses says which fields with columns the query needs of the model, those of its choice of rows included.
func (q Query) Uses(m Model) map[Field]bool {
	used := map[Field]bool{m.Tenant: true, m.Ingested: true}
	if q.By == ByEvent {
		used[m.Occurred] = true
	}
	for _, f := range slices.Concat(m.Key, m.Version) {
		used[f] = used[f] || m.Mutable()
	}
	var use func(Expr)
	use = func(e Expr) {
		if r, ok := e.(Ref); ok {
			used[r.Field] = true
			if spec, _ := m.Spec(r.Field); spec.Column == "" {
				Walk(spec.Instead, use)
			}
		}
	}
	for _, c := range q.Columns {
		Walk(c.Expression(m), use)
	}
	Walk(q.Condition(m), use)
	return used
}

func anyOf(value Expr, texts []string) Expr {
	args := []Expr{value}
	for _, text := range texts {
		args = append(args, Text(text))
	}
	return call(FunctionIn, TypeBoolean, args...)
}

// A Column is one output column: a field of the model, or an expression, under the name that the destination wants.
type Column struct {
	Name  string
	Field Field
	// Expr, if not nil, is what the column is, in place of Field.
	Expr Expr
}

// Expression is what the column is.
func (c Column) Expression(m Model) Expr {
	if c.Expr != nil {
		return c.Expr
	}
	return m.Ref(c.Field)
}

// A Field is a field of a model, by its name in PostHog's schema.
type Field string

// The fields of the model events. Timestamps are Arrow timestamp[us, UTC]; UUIDs and JSON are text.
const (
	FieldUUID             Field = "uuid"
	FieldTeamID           Field = "team_id" // int64
	FieldEvent            Field = "event"
	FieldDistinctID       Field = "distinct_id"
	FieldTimestamp        Field = "timestamp"
	FieldInsertedAt       Field = "inserted_at" // the ingestion time
	FieldCreatedAt        Field = "created_at"
	FieldProperties       Field = "properties"        // JSON
	FieldPersonProperties Field = "person_properties" // JSON, nullable
	FieldPersonID         Field = "person_id"         // nullable
	FieldElementsChain    Field = "elements_chain"

	// What tables of events have besides; they are derived from the others unless the source has columns for them.
	FieldSet      Field = "set"      // JSON: $set of the properties
	FieldSetOnce  Field = "set_once" // JSON: $set_once of the properties
	FieldIP       Field = "ip"       // $ip of the properties
	FieldSiteURL  Field = "site_url" // empty
	FieldElements Field = "elements" // the chain of elements
)

// JSONMetadata is the key of Arrow field metadata that marks a text column as holding JSON, with the value "true".
// Encoders write such a column as a nested value where the format can nest.
const JSONMetadata = "tranche.json"

// JSON says whether the field of events holds JSON text.
func (f Field) JSON() bool {
	return f == FieldProperties || f == FieldPersonProperties || f == FieldSet || f == FieldSetOnce
}

// ObjectStoreEvents are the columns of events that the S3 family and local files get, in order.
func ObjectStoreEvents() []Column {
	return []Column{
		{Name: "uuid", Field: FieldUUID},
		{Name: "timestamp", Field: FieldTimestamp},
		{Name: "_inserted_at", Field: FieldInsertedAt},
		{Name: "created_at", Field: FieldCreatedAt},
		{Name: "event", Field: FieldEvent},
		{Name: "properties", Field: FieldProperties},
		{Name: "distinct_id", Field: FieldDistinctID},
		{Name: "elements_chain", Field: FieldElementsChain},
		{Name: "person_properties", Field: FieldPersonProperties},
		{Name: "person_id", Field: FieldPersonID},
	}
}

// BaseEvents are the columns of events that all destinations but the S3 family start from, in order.
func BaseEvents() []Column {
	return []Column{
		{Name: "uuid", Field: FieldUUID},
		{Name: "team_id", Field: FieldTeamID},
		{Name: "timestamp", Field: FieldTimestamp},
		{Name: "_inserted_at", Field: FieldInsertedAt},
		{Name: "created_at", Field: FieldCreatedAt},
		{Name: "event", Field: FieldEvent},
		{Name: "properties", Field: FieldProperties},
		{Name: "distinct_id", Field: FieldDistinctID},
		{Name: "set", Field: FieldSet},
		{Name: "set_once", Field: FieldSetOnce},
	}
}
