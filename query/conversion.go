package query

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// What text must look like to be read as a number or a time: the same in every source, and such that no source can fail
// or overflow when it reads it. Anything else is null.
const (
	// IntegerPattern is of integers that fit 64 bits, up to 9223372036854775807, whatever their sign.
	IntegerPattern = `^-?(?:[0-9]{1,18}|[0-8][0-9]{18}|9[01][0-9]{17}|92[01][0-9]{16}|922[0-2][0-9]{15}|9223[0-2][0-9]{14}` +
		`|92233[0-6][0-9]{13}|922337[01][0-9]{12}|92233720[0-2][0-9]{10}|922337203[0-5][0-9]{9}|9223372036[0-7][0-9]{8}` +
		`|92233720368[0-4][0-9]{7}|922337203685[0-3][0-9]{6}|9223372036854[0-6][0-9]{5}|92233720368547[0-6][0-9]{4}` +
		`|922337203685477[0-4][0-9]{3}|9223372036854775[0-7][0-9]{2}|922337203685477580[0-7])$`
	// FloatPattern is of numbers that a float64 can hold.
	FloatPattern = `^-?[0-9]{1,200}(?:\.[0-9]{1,50})?(?:[eE][+-]?[0-9]{1,2})?$`
	// TimePattern is of times from 1900 to 2199 in ISO 8601; without an offset they are UTC.
	TimePattern = `^(?:` + datePattern + `)(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9])?)?$`

	// datePattern knows how long months are.
	datePattern = `(?:19|20|21)[0-9]{2}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))` +
		`|(?:(?:19|20|21)(?:0[48]|[2468][048]|[13579][26])|2000)-02-29`
)

var (
	timeRegexp  = regexp.MustCompile(TimePattern)
	floatRegexp = regexp.MustCompile(FloatPattern)
)

// timeLayouts are those of TimePattern, with a T; a fraction may follow the seconds.
var timeLayouts = []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02"}

// ParseTime reads text of the TimePattern, and says whether it is a day.
func ParseTime(text string) (t time.Time, day, ok bool) {
	if !timeRegexp.MatchString(text) {
		return time.Time{}, false, false
	}
	text = strings.Replace(text, " ", "T", 1)
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), layout == "2006-01-02", true
		}
	}
	return time.Time{}, false, false
}

// conversions are what the casts give and what they take.
var conversions = map[string]struct {
	to   Type
	from []Type
}{
	FunctionToString:   {TypeString, []Type{TypeInteger, TypeFloat, TypeBoolean, TypeInstant, TypeDate, TypeJSON}},
	FunctionToInt:      {TypeInteger, []Type{TypeString, TypeFloat, TypeBoolean}},
	FunctionToFloat:    {TypeFloat, []Type{TypeString, TypeInteger}},
	FunctionToBool:     {TypeBoolean, []Type{TypeString, TypeInteger}},
	FunctionToDateTime: {TypeInstant, []Type{TypeString, TypeDate}},
	FunctionToDate:     {TypeDate, []Type{TypeString, TypeInstant}},
}

func buildCast(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 1, 1); err != nil {
		return nil, err
	}
	c, e := conversions[name], args[0]
	if e.Type() == TypeNull {
		return Literal{Of: c.to}, nil
	}
	if e.Type() == c.to {
		return e, nil
	}
	if e.Type() == TypeJSON && name != FunctionToString {
		e = call(FunctionToString, TypeString, e)
	}
	if !slices.Contains(c.from, e.Type()) {
		return nil, typeErrorf("%s cannot convert a %s", name, e.Type())
	}
	return call(name, c.to, e), nil
}

// castNames are the functions behind CAST(x AS name), by the name in lower case.
var castNames = map[string]string{
	"string": FunctionToString, "varchar": FunctionToString, "text": FunctionToString,
	"int": FunctionToInt, "int64": FunctionToInt, "integer": FunctionToInt, "bigint": FunctionToInt,
	"float": FunctionToFloat, "float64": FunctionToFloat, "double": FunctionToFloat,
	"bool": FunctionToBool, "boolean": FunctionToBool,
	"datetime": FunctionToDateTime, "timestamp": FunctionToDateTime, "date": FunctionToDate,
}

func buildSubstring(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 2, 3); err != nil {
		return nil, err
	}
	text, err := convert(args[0], TypeString)
	if err != nil {
		return nil, typeErrorf("%s: %s", name, err)
	}
	if start, ok := constantInteger(args[1]); !ok || start < 1 || start > maxPosition {
		return nil, typeErrorf("substring starts at a constant position from 1")
	}
	length := Expr(Integer(maxPosition))
	if len(args) == 3 {
		if n, ok := constantInteger(args[2]); !ok || n < 0 || n > maxPosition {
			return nil, typeErrorf("substring has a constant length from 0")
		}
		length = args[2]
	}
	return call(name, TypeString, text, args[1], length), nil
}

// maxPosition is beyond the end of any text: its sum with itself fits 32 bits.
const maxPosition = 1 << 30

func constantInteger(e Expr) (int64, bool) {
	l, _ := e.(Literal)
	n, ok := l.Value.(int64)
	return n, ok
}

