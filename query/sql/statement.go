package sql

import (
	"slices"
	"strconv"

	"tranche/batch"
	"tranche/query"
)

const (
	// newest is the name of the column that numbers the rows of a key, the newest first.
	newest = query.NewestColumn
	// numbered begin the names of the columns that a statement gives out, where they need some. To ClickHouse such a name is
	// meant wherever it stands, also where the table has a column of that name.
	numbered = query.NumberedColumn
)

// Select reads the query's rows whose time lies in within, which is a part of its interval. The columns come in the
// order of the query; their names mean nothing.
func (d Dialect) Select(t Table, q query.Query, within batch.Interval) (Statement, error) {
	if err := t.Check(q); err != nil {
		return Statement{}, err
	}
	w := d.writer(t, q)
	columns := make([]fragment, len(q.Columns))
	for i, c := range q.Columns {
		e := c.Expression(t.Model)
		column, err := w.expression(e)
		if err != nil {
			return Statement{}, err
		}
		if d.output != nil {
			if wrapped, ok := d.output[e.Type()]; ok {
				column = fill(wrapped, column)
			}
			column = fill("@1 AS "+d.quote(numbered+strconv.Itoa(i)), column)
		}
		columns[i] = column
	}
	return w.finish(selection{query: q, list: fill("@*", columns...), within: within})
}

// Count counts the query's rows.
func (d Dialect) Count(t Table, q query.Query) (Statement, error) {
	return d.writer(t, q).finish(selection{query: q, list: textFragment("count(*)"), within: q.Interval, counts: true})
}

// Repeated says whether some of the query's rows agree in the distinct fields: if none do, there is nothing to make
// distinct. It needs the memory of these fields alone.
func (d Dialect) Repeated(t Table, q query.Query) (Statement, error) {
	w := d.writer(t, q)
	s := selection{query: q}
	var err error
	if s.at, err = w.time(q); err != nil {
		return Statement{}, err
	}
	if s.filter, err = w.condition(q); err != nil {
		return Statement{}, err
	}
	return w.statement(fill("SELECT EXISTS (SELECT FROM @1 WHERE @2 GROUP BY @3 HAVING count(*) > 1)",
		w.tableName(t), joined(" AND ", s.conditions(w, q.Interval)), fill("@*", w.plain(t.Distinct)...)))
}

// Quantiles finds the times that cut the query's rows into about equal parts.
func (d Dialect) Quantiles(t Table, q query.Query, parts int64) (Statement, error) {
	w := d.writer(t, q)
	at, err := w.time(q)
	if err != nil {
		return Statement{}, err
	}
	typed, err := w.field(at)
	if err != nil {
		return Statement{}, err
	}
	w.table.Distinct = nil // repeated rows make parts less equal, and nothing worse
	return w.finish(selection{query: q, list: d.quantiles(typed, parts), within: q.Interval})
}

// Earliest finds the time of the earliest row of the team's whole model; null = it has none.
func (d Dialect) Earliest(t Table, q query.Query) (Statement, error) {
	w := d.writer(t, q)
	at, err := w.time(q)
	if err != nil {
		return Statement{}, err
	}
	typed, err := w.field(at)
	if err != nil {
		return Statement{}, err
	}
	tenant, _ := w.column(t.Tenant)
	least := "min(@1)"
	if d.encode != nil {
		least = "toUnixTimestamp64Micro(min(@1))"
	}
	return d.statement(fill("SELECT "+least+" FROM @2 WHERE @3 = @4", typed, d.tableName(t), tenant, d.bind(q.TeamID, query.TypeInteger)))
}

func (d Dialect) writer(t Table, q query.Query) writer {
	return writer{Dialect: d, table: t, interval: q.Interval}
}

// time is the field by which rows are chosen; it has a column.
func (w writer) time(q query.Query) (query.Field, error) {
	f, err := q.Field(w.table.Model)
	if err != nil {
		return "", err
	}
	if _, ok := w.column(f); !ok {
		return "", batch.Errorf(batch.CodeConfig, nil, "the table of the model %s has no column for %s", w.table.Name, f)
	}
	return f, nil
}

