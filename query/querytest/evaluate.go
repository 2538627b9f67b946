// Package querytest says what expressions mean, in plain Go: what every source must agree with.
package querytest

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tranche/batch"
	"tranche/query"
)

// A Row is a row by field: nil, string, int64, float64, bool or time.Time. JSON is text.
type Row map[query.Field]any

// Evaluate computes e for a row. Nil is null; a condition keeps a row when it is true.
func Evaluate(e query.Expr, row Row, interval batch.Interval) any {
	switch e := e.(type) {
	case query.Literal:
		return e.Value
	case query.Ref:
		return row[e.Field]
	case query.Bound:
		if e.Start {
			return interval.Start
		}
		return interval.End
	case query.Property:
		return propertyOf(Evaluate(e.Object, row, interval), e)
	case query.Call:
		return evaluateCall(e, func(i int) any { return Evaluate(e.Args[i], row, interval) })
	}
	panic(fmt.Sprintf("unknown expression %T", e))
}

// propertyOf looks a property up. Keys never index lists.
func propertyOf(object any, p query.Property) any {
	text, ok := object.(string)
	if !ok {
		return nil
	}
	raw := json.RawMessage(text)
	for _, key := range p.Path {
		var fields map[string]json.RawMessage
		if json.Unmarshal(raw, &fields) != nil || fields == nil {
			return nil
		}
		if raw, ok = fields[key]; !ok {
			return nil
		}
	}
	if string(raw) == "null" {
		return nil
	}
	if p.Raw {
		return string(raw)
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// evaluateCall knows the functions that do not simply return null for null.
func evaluateCall(c query.Call, arg func(int) any) any {
	switch c.Function {
	case query.FunctionAnd, query.FunctionOr:
		decisive := c.Function == query.FunctionOr
		result := any(!decisive)
		for i := range c.Args {
			switch arg(i) {
			case decisive:
				return decisive
			case nil:
				result = nil
			}
		}
		return result
	case query.FunctionIsNull:
		return arg(0) == nil
	case query.FunctionIsNotNull:
		return arg(0) != nil
	case query.FunctionMultiIf:
		last := len(c.Args) - 1
		for i := 0; i < last; i += 2 {
			if arg(i) == true {
				return arg(i + 1)
			}
		}
		return arg(last)
	case query.FunctionCoalesce:
		for i := range c.Args {
			if v := arg(i); v != nil {
				return v
			}
		}
		return nil
	case query.FunctionNullIf:
		if v := arg(0); v == nil || arg(1) == nil || order(v, arg(1)) != 0 {
			return v
		}
		return nil
	}
	args := make([]any, len(c.Args))
	for i := range args {
		if args[i] = arg(i); args[i] == nil {
			return nil
		}
	}
	return strict(c, args)
}

// strict computes a function of which no argument is null.
func strict(c query.Call, args []any) any {
	switch c.Function {
	case query.FunctionNot:
		return !args[0].(bool)
	case query.FunctionEquals:
		return order(args[0], args[1]) == 0
	case query.FunctionNotEquals:
		return order(args[0], args[1]) != 0
	case query.FunctionLess:
		return order(args[0], args[1]) < 0
	case query.FunctionLessOrEquals:
		return order(args[0], args[1]) <= 0
	case query.FunctionGreater:
		return order(args[0], args[1]) > 0
	case query.FunctionGreaterOrEquals:
		return order(args[0], args[1]) >= 0
	case query.FunctionIn:
		for _, item := range args[1:] {
			if order(args[0], item) == 0 {
				return true
			}
		}
		return false
	case query.FunctionPlus, query.FunctionMinus, query.FunctionMultiply, query.FunctionDivide, query.FunctionIntDiv,
		query.FunctionModulo, query.FunctionNegate, query.FunctionAbs, query.FunctionFloor, query.FunctionCeil:
		return arithmetic(c, args)
	case query.FunctionToString, query.FunctionToInt, query.FunctionToFloat, query.FunctionToBool, query.FunctionToDateTime,
		query.FunctionToDate:
		return conversion(c, args[0])
	case query.FunctionToYear, query.FunctionToMonth, query.FunctionToDayOfMonth, query.FunctionToDayOfWeek,
		query.FunctionToHour, query.FunctionToMinute, query.FunctionToSecond, query.FunctionToUnixTimestamp, query.FunctionFromUnix,
		query.FunctionDateTrunc, query.FunctionDateDiff, query.FunctionDateAdd:
		return dates(c.Function, args)
	}
	return text(c.Function, args)
}

// order compares two values of one type.
func order(a, b any) int {
	switch a := a.(type) {
	case string:
		return strings.Compare(a, b.(string))
	case bool:
		return truth(a) - truth(b.(bool))
	case time.Time:
		return a.Compare(b.(time.Time))
	case int64:
		if b, ok := b.(int64); ok {
			return new(big.Int).SetInt64(a).Cmp(big.NewInt(b))
		}
	}
	x, y := number(a), number(b)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func number(v any) float64 {
	if n, ok := v.(int64); ok {
		return float64(n)
	}
	return v.(float64)
}

// integer is the number if it fits, and so does its opposite.
func integer(n *big.Int) any {
	if !n.IsInt64() || n.Int64() == math.MinInt64 {
		return nil
	}
	return n.Int64()
}

// sized is the number if sources can compute with it.
func sized(x float64) any {
	if math.Abs(x) < query.Greatest {
		return x
	}
	return nil
}

func arithmetic(c query.Call, args []any) any {
	if c.Of == query.TypeInteger {
		return integers(c.Function, args)
	}
	x := number(args[0])
	switch c.Function {
	case query.FunctionNegate:
		return -x
	case query.FunctionAbs:
		return math.Abs(x)
	case query.FunctionFloor:
		return math.Floor(x)
	case query.FunctionCeil:
		return math.Ceil(x)
	}
	y := number(args[1])
	switch {
	case sized(x) == nil || sized(y) == nil:
		return nil
	case c.Function == query.FunctionPlus:
		return sized(x + y)
	case c.Function == query.FunctionMinus:
		return sized(x - y)
	case c.Function == query.FunctionMultiply:
		return sized(x * y)
	case y == 0:
		return nil
	}
	return sized(x / y)
}

func integers(function string, args []any) any {
	x := args[0].(int64)
	if function == query.FunctionAbs {
		return integer(new(big.Int).Abs(big.NewInt(x)))
	}
	y := args[1].(int64)
	a, b := big.NewInt(x), big.NewInt(y)
	switch function {
	case query.FunctionPlus:
		return integer(a.Add(a, b))
	case query.FunctionMinus:
		return integer(a.Sub(a, b))
	case query.FunctionMultiply:
		return integer(a.Mul(a, b))
	}
	if y == 0 {
		return nil
	}
	if function == query.FunctionIntDiv {
		return integer(a.Quo(a, b))
	}
	return a.Rem(a, b).Int64()
}

var (
	integerPattern = regexp.MustCompile(query.IntegerPattern)
	floatPattern   = regexp.MustCompile(query.FloatPattern)
)

func conversion(c query.Call, v any) any {
	switch c.Function {
	case query.FunctionToString:
		if c.Args[0].Type() == query.TypeDate {
			return v.(time.Time).Format(time.DateOnly)
		}
		return shown(v)
	case query.FunctionToInt:
		return toInt(v)
	case query.FunctionToFloat:
		if s, ok := v.(string); ok {
			if !floatPattern.MatchString(s) {
				return nil
			}
			f, _ := strconv.ParseFloat(s, 64)
			return f
		}
		return number(v)
	case query.FunctionToBool:
		switch v {
		case "true", "1":
			return true
		case "false", "0":
			return false
		}
		if n, ok := v.(int64); ok {
			return n != 0
		}
		return nil
	}
	t, ok := v.(time.Time)
	if s, isText := v.(string); isText {
		t, _, ok = query.ParseTime(s)
	}
	if !ok {
		return nil
	}
	if c.Function == query.FunctionToDate {
		return truncated(t, query.UnitDay)
	}
	return t
}

func toInt(v any) any {
	switch v := v.(type) {
	case string:
		if integerPattern.MatchString(v) {
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
	case float64:
		if math.Abs(v) < math.MaxInt64 {
			return int64(v)
		}
	case bool:
		return int64(truth(v))
	}
	return nil
}

func shown(v any) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v+0, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return v.Format("2006-01-02 15:04:05.000000")
	}
	return v.(string)
}