// unitOf reads a constant unit, in the plural too.
func unitOf(e Expr, among []string) (string, bool) {
	unit, _ := constantText(e)
	unit = strings.TrimSuffix(strings.ToLower(unit), "s")
	return unit, slices.Contains(among, unit)
}

func buildDateTrunc(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 2, 2); err != nil {
		return nil, err
	}
	unit, ok := unitOf(args[0], truncUnits)
	if !ok {
		return nil, typeErrorf("%s takes one of the units %s", name, strings.Join(truncUnits, ", "))
	}
	at, err := convert(args[1], TypeInstant)
	if err != nil {
		return nil, typeErrorf("%s: %s", name, err)
	}
	return call(name, TypeInstant, Text(unit), at), nil
}

// fixedUnits always have the same length.
var fixedUnits = truncUnits[:5]

func buildDateDiff(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 3, 3); err != nil {
		return nil, err
	}
	unit, ok := unitOf(args[0], fixedUnits[:4])
	if !ok {
		return nil, typeErrorf("%s takes one of the units %s", name, strings.Join(fixedUnits[:4], ", "))
	}
	from, err := convert(args[1], TypeInstant)
	if err != nil {
		return nil, typeErrorf("%s: %s", name, err)
	}
	to, err := convert(args[2], TypeInstant)
	if err != nil {
		return nil, typeErrorf("%s: %s", name, err)
	}
	return call(name, TypeInteger, Text(unit), from, to), nil
}

const (
	// maxAdded is how many units a constant adds to a time at most.
	maxAdded = 1_000_000
	// maxShift is more than there is between the first and the last time that dateAdd can give, in microseconds.
	maxShift = 300 * 366 * 86400e6
)

// Times of which dateAdd can tell another one, and those that it can give: the same years as of times in text.
const (
	FirstTime = -2_208_988_800_000_000 // 1900-01-01, in microseconds
	AfterTime = 7_258_118_400_000_000  // 2200-01-01
)

func buildDateAdd(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 3, 3); err != nil {
		return nil, err
	}
	unit, ok := unitOf(args[0], fixedUnits)
	if !ok {
		return nil, typeErrorf("%s takes one of the units %s", name, strings.Join(fixedUnits, ", "))
	}
	n, ok := constantInteger(args[1])
	if !ok || n > maxAdded || n < -maxAdded {
		return nil, typeErrorf("%s takes a constant number of units, at most %d", name, maxAdded)
	}
	at, err := convert(args[2], TypeInstant)
	if err != nil {
		return nil, typeErrorf("%s: %s", name, err)
	}
	micros, _ := UnitMicros(unit)
	return call(name, TypeInstant, at, Integer(min(max(n*micros, -maxShift), maxShift))), nil
}

// buildEmpty is about text that is absent or has no characters.
func buildEmpty(name string, args []Expr) (Expr, error) {
	if err := arity(name, args, 1, 1); err != nil {
		return nil, err
	}
	text, err := convert(args[0], TypeString)
	if err != nil {
		return nil, typeErrorf("%s: %s", name, err)
	}
	empty := call(FunctionEquals, TypeBoolean, call(FunctionCoalesce, TypeString, text, Text("")), Text(""))
	if name == "empty" {
		return empty, nil
	}
	return call(FunctionNot, TypeBoolean, empty), nil
}

// buildJSON reads from a JSON field under constant keys.
func buildJSON(name string, args []Expr) (Expr, error) {
	if len(args) < 2 {
		return nil, arityError(name, args)
	}
	if args[0].Type() != TypeJSON {
		return nil, typeErrorf("%s takes a JSON field, such as properties", name)
	}
	path := make([]string, 0, len(args)-1)
	for _, arg := range args[1:] {
		key, ok := constantText(arg)
		if !ok {
			return nil, typeErrorf("%s takes constant keys", name)
		}
		path = append(path, key)
	}
	p, err := property(args[0], path)
	if err != nil {
		return nil, err
	}
	switch name {
	case FunctionJSONHas:
		p.Raw = true
		return call(FunctionIsNotNull, TypeBoolean, p), nil
	case "JSONExtractRaw":
		p.Raw = true
	case "JSONExtractInt":
		return call(FunctionToInt, TypeInteger, p), nil
	case "JSONExtractFloat":
		return call(FunctionToFloat, TypeFloat, p), nil
	case "JSONExtractBool":
		return call(FunctionToBool, TypeBoolean, p), nil
	}
	return p, nil
}

// Limits of paths into JSON.
const (
	maxPath = 16
	maxKey  = 1000
)

// property is what lies under the path; a path into a property goes on from there.
func property(object Expr, path []string) (Property, error) {
	if p, ok := object.(Property); ok {
		object, path = p.Object, append(slices.Clone(p.Path), path...)
	}
	if len(path) > maxPath {
		return Property{}, typeErrorf("a path into JSON has at most %d keys", maxPath)
	}
	for _, key := range path {
		if key == "" {
			return Property{}, typeErrorf("a key of JSON is empty")
		}
		if len(key) > maxKey || strings.ContainsRune(key, 0) {
			return Property{}, typeErrorf("the key %q is too long or not text", clip(key))
		}
	}
	return Property{Object: object, Path: path}, nil
}
