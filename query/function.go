package query

import "slices"

// The functions of the allow-list, by the names that customers write. Operators are functions too. What each does is
// in docs/queries.md; a function means the same in every source.
const (
	FunctionAnd             = "and"
	FunctionOr              = "or"
	FunctionNot             = "not"
	FunctionEquals          = "equals"
	FunctionNotEquals       = "notEquals"
	FunctionLess            = "less"
	FunctionLessOrEquals    = "lessOrEquals"
	FunctionGreater         = "greater"
	FunctionGreaterOrEquals = "greaterOrEquals"
	FunctionIn              = "in"
	FunctionIsNull          = "isNull"
	FunctionIsNotNull       = "isNotNull"
	FunctionLike            = "like"
	FunctionILike           = "ilike"
	FunctionMatch           = "match"
	FunctionContains        = "contains"
	FunctionPlus            = "plus"
	FunctionMinus           = "minus"
	FunctionMultiply        = "multiply"
	FunctionDivide          = "divide"
	FunctionIntDiv          = "intDiv"
	FunctionModulo          = "modulo"
	FunctionNegate          = "negate"
	FunctionAbs             = "abs"
	FunctionFloor           = "floor"
	FunctionCeil            = "ceil"
	FunctionRound           = "round"
	FunctionMultiIf         = "multiIf"
	FunctionCoalesce        = "coalesce"
	FunctionNullIf          = "nullIf"
	FunctionToString        = "toString"
	FunctionToInt           = "toInt"
	FunctionToFloat         = "toFloat"
	FunctionToBool          = "toBool"
	FunctionToDateTime      = "toDateTime"
	FunctionToDate          = "toDate"
	FunctionLower           = "lower"
	FunctionUpper           = "upper"
	FunctionLength          = "length"
	FunctionTrim            = "trim"
	FunctionConcat          = "concat"
	FunctionSubstring       = "substring"
	FunctionReplaceAll      = "replaceAll"
	FunctionStartsWith      = "startsWith"
	FunctionEndsWith        = "endsWith"
	FunctionPosition        = "position"
	FunctionSHA256Hex       = "sha256Hex"
	FunctionToYear          = "toYear"
	FunctionToMonth         = "toMonth"
	FunctionToDayOfMonth    = "toDayOfMonth"
	FunctionToDayOfWeek     = "toDayOfWeek"
	FunctionToHour          = "toHour"
	FunctionToMinute        = "toMinute"
	FunctionToSecond        = "toSecond"
	FunctionToUnixTimestamp = "toUnixTimestamp"
	FunctionFromUnix        = "fromUnixTimestamp"
	FunctionDateTrunc       = "dateTrunc"
	FunctionDateDiff        = "dateDiff"
	FunctionDateAdd         = "dateAdd"
	FunctionJSONHas         = "JSONHas"
)

// Greatest is above the size of any float that arithmetic takes or gives: of larger ones it gives null. Its square is
// beyond what a float can hold, which some sources take for an error.
const Greatest = 1e300

// The units of dateTrunc; dateDiff and dateAdd know those that always have the same length.
const (
	UnitSecond = "second"
	UnitMinute = "minute"
	UnitHour   = "hour"
	UnitDay    = "day"
	UnitWeek   = "week" // from Monday
	UnitMonth  = "month"
	UnitYear   = "year"
)

// UnitMicros is the length of the units that have one, in microseconds.
func UnitMicros(unit string) (int64, bool) {
	n, ok := map[string]int64{UnitSecond: 1e6, UnitMinute: 60e6, UnitHour: 3600e6, UnitDay: 86400e6, UnitWeek: 7 * 86400e6}[unit]
	return n, ok
}

var truncUnits = []string{UnitSecond, UnitMinute, UnitHour, UnitDay, UnitWeek, UnitMonth, UnitYear}

// A signature is what a simple function takes and gives.
type signature struct {
	params   []Type
	optional int // how many of the last params may be left out
	repeats  bool
	result   Type
}

