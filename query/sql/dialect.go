// Package sql prints queries as SQL, in the dialect of each source. Constants are always bound and never part of the
// text; the names of tables and columns are the operator's, and quoted; a customer's names of columns are in no statement
// at all, since rows are read by position. So the text of a statement depends on the shape of a query only.
package sql

import (
	"strconv"
	"strings"
	"time"

	"tranche/query"
)

// A Dialect is how one kind of source writes SQL. Sessions must have UTC for their time zone.
type Dialect struct {
	name string
	// quote writes a name.
	quote func(string) string
	// number is where a bound value goes, from 1. In a placeholder it replaces the #.
	number func(int) string
	// placeholders are for bound values, by type.
	placeholders map[query.Type]string
	// columns make a column of the table a value of the type; nulls are a null of the type.
	columns, nulls map[query.Type]string
	// property prints what lies in a JSON column.
	property func(column fragment, kind string, p query.Property) fragment
	// column tells which of the templates are the dialect's.
	column int
	// pattern prints regular expressions.
	pattern patternSyntax
	// quantiles is the expression for quantiles of an instant; its argument is @1.
	quantiles func(at fragment, parts int64) fragment
	// output is wrapped around what a statement gives out, by type; nil = nothing. Then columns have numbers for names.
	output map[query.Type]string
	// list binds constants of one type as one value, if it can; nil = each is bound on its own.
	list func(constants []query.Expr) (fragment, bool)
	// encode makes text of a value, for sources that bind nothing else; nil = values are bound as they are.
	encode func(bound any, of query.Type) any
	// distinct makes rows that agree in fields one row; nil = the dialect cannot.
	distinct func(w writer, s *selection)
}

// String names the dialect.
func (d Dialect) String() string { return d.name }

// Which of the templates are whose.
const (
	inPostgres = iota
	inDuckDB
	inClickHouse
)

// PostgreSQL is the dialect of PostgreSQL 14 and newer.
func PostgreSQL() Dialect {
	return Dialect{
		name: "PostgreSQL", column: inPostgres, pattern: postgresPattern(), property: postgresProperty, quote: quoteDouble,
		number: func(n int) string { return "$" + strconv.Itoa(n) },
		placeholders: map[query.Type]string{
			query.TypeString: "#::text", query.TypeInteger: "#::bigint", query.TypeFloat: "#::float8", query.TypeBoolean: "#::boolean",
			query.TypeInstant: "#::timestamptz", query.TypeDate: "#::date", query.TypeJSON: "#::text", query.TypeStrings: "#::text[]",
		},
		columns: map[query.Type]string{
			query.TypeString: "@1::text", query.TypeInteger: "@1::bigint", query.TypeFloat: "@1::float8", query.TypeBoolean: "@1::boolean",
			query.TypeInstant: "@1::timestamptz", query.TypeDate: "@1::date", query.TypeJSON: "@1::text", query.TypeStrings: "@1::text[]",
		},
		nulls: map[query.Type]string{
			query.TypeString: "NULL::text", query.TypeInteger: "NULL::bigint", query.TypeFloat: "NULL::float8", query.TypeBoolean: "NULL::boolean",
			query.TypeInstant: "NULL::timestamptz", query.TypeDate: "NULL::date", query.TypeJSON: "NULL::text", query.TypeStrings: "NULL::text[]",
		},
		distinct: postgresDistinct,
		quantiles: func(at fragment, parts int64) fragment {
			return fill("unnest(percentile_disc(ARRAY["+fractions(parts)+"]::float8[]) WITHIN GROUP (ORDER BY @1))", at)
		},
	}
}

// DuckDB is the dialect of DuckDB.
func DuckDB() Dialect {
	kinds := map[query.Type]string{
		query.TypeString: "VARCHAR", query.TypeInteger: "BIGINT", query.TypeFloat: "DOUBLE", query.TypeBoolean: "BOOLEAN",
		query.TypeInstant: "TIMESTAMP", query.TypeDate: "DATE", query.TypeJSON: "VARCHAR", query.TypeStrings: "VARCHAR[]",
	}
	return Dialect{
		name: "DuckDB", column: inDuckDB, pattern: re2Pattern(), property: duckProperty, quote: quoteDouble,
		number:       func(int) string { return "?" },
		placeholders: each(kinds, func(kind string) string { return "CAST(# AS " + kind + ")" }),
		columns:      each(kinds, func(kind string) string { return "CAST(@1 AS " + kind + ")" }),
		nulls:        each(kinds, func(kind string) string { return "CAST(NULL AS " + kind + ")" }),
		quantiles: func(at fragment, parts int64) fragment {
			// The approximation needs no memory for the rows, and any cut is a right one.
			return fill("make_timestamp(unnest(approx_quantile(epoch_us(@1), ["+fractions(parts)+"])))", at)
		},
	}
}

