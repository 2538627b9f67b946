package query

import (
	"math"
	"slices"
)

// negated builds the opposite.
func negated(function string) builder {
	return func(_ string, args []Expr) (Expr, error) {
		e, err := apply(function, args)
		if err != nil {
			return nil, err
		}
		return call(FunctionNot, TypeBoolean, e), nil
	}
}

func buildNullCheck(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 1, 1); err != nil {
		return nil, err
	}
	if args[0].Type() == TypeNull {
		return Truth(name == FunctionIsNull), nil
	}
	return call(name, TypeBoolean, args[0]), nil
}

func buildComparison(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 2, 2); err != nil {
		return nil, err
	}
	a, b, err := unify(args[0], args[1])
	if err != nil {
		return nil, typeErrorf("%s: %s", name, err)
	}
	if a.Type() == TypeNull {
		return Literal{Of: TypeBoolean}, nil
	}
	if a.Type() == TypeJSON {
		if a, b, err = bothText(a, b); err != nil {
			return nil, err
		}
	}
	if err := comparable(name, a); err != nil {
		return nil, err
	}
	return call(name, TypeBoolean, a, b), nil
}

func bothText(a, b Expr) (Expr, Expr, error) {
	a, err := convert(a, TypeString)
	if err != nil {
		return nil, nil, err
	}
	b, err = convert(b, TypeString)
	return a, b, err
}

// maxListed bounds the values of IN.
const maxListed = 1000

// buildIn takes a value and constants.
func buildIn(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 2, maxListed+1); err != nil {
		return nil, err
	}
	converted := []Expr{args[0]}
	for _, arg := range args[1:] {
		if !isLiteral(arg) {
			return nil, typeErrorf("IN takes a list of constants")
		}
		if arg.Type() == TypeNull {
			return nil, typeErrorf("IN cannot look for NULL: use IS NULL")
		}
		value, item, err := unify(args[0], arg)
		if err != nil {
			return nil, typeErrorf("IN: %s", err)
		}
		if len(converted) > 1 && value.Type() != converted[0].Type() {
			return nil, typeErrorf("IN takes constants of one type")
		}
		converted[0] = value
		converted = append(converted, item)
	}
	if converted[0].Type() == TypeJSON {
		return nil, comparable("IN", converted[0])
	}
	return call(FunctionIn, TypeBoolean, converted...), comparable("IN", converted[0])
}

// buildPattern takes text and a constant pattern, which is checked.
func buildPattern(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 2, 2); err != nil {
		return nil, err
	}
	text, err := convert(args[0], TypeString)
	if err != nil {
		return nil, typeErrorf("%s: %s", name, err)
	}
	pattern, ok := constantText(args[1])
	if !ok {
		return nil, typeErrorf("%s takes a constant pattern", name)
	}
	if name == FunctionMatch {
		if _, err := ParseRegexp(pattern); err != nil {
			return nil, err
		}
	}
	return call(name, TypeBoolean, text, Text(pattern)), nil
}

func buildArithmetic(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 2, 2); err != nil {
		return nil, err
	}
	if numericText(args[0]) || numericText(args[1]) {
		a, errA := convert(args[0], TypeFloat)
		b, errB := convert(args[1], TypeFloat)
		if errA != nil || errB != nil {
			return nil, typeErrorf("%s takes numbers", name)
		}
		return call(name, TypeFloat, a, b), nil
	}
	a, b, err := unify(args[0], args[1])
	if err != nil || !a.Type().numeric() && a.Type() != TypeNull {
		return nil, typeErrorf("%s takes numbers; for times there are addDays and its like, and dateDiff", name)
	}
	if a.Type() == TypeNull {
		return Literal{Of: TypeInteger}, nil
	}
	return call(name, a.Type(), a, b), nil
}

// numericText says whether e is text that arithmetic would read as numbers: a property.
func numericText(e Expr) bool { return e.Type() == TypeString && !isLiteral(e) }

func buildNumeric(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 1, 1); err != nil {
		return nil, err
	}
	e := args[0]
	if l, ok := e.(Literal); ok && name == FunctionNegate {
		switch n := l.Value.(type) {
		case int64:
			if n != math.MinInt64 {
				return Integer(-n), nil
			}
		case float64:
			return Number(-n), nil
		}
	}
	if !e.Type().numeric() {
		var err error
		if e, err = convert(e, TypeFloat); err != nil {
			return nil, typeErrorf("%s: %s", name, err)
		}
	}
	if name == FunctionNegate && e.Type() == TypeInteger {
		return call(FunctionMinus, TypeInteger, Integer(0), e), nil // the smallest has no opposite
	}
	return call(name, e.Type(), e), nil
}

