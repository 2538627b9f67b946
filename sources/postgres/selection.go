package postgres

import (
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"tranche/batch"
	"tranche/query"
)

// A table is the SQL of the table and its columns.
type table struct {
	name    string
	columns map[query.Field]string // expressions
}

func newTable(o Options) (table, error) {
	names, err := o.names()
	if err != nil {
		return table{}, err
	}
	t := table{name: quoted(o.Table), columns: make(map[query.Field]string, len(names))}
	if o.Table == "" {
		t.name = quoted(defaultTable)
	}
	if o.Schema != "" {
		t.name = quoted(o.Schema) + "." + t.name
	}
	instead := substitutes(names)
	for field, name := range names {
		t.columns[field] = quoted(name)
		if name == "" {
			t.columns[field] = instead[field]
		}
	}
	return t, nil
}

// checkModel refuses what the table does not hold.
func checkModel(model batch.Model) error {
	if model != batch.ModelEvents {
		return batch.Errorf(batch.CodeConfig, nil, "the PostgreSQL source has no model %q", model)
	}
	return nil
}

// schemaOf is the schema of the query's rows. What the WHERE clause does not rule out can be null.
func schemaOf(q query.Query) (*arrow.Schema, error) {
	if err := checkModel(q.Model); err != nil {
		return nil, err
	}
	if len(q.Columns) == 0 {
		return nil, batch.Errorf(batch.CodeConfig, nil, "the query names no columns")
	}
	fields := make([]arrow.Field, len(q.Columns))
	for i, column := range q.Columns {
		k, ok := eventFields[column.Field]
		if !ok {
			return nil, batch.Errorf(batch.CodeConfig, nil, "events have no field %q", column.Field)
		}
		fields[i] = arrow.Field{
			Name:     column.Name,
			Type:     k.arrow(),
			Nullable: column.Field != query.FieldTeamID && column.Field != query.FieldInsertedAt,
		}
		if column.Field.JSON() {
			fields[i].Metadata = arrow.MetadataFrom(map[string]string{query.JSONMetadata: "true"})
		}
	}
	return arrow.NewSchema(fields, nil), nil
}

func (k kind) arrow() arrow.DataType {
	switch k {
	case kindInteger:
		return arrow.PrimitiveTypes.Int64
	case kindInstant:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case kindText:
	}
	return arrow.BinaryTypes.String
}

// cast makes the column's values travel in the one way that the reader knows, whatever their type in the table. The
// session's time zone is UTC.
func (k kind) cast() string {
	switch k {
	case kindInteger:
		return "bigint"
	case kindInstant:
		return "timestamptz"
	case kindText:
	}
	return "text"
}

// list is the SELECT list of a query that schemaOf has accepted.
func (t table) list(q query.Query) string {
	list := make([]string, len(q.Columns))
	for i, column := range q.Columns {
		list[i] = "(" + t.columns[column.Field] + ")::" + eventFields[column.Field].cast()
	}
	return strings.Join(list, ", ")
}

// A selection is a FROM and WHERE clause with its values.
type selection struct {
	from   string
	values []any
}

// rows chooses the query's rows whose ingestion time lies in the interval.
func (t table) rows(q query.Query, interval batch.Interval) selection {
	s := selection{from: "FROM " + t.name}
	s.and("WHERE %s = $%d::bigint", t.columns[query.FieldTeamID], q.TeamID)
	if !interval.Start.IsZero() {
		s.and("AND %s >= $%d::timestamptz", t.columns[query.FieldInsertedAt], ceilMicro(interval.Start))
	}
	s.and("AND %s < $%d::timestamptz", t.columns[query.FieldInsertedAt], ceilMicro(interval.End))
	if len(q.IncludeEvents) > 0 {
		s.and("AND %s = ANY($%d::text[])", t.columns[query.FieldEvent], q.IncludeEvents)
	}
	if len(q.ExcludeEvents) > 0 {
		s.and("AND %s <> ALL($%d::text[])", t.columns[query.FieldEvent], q.ExcludeEvents)
	}
	return s
}

func (s *selection) and(condition, column string, value any) {
	s.values = append(s.values, value)
	s.from += " " + fmt.Sprintf(condition, column, len(s.values))
}

// ceilMicro rounds a bound up to a microsecond: for rows, whose times have no finer part, both kinds of bound stay true.
func ceilMicro(t time.Time) time.Time {
	if floor := t.Truncate(time.Microsecond); floor.Before(t) {
		return floor.Add(time.Microsecond)
	}
	return t
}
