package sourcetest

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/query"
)

// oddities are values of a property, as JSON, that sources read in ways of their own if they are let.
var oddities = []string{
	// Numbers in text: what looks like one, and what nearly does.
	`"0"`, `"-0"`, `"00012"`, `"+5"`, `" 5"`, `"5 "`, `"5\n"`, `"1.5"`, `"1."`, `".5"`, `"-.5"`, `"1e5"`, `"1E+5"`, `"1e-5"`, `"1e100"`, `"1e"`, `"0x10"`, `"1_000"`, `"1,5"`, `"１２"`,
	`"٣"`, `"inf"`, `"-Infinity"`, `"nan"`, `"NaN"`, `"9007199254740993"`, `"123456789012345678"`, `"-123456789012345678"`, `"1234567890123456789"`, `"9223372036854775807"`, `"-9223372036854775807"`, `"-9223372036854775808"`,
	`"9223372036854775808"`, `"9999999999999999999"`, `"18446744073709551615"`, `"` + strings.Repeat("9", 200) + `"`, `"` + strings.Repeat("9", 200) + `e99"`, `"-` + strings.Repeat("9", 200) + `.5e99"`, `"` + strings.Repeat("9", 201) + `"`,
	`"0.` + strings.Repeat("0", 49) + `1e-99"`, `"0.1"`, `"0.30000000000000004"`, `"2.5"`, `"-2.5"`, `"0.5"`, `"1e20"`, `"1e21"`, `"123456789.125"`, `"0.00001"`, `"1e15"`, `"1e16"`, `"123456789012345680000"`, `"0.000001"`, `"0.0000015"`, `"1.5e300"`,
	// Numbers, truths, objects and lists of JSON.
	`0`, `1`, `-1`, `5`, `1.5`, `-2.25`, `9007199254740993`, `1234567890123456789`, `9223372036854775807`, `true`, `false`, `null`, `{}`, `[]`, `[1,2]`, `{"a":{"b":null}}`, `["x"]`, `{"0":"zero","-":"dash"}`,
	// Truths in text.
	`"true"`, `"True"`, `"TRUE"`, `"false"`, `"t"`, `"yes"`, `"1"`, `""`, `" "`, `"null"`,
	// Letters whose case is not one letter for another.
	`"ß"`, `"ẞ"`, `"STRASSE"`, `"straße"`, `"İ"`, `"ı"`, `"I"`, `"i"`, `"ΑΣ"`, `"ας"`, `"ασ"`, `"ſ"`, `"S"`, `"\u212a"`, `"k"`, `"ŉ"`, `"ǅ"`, `"ǆ"`, `"Ǆ"`, `"ﬁ"`, `"FI"`, `"é"`, `"e\u0301"`, `"É"`, `"Ω"`, `"\u2126"`, `"ω"`, `"Ꭰ"`, `"ꭰ"`, `"ა"`, `"Ა"`, `"𐐀"`, `"𐐨"`, `"ΐ"`, `"ᾳ"`, `"ͅ"`, `"µ"`, `"μ"`, `"ÿ"`, `"Ÿ"`,
	// Text that is hard to count, cut or escape.
	`"👨‍👩‍👧"`, `"\ud83d\ude00"`, `"日本語"`, `"a\tb"`, `"line\nbreak"`, `"line\r\nbreak"`, `"back\\slash"`, `"it's"`, `"\"q\""`, `"100%"`, `"a_b"`, `"[x]"`, `"(x)"`, `"$1"`, `"\\1"`, `"\u00a0x\u00a0"`, `"\u200bx"`, `"  x  "`, `"\tx\t"`, `"\ufeffx"`, `"\u2028"`, `"\u007f"`, `"\u0001"`, `"a/b~c"`,
	// Times, and what nearly is one.
	`"2024-02-29"`, `"2023-02-29"`, `"2024-02-30"`, `"2024-04-31"`, `"1900-02-29"`, `"2000-02-29"`, `"2100-02-29"`, `"2024-13-01"`, `"2024-1-1"`, `"20240101"`, `" 2024-01-01"`, `"2024-01-01 "`, `"2024-01-01\n"`, `"1899-12-31"`, `"1900-01-01"`, `"1900-01-01T00:00:00+02:00"`, `"2199-12-31T23:59:59.999999Z"`, `"2199-12-31T23:59:59-13:59"`, `"2200-01-01"`, `"0001-01-01"`,
	`"2024-01-01T00:00"`, `"2024-01-01T24:00:00Z"`, `"2024-01-01T23:59:60Z"`, `"2024-06-30T23:59:59.9999999Z"`, `"2024-06-30T23:59:59.123456789Z"`, `"2024-06-30T23:59:59.1Z"`, `"2024-06-30T23:59:59,5Z"`, `"2024-06-30 12:00:00"`, `"2024-06-30 12:00:00+02"`, `"2024-06-30T12:00:00+0200"`, `"2024-06-30T12:00:00+05:30"`, `"2024-06-30T12:00:00-13:59"`, `"2024-06-30T12:00:00+14:00"`, `"2024-06-30T12:00:00-00:00"`, `"2024-06-30t12:00:00z"`, `"2024-06-30T12:00:00 Z"`, `"2024-06-30T12:00:00Europe/Berlin"`, `"12:00:00"`, `"now"`, `"today"`, `"infinity"`, `"epoch"`, `"1719748800"`, `1719748800`, `1719748800000`,
}