func buildFloat(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 1, 1); err != nil {
		return nil, err
	}
	e, err := convert(args[0], TypeFloat)
	if err != nil {
		return nil, typeErrorf("%s: %s", name, err)
	}
	return call(name, TypeFloat, e), nil
}

// maxDigits is how many digits after the point round keeps at most.
const maxDigits = 15

func buildRound(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 1, 2); err != nil {
		return nil, err
	}
	e, err := convert(args[0], TypeFloat)
	if err != nil {
		return nil, typeErrorf("%s: %s", name, err)
	}
	digits := int64(0)
	if len(args) == 2 {
		l, _ := args[1].(Literal)
		n, ok := l.Value.(int64)
		if !ok || n < 0 || n > maxDigits {
			return nil, typeErrorf("round takes a constant number of digits from 0 to %d", maxDigits)
		}
		digits = n
	}
	nearest := func(e Expr) Expr {
		return call(FunctionFloor, TypeFloat, call(FunctionPlus, TypeFloat, e, Number(0.5)))
	}
	if digits == 0 {
		return nearest(e), nil
	}
	scale := Number(math.Pow10(int(digits)))
	return call(FunctionDivide, TypeFloat, nearest(call(FunctionMultiply, TypeFloat, e, scale)), scale), nil
}

// buildIf takes conditions with values and what else: if(c, a, b), multiIf(c1, a1, c2, a2, b).
func buildIf(name string, args []Expr) (Expr, error) {
	if name == "if" && len(args) != 3 || len(args) < 3 || len(args)%2 == 0 {
		return nil, arityError(name, args)
	}
	values := []Expr{args[len(args)-1]}
	for i := 1; i < len(args); i += 2 {
		values = append(values, args[i])
	}
	values, err := sameType(values)
	if err != nil {
		return nil, typeErrorf("%s: %s", name, err)
	}
	built := make([]Expr, 0, len(args))
	for i := 0; i+1 < len(args); i += 2 {
		condition, err := convert(args[i], TypeBoolean)
		if err != nil {
			return nil, typeErrorf("%s: %s", name, err)
		}
		built = append(built, condition, values[i/2+1])
	}
	return call(FunctionMultiIf, values[0].Type(), append(built, values[0])...), nil
}

// sameType gives all values one type.
func sameType(values []Expr) ([]Expr, error) {
	values = slices.Clone(values)
	// Twice: the last value may have changed the type that the first ones were given.
	for range 2 {
		for i := 1; i < len(values); i++ {
			a, b, err := unifyExactly(values[0], values[i])
			if err != nil {
				return nil, err
			}
			values[0], values[i] = a, b
		}
	}
	if values[0].Type() == TypeNull {
		for i := range values {
			values[i] = Literal{Of: TypeString}
		}
	}
	return values, nil
}

// unifyExactly is unify without reading text as something else: that would make a value of a result null.
func unifyExactly(a, b Expr) (Expr, Expr, error) {
	ta, tb := a.Type(), b.Type()
	if ta != tb && (ta == TypeString || tb == TypeString) && ta != TypeNull && tb != TypeNull && ta != TypeJSON && tb != TypeJSON {
		return nil, nil, typeErrorf("the values are of the types %s and %s: convert them, as with toString", ta, tb)
	}
	return unify(a, b)
}

func buildCoalesce(name string, args []Expr) (Expr, error) {
	if name == "ifNull" && len(args) != 2 || len(args) < 2 {
		return nil, arityError(name, args)
	}
	values, err := sameType(args)
	if err != nil {
		return nil, typeErrorf("%s: %s", name, err)
	}
	return call(FunctionCoalesce, values[0].Type(), values...), nil
}

func buildNullIf(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 2, 2); err != nil {
		return nil, err
	}
	values, err := sameType(args)
	if err == nil {
		err = comparable(name, values[0])
	}
	if err != nil {
		return nil, typeErrorf("%s: %s", name, err)
	}
	return call(name, values[0].Type(), values...), nil
}

// buildReplace takes what is replaced as a constant: sources disagree about replacing nothing.
func buildReplace(name string, args []Expr) (Expr, error) {
	s := signature{params: []Type{TypeString, TypeString, TypeString}, result: TypeString}
	e, err := s.apply(name, args)
	if err != nil {
		return nil, err
	}
	if needle, ok := constantText(args[1]); !ok || needle == "" {
		return nil, typeErrorf("%s replaces a constant text that is not empty", name)
	}
	return e, nil
}
