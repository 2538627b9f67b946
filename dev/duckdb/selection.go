package duckdb

import (
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"tranche/batch"
	"tranche/query"
)

// A field is how a field of the model is read and what it becomes.
type field struct {
	sql      string
	kind     arrow.DataType
	nullable bool
}

// timestamps are instants in microseconds.
var timestamps = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

// eventFields are all the columns that a query may name: nothing else becomes SQL.
var eventFields = map[query.Field]field{
	query.FieldUUID:             {sql: `CAST(uuid AS VARCHAR)`, kind: arrow.BinaryTypes.String},
	query.FieldTeamID:           {sql: `team_id`, kind: arrow.PrimitiveTypes.Int64},
	query.FieldEvent:            {sql: `event`, kind: arrow.BinaryTypes.String},
	query.FieldDistinctID:       {sql: `distinct_id`, kind: arrow.BinaryTypes.String},
	query.FieldTimestamp:        {sql: `"timestamp"`, kind: timestamps},
	query.FieldInsertedAt:       {sql: `inserted_at`, kind: timestamps},
	query.FieldCreatedAt:        {sql: `created_at`, kind: timestamps},
	query.FieldProperties:       {sql: `properties`, kind: arrow.BinaryTypes.String},
	query.FieldPersonProperties: {sql: `person_properties`, kind: arrow.BinaryTypes.String, nullable: true},
	query.FieldPersonID:         {sql: `person_id`, kind: arrow.BinaryTypes.String, nullable: true},
	query.FieldElementsChain:    {sql: `elements_chain`, kind: arrow.BinaryTypes.String},
}

// checkModel refuses what the store does not hold.
func checkModel(model batch.Model) error {
	if model != batch.ModelEvents {
		return batch.Errorf(batch.CodeConfig, nil, "the embedded event store has no model %q", model)
	}
	return nil
}

// schemaOf is the schema of the query's rows.
func schemaOf(q query.Query) (*arrow.Schema, error) {
	if err := checkModel(q.Model); err != nil {
		return nil, err
	}
	if len(q.Columns) == 0 {
		return nil, batch.Errorf(batch.CodeConfig, nil, "the query names no columns")
	}
	fields := make([]arrow.Field, len(q.Columns))
	for i, column := range q.Columns {
		f, ok := eventFields[column.Field]
		if !ok {
			return nil, batch.Errorf(batch.CodeConfig, nil, "events have no field %q", column.Field)
		}
		fields[i] = arrow.Field{Name: column.Name, Type: f.kind, Nullable: f.nullable}
		if column.Field.JSON() {
			fields[i].Metadata = arrow.MetadataFrom(map[string]string{query.JSONMetadata: "true"})
		}
	}
	return arrow.NewSchema(fields, nil), nil
}

// columnList is the SELECT list of a query that schemaOf has accepted.
func columnList(q query.Query) string {
	list := make([]string, len(q.Columns))
	for i, column := range q.Columns {
		list[i] = eventFields[column.Field].sql
	}
	return strings.Join(list, ", ")
}

// A selection is a WHERE clause with its values.
type selection struct {
	where  string
	values []any
}

// selectRows chooses the query's rows whose ingestion time lies in the interval.
func selectRows(q query.Query, interval batch.Interval) selection {
	s := selection{where: "WHERE team_id = ?", values: []any{q.TeamID}}
	if !interval.Start.IsZero() {
		s.and("inserted_at >= ?", ceilMicro(interval.Start))
	}
	s.and("inserted_at < ?", ceilMicro(interval.End))
	s.events("IN", q.IncludeEvents)
	s.events("NOT IN", q.ExcludeEvents)
	return s
}

func (s *selection) and(condition string, values ...any) {
	s.where += " AND " + condition
	s.values = append(s.values, values...)
}

func (s *selection) events(operator string, names []string) {
	if len(names) == 0 {
		return
	}
	values := make([]any, len(names))
	for i, name := range names {
		values[i] = name
	}
	s.and("event "+operator+" (?"+strings.Repeat(", ?", len(names)-1)+")", values...)
}

// ceilMicro rounds a bound up to a microsecond: for rows, whose times have no finer part, both kinds of bound stay true.
func ceilMicro(t time.Time) time.Time {
	if floor := t.Truncate(time.Microsecond); floor.Before(t) {
		return floor.Add(time.Microsecond)
	}
	return t
}
