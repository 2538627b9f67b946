package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
	"tranche/sources/postgres"
)

// Each type of PostgreSQL's that a field may have comes out as the field's.
func TestTypesOfPostgreSQL(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		field       query.Type
		kind, value string
		want        string
		code        batch.Code
	}{
		"a uuid":                   {query.TypeString, "uuid", "'0198c0de-0000-7000-8000-0000000000ee'", "0198c0de-0000-7000-8000-0000000000ee", ""},
		"an enumeration":           {query.TypeString, "mood", "'it''s \"fine\"'", `it's "fine"`, ""},
		"a domain":                 {query.TypeString, "short", "'abc'", "abc", ""},
		"padded text":              {query.TypeString, "char(4)", "'ab'", "ab", ""},
		"a number as text":         {query.TypeString, "numeric(30,10)", "12345678901234567890.1234567890", "12345678901234567890.1234567890", ""},
		"an address as text":       {query.TypeString, "inet", "'10.0.0.1'", "10.0.0.1/32", ""},
		"a span of time as text":   {query.TypeString, "interval", "'1 day 2 hours'", "1 day 02:00:00", ""},
		"a small integer":          {query.TypeInteger, "int2", "-32768", "-32768", ""},
		"a big integer":            {query.TypeInteger, "int8", "9223372036854775807", "9223372036854775807", ""},
		"a whole number":           {query.TypeInteger, "numeric", "42.0", "42", ""},
		"a number that is too big": {query.TypeInteger, "numeric", "1e30", "", batch.CodeSchema},
		"a short float":            {query.TypeFloat, "float4", "0.5", "0.5", ""},
		"a decimal as a float":     {query.TypeFloat, "numeric", "0.25", "0.25", ""},
		"no number":                {query.TypeFloat, "float8", "'NaN'", "NaN", ""},
		"truth":                    {query.TypeBoolean, "boolean", "true", "true", ""},
		"an instant":               {query.TypeInstant, "timestamptz", "'2026-03-01 13:00:00.123456+01'", "2026-03-01T12:00:00.123456Z", ""},
		"an instant without zone":  {query.TypeInstant, "timestamp", "'2026-03-01 12:00:00'", "2026-03-01T12:00:00Z", ""},
		"a day as an instant":      {query.TypeInstant, "date", "'2026-03-01'", "2026-03-01T00:00:00Z", ""},
		"before the epochs":        {query.TypeInstant, "timestamptz", "'0001-01-01 00:00:00Z'", "0001-01-01T00:00:00Z", ""},
		"a day":                    {query.TypeDate, "date", "'1999-12-31'", "1999-12-31", ""},
		"the day of an instant":    {query.TypeDate, "timestamptz", "'1999-12-31 23:59:59Z'", "1999-12-31", ""},
		"no day at all":            {query.TypeDate, "date", "'infinity'", "", batch.CodeSchema},
		"JSON that is rewritten":   {query.TypeJSON, "jsonb", `'{"b":1,"a":{"n":null}}'`, `{"a": {"n": null}, "b": 1}`, ""},
		"JSON as it is":            {query.TypeJSON, "json", `'{ "b" : 1.0 }'`, `{ "b" : 1.0 }`, ""},
		"JSON in text":             {query.TypeJSON, "text", `'{ "b" : 1.0 }'`, `{ "b" : 1.0 }`, ""},
		"a list":                   {query.TypeStrings, "text[]", `ARRAY['a "b"', '', NULL, 'é']`, `["a \"b\"","",null,"é"]`, ""},
		"a list of varchar":        {query.TypeStrings, "varchar(5)[]", `ARRAY['a']`, `["a"]`, ""},
		"an empty list":            {query.TypeStrings, "text[]", `'{}'`, `[]`, ""},
		"a list of lists":          {query.TypeStrings, "text[]", `ARRAY[ARRAY['a'], ARRAY['b']]`, "", batch.CodeSchema},
		"nothing":                  {query.TypeStrings, "text[]", `NULL`, "(null)", ""},
		"nothing in JSON":          {query.TypeJSON, "jsonb", `NULL`, "(null)", ""},
		"a type that does not fit": {query.TypeInteger, "text", `'1'`, "", batch.CodeSchema},
		"a list that is of others": {query.TypeStrings, "int[]", `ARRAY[1]`, "", batch.CodeSchema},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := query.Model{
				Name: "things", Table: []string{"things"}, Tenant: "team", Ingested: "at", Fields: []query.FieldSpec{
					{Name: "team", Type: query.TypeInteger, Required: true, Column: "team"},
					{Name: "at", Type: query.TypeInstant, Required: true, Column: "at"},
					{Name: "value", Type: test.field, Column: "value"},
				},
			}
			s := start(t, postgres.Options{Models: query.Catalog{m}}, `CREATE TYPE mood AS ENUM ('it''s "fine"')`, `CREATE DOMAIN short AS varchar(5)`,
				`CREATE TABLE things (team int, at timestamptz, value `+test.kind+`)`, `INSERT INTO things VALUES (1, '2026-03-01 12:00:00Z', `+test.value+`)`)
			q := query.Query{TeamID: 1, Model: m.Name, Interval: day, Columns: []query.Column{{Name: "value", Field: "value"}}}
			r, err := s.Open(t.Context(), q, sources.Split{Range: day})
			if err == nil {
				defer r.Release()
				if r.Next() {
					require.Equal(t, test.want, r.RecordBatch().Column(0).ValueStr(0))
				}
				err = r.Err()
			}
			if test.code != "" {
				require.Equal(t, test.code, batch.CodeOf(err), "%v", err)
				return
			}
			require.NoError(t, err)
		})
	}
}
