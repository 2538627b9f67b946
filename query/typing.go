package query

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A TypeError says that a function cannot take its arguments.
type TypeError struct {
	Message string
}

// Error is a sentence fragment for the customer.
func (e *TypeError) Error() string { return e.Message }

func typeErrorf(format string, args ...any) error {
	return &TypeError{Message: fmt.Sprintf(format, args...)}
}

// Apply calls a function of the allow-list: it checks the arguments and converts them where that is safe.
func Apply(name string, args ...Expr) (Expr, error) {
	if canonical, ok := synonyms[name]; ok {
		name = canonical
	}
	if unit, ok := starts[name]; ok {
		return apply(FunctionDateTrunc, append([]Expr{Text(unit)}, args...))
	}
	if unit, ok := additions[name]; ok && len(args) == 2 {
		return apply(FunctionDateAdd, []Expr{Text(unit), args[1], args[0]})
	}
	return apply(name, args)
}

func apply(name string, args []Expr) (Expr, error) {
	if s, ok := signatures[name]; ok {
		return s.apply(name, args)
	}
	if build, ok := builders()[name]; ok {
		return build(name, args)
	}
	return nil, typeErrorf("Unsupported function call '%s(...)'", name)
}

// A builder checks the arguments of functions whose types depend on each other.
type builder func(name string, args []Expr) (Expr, error)

func builders() map[string]builder {
	all := map[string]builder{
		FunctionIsNull: buildNullCheck, FunctionIsNotNull: buildNullCheck, FunctionLike: buildPattern, FunctionILike: buildPattern,
		"notLike": negated(FunctionLike), "notILike": negated(FunctionILike), FunctionMatch: buildPattern,
		FunctionIn: buildIn, "notIn": negated(FunctionIn),
		FunctionPlus: buildArithmetic, FunctionMinus: buildArithmetic, FunctionMultiply: buildArithmetic,
		FunctionNegate: buildNumeric, FunctionAbs: buildNumeric, FunctionFloor: buildFloat, FunctionCeil: buildFloat,
		FunctionRound: buildRound, "if": buildIf, FunctionMultiIf: buildIf, FunctionCoalesce: buildCoalesce,
		"ifNull": buildCoalesce, FunctionNullIf: buildNullIf,
		FunctionToString: buildCast, FunctionToInt: buildCast, FunctionToFloat: buildCast, FunctionToBool: buildCast,
		FunctionToDateTime: buildCast, FunctionToDate: buildCast,
		FunctionSubstring: buildSubstring, FunctionDateTrunc: buildDateTrunc, FunctionDateDiff: buildDateDiff,
		FunctionDateAdd: buildDateAdd, FunctionJSONHas: buildJSON, "empty": buildEmpty, "notEmpty": buildEmpty,
		FunctionReplaceAll:  buildReplace,
		"JSONExtractString": buildJSON, "JSONExtractInt": buildJSON, "JSONExtractFloat": buildJSON,
		"JSONExtractBool": buildJSON, "JSONExtractRaw": buildJSON,
	}
	for _, name := range []string{
		FunctionEquals, FunctionNotEquals, FunctionLess, FunctionLessOrEquals, FunctionGreater, FunctionGreaterOrEquals,
	} {
		all[name] = buildComparison
	}
	return all
}

func (s signature) apply(name string, args []Expr) (Expr, error) {
	if len(args) < len(s.params)-s.optional || len(args) > len(s.params) && !s.repeats {
		return nil, arityError(name, args)
	}
	converted := make([]Expr, len(args))
	for i, arg := range args {
		want := s.params[min(i, len(s.params)-1)]
		var err error
		if converted[i], err = convert(arg, want); err != nil {
			return nil, typeErrorf("%s: %s", name, err)
		}
	}
	return call(name, s.result, converted...), nil
}

func arityError(name string, args []Expr) error {
	return typeErrorf("%s cannot take %d arguments", name, len(args))
}

// arity checks the number of arguments.
func arity(name string, args []Expr, least, most int) error {
	if len(args) < least || len(args) > most {
		return arityError(name, args)
	}
	return nil
}