// about are asked of each of them: o is the value, p the one of another row.
var about = []string{
	"o", "toInt(o)", "toFloat(o)", "toBool(o)", "toDateTime(o)", "toDate(o)", "toString(toInt(o))", "toString(toFloat(o))", "toString(toBool(o))", "toString(toDateTime(o))", "toString(toDate(o))", "toInt(toFloat(o))", "toFloat(toInt(o))", "toInt(toBool(o))",
	"toInt(o) + 1", "toInt(o) - 1", "toInt(o) * toInt(p)", "toInt(o) + toInt(p)", "-toInt(o)", "abs(toInt(o))", "intDiv(toInt(o), toInt(p))", "intDiv(toInt(o), -1)", "toInt(o) % toInt(p)", "toInt(o) % -1", "intDiv(toInt(o), 0)", "toInt(o) / toInt(p)", "toInt(o) = 9007199254740993", "toInt(o) + 1.5",
	"toFloat(o) + toFloat(p)", "toFloat(o) - toFloat(p)", "toFloat(o) * toFloat(p)", "toFloat(o) * toFloat(o)", "toFloat(o) * toFloat(o) * toFloat(o)", "toFloat(o) / toFloat(p)", "1 / toFloat(o)", "toFloat(o) / 0", "-toFloat(o)", "abs(toFloat(o))", "floor(toFloat(o))", "ceil(toFloat(o))", "round(toFloat(o))", "round(toFloat(o), 2)", "round(toFloat(o), 15)", "((toFloat(o) * toFloat(p) + 1) / 3 - toFloat(o)) * 2 + round(toFloat(p) / 7, 2)",
	"o = p", "o != p", "o < p", "o >= p", "o > '5'", "o > 5", "o = 5", "o = '5'", "o = true", "o BETWEEN '1' AND '5'", "o BETWEEN 1 AND 5", "toFloat(o) = toFloat(p)", "toFloat(o) < toFloat(p)", "toInt(o) <= toInt(p)", "toBool(o) = toBool(p)", "toBool(o) < toBool(p)", "toDateTime(o) < toDateTime(p)", "toDate(o) = toDate(p)", "toDateTime(o) > timestamp",
	"o IN ('5', 'ß', '', 'null')", "o IN (5, 1.5)", "o NOT IN ('5')", "toInt(o) IN (5, -1, 9223372036854775807)", "toFloat(o) IN (1.5, 0)", "NOT o = p", "o = p OR o IS NULL", "o = p AND NULL", "o = p OR NULL", "NOT NULL", "NULL AND true", "if(NULL, 1, 2)", "CASE WHEN o = p THEN 'same' END", "CASE o WHEN '5' THEN 1 WHEN 'ß' THEN 2 END", "nullIf(o, p)", "coalesce(o, p, 'none')", "nullIf(toFloat(o), toFloat(p))", "nullIf(toInt(o), 5)",
	"match(o, '(?i)ss')", "match(o, '(?i)^k$')", "match(o, '(?i)^ω$')", "match(o, '(?i)ǆ')", "match(o, '(?i)^i$')", "match(o, '(?i)µ')",
	"o LIKE '_'", "o LIKE '__'", "o LIKE '%5%'", `o LIKE '%\\_%'`, `o LIKE '100\\%'`, `o LIKE '%\\\\%'`, `o LIKE 'back\\\\\\\\slash'`, "o LIKE ''", "o NOT LIKE '%'", "o LIKE '%\n%'",
	`match(o, '^\\d+$')`, `match(o, '^\\w+$')`, `match(o, '^\\s|\\s$')`, `match(o, '\\bx\\b')`, `match(o, '^.$')`, `match(o, '^.{3}$')`, `match(o, '\\p{Greek}')`, `match(o, '\\p{Lu}')`, `match(o, '\\PL')`, `match(o, '[[:alpha:]]')`, `match(o, '[[:punct:]]')`, `match(o, '[^[:ascii:]]')`, `match(o, '(a|b)+?')`, `match(o, '(?P<x>.)')`, `match(o, '\\x41|\\x{1F600}')`, `match(o, '\\Qa.b\\E')`, `match(o, '^$')`, `match(o, '(?m)^b')`, `match(o, '(?s)^l.*k$')`, `match(o, 'e\\z')`, `match(o, '\\A2')`, `match(o, '[\\d\\-]{4}')`, `match(o, '(?U)a+')`, `match(o, '5?$')`, `match(o, '$^')`, `match(o, '[^\\x00-\\x{10FFFF}]')`, `match(o, '[a\\]\\\\\\[^-]')`,
	"properties.o.a", "properties.o.a.b", "properties['o']['0']", "properties['o']['-']", "properties['o'][' 0']", "properties['o']['+0']", "properties['o']['-1']", "properties['o']['00']", "properties.o.o", "JSONHas(properties, 'o')", "JSONHas(properties, 'o', 'a')", "JSONHas(properties, 'o', 'a', 'b')", "JSONExtractInt(properties, 'o')", "JSONExtractFloat(properties, 'o')", "JSONExtractBool(properties, 'o')", "JSONExtractString(properties, 'o')",
	"toYear(toDateTime(o))", "toMonth(toDateTime(o))", "toDayOfMonth(toDateTime(o))", "toDayOfWeek(toDateTime(o))", "toHour(toDateTime(o))", "toMinute(toDateTime(o))", "toSecond(toDateTime(o))", "toUnixTimestamp(toDateTime(o))", "fromUnixTimestamp(toInt(o))",
	"dateTrunc('second', toDateTime(o))", "dateTrunc('week', toDateTime(o))", "dateTrunc('month', toDateTime(o))", "dateTrunc('year', toDateTime(o))", "addDays(toDateTime(o), 1)", "addWeeks(toDateTime(o), 1000000)", "addWeeks(toDateTime(o), -1000000)", "addSeconds(toDateTime(o), -1)", "dateDiff('second', toDateTime(o), toDateTime(p))", "dateDiff('day', toDateTime(o), toDateTime(p))", "dateDiff('hour', toDate(o), toDateTime(p))", "dateDiff('minute', toDateTime(o), timestamp)", "toDateTime(toDate(o))", "toString(addDays(toDate(o), 1))",
}

