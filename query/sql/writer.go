package sql

import (
	"tranche/batch"
	"tranche/query"
)

// A Table is a model as it is in a source.
type Table struct {
	query.Model
	// Kinds are the types of its columns in the source, by field, where the dialect has to know.
	Kinds map[query.Field]string
	// Distinct are fields in which no two rows of an interval agree: of those that do, the first one is read. Nil = there
	// are none that do. ClickHouse only, whose tables merge repeated rows away in their own time.
	Distinct []query.Field
}

// A writer prints expressions over a table.
type writer struct {
	Dialect
	table    Table
	interval batch.Interval // of the query, for its placeholders
}

// column is a field's column as it is in the table; false = the table has none.
func (w writer) column(f query.Field) (fragment, bool) {
	spec, _ := w.table.Spec(f)
	if spec.Column == "" {
		return fragment{}, false
	}
	return textFragment(w.quote(spec.Column)), true
}

// field prints a field as a value of its type.
func (w writer) field(f query.Field) (fragment, error) {
	spec, ok := w.table.Spec(f)
	if !ok {
		return fragment{}, batch.Errorf(batch.CodeConfig, nil, "the model %s has no field %q", w.table.Name, f)
	}
	if column, ok := w.column(f); ok {
		return fill(w.columns[spec.Type], column), nil
	}
	return w.expression(spec.Instead)
}

// expression prints e.
func (w writer) expression(e query.Expr) (fragment, error) {
	switch e := e.(type) {
	case query.Literal:
		return w.bind(e.Value, e.Of), nil
	case query.Ref:
		return w.field(e.Field)
	case query.Bound:
		return w.bound(e)
	case query.Property:
		return w.propertyOf(e)
	case query.Call:
		f, err := w.call(e)
		if err == nil {
			err = f.check()
		}
		return f, err
	}
	return fragment{}, batch.Errorf(batch.CodeInternal, nil, "the source cannot compute %T", e)
}

func (w writer) bound(b query.Bound) (fragment, error) {
	if !b.Start {
		return w.bind(w.interval.End, query.TypeInstant), nil
	}
	if w.interval.Start.IsZero() {
		return fragment{}, batch.Errorf(batch.CodeConfig, nil,
			"the query uses {data_interval_start}, and a run from the beginning has no start")
	}
	return w.bind(w.interval.Start, query.TypeInstant), nil
}

// propertyOf prints a property of a JSON field: of the column itself where there is one.
func (w writer) propertyOf(p query.Property) (fragment, error) {
	// ClickHouse does not tell a statement beforehand how a column is kept: the column as JSON will do.
	if r, ok := p.Object.(query.Ref); ok && w.Dialect.column != inClickHouse {
		if column, ok := w.column(r.Field); ok {
			return w.property(column, w.table.Kinds[r.Field], p), nil
		}
	}
	object, err := w.expression(p.Object)
	if err != nil {
		return fragment{}, err
	}
	return w.property(object, "", p), nil
}

func (w writer) call(c query.Call) (fragment, error) {
	args := make([]fragment, len(c.Args))
	for i, arg := range c.Args {
		var err error
		if args[i], err = w.argument(c, i, arg); err != nil {
			return fragment{}, err
		}
	}
	switch c.Function {
	case query.FunctionAnd:
		return joined(" AND ", args), nil
	case query.FunctionOr:
		return joined(" OR ", args), nil
	case query.FunctionConcat:
		return joined(" || ", args), nil
	case query.FunctionCoalesce:
		return fill("coalesce(@*)", args...), nil
	case query.FunctionIn:
		if w.Dialect.list != nil {
			if list, ok := w.Dialect.list(c.Args); ok {
				return fill("(@1 IN @2)", clickHouseListed(c.Args[0], args[0]), list), nil
			}
		}
		return fill("(@1 IN @2)", args[0], joined(", ", args[1:])), nil
	case query.FunctionMultiIf:
		return cases(args), nil
	}
	template, ok := w.template(c)
	if !ok {
		return fragment{}, batch.Errorf(batch.CodeInternal, nil, "the source has no function %q", c.Function)
	}
	if c.Function == query.FunctionDateDiff {
		args = args[1:] // the unit chose the template
	}
	return fill(template, args...), nil
}

// argument prints an argument. Patterns are printed in the source's own syntax, and are values all the same.
func (w writer) argument(c query.Call, i int, arg query.Expr) (fragment, error) {
	literal, ok := arg.(query.Literal)
	text, isText := literal.Value.(string)
	if ok && isText && i == 1 {
		switch c.Function {
		case query.FunctionMatch:
			parsed, err := query.ParseRegexp(text)
			if err != nil {
				return fragment{}, batch.Errorf(batch.CodeConfig, err, "%s", err)
			}
			return w.bind(w.pattern.print(parsed), query.TypeString), nil
		case query.FunctionLike, query.FunctionILike:
			return w.bind(query.LikePattern(text), query.TypeString), nil
		}
	}
	if ok && isText && i == 0 && c.Function == query.FunctionDateTrunc {
		return textFragment(sqlUnit(text)), nil
	}
	return w.expression(arg)
}

// sqlUnit writes a unit, which is one of the few that there are.
func sqlUnit(unit string) string { return literal(unit) }

// template finds how a function prints: by its result's type, by that of its first argument, by its unit, or always alike.
func (w writer) template(c query.Call) (string, bool) {
	variants := []string{c.Function + ":" + c.Of.String(), c.Function}
	switch c.Function {
	case query.FunctionDateDiff:
		if unit, ok := c.Args[0].(query.Literal); ok {
			if name, ok := unit.Value.(string); ok {
				variants = append(variants, c.Function+":"+name)
			}
		}
	case query.FunctionPlus, query.FunctionMinus, query.FunctionMultiply:
	default:
		if len(c.Args) > 0 {
			variants[0] = c.Function + ":" + c.Args[0].Type().String()
		}
	}
	for _, variant := range variants {
		if found, ok := templates[variant]; ok {
			return found[w.Dialect.column], true
		}
	}
	return "", false
}

// cases prints conditions and values in turn, and what else.
func cases(args []fragment) fragment {
	all := textFragment("(CASE")
	for i := 0; i+1 < len(args); i += 2 {
		all = fill("@1 WHEN @2 THEN @3", all, args[i], args[i+1])
	}
	return fill("@1 ELSE @2 END)", all, args[len(args)-1])
}
