// Package query is what an export asks of a source, as data: no user text ever reaches SQL unparsed.
package query

import (
	"tranche/batch"
)

// A Query asks for the rows of one interval: those of the team whose ingestion time lies in the interval.
type Query struct {
	TeamID   int64
	Model    batch.Model
	Interval batch.Interval
	// Columns to read, in the order of the output.
	Columns []Column
	// IncludeEvents, if not empty, keeps only events of these names; ExcludeEvents drops events of these names.
	IncludeEvents []string
	ExcludeEvents []string
}

// A Column is one output column: a field of the model under the name that the destination wants.
type Column struct {
	Name  string
	Field Field
}

// A Field is a column of a model, by its name in PostHog's schema.
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
)

// JSONMetadata is the key of Arrow field metadata that marks a text column as holding JSON, with the value "true".
// Encoders write such a column as a nested value where the format can nest.
const JSONMetadata = "tranche.json"

// JSON says whether the field holds JSON text.
func (f Field) JSON() bool { return f == FieldProperties || f == FieldPersonProperties }

// ObjectStoreEvents are the columns of events that the S3 family and local files get, in order.
func ObjectStoreEvents() []Column {
	return []Column{
		{"uuid", FieldUUID},
		{"timestamp", FieldTimestamp},
		{"_inserted_at", FieldInsertedAt},
		{"created_at", FieldCreatedAt},
		{"event", FieldEvent},
		{"properties", FieldProperties},
		{"distinct_id", FieldDistinctID},
		{"elements_chain", FieldElementsChain},
		{"person_properties", FieldPersonProperties},
		{"person_id", FieldPersonID},
	}
}
