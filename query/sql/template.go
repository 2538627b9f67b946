package sql

import (
	"strconv"
	"strings"

	"tranche/query"
)

// templates are what functions print as, in the order of PostgreSQL, DuckDB, ClickHouse; a type behind a colon is that of
// the result, or of the argument where the function is a cast. Each means the same in all three, which the tests of
// querytest prove on the real engines.
var templates = map[string][3]string{
	query.FunctionNot: same("(NOT @1)"),

	query.FunctionEquals:                      same("(@1 = @2)"),
	query.FunctionNotEquals:                   same("(@1 <> @2)"),
	query.FunctionLess:                        same("(@1 < @2)"),
	query.FunctionLessOrEquals:                same("(@1 <= @2)"),
	query.FunctionGreater:                     same("(@1 > @2)"),
	query.FunctionGreaterOrEquals:             same("(@1 >= @2)"),
	query.FunctionLess + ":string":            {`(@1 COLLATE "C" < @2)`, "(@1 < @2)", "(@1 < @2)"},
	query.FunctionLessOrEquals + ":string":    {`(@1 COLLATE "C" <= @2)`, "(@1 <= @2)", "(@1 <= @2)"},
	query.FunctionGreater + ":string":         {`(@1 COLLATE "C" > @2)`, "(@1 > @2)", "(@1 > @2)"},
	query.FunctionGreaterOrEquals + ":string": {`(@1 COLLATE "C" >= @2)`, "(@1 >= @2)", "(@1 >= @2)"},
	query.FunctionIsNull:                      same("(@1 IS NULL)"),
	query.FunctionIsNotNull:                   same("(@1 IS NOT NULL)"),

	query.FunctionLike:  {"(@1 LIKE @2)", `(@1 LIKE @2 ESCAPE '\')`, "(@1 LIKE @2)"},
	query.FunctionILike: {"(" + folded("lower", "@1") + " LIKE " + folded("lower", "@2") + ")", `(lower(@1) LIKE lower(@2) ESCAPE '\')`, "(lowerUTF8(@1) LIKE lowerUTF8(@2))"},
	query.FunctionMatch: {"(@1 ~ @2)", "regexp_matches(@1, @2)", "match(@1, @2)"},

	query.FunctionPlus + ":integer":     exact("+"),
	query.FunctionMinus + ":integer":    exact("-"),
	query.FunctionMultiply + ":integer": exact("*"),
	query.FunctionPlus + ":float":       floats("+", sized("("+sized("@1")+" + "+sized("@2")+")")),
	query.FunctionMinus + ":float":      floats("-", sized("("+sized("@1")+" - "+sized("@2")+")")),
	query.FunctionMultiply + ":float":   floats("*", computed(multiplied, "@1", "@2")),
	query.FunctionDivide:                floats("/", computed(divided, "@1", "NULLIF(@2, 0)")),
	query.FunctionIntDiv: wide("div(@1::numeric, NULLIF(@2, 0)::numeric)", "(CAST(@1 AS HUGEINT) // NULLIF(@2, 0))",
		"intDiv(toInt128(@1), toInt128(NULLIF(@2, 0)))"),
	query.FunctionModulo:           {"(@1 % NULLIF(@2, 0))", "CAST(CAST(@1 AS HUGEINT) % NULLIF(@2, 0) AS BIGINT)", "toInt64(toInt128(@1) % toInt128(NULLIF(@2, 0)))"},
	query.FunctionNegate:           same("(-@1)"),
	query.FunctionAbs + ":integer": wide("abs(@1::numeric)", "abs(CAST(@1 AS HUGEINT))", "abs(toInt128(@1))"),
	query.FunctionAbs + ":float":   same("abs(@1)"),
	query.FunctionFloor:            same("floor(@1)"),
	query.FunctionCeil:             same("ceil(@1)"),
	query.FunctionNullIf:           same("NULLIF(@1, @2)"),

	query.FunctionToString + ":integer":   {"@1::text", "CAST(@1 AS VARCHAR)", "toString(@1)"},
	query.FunctionToString + ":float":     {"@1::text::numeric::text", duckFloat, clickHouseFloat},
	query.FunctionToString + ":boolean":   {"@1::text", "CAST(@1 AS VARCHAR)", "toString(CAST(@1 AS Nullable(Bool)))"},
	query.FunctionToString + ":timestamp": {"to_char(@1, 'YYYY-MM-DD HH24:MI:SS.US')", "strftime(@1, '%Y-%m-%d %H:%M:%S.%f')", "toString(@1)"},
	query.FunctionToString + ":date":      {"to_char(@1, 'YYYY-MM-DD')", "CAST(@1 AS VARCHAR)", "toString(@1)"},
	query.FunctionToString + ":json":      same("@1"),
	query.FunctionToInt + ":string":       read(query.IntegerPattern, "@1::bigint", "CAST(@1 AS BIGINT)", "toInt64OrNull(@1)"),
	query.FunctionToInt + ":float":        {"trunc(" + whole("@1") + ")::bigint", "CAST(trunc(" + duckWithin("@1", "abs(x) < 9223372036854775808e0") + ") AS BIGINT)", "toInt64(trunc(" + whole("@1") + "))"},
	query.FunctionToInt + ":boolean":      {"(@1::int)::bigint", "CAST(@1 AS BIGINT)", "toInt64(@1)"},
	query.FunctionToFloat + ":string":     read(query.FloatPattern, "@1::float8", "CAST(@1 AS DOUBLE)", "toFloat64OrNull(@1)"),
	query.FunctionToFloat + ":integer":    {"@1::float8", "CAST(@1 AS DOUBLE)", "toFloat64(@1)"},
	query.FunctionToBool + ":string":      same("(CASE @1 WHEN 'true' THEN true WHEN '1' THEN true WHEN 'false' THEN false WHEN '0' THEN false END)"),
	query.FunctionToBool + ":integer":     same("(@1 <> 0)"),
	query.FunctionToDateTime + ":string":  read(query.TimePattern, "@1::timestamptz", "CAST(CAST(@1 AS TIMESTAMPTZ) AS TIMESTAMP)", "parseDateTime64BestEffortOrNull(@1, 6, 'UTC')"),
	query.FunctionToDateTime + ":date":    {"@1::timestamptz", "CAST(@1 AS TIMESTAMP)", "toDateTime64(@1, 6, 'UTC')"},
	query.FunctionToDate + ":string":      read(query.TimePattern, "@1::timestamptz::date", "CAST(CAST(CAST(@1 AS TIMESTAMPTZ) AS TIMESTAMP) AS DATE)", "toDate32(parseDateTime64BestEffortOrNull(@1, 6, 'UTC'))"),
	query.FunctionToDate + ":timestamp":   {"@1::date", "CAST(@1 AS DATE)", "toDate32(@1)"},

	query.FunctionLower:      {folded("lower", "@1"), "lower(@1)", "lowerUTF8(@1)"},
	query.FunctionUpper:      {folded("upper", "@1"), "upper(@1)", "upperUTF8(@1)"},
	query.FunctionLength:     {"char_length(@1)::bigint", "length(@1)", "toInt64(lengthUTF8(@1))"},
	query.FunctionTrim:       {"btrim(@1, ' ')", "trim(@1, ' ')", "trimBoth(@1)"},
	query.FunctionSubstring:  {"substr(@1, @2::int, @3::int)", "substring(@1, @2, @3)", "substringUTF8(@1, @2, @3)"},
	query.FunctionReplaceAll: {"replace(@1, @2, @3)", "replace(@1, @2, @3)", "replaceAll(@1, @2, @3)"},
	query.FunctionStartsWith: {"starts_with(@1, @2)", "starts_with(@1, @2)", "startsWith(@1, @2)"},
	query.FunctionEndsWith:   {"(right(@1, char_length(@2)) = @2)", "ends_with(@1, @2)", "endsWith(@1, @2)"},
	query.FunctionPosition:   {"strpos(@1, @2)::bigint", "strpos(@1, @2)", "toInt64(positionUTF8(@1, @2))"},
	query.FunctionContains:   {"(strpos(@1, @2) > 0)", "contains(@1, @2)", "(positionUTF8(@1, @2) > 0)"},
	query.FunctionSHA256Hex:  {"encode(sha256(convert_to(@1, 'UTF8')), 'hex')", "sha256(@1)", "lower(hex(SHA256(@1)))"},

	query.FunctionToYear:       part("year", "toYear"),
	query.FunctionToMonth:      part("month", "toMonth"),
	query.FunctionToDayOfMonth: part("day", "toDayOfMonth"),
	query.FunctionToDayOfWeek:  part("isodow", "toDayOfWeek"),
	query.FunctionToHour:       part("hour", "toHour"),
	query.FunctionToMinute:     part("minute", "toMinute"),
	query.FunctionToSecond:     part("second", "toSecond"),
	query.FunctionToUnixTimestamp: {
		"floor(extract(epoch from @1))::bigint", "(epoch_us(date_trunc('second', @1)) // 1000000)", "toInt64(toUnixTimestamp64Second(toDateTime64(@1, 0, 'UTC')))",
	},
	// What is out of bounds must not get to the conversion: a source may compute a branch that it does not take.
	query.FunctionFromUnix: {
		"to_timestamp(" + seconds("@1") + "::float8)", "make_timestamp(" + duckWithin("@1", "x BETWEEN "+strconv.Itoa(query.FirstTime/1e6)+" AND "+strconv.Itoa(query.AfterTime/1e6-1)) + " * 1000000)", "fromUnixTimestamp64Second(" + seconds("@1") + ", 'UTC')",
	},
	query.FunctionDateTrunc: {"date_trunc(@1, @2)", "date_trunc(@1, @2)", "toDateTime64(dateTrunc(@1, @2, 'UTC'), 6, 'UTC')"},
	query.FunctionDateAdd: {
		within("("+within("@1", "timestamptz '1899-12-31 23:59:59.999999Z'", "timestamptz '2200-01-01Z'")+" + @2 * interval '1 microsecond')",
			"timestamptz '1899-12-31 23:59:59.999999Z'", "timestamptz '2200-01-01Z'"),
		"make_timestamp(" + duckMicros("("+duckMicros("epoch_us(@1)")+" + @2)") + ")",
		"fromUnixTimestamp64Micro(" + micros("("+micros("toUnixTimestamp64Micro(@1)")+" + @2)") + ", 'UTC')",
	},
	query.FunctionDateDiff + ":second": dateDiff("second", "1"),
	query.FunctionDateDiff + ":minute": dateDiff("minute", "60"),
	query.FunctionDateDiff + ":hour":   dateDiff("hour", "3600"),
	query.FunctionDateDiff + ":day":    dateDiff("day", "86400"),
}

