package clickhouse

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"tranche/batch"
	"tranche/query"
)

// A field is how a field of the model travels and what it becomes.
type field struct {
	// cast makes the column's values travel in the one way that the reader knows, whatever their type in the table;
	// %[1]s is the column.
	cast string
	kind arrow.DataType
	// instead is what a query gets when the table has no such column; "" = it must have one.
	instead string
}

// timestamps are instants in microseconds.
var timestamps = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

const (
	castText    = "CAST(%[1]s, 'Nullable(String)')"
	castInteger = "CAST(%[1]s, 'Int64')"
	castInstant = "CAST(%[1]s, 'Nullable(DateTime64(6, \\'UTC\\'))')"
	// castJSON leaves text as it is, and writes objects, maps, tuples and arrays as JSON. The type is known when the
	// query is planned, so one branch is left of it.
	castJSON = "if(match(toTypeName(%[1]s), '^(LowCardinality\\\\()?(Nullable\\\\()?(String|FixedString|Nothing)'), " + castText + ", if(isNull(%[1]s), NULL, toJSONString(%[1]s)))"
)

// eventFields are the fields of events, and all that a query may name.
var eventFields = map[query.Field]field{
	query.FieldUUID:             {cast: castText, kind: arrow.BinaryTypes.String},
	query.FieldTeamID:           {cast: castInteger, kind: arrow.PrimitiveTypes.Int64},
	query.FieldEvent:            {cast: castText, kind: arrow.BinaryTypes.String},
	query.FieldDistinctID:       {cast: castText, kind: arrow.BinaryTypes.String},
	query.FieldTimestamp:        {cast: castInstant, kind: timestamps},
	query.FieldInsertedAt:       {cast: castInstant, kind: timestamps},
	query.FieldCreatedAt:        {cast: castInstant, kind: timestamps, instead: insertedAt},
	query.FieldProperties:       {cast: castJSON, kind: arrow.BinaryTypes.String, instead: "'{}'"},
	query.FieldPersonProperties: {cast: castJSON, kind: arrow.BinaryTypes.String, instead: "NULL"},
	query.FieldPersonID:         {cast: castText, kind: arrow.BinaryTypes.String, instead: "NULL"},
	query.FieldElementsChain:    {cast: castText, kind: arrow.BinaryTypes.String, instead: "''"},
}

// insertedAt stands for the column of the ingestion time.
const insertedAt = "inserted_at"

// checkModel refuses what the table does not hold.
func checkModel(model batch.Model) error {
	if model != batch.ModelEvents {
		return batch.Errorf(batch.CodeConfig, nil, "the ClickHouse source has no model %q", model)
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
		fields[i] = arrow.Field{Name: column.Name, Type: f.kind, Nullable: column.Field != query.FieldTeamID}
		if column.Field.JSON() {
			fields[i].Metadata = arrow.MetadataFrom(map[string]string{query.JSONMetadata: "true"})
		}
	}
	return arrow.NewSchema(fields, nil), nil
}

// A table is the SQL of the table and its columns.
type table struct {
	name       string
	columns    map[query.Field]string // expressions
	duplicates bool
}

func newTable(o Options) (table, error) {
	names, err := o.names()
	if err != nil {
		return table{}, err
	}
	t := table{name: quoted(o.Table), columns: make(map[query.Field]string, len(names)), duplicates: o.Duplicates}
	if o.Table == "" {
		t.name = quoted(defaultTable)
	}
	for field, name := range names {
		t.columns[field] = quoted(name)
		if name == "" {
			t.columns[field] = eventFields[field].instead
		}
		if name == "" && eventFields[field].instead == insertedAt {
			t.columns[field] = quoted(names[query.FieldInsertedAt])
		}
	}
	return t, nil
}

// list is the SELECT list of a query that schemaOf has accepted. Aliases are numbers: the names are the schema's.
func (t table) list(q query.Query) string {
	list := make([]string, len(q.Columns))
	for i, column := range q.Columns {
		list[i] = fmt.Sprintf(eventFields[column.Field].cast, t.columns[column.Field]) + " AS `" + strconv.Itoa(i) + "`"
	}
	return strings.Join(list, ", ")
}