// ClickHouse is the dialect of ClickHouse 25 and newer. Bound values have the names p0, p1 and so on.
func ClickHouse() Dialect {
	kinds := map[query.Type]string{
		query.TypeString: "String", query.TypeInteger: "Int64", query.TypeFloat: "Float64", query.TypeBoolean: "Bool",
		query.TypeInstant: "DateTime64(6, 'UTC')", query.TypeDate: "Date32", query.TypeJSON: "String",
	}
	cast := func(kind string) string { return "CAST(@1 AS Nullable(" + kind + "))" }
	d := Dialect{
		name: "ClickHouse", column: inClickHouse, pattern: re2Pattern(), property: clickHouseProperty, quote: quoteBackticks,
		number:       func(n int) string { return "p" + strconv.Itoa(n-1) },
		placeholders: each(kinds, func(kind string) string { return "{#:" + kind + "}" }),
		columns:      each(kinds, cast),
		nulls:        each(kinds, func(kind string) string { return "CAST(NULL AS Nullable(" + kind + "))" }),
		quantiles: func(at fragment, parts int64) fragment {
			// The approximation needs no memory for the rows, and any cut is a right one.
			return fill("toInt64(arrayJoin(quantiles("+fractions(parts)+")(toUnixTimestamp64Micro(assumeNotNull(@1)))))", at)
		},
		output: each(kinds, cast), encode: clickHouseText, list: clickHouseList, distinct: clickHouseDistinct,
	}
	d.columns[query.TypeJSON] = clickHouseJSON
	d.columns[query.TypeInteger] = "accurateCast(@1, 'Nullable(Int64)')" // CAST makes another number of one that does not fit
	d.columns[query.TypeStrings], d.nulls[query.TypeStrings] = "@1", "CAST([] AS Array(String))"
	return d
}

func each(kinds map[query.Type]string, f func(string) string) map[query.Type]string {
	all := make(map[query.Type]string, len(kinds))
	for t, kind := range kinds {
		all[t] = f(kind)
	}
	return all
}

// fractions are the inner boundaries of equal parts.
func fractions(parts int64) string {
	all := make([]string, 0, parts)
	for i := int64(1); i < parts; i++ {
		all = append(all, strconv.FormatFloat(float64(i)/float64(parts), 'f', 9, 64))
	}
	return strings.Join(all, ", ")
}

func quoteDouble(name string) string { return `"` + strings.ReplaceAll(clean(name), `"`, `""`) + `"` }

func quoteBackticks(name string) string {
	return "`" + strings.ReplaceAll(strings.ReplaceAll(clean(name), `\`, `\\`), "`", "\\`") + "`"
}

// clean drops what no name has and a fragment keeps for itself.
func clean(name string) string { return strings.ReplaceAll(name, string(rune(mark)), "") }

// literal writes a text of ours.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// bind makes a fragment of a value.
func (d Dialect) bind(bound any, of query.Type) fragment {
	if bound == nil {
		return textFragment(d.nulls[of])
	}
	if t, ok := bound.(time.Time); ok {
		bound = ceilMicro(t)
	}
	if d.encode != nil {
		bound = d.encode(bound, of)
	}
	return fragment{text: string(rune(mark)), values: []value{{bound: bound, as: d.placeholders[of]}}}
}

// ceilMicro rounds a bound up to a microsecond: for rows, whose times have no finer part, both kinds of bound stay true.
func ceilMicro(t time.Time) time.Time {
	if floor := t.Truncate(time.Microsecond); floor.Before(t) {
		return floor.Add(time.Microsecond)
	}
	return t
}

// A Statement is SQL with its bound values, in order.
type Statement struct {
	Text   string
	Values []any
}

// statement numbers the values of a fragment.
func (d Dialect) statement(f fragment) (Statement, error) {
	if err := f.check(); err != nil {
		return Statement{}, err
	}
	var b strings.Builder
	s := Statement{Values: make([]any, 0, len(f.values))}
	rest := f.text
	for i, v := range f.values {
		before, after, _ := strings.Cut(rest, string(rune(mark)))
		b.WriteString(before)
		b.WriteString(strings.Replace(v.as, "#", d.number(i+1), 1))
		s.Values = append(s.Values, v.bound)
		rest = after
	}
	b.WriteString(rest)
	s.Text = b.String()
	return s, nil
}