// folded changes the case of letters in PostgreSQL by a collation that knows all letters, whatever the locale of the
// database. The result goes back to the plain order of its bytes: two collations in one expression are an error.
func folded(function, text string) string {
	return "(" + function + "(" + text + ` COLLATE "und-x-icu") COLLATE "C")`
}

func same(template string) [3]string { return [3]string{template, template, template} }

// exact computes with more digits than the result may have: one that does not fit is null.
func exact(operator string) [3]string {
	return wide("(@1::numeric "+operator+" @2::numeric)", "(CAST(@1 AS HUGEINT) "+operator+" CAST(@2 AS HUGEINT))",
		"(toInt128(@1) "+operator+" toInt128(@2))")
}

// wide makes integers of wider ones: those that do not fit are null.
func wide(postgres, duckDB, clickHouse string) [3]string {
	return read(query.IntegerPattern, "@1::bigint", "CAST(@1 AS BIGINT)", "toInt64OrNull(@1)",
		postgres+"::text", "CAST("+duckDB+" AS VARCHAR)", "toString("+clickHouse+")")
}

// The texts of floats have all digits and no exponents, which sources write each in its own way. Lambdas name the value, so
// that it is computed once.
const (
	duckFloat = `list_transform([CAST(@1 + 0 AS VARCHAR)], lambda x: CASE WHEN NOT contains(x, 'e') THEN regexp_replace(x, '\.0$', '') ` +
		`ELSE regexp_extract(x, '^-') || CASE WHEN contains(x, 'e-') ` +
		`THEN '0.' || repeat('0', TRY_CAST(regexp_extract(x, 'e-([0-9]+)', 1) AS INTEGER) - 1) || replace(regexp_extract(x, '[0-9.]+'), '.', '') ` +
		`ELSE rpad(replace(regexp_extract(x, '[0-9.]+'), '.', ''), TRY_CAST(regexp_extract(x, '[0-9]+$') AS INTEGER) + 1, '0') END END)[1]`
	clickHouseFloat = `arrayMap(x -> if(position(x, 'e') = 0, x, concat(extract(x, '^-'), if(position(x, 'e-') > 0, ` +
		`concat('0.', repeat('0', toInt32OrZero(extract(x, 'e-([0-9]+)')) - 1), replaceOne(extract(x, '[0-9.]+'), '.', '')), ` +
		`rightPad(replaceOne(extract(x, '[0-9.]+'), '.', ''), toInt32OrZero(extract(x, '[0-9]+$')) + 1, '0')))), [toString(@1 + 0)])[1]`
)