// aboutText are asked of those that are no objects and lists, of which sources keep the white space or do not.
var aboutText = []string{
	"length(o)", "substring(o, 1, 1)", "substring(o, 2)", "substring(o, 2, 1)", "trim(o)", "concat(o, p)", "concat(o, '|', o)", "replaceAll(o, '1', '22')", "replaceAll(o, 'a', '')", "position(o, '1')", "position(o, '')", "position(o, p)", "contains(o, p)", "startsWith(o, p)", "endsWith(o, p)", "startsWith(o, '')", "sha256Hex(o)", "empty(o)", "notEmpty(o)",
	`match(o, '\\s')`,
}

// aboutCase are asked of those whose every letter has one counterpart in the other case: sources have their own ways with others.
var aboutCase = []string{
	"lower(o)", "upper(o)", "lower(upper(o))", "o ILIKE '%ss%'", "o ILIKE 'É'", "o ILIKE 'i'", "o ILIKE 'ας'", "o ILIKE 'K'", "lower(o) = lower(p)", "o ILIKE '_'", "o ILIKE '%Q%'", "contains(lower(o), lower(p))",
}

// The conditions for them.
const (
	isText  = "NOT match(o, '^[{\\\\[]') AND NOT match(p, '^[{\\\\[]')"
	isPlain = isText + " AND NOT match(concat(o, p), '[ßẞİŉΐΑΣσςﬁᾳ]')"
)

