package sourcetest

import (
	"math/rand/v2"
	"time"

	"tranche/query"
)

// A generator makes well-typed expressions over events.
type generator struct {
	*rand.Rand
}

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

// apply calls a function that must accept its arguments.
func apply(name string, args ...query.Expr) query.Expr {
	e, err := query.Apply(name, args...)
	if err != nil {
		panic(err)
	}
	return e
}

func (g generator) expression(of query.Type, depth int) query.Expr {
	if depth == 0 || g.IntN(6) == 0 {
		return g.leaf(of)
	}
	if g.IntN(8) == 0 {
		return apply("if", g.expression(query.TypeBoolean, depth-1), g.expression(of, depth-1), g.expression(of, depth-1))
	}
	if g.IntN(10) == 0 {
		return apply("coalesce", g.expression(of, depth-1), g.expression(of, depth-1))
	}
	switch of { //nolint:exhaustive // the others are not asked for
	case query.TypeString:
		return g.text(depth)
	case query.TypeInteger:
		return g.integer(depth)
	case query.TypeFloat:
		return g.float(depth)
	case query.TypeInstant:
		return g.instant(depth)
	}
	return g.condition(depth)
}

func (g generator) leaf(of query.Type) query.Expr {
	property := func(key string) query.Expr {
		return query.Property{Object: query.Ref{Field: query.FieldProperties, Of: query.TypeJSON}, Path: []string{key}}
	}
	if g.IntN(12) == 0 {
		return query.Literal{Of: of}
	}
	switch of { //nolint:exhaustive // the others are not asked for
	case query.TypeString:
		return pick[query.Expr](g, query.Text(g.word()), query.Ref{Field: query.FieldEvent, Of: of}, property("plan"),
			property("text"), property("n"), property("missing"), property("at"), query.Ref{Field: query.FieldPersonID, Of: of})
	case query.TypeInteger:
		return pick[query.Expr](g, query.Integer(g.Int64N(7)-3), query.Integer(g.Int64N(1<<59)), query.Ref{Field: query.FieldTeamID, Of: of},
			apply("toInt", property("n")), apply("length", property("text")))
	case query.TypeFloat:
		return pick(g, query.Expr(query.Number(float64(g.IntN(100))/4-5)), apply("toFloat", property("price")), apply("toFloat", property("n")))
	case query.TypeInstant:
		return pick[query.Expr](g, query.Instant(start.Add(time.Duration(g.IntN(1e9))*time.Millisecond)), query.Bound{Start: g.IntN(2) == 0},
			query.Ref{Field: query.FieldTimestamp, Of: of}, apply("toDateTime", property("at")))
	}
	return pick(g, query.Expr(query.Truth(g.IntN(2) == 0)), apply("isNull", property("plan")), apply("toBool", property("flag")))
}

// word is a text that careless code damages.
func (g generator) word() string {
	return pick(g, "pro", "free", "$pageview", "5", "", "it's", `a\b`, "100%", "a_b", "ÀÉ", "日本語", "$1 ? :n {p1:String} @1 #", "';--", `"`, "`", "/*", "NULL", "\n", "true")
}

func (g generator) text(depth int) query.Expr {
	arg := func() query.Expr { return g.expression(query.TypeString, depth-1) }
	switch g.IntN(8) {
	case 0:
		return apply("concat", arg(), arg())
	case 1:
		return apply("substring", arg(), query.Integer(g.Int64N(5)+1), query.Integer(g.Int64N(5)))
	case 2:
		return apply("replaceAll", arg(), query.Text(pick(g, "a", ".", "%", "日", `\`)), arg())
	case 3:
		return apply("lower", arg())
	case 4:
		return apply("trim", arg())
	case 5:
		return apply("nullIf", arg(), arg())
	case 6:
		return apply("toString", g.expression(pick(g, query.TypeInteger, query.TypeBoolean, query.TypeInstant), depth-1))
	}
	return apply("upper", arg())
}

func (g generator) integer(depth int) query.Expr {
	arg := func() query.Expr { return g.expression(query.TypeInteger, depth-1) }
	switch g.IntN(7) {
	case 0:
		return apply(pick(g, "plus", "minus", "multiply", "intDiv", "modulo"), arg(), arg())
	case 1:
		return apply("length", g.expression(query.TypeString, depth-1))
	case 2:
		return apply("position", g.expression(query.TypeString, depth-1), query.Text(pick(g, "a", "日", "$")))
	case 3:
		return apply("toInt", g.expression(pick(g, query.TypeString, query.TypeFloat, query.TypeBoolean), depth-1))
	case 4:
		return apply(pick(g, "toYear", "toMonth", "toDayOfMonth", "toDayOfWeek", "toHour", "toMinute", "toSecond", "toUnixTimestamp"), g.expression(query.TypeInstant, depth-1))
	case 5:
		return apply("dateDiff", query.Text(pick(g, "second", "minute", "hour", "day")), g.expression(query.TypeInstant, depth-1), g.expression(query.TypeInstant, depth-1))
	}
	return apply(pick(g, "abs", "negate"), arg())
}

func (g generator) float(depth int) query.Expr {
	arg := func() query.Expr { return g.expression(query.TypeFloat, depth-1) }
	switch g.IntN(4) {
	case 0:
		return apply(pick(g, "plus", "minus", "multiply", "divide"), arg(), arg())
	case 1:
		return apply(pick(g, "floor", "ceil", "abs", "negate"), arg())
	case 2:
		return apply("round", arg(), query.Integer(g.Int64N(4)))
	}
	return apply("toFloat", g.expression(pick(g, query.TypeString, query.TypeInteger), depth-1))
}

func (g generator) instant(depth int) query.Expr {
	arg := func() query.Expr { return g.expression(query.TypeInstant, depth-1) }
	switch g.IntN(3) {
	case 0:
		return apply("dateTrunc", query.Text(pick(g, "second", "minute", "hour", "day", "week", "month", "year")), arg())
	case 1:
		return apply(pick(g, "addSeconds", "addHours", "addDays"), arg(), query.Integer(g.Int64N(200)-100))
	}
	return apply("toDateTime", g.expression(query.TypeString, depth-1))
}

func (g generator) condition(depth int) query.Expr {
	of := pick(g, query.TypeString, query.TypeInteger, query.TypeFloat, query.TypeInstant)
	switch g.IntN(8) {
	case 0, 1:
		return apply(pick(g, "equals", "notEquals", "less", "lessOrEquals", "greater", "greaterOrEquals"), g.expression(of, depth-1), g.expression(of, depth-1))
	case 2:
		return apply(pick(g, "and", "or"), g.expression(query.TypeBoolean, depth-1), g.expression(query.TypeBoolean, depth-1), g.expression(query.TypeBoolean, depth-1))
	case 3:
		return apply("not", g.expression(query.TypeBoolean, depth-1))
	case 4:
		return apply("in", g.expression(query.TypeString, depth-1), query.Text(g.word()), query.Text(g.word()))
	case 5:
		return apply(pick(g, "like", "ilike"), g.expression(query.TypeString, depth-1), query.Text(pick(g, "%a%", "_", `\%`, "%é%", `\`, "%", "", "%日_")))
	case 6:
		return apply("match", g.expression(query.TypeString, depth-1), query.Text(pick(g, "^p", "(?i)R", `\d+`, "[^a-z]$", `\bpage`, "日|本", "a.b", "^$", `\W`, "(a|b)*c?")))
	}
	return apply(pick(g, "startsWith", "endsWith", "contains"), g.expression(query.TypeString, depth-1), g.expression(query.TypeString, depth-1))
}