// within is a value that lies between two others, and else null. Unlike a CASE it needs the value once, so that nested
// ones do not double with each level.
func within(text, above, below string) string {
	return "NULLIF(NULLIF(least(greatest(" + text + ", " + above + "), " + below + "), " + below + "), " + above + ")"
}

// duckWithin is a value of which a condition on x holds, and else null. To DuckDB NULLIF is a CASE that has its value twice,
// so that nested ones take minutes to plan.
func duckWithin(text, condition string) string {
	return "list_transform([" + text + "], lambda x: CASE WHEN " + condition + " THEN x END)[1]"
}

func duckMicros(text string) string {
	return duckWithin(text, "x BETWEEN "+strconv.Itoa(query.FirstTime)+" AND "+strconv.Itoa(query.AfterTime-1))
}

// floats computes with floats of a size that all sources can compute with.
func floats(operator, postgres string) [3]string {
	second := "@2"
	if operator == "/" {
		second = "NULLIF(@2, 0)"
	}
	fits := "abs(x) < " + strconv.FormatFloat(query.Greatest, 'g', -1, 64)
	return [3]string{
		postgres, duckWithin("("+duckWithin("@1", fits)+" "+operator+" "+duckWithin(second, fits)+")", fits),
		sized("(" + sized("@1") + " " + operator + " " + sized(second) + ")"),
	}
}