// convert makes e a value of the type where nothing can be lost or misread: numbers widen, text is read as a number, a
// truth or a time, and what cannot be read is null.
func convert(e Expr, want Type) (Expr, error) {
	have := e.Type()
	if have == want {
		return e, nil
	}
	if have == TypeNull {
		return Literal{Of: want}, nil
	}
	literal, constant := e.(Literal)
	switch {
	case want == TypeFloat && have == TypeInteger && constant:
		return Number(float64(literal.Value.(int64))), nil //nolint:forcetypeassert // as its type says
	case want == TypeInstant && have == TypeString && constant && literal.Value != nil,
		want == TypeDate && have == TypeString && constant && literal.Value != nil:
		return readTime(literal.Value.(string), want) //nolint:forcetypeassert // as its type says
	case want == TypeBoolean && have == TypeString && constant:
		return nil, typeErrorf("text is not a condition")
	case want == TypeFloat && (have == TypeInteger || have == TypeString):
		return call(FunctionToFloat, TypeFloat, e), nil
	case want == TypeInteger && have == TypeString:
		return call(FunctionToInt, TypeInteger, e), nil
	case want == TypeString && have == TypeJSON:
		return call(FunctionToString, TypeString, e), nil
	case want == TypeInstant && (have == TypeDate || have == TypeString):
		return call(FunctionToDateTime, TypeInstant, e), nil
	case want == TypeDate && have == TypeString:
		return call(FunctionToDate, TypeDate, e), nil
	}
	return nil, typeErrorf("a %s is needed, not a %s", want, have)
}

// readTime reads a constant.
func readTime(text string, want Type) (Expr, error) {
	t, _, ok := ParseTime(text)
	if !ok {
		return nil, typeErrorf("%q is not a time such as 2026-01-31 or 2026-01-31 12:30:00", clip(text))
	}
	if want == TypeDate {
		return Literal{Value: t.Truncate(24 * time.Hour), Of: TypeDate}, nil
	}
	return Instant(t), nil
}

// unify gives two expressions one type.
func unify(a, b Expr) (Expr, Expr, error) {
	ta, tb := a.Type(), b.Type()
	if ta == tb {
		return a, b, nil
	}
	want := ta
	switch {
	case ta == TypeNull:
		want = tb
	case ta.numeric() && tb.numeric():
		want = TypeFloat
	case ta == TypeJSON && tb == TypeString, ta == TypeDate && tb == TypeInstant, ta == TypeString && tb != TypeNull && tb != TypeJSON:
		want = tb
	}
	if want == TypeInteger && (ta == TypeString || tb == TypeString) && !large(a) && !large(b) {
		want = TypeFloat // text that holds 1.5 is a number too
	}
	if isText(a, b) {
		want = TypeString
	}
	ca, err := convert(asText(a, want), want)
	if err != nil {
		return nil, nil, err
	}
	cb, err := convert(asText(b, want), want)
	return ca, cb, err
}

// maxExact is up to where floats know whole numbers from the next ones.
const maxExact = 1 << 53

// large says whether e is a constant integer that floats cannot tell from its neighbours: the id of something.
func large(e Expr) bool {
	n, ok := constantInteger(e)
	return ok && (n > maxExact || n < -maxExact)
}

// isText says whether one is text and the other a constant truth: properties.paid = true compares text.
func isText(a, b Expr) bool {
	return a.Type() == TypeString && b.Type() == TypeBoolean && isLiteral(b) ||
		b.Type() == TypeString && a.Type() == TypeBoolean && isLiteral(a)
}

func isLiteral(e Expr) bool {
	_, ok := e.(Literal)
	return ok
}

// asText turns a constant truth into text when text is wanted.
func asText(e Expr, want Type) Expr {
	if l, ok := e.(Literal); ok && want == TypeString && l.Of == TypeBoolean {
		if b, ok := l.Value.(bool); ok {
			return Text(strconv.FormatBool(b))
		}
	}
	return e
}

// comparable refuses types that have no order that all sources agree on.
func comparable(name string, e Expr) error {
	if t := e.Type(); t == TypeStrings || t == TypeJSON {
		return typeErrorf("%s cannot compare values of type %s", name, t)
	}
	return nil
}

// constantText returns the text of a constant.
func constantText(e Expr) (string, bool) {
	l, ok := e.(Literal)
	if !ok {
		return "", false
	}
	s, ok := l.Value.(string)
	return s, ok && l.Of == TypeString
}

// maxShown is how much of a customer's text an error repeats, in bytes.
const maxShown = 60

func clip(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return strings.ToValidUTF8(s[:maxShown], "") + "…"
}