// A selection is a statement in the making.
type selection struct {
	query  query.Query
	list   fragment
	within batch.Interval
	counts bool // it counts rows
	chosen bool // from has nothing but the rows that are wanted

	at     query.Field // the time of the rows
	from   fragment
	filter *fragment // nil = none
	more   []fragment
	suffix fragment
}

// conditions choose the rows of an interval.
func (s selection) conditions(w writer, interval batch.Interval) []fragment {
	tenant, _ := w.column(w.table.Tenant)
	all := []fragment{fill("@1 = @2", tenant, w.bind(s.query.TeamID, query.TypeInteger))}
	all = append(all, w.during(s.at, interval)...)
	if s.filter != nil {
		all = append(all, *s.filter)
	}
	return all
}

// finish adds where the rows come from and which of them are wanted.
func (w writer) finish(s selection) (Statement, error) {
	var err error
	if s.at, err = w.time(s.query); err != nil {
		return Statement{}, err
	}
	if s.filter, err = w.condition(s.query); err != nil {
		return Statement{}, err
	}
	s.from = w.tableName(w.table)
	if w.table.Mutable() {
		// Which row of a key is the newest is asked of the whole interval, so that splits agree, and before any filter.
		unfiltered := s
		unfiltered.filter = nil
		s.from = fill("(SELECT *, row_number() OVER (PARTITION BY @1 ORDER BY @2) AS "+w.quote(newest)+" FROM @3 WHERE @4) AS t",
			fill("@*", w.plain(w.table.Key)...), fill("@*", w.versions()...), s.from, joined(" AND ", unfiltered.conditions(w, s.query.Interval)))
		s.more = append(s.more, textFragment(w.quote(newest)+" = 1"))
	} else if len(w.table.Distinct) > 0 && w.distinct != nil {
		w.distinct(w, &s)
	}
	if s.chosen {
		return w.statement(fill("SELECT @1 FROM @2@3", s.list, s.from, s.suffix))
	}
	conditions := append(s.conditions(w, s.within), s.more...)
	return w.statement(fill("SELECT @1 FROM @2 WHERE @3@4", s.list, s.from, joined(" AND ", conditions), s.suffix))
}

// during chooses rows by time. The column is compared as it is, so that an index on it serves.
func (w writer) during(f query.Field, interval batch.Interval) []fragment {
	column, _ := w.column(f)
	var conditions []fragment
	if !interval.Start.IsZero() {
		conditions = append(conditions, fill("@1 >= @2", column, w.bind(interval.Start, query.TypeInstant)))
	}
	return append(conditions, fill("@1 < @2", column, w.bind(interval.End, query.TypeInstant)))
}

// condition is all else that rows must fulfil; nil = nothing.
func (w writer) condition(q query.Query) (*fragment, error) {
	e := q.Condition(w.table.Model)
	if e == nil {
		return nil, nil //nolint:nilnil // as the comment says
	}
	if err := w.table.Check(query.Query{Columns: []query.Column{{Expr: e}}}); err != nil {
		return nil, err
	}
	f, err := w.expression(e)
	return &f, err
}

// plain are the columns of fields as they are; those without one make no difference.
func (w writer) plain(fields []query.Field) []fragment {
	var columns []fragment
	for _, f := range fields {
		if column, ok := w.column(f); ok {
			columns = append(columns, column)
		}
	}
	return columns
}

// versions order the rows of a key. The ingestion time decides where versions are equal or missing.
func (w writer) versions() []fragment {
	var versions []fragment
	for _, f := range slices.Concat(w.table.Version, []query.Field{w.table.Ingested}) {
		if column, ok := w.column(f); ok {
			versions = append(versions, fill("@1 DESC NULLS LAST", column))
		}
	}
	return versions
}

func (d Dialect) tableName(t Table) fragment {
	name := ""
	for i, part := range t.Table {
		if i > 0 {
			name += "."
		}
		name += d.quote(part)
	}
	return textFragment(name)
}