// sized is a float with which, and with whose like, a source can compute.
func sized(text string) string {
	greatest := strconv.FormatFloat(query.Greatest, 'g', -1, 64)
	return within(text, "-"+greatest, greatest)
}

// whole is a float whose digits before the point fit an integer.
func whole(text string) string {
	return within(text, "-9223372036854775808e0", "9223372036854775808e0")
}

// micros and seconds are those since 1970 of times that can be given.
func micros(text string) string {
	return within(text, strconv.Itoa(query.FirstTime-1), strconv.Itoa(query.AfterTime))
}

func seconds(text string) string {
	return within(text, strconv.Itoa(query.FirstTime/1e6-1), strconv.Itoa(query.AfterTime/1e6))
}

// PostgreSQL takes it for an error when the result of floats is too large, and when it is too small to be more than zero.
// The first is null, the second zero, as elsewhere. OFFSET 0 keeps the planner from writing the operands out in all the
// places where they are named.
const (
	operands   = " END FROM (SELECT @1 AS a, @2 AS b OFFSET 0) AS v)"
	multiplied = "(SELECT CASE WHEN abs(v.b) > 1 AND abs(v.a) >= 1e300 / NULLIF(abs(v.b), 0) THEN NULL " +
		"WHEN abs(v.b) < 1 AND v.a <> 0 AND abs(v.a) < float8 '1e-323' / NULLIF(abs(v.b), 0) THEN 0 ELSE v.a * v.b"
	divided = "(SELECT CASE WHEN abs(v.b) < 1 AND v.a <> 0 AND abs(v.a) >= 1e300 * abs(v.b) THEN NULL " +
		"WHEN abs(v.b) > 1 AND v.a <> 0 AND abs(v.a) < float8 '1e-323' * abs(v.b) THEN 0 ELSE v.a / v.b"
)

// computed is what becomes of two operands.
func computed(result, a, b string) string {
	return result + strings.NewReplacer("@1", sized(a), "@2", sized(b)).Replace(operands)
}

// read converts text that matches the pattern; other text is null.
func read(pattern, postgres, duckDB, clickHouse string, from ...string) [3]string {
	if from == nil {
		from = []string{"@1", "@1", "@1"}
	}
	pattern = literal(pattern)
	escaped := strings.ReplaceAll(pattern, `\`, `\\`) // ClickHouse reads escapes in texts
	into := func(template, text string) string {
		return fill(template, textFragment(text)).text
	}
	return [3]string{
		into(postgres, "(substring("+from[0]+" from "+pattern+"))"),
		into(duckDB, "NULLIF(regexp_extract("+from[1]+", "+pattern+"), '')"),
		into(clickHouse, "extract("+from[2]+", "+escaped+")"),
	}
}

// part is a part of an instant.
func part(name, clickHouse string) [3]string {
	return [3]string{
		"floor(extract(" + name + " from @1))::bigint", "CAST(" + name + "(@1) AS BIGINT)", "toInt64(" + clickHouse + "(@1))",
	}
}

// dateDiff counts the boundaries of a unit between two instants.
func dateDiff(unit, seconds string) [3]string {
	count := func(at string) string { return "floor(extract(epoch from " + at + ") / " + seconds + ")::bigint" }
	return [3]string{
		"(" + count("@2") + " - " + count("@1") + ")", "date_diff('" + unit + "', @1, @2)", "toInt64(dateDiff('" + unit + "', @1, @2, 'UTC'))",
	}
}
