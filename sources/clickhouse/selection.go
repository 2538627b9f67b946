package clickhouse

import (
	"strconv"

	"tranche/batch"
	"tranche/query"
	"tranche/query/sql"
)

// A statement is SQL with the values of its parameters.
type statement struct {
	text   string
	values map[string]string
}

// statementOf names the values as the dialect does.
func statementOf(s sql.Statement) (statement, error) {
	values := make(map[string]string, len(s.Values))
	for i, value := range s.Values {
		text, ok := value.(string)
		if !ok {
			return statement{}, batch.Errorf(batch.CodeInternal, nil, "a value of the ClickHouse source's statement is a %T, not text", value)
		}
		values["p"+strconv.Itoa(i)] = text
	}
	return statement{text: s.Text, values: values}, nil
}

// format is the statement with its answer in a format.
func (s statement) format(name string) statement {
	s.text += " FORMAT " + name
	return s
}

// table is a model as it is in the database. Of events that agree in all that says what they are, one is read, unless the
// operator keeps them apart or says how versions are told.
func (s *Source) table(name batch.Model) (sql.Table, error) {
	m, err := s.models.Need(name)
	t := sql.Table{Model: m}
	if name == batch.ModelEvents && !s.duplicates && !m.Mutable() {
		t.Distinct = []query.Field{query.FieldEvent, query.FieldDistinctID, query.FieldUUID}
	}
	return t, err
}
