package postgres

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5/pgtype"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/tables"
	"tranche/query"
)

// A model is a model as the source delivers it.
type model struct {
	tables.Model
	read *arrow.Schema
}

// modelOf returns the model of rows that are read with the schema, whose types it has where the model leaves them open.
func modelOf(run destinations.Run, read *arrow.Schema) (_ model, err error) {
	names := make([]string, read.NumFields())
	for i, f := range read.Fields() {
		if names[i] = f.Name; len(f.Name) > maxIdentifier {
			return model{}, batch.Errorf(batch.CodeSchema, nil, "the name of the column %q is longer than %d bytes: give it an alias", f.Name, maxIdentifier)
		}
	}
	m := tables.Of(run).Read(names)
	for i, c := range m.Columns {
		if c.Type != tables.AsRead {
			continue
		}
		f, ok := field(read, c)
		if !ok {
			return model{}, unread(c)
		}
		if m.Columns[i].Type, err = typeOf(f); err != nil {
			return model{}, err
		}
	}
	return model{Model: m, read: read}, nil
}

// field returns what the source delivers for the column.
func field(read *arrow.Schema, c tables.Column) (arrow.Field, bool) {
	found, ok := read.FieldsByName(string(c.Field))
	if !ok {
		return arrow.Field{}, false
	}
	return found[0], true
}

func unread(c tables.Column) error {
	return batch.Errorf(batch.CodeInternal, nil, "the source does not deliver what the column %q needs", c.Name)
}

// typeOf is the type of a column that holds what is read.
func typeOf(f arrow.Field) (tables.Type, error) {
	switch f.Type.ID() { //nolint:exhaustive // the default says what becomes of the others
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		if value, ok := f.Metadata.GetValue(query.JSONMetadata); ok && value == "true" {
			return tables.JSON, nil
		}
		return tables.Text, nil
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.UINT8, arrow.UINT16:
		return tables.Integer, nil
	case arrow.INT64, arrow.UINT32, arrow.UINT64:
		return tables.Bigint, nil
	case arrow.FLOAT32:
		return tables.Real, nil
	case arrow.FLOAT64:
		return tables.Double, nil
	case arrow.BOOL:
		return tables.Boolean, nil
	case arrow.TIMESTAMP:
		return tables.Timestamp, nil
	case arrow.DATE32:
		return tables.Date, nil
	case arrow.LIST:
		if f.Type.(*arrow.ListType).Elem().ID() == arrow.STRING {
			return tables.Texts, nil
		}
	}
	return 0, batch.Errorf(batch.CodeSchema, nil, "the column %q holds %s, for which a table has no type", f.Name, f.Type)
}

// typeName is the column's type in a table that we make.
func (m model) typeName(c tables.Column) string {
	switch c.Type {
	case tables.ShortText:
		return "VARCHAR(200)"
	case tables.JSON:
		return "JSONB"
	case tables.Integer:
		return "INTEGER"
	case tables.Bigint:
		return "BIGINT"
	case tables.Real:
		return "REAL"
	case tables.Double:
		return "DOUBLE PRECISION"
	case tables.Boolean:
		return "BOOLEAN"
	case tables.Timestamp:
		return "TIMESTAMPTZ"
	case tables.Texts:
		return "TEXT[]"
	case tables.Date:
		return "DATE"
	case tables.Text, tables.AsRead:
	}
	return "TEXT"
}

// A form is how the binary protocol writes a kind of value.
type form int

const (
	textForm form = iota + 1
	jsonForm      // text of JSON
	jsonbForm
	uuidForm
	int16Form
	int32Form
	int64Form
	float32Form
	float64Form
	boolForm
	instantForm
	textsForm
	dateForm
)

// forms are the types of columns that can be filled. Types of which many are alike are not listed twice.
var forms = map[uint32]form{
	pgtype.TextOID: textForm, pgtype.VarcharOID: textForm, pgtype.BPCharOID: textForm,
	pgtype.JSONOID: jsonForm, pgtype.JSONBOID: jsonbForm, pgtype.UUIDOID: uuidForm,
	pgtype.Int2OID: int16Form, pgtype.Int4OID: int32Form, pgtype.Int8OID: int64Form,
	pgtype.Float4OID: float32Form, pgtype.Float8OID: float64Form, pgtype.BoolOID: boolForm,
	pgtype.TimestamptzOID: instantForm, pgtype.TimestampOID: instantForm,
	pgtype.TextArrayOID: textsForm, pgtype.VarcharArrayOID: textsForm, pgtype.DateOID: dateForm,
}

// fits are the forms that can hold a type.
var fits = map[tables.Type][]form{
	tables.ShortText: {textForm, uuidForm},
	tables.Text:      {textForm, uuidForm},
	tables.JSON:      {jsonbForm, jsonForm, textForm},
	tables.Integer:   {int32Form, int64Form, int16Form, float64Form},
	tables.Bigint:    {int64Form, int32Form, int16Form, float64Form},
	tables.Real:      {float32Form, float64Form},
	tables.Double:    {float64Form, float32Form},
	tables.Boolean:   {boolForm},
	tables.Timestamp: {instantForm},
	tables.Texts:     {textsForm},
	tables.Date:      {dateForm},
}

// form is how values get into a column of the table; one of the wrong type is an error.
func (m model) form(c tables.Column, to targetColumn) (form, error) {
	f := forms[to.oid]
	if !slices.Contains(fits[c.Type], f) {
		return 0, batch.Errorf(batch.CodeSchema, nil, "the column %q of the table has the type %s, but must be able to hold %s",
			c.Name, to.kind, m.typeName(c))
	}
	return f, nil
}