// oddFilters are filters on them.
var oddFilters = []string{
	`{"value":5}`, `{"value":0}`, `{"value":"0"}`, `{"value":"5"}`, `{"value":9007199254740993}`, `{"value":9007199254740992}`, `{"value":[9223372036854775807,"ß",1.5]}`, `{"value":true}`, `{"value":[false,1]}`, `{"value":""}`, `{"value":"null"}`, `{"value":"\u0001"}`,
	`{"operator":"is_not","value":0}`, `{"operator":"is_not","value":["5",5,true]}`, `{"operator":"is_not","value":9007199254740993}`, `{"operator":"not_in","value":["",0]}`, `{"operator":"in","value":[1e300,-0.0]}`,
	`{"operator":"icontains","value":""}`, `{"operator":"icontains","value":"5"}`, `{"operator":"icontains","value":5}`, `{"operator":"icontains","value":"%"}`, `{"operator":"icontains","value":["_","É"]}`, `{"operator":"icontains","value":"NULL"}`, `{"operator":"not_icontains","value":"A"}`, `{"operator":"not_icontains","value":["1","2"]}`,
	`{"operator":"regex","value":"^$"}`, `{"operator":"regex","value":"(?i)É"}`, `{"operator":"regex","value":5}`, `{"operator":"not_regex","value":"."}`, `{"operator":"not_regex","value":["^[0-9]+$","x"]}`, `{"operator":"is_set"}`, `{"operator":"is_not_set","value":"x"}`,
	`{"operator":"gt","value":5}`, `{"operator":"gt","value":"5"}`, `{"operator":"gt","value":"a"}`, `{"operator":"gt","value":""}`, `{"operator":"gte","value":1e15}`, `{"operator":"lt","value":-1}`, `{"operator":"lte","value":"0"}`, `{"operator":"lte","value":["0","a"]}`, `{"operator":"lt","value":true}`, `{"operator":"gte","value":"2024"}`, `{"operator":"gt","value":"9223372036854775807"}`,
	`{"operator":"is_date_exact","value":"2024-02-29"}`, `{"operator":"is_date_exact","value":"2024-06-30T10:00:00Z"}`, `{"operator":"is_date_exact","value":["2024-06-30","1900-01-01"]}`, `{"operator":"is_date_before","value":"2024-06-30"}`, `{"operator":"is_date_before","value":"1900-01-01T00:00:00Z"}`, `{"operator":"is_date_after","value":"2199-12-31"}`, `{"operator":"is_date_after","value":"2024-06-30 06:30:00+00:00"}`, `{"operator":"is_date_after","value":"1900-01-01"}`,
}

// odd is an expression of o and p as one of the properties.
func odd(text string) string {
	return oddNames.ReplaceAllString(text, "${1}properties.${2}")
}

// oddNames finds o and p where they are names.
var oddNames = regexp.MustCompile(`(^|[ (-])([op])\b`)

// oddRows have each of the oddities under o, and another one under p.
func oddRows() []Row {
	all := make([]Row, len(oddities))
	for i, value := range oddities {
		all[i] = row(20_000+i, hour.Start.Add(time.Duration(i)*time.Millisecond))
		all[i].Event = "odd"
		all[i].Properties = `{"o":` + value + `,"p":` + oddities[(i*7+i/5)%len(oddities)] + `}`
	}
	return all
}

// escapes are properties with escapes in them that sources refuse to read, in the value or beside it.
var escapes = []string{
	`{"o":"cut \ud83d","p":"x"}`, `{"o":"\ude00 cut","p":1}`, `{"o":"x","p":"\uD83D"}`, `{"o":"\ud83d\ud83d\ude00\ude00","p":"\ud83d\ude00"}`, `{"o":"\\ud83d","p":"\\\ud83d"}`, `{"o":"\\ud83d\ude00","p":"\uD83d\uDE00"}`,
	`{"\ud83d":1,"o":"key"}`, `{"o":{"a":"\udfff"},"p":["\ud800"]}`, `{"o":"\ufffd","p":"\u0041"}`,
}

// testEscapes: one value that a source cannot read must not stop an export.
func testEscapes(ctx context.Context, t *testing.T, f Fixture) {
	t.Helper()
	if f.Parsed {
		return // it has none of them
	}
	a := agreement{Fixture: f, rows: make([]Row, len(escapes))}
	for i, properties := range escapes {
		a.rows[i] = row(i, hour.Start)
		a.rows[i].Properties = properties
	}
	f.Seed(t, a.rows)
	for _, text := range []string{"o", "p", "properties.o.a", "JSONHas(properties, 'p')"} {
		t.Run(text, func(t *testing.T) {
			s, err := query.ParseSelect("SELECT uuid, "+odd(text)+" AS v FROM events", query.PostHog())
			require.NoError(t, err)
			a.compare(ctx, t, []query.Expr{s.Columns[1].Expr}, nil)
		})
	}
}

// testOddities asks the same of each odd value.
func testOddities(ctx context.Context, t *testing.T, f Fixture) {
	t.Helper()
	a := agreement{Fixture: f, rows: oddRows()}
	f.Seed(t, a.rows)
	for condition, texts := range map[string][]string{"true": about, isText: aboutText, isPlain: aboutCase} {
		for _, text := range texts {
			t.Run(text, func(t *testing.T) {
				s, err := query.ParseSelect("SELECT properties, uuid, "+odd(text)+" AS v FROM events WHERE "+odd(condition), query.PostHog())
				require.NoError(t, err)
				a.compare(ctx, t, []query.Expr{s.Columns[2].Expr, s.Columns[0].Expr}, s.Where)
			})
		}
	}
	for _, text := range oddFilters {
		t.Run(text, func(t *testing.T) {
			a.filters(ctx, t, `[{"key":"o","type":"event",`+text[1:]+`]`)
		})
	}
}