// A statement is SQL with the values of its parameters.
type statement struct {
	sql    strings.Builder
	values map[string]string
}

// add appends to the SQL.
func (s *statement) add(format string, values ...any) *statement {
	fmt.Fprintf(&s.sql, format, values...)
	return s
}

// bind gives a parameter its value, as text of its kind, and returns how the SQL names it.
func (s *statement) bind(kind, value string) string {
	if s.values == nil {
		s.values = map[string]string{}
	}
	name := "p" + strconv.Itoa(len(s.values))
	s.values[name] = value
	return "{" + name + ":" + kind + "}"
}

// instant binds a time to a microsecond.
func (s *statement) instant(t time.Time) string {
	return s.bind("DateTime64(6, 'UTC')", t.UTC().Format("2006-01-02 15:04:05.000000"))
}

// key is what two rows that are one have in common, beside their team.
func (t table) key() string {
	return t.columns[query.FieldEvent] + ", " + t.columns[query.FieldDistinctID] + ", " + t.columns[query.FieldUUID]
}

// rows chooses the query's rows whose ingestion time lies in the interval, duplicates included.
func (t table) rows(s *statement, q query.Query, interval batch.Interval) {
	s.add(" FROM %s WHERE %s = %s", t.name, t.columns[query.FieldTeamID], s.bind("Int64", strconv.FormatInt(q.TeamID, 10)))
	if !interval.Start.IsZero() {
		s.add(" AND %s >= %s", t.columns[query.FieldInsertedAt], s.instant(ceilMicro(interval.Start)))
	}
	s.add(" AND %s < %s", t.columns[query.FieldInsertedAt], s.instant(ceilMicro(interval.End)))
	t.events(s, "IN", q.IncludeEvents)
	t.events(s, "NOT IN", q.ExcludeEvents)
}

func (t table) events(s *statement, operator string, names []string) {
	if len(names) > 0 {
		s.add(" AND %s %s %s", t.columns[query.FieldEvent], operator, s.bind("Array(String)", texts(names)))
	}
}

// split selects the rows of a part of the query's interval. Of duplicates within the interval it has the one that came
// first, when that lies in the part: so the parts of an interval have each row once.
func (t table) split(q query.Query, part batch.Interval) *statement {
	s := &statement{}
	s.add("SELECT %s", t.list(q))
	t.rows(s, q, part)
	if t.duplicates {
		return s
	}
	if part.Start.After(q.Interval.Start) {
		s.add(" AND (%s) NOT IN (SELECT %s", t.key(), t.key())
		t.rows(s, q, batch.Interval{Start: q.Interval.Start, End: part.End})
		s.add(" GROUP BY %s HAVING count() > 1 AND min(%s) < %s)", t.key(), t.columns[query.FieldInsertedAt], s.instant(ceilMicro(part.Start)))
	}
	return s.add(" LIMIT 1 BY %s", t.key())
}

// count counts the rows of the whole interval as split has them.
func (t table) count(q query.Query) *statement {
	s := &statement{}
	if t.duplicates {
		s.add("SELECT count()")
	} else {
		s.add("SELECT uniqExact(%s)", t.key())
	}
	t.rows(s, q, q.Interval)
	return s
}

// quoted is a name as SQL has it.
func quoted(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

// texts is an array of strings as a parameter has it. The elements are literals, with no escaping around them.
func texts(values []string) string {
	list := make([]string, len(values))
	for i, value := range values {
		list[i] = "'" + strings.NewReplacer("\\", "\\\\", "'", "\\'").Replace(value) + "'"
	}
	return "[" + strings.Join(list, ",") + "]"
}

// ceilMicro rounds a bound up to a microsecond: for rows, whose times have no finer part, both kinds of bound stay true.
func ceilMicro(t time.Time) time.Time {
	if floor := t.Truncate(time.Microsecond); floor.Before(t) {
		return floor.Add(time.Microsecond)
	}
	return t
}