// signatures are of the functions whose types do not depend on each other.
var signatures = map[string]signature{
	FunctionAnd:             {params: []Type{TypeBoolean, TypeBoolean}, repeats: true, result: TypeBoolean},
	FunctionOr:              {params: []Type{TypeBoolean, TypeBoolean}, repeats: true, result: TypeBoolean},
	FunctionNot:             {params: []Type{TypeBoolean}, result: TypeBoolean},
	FunctionLower:           {params: []Type{TypeString}, result: TypeString},
	FunctionUpper:           {params: []Type{TypeString}, result: TypeString},
	FunctionLength:          {params: []Type{TypeString}, result: TypeInteger},
	FunctionTrim:            {params: []Type{TypeString}, result: TypeString},
	FunctionConcat:          {params: []Type{TypeString, TypeString}, repeats: true, result: TypeString},
	FunctionStartsWith:      {params: []Type{TypeString, TypeString}, result: TypeBoolean},
	FunctionEndsWith:        {params: []Type{TypeString, TypeString}, result: TypeBoolean},
	FunctionPosition:        {params: []Type{TypeString, TypeString}, result: TypeInteger},
	FunctionContains:        {params: []Type{TypeString, TypeString}, result: TypeBoolean},
	FunctionSHA256Hex:       {params: []Type{TypeString}, result: TypeString},
	FunctionToYear:          {params: []Type{TypeInstant}, result: TypeInteger},
	FunctionToMonth:         {params: []Type{TypeInstant}, result: TypeInteger},
	FunctionToDayOfMonth:    {params: []Type{TypeInstant}, result: TypeInteger},
	FunctionToDayOfWeek:     {params: []Type{TypeInstant}, result: TypeInteger},
	FunctionToHour:          {params: []Type{TypeInstant}, result: TypeInteger},
	FunctionToMinute:        {params: []Type{TypeInstant}, result: TypeInteger},
	FunctionToSecond:        {params: []Type{TypeInstant}, result: TypeInteger},
	FunctionToUnixTimestamp: {params: []Type{TypeInstant}, result: TypeInteger},
	FunctionFromUnix:        {params: []Type{TypeInteger}, result: TypeInstant},
	FunctionDivide:          {params: []Type{TypeFloat, TypeFloat}, result: TypeFloat},
	FunctionIntDiv:          {params: []Type{TypeInteger, TypeInteger}, result: TypeInteger},
	FunctionModulo:          {params: []Type{TypeInteger, TypeInteger}, result: TypeInteger},
}

// synonyms are other names of functions.
var synonyms = map[string]string{
	"replace": FunctionReplaceAll, "toInt64": FunctionToInt, "toFloat64": FunctionToFloat, "toBoolean": FunctionToBool,
	"substr": FunctionSubstring, "toTimestamp": FunctionToDateTime, "ceiling": FunctionCeil,
	"date_trunc": FunctionDateTrunc, "date_diff": FunctionDateDiff, "SHA256Hex": FunctionSHA256Hex,
}

// starts are functions that cut an instant, with their units.
var starts = map[string]string{
	"toStartOfSecond": UnitSecond, "toStartOfMinute": UnitMinute, "toStartOfHour": UnitHour, "toStartOfDay": UnitDay,
	"toMonday": UnitWeek, "toStartOfMonth": UnitMonth, "toStartOfYear": UnitYear,
}

// additions are functions that add to an instant, with their units.
var additions = map[string]string{
	"addSeconds": UnitSecond, "addMinutes": UnitMinute, "addHours": UnitHour, "addDays": UnitDay, "addWeeks": UnitWeek,
}

// call is a call whose types are known to be right.
func call(function string, of Type, args ...Expr) Call {
	return Call{Function: function, Args: args, Of: of}
}

// Functions are the names of all functions that customers may call, sorted.
func Functions() []string {
	names := []string{
		FunctionIsNull, FunctionIsNotNull, FunctionLike, FunctionILike, "notLike", "notILike", FunctionMatch,
		FunctionEquals, FunctionNotEquals, FunctionLess, FunctionLessOrEquals, FunctionGreater, FunctionGreaterOrEquals,
		FunctionIn, "notIn", FunctionPlus, FunctionMinus, FunctionMultiply, FunctionNegate, FunctionAbs, FunctionFloor,
		FunctionCeil, FunctionRound, "if", FunctionMultiIf, FunctionCoalesce, "ifNull", FunctionNullIf, FunctionToString,
		FunctionToInt, FunctionToFloat, FunctionToBool, FunctionToDateTime, FunctionToDate, FunctionSubstring,
		FunctionDateTrunc, FunctionDateDiff, FunctionDateAdd, FunctionJSONHas,
		"JSONExtractString", "JSONExtractInt", "JSONExtractFloat", "JSONExtractBool", "JSONExtractRaw",
		"empty", "notEmpty", FunctionReplaceAll,
	}
	for _, table := range []map[string]string{synonyms, starts, additions} {
		for name := range table {
			names = append(names, name)
		}
	}
	for name := range signatures {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
