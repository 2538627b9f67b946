package sql

import (
	"slices"

	"tranche/batch"
	"tranche/query"
)

// newest is the name of the column that numbers the rows of a key, the newest first.
const newest = "tranche_newest"

// Select reads the query's rows whose time lies in within, which is a part of its interval. The columns come in the
// order of the query; they have no names.
func (d Dialect) Select(t Table, q query.Query, within batch.Interval) (Statement, error) {
	if err := t.Check(q); err != nil {
		return Statement{}, err
	}
	w := d.writer(t, q)
	columns := make([]fragment, len(q.Columns))
	for i, c := range q.Columns {
		column, err := w.expression(c.Expression(t.Model))
		if err != nil {
			return Statement{}, err
		}
		if wrapped, ok := d.output[c.Expression(t.Model).Type()]; ok {
			column = fill(wrapped, column)
		}
		columns[i] = column
	}
	return w.finish(fill("@*", columns...), q, within)
}

// Count counts the query's rows.
func (d Dialect) Count(t Table, q query.Query) (Statement, error) {
	return d.writer(t, q).finish(textFragment("count(*)"), q, q.Interval)
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
	return w.finish(d.quantiles(typed, parts), q, q.Interval)
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
	return d.statement(fill("SELECT min(@1) FROM @2 WHERE @3 = @4", typed, d.tableName(t), tenant, d.bind(q.TeamID, query.TypeInteger)))
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

// finish adds where the rows come from and which of them are wanted.
func (w writer) finish(list fragment, q query.Query, within batch.Interval) (Statement, error) {
	at, err := w.time(q)
	if err != nil {
		return Statement{}, err
	}
	condition, err := w.condition(q)
	if err != nil {
		return Statement{}, err
	}
	tenant, _ := w.column(w.table.Tenant)
	conditions := []fragment{fill("@1 = @2", tenant, w.bind(q.TeamID, query.TypeInteger))}
	from := w.tableName(w.table)
	if w.table.Mutable() {
		// Which row of a key is the newest is asked of the whole interval, so that splits agree.
		all := append(conditions, w.during(at, q.Interval)...)
		from = fill("(SELECT *, row_number() OVER (PARTITION BY @1 ORDER BY @2) AS "+w.quote(newest)+" FROM @3 WHERE @4) AS t",
			fill("@*", w.keys()...), fill("@*", w.versions()...), from, joined(" AND ", all))
		conditions = []fragment{textFragment(w.quote(newest) + " = 1")}
	}
	conditions = append(conditions, w.during(at, within)...)
	if condition != nil {
		conditions = append(conditions, *condition)
	}
	return w.statement(fill("SELECT @1 FROM @2 WHERE @3", list, from, joined(" AND ", conditions)))
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

func (w writer) keys() []fragment {
	var keys []fragment
	for _, f := range w.table.Key {
		if column, ok := w.column(f); ok {
			keys = append(keys, column)
		}
	}
	return keys
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
