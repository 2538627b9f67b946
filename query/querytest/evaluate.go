// Package querytest says what expressions mean, in plain Go: what every source must agree with.
package querytest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

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
		query.FunctionModulo, query.FunctionNegate, query.FunctionAbs, query.FunctionFloor, query.FunctionCeil, query.FunctionRound:
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

// integer is the number if it has at most 18 digits.
func integer(n *big.Int) any {
	if len(new(big.Int).Abs(n).String()) > 18 {
		return nil
	}
	return n.Int64()
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
	switch c.Function {
	case query.FunctionPlus:
		return x + y
	case query.FunctionMinus:
		return x - y
	case query.FunctionMultiply:
		return x * y
	case query.FunctionRound:
		return math.Floor(float64(x*y)+0.5) / y
	}
	if y == 0 {
		return nil
	}
	return x / y
}

func integers(function string, args []any) any {
	x := args[0].(int64)
	switch function {
	case query.FunctionNegate:
		return -x
	case query.FunctionAbs:
		return max(x, -x)
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
		return x / y
	}
	return x % y
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
		if math.Abs(v) < 1e18 {
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
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return v.Format("2006-01-02 15:04:05.000000")
	}
	return v.(string)
}

func dates(function string, args []any) any {
	switch function {
	case query.FunctionDateTrunc:
		return truncated(args[1].(time.Time), args[0].(string))
	case query.FunctionDateDiff:
		micros, _ := query.UnitMicros(args[0].(string))
		return floorDiv(args[2].(time.Time).UnixMicro(), micros) - floorDiv(args[1].(time.Time).UnixMicro(), micros)
	case query.FunctionDateAdd:
		return time.UnixMicro(args[0].(time.Time).UnixMicro() + args[1].(int64)).UTC()
	case query.FunctionFromUnix:
		if n := args[0].(int64); n >= -2208988800 && n <= 7258118399 {
			return time.Unix(n, 0).UTC()
		}
		return nil
	}
	t := args[0].(time.Time)
	switch function {
	case query.FunctionToYear:
		return int64(t.Year())
	case query.FunctionToMonth:
		return int64(t.Month())
	case query.FunctionToDayOfMonth:
		return int64(t.Day())
	case query.FunctionToDayOfWeek:
		return int64((t.Weekday()+6)%7) + 1
	case query.FunctionToHour:
		return int64(t.Hour())
	case query.FunctionToMinute:
		return int64(t.Minute())
	case query.FunctionToSecond:
		return int64(t.Second())
	}
	return floorDiv(t.UnixMicro(), 1e6)
}

func floorDiv(n, by int64) int64 {
	q := n / by
	if n%by < 0 {
		q--
	}
	return q
}

func truncated(t time.Time, unit string) time.Time {
	switch unit {
	case query.UnitYear:
		return time.Date(t.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
	case query.UnitMonth:
		return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	case query.UnitWeek:
		return time.Date(t.Year(), t.Month(), t.Day()-int(t.Weekday()+6)%7, 0, 0, 0, 0, time.UTC)
	}
	micros, _ := query.UnitMicros(unit)
	return time.UnixMicro(floorDiv(t.UnixMicro(), micros) * micros).UTC()
}

func text(function string, args []any) any {
	s := args[0].(string)
	switch function {
	case query.FunctionLower:
		return strings.Map(unicode.ToLower, s)
	case query.FunctionUpper:
		return strings.Map(unicode.ToUpper, s)
	case query.FunctionLength:
		return int64(utf8.RuneCountInString(s))
	case query.FunctionTrim:
		return strings.Trim(s, " ")
	case query.FunctionConcat:
		for _, more := range args[1:] {
			s += more.(string)
		}
		return s
	case query.FunctionSubstring:
		runes := []rune(s)
		from := min(int(args[1].(int64))-1, len(runes))
		return string(runes[from:min(from+int(args[2].(int64)), len(runes))])
	case query.FunctionSHA256Hex:
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	other := args[1].(string)
	switch function {
	case query.FunctionReplaceAll:
		return strings.ReplaceAll(s, other, args[2].(string))
	case query.FunctionStartsWith:
		return strings.HasPrefix(s, other)
	case query.FunctionEndsWith:
		return strings.HasSuffix(s, other)
	case query.FunctionContains:
		return strings.Contains(s, other)
	case query.FunctionPosition:
		if i := strings.Index(s, other); i >= 0 {
			return int64(utf8.RuneCountInString(s[:i])) + 1
		}
		return int64(0)
	case query.FunctionMatch:
		return regexp.MustCompile(other).MatchString(s)
	case query.FunctionLike:
		return like(s, other)
	case query.FunctionILike:
		return like(strings.Map(unicode.ToLower, s), strings.Map(unicode.ToLower, other))
	}
	panic("unknown function " + function)
}

// like matches a pattern of LIKE.
func like(s, pattern string) bool {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	escaped := false
	for _, r := range pattern {
		switch {
		case !escaped && r == '\\':
			escaped = true
			continue
		case !escaped && r == '%':
			b.WriteString(`.*`)
		case !escaped && r == '_':
			b.WriteString(`.`)
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
		escaped = false
	}
	if escaped {
		b.WriteString(`\\`)
	}
	return regexp.MustCompile(b.String() + `\z`).MatchString(s)
}
