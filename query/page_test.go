package query_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/doctest"
	"tranche/query"
	"tranche/query/querytest"
)

// A documented function has an example, and what it gives for the event below.
type documented struct {
	names   string // with spaces between those that are the same
	means   string
	example string
	gives   string
}

// documentedEvent is what the examples are about.
var documentedEvent = querytest.Row{
	query.FieldUUID: "0198", query.FieldTeamID: int64(7), query.FieldEvent: "Sign up", query.FieldDistinctID: "someone",
	query.FieldTimestamp:  time.Date(2026, 1, 31, 12, 34, 56, 0, time.UTC),
	query.FieldInsertedAt: time.Date(2026, 1, 31, 12, 35, 0, 0, time.UTC),
	query.FieldProperties: `{"n": 7, "price": "2.5", "paid": true, "deep": {"a": [1]}, "at": "2026-01-31T12:00:00Z"}`,
}

// chapters are the functions in the order of the page.
var chapters = []struct {
	name      string
	functions []documented
}{
	{"Comparisons and logic", []documented{
		{"equals notEquals", "`=` and `!=`; null when one of them is", "notEquals(event, 'x')", "true"},
		{"less lessOrEquals greater greaterOrEquals", "`<`, `<=`, `>`, `>=`", "less(toInt(properties.n), 8)", "true"},
		{"in notIn", "`IN (…)`: one of the constants behind it, at most 1,000", "in(event, 'Sign up', 'Log in')", "true"},
		{"and or not", "`AND`, `OR`, `NOT`, of conditions that may be null", "or(event = 'x', team_id = 7)", "true"},
		{"isNull isNotNull", "`IS NULL`, `IS NOT NULL`", "isNull(properties.missing)", "true"},
		{"like notLike", "`LIKE`: `%` is any text, `_` any character, `\\` takes their meaning away", "like(event, 'Sign%')", "true"},
		{"ilike notILike", "the same, whatever the case", "ilike(event, 'SIGN%')", "true"},
		{"match", "`=~`: a regular expression finds something, as RE2 has it", "match(event, '^S.*p$')", "true"},
		{"empty notEmpty", "null or the empty text, and its opposite", "empty(properties.missing)", "true"},
	}},
	{"Choices", []documented{
		{"if", "the second when the first is true, else the third", "if(team_id > 5, 'high', 'low')", `"high"`},
		{"multiIf", "pairs of condition and value, and what else: `CASE WHEN … THEN … ELSE … END`", "multiIf(team_id = 1, 'one', team_id = 7, 'seven', 'other')", `"seven"`},
		{"coalesce ifNull", "the first that is not null; `??`", "coalesce(properties.missing, 'none')", `"none"`},
		{"nullIf", "null when both are equal, else the first", "nullIf(event, 'Sign up')", "null"},
	}},
	{"Numbers", []documented{
		{"plus minus multiply", "`+`, `-`, `*`; whole numbers stay whole", "plus(toInt(properties.n), 1)", "8"},
		{"divide", "`/`, of floats; by zero it is null", "divide(7, 2)", "3.5"},
		{"intDiv", "whole division, towards zero; by zero it is null", "intDiv(7, 2)", "3"},
		{"modulo", "`%`, what is left of it", "modulo(7, 4)", "3"},
		{"negate abs", "`-x`, and the value without its sign", "abs(negate(team_id))", "7"},
		{"floor ceil ceiling", "the next whole number below, above; a float", "ceil(2.1)", "3"},
		{"round", "to whole numbers, or a constant number of digits up to 15", "round(2.567, 2)", "2.57"},
	}},
	{"Casts", []documented{
		{"toString", "text of anything; of times as in `2026-01-31T12:34:56.000000Z`", "toString(team_id)", `"7"`},
		{"toInt toInt64", "a whole number, or null; of floats what is before the point", "toInt(properties.n)", "7"},
		{"toFloat toFloat64", "a number, or null", "toFloat(properties.price)", "2.5"},
		{"toBool toBoolean", "the texts `true` and `1`, and numbers but 0, are true; `false`, `0` and the number 0 are false; all else is null", "toBool(properties.paid)", "true"},
		{"toDateTime toTimestamp", "a time out of ISO 8601 text from 1900 to 2199, UTC without an offset, or null", "toDateTime(properties.at)", `"2026-01-31T12:00:00Z"`},
		{"toDate", "the day of a time in UTC, or of a text", "toDate(timestamp)", `"2026-01-31T00:00:00Z"`},
	}},
	{"Text", []documented{
		{"lower upper", "in small, in capital letters", "lower(event)", `"sign up"`},
		{"length", "how many characters", "length(event)", "7"},
		{"trim", "without spaces at both ends", "trim('  x ')", `"x"`},
		{"concat", "<code>&#124;&#124;</code>: one behind the other; null when one of them is", "concat(event, '!')", `"Sign up!"`},
		{"substring substr", "from a constant position, from 1, and up to a constant length", "substring(event, 1, 4)", `"Sign"`},
		{"replaceAll replace", "every constant text by another", "replaceAll(event, ' ', '_')", `"Sign_up"`},
		{"startsWith endsWith contains", "whether it begins with, ends with, or has a text in it", "startsWith(event, 'Sign')", "true"},
		{"position", "where a text begins, from 1; 0 = nowhere", "position(event, 'up')", "6"},
		{"sha256Hex SHA256Hex", "the SHA-256 of the text's UTF-8, in hexadecimal", "substring(sha256Hex('a'), 1, 8)", `"ca978112"`},
	}},
	{"Times", []documented{
		{"toYear toMonth toDayOfMonth", "parts of a time in UTC", "toYear(timestamp)", "2026"},
		{"toDayOfWeek", "1 is Monday, 7 is Sunday", "toDayOfWeek(timestamp)", "6"},
		{"toHour toMinute toSecond", "parts of a time in UTC", "toHour(timestamp)", "12"},
		{"toUnixTimestamp fromUnixTimestamp", "seconds since 1970, and back", "toUnixTimestamp(timestamp)", "1769862896"},
		{"dateTrunc date_trunc", "the start of the `second`, `minute`, `hour`, `day`, `week` (Monday), `month` or `year`", "dateTrunc('hour', timestamp)", `"2026-01-31T12:00:00Z"`},
		{"toStartOfSecond toStartOfMinute toStartOfHour toStartOfDay toMonday toStartOfMonth toStartOfYear", "the same under names of their own", "toStartOfDay(timestamp)", `"2026-01-31T00:00:00Z"`},
		{"dateAdd", "a time and a constant number of units, `second` to `week`", "dateAdd('day', 1, timestamp)", `"2026-02-01T12:34:56Z"`},
		{"addSeconds addMinutes addHours addDays addWeeks", "the same under names of their own", "addHours(timestamp, -1)", `"2026-01-31T11:34:56Z"`},
		{"dateDiff date_diff", "how many borders of a `second`, `minute`, `hour` or `day` are between two times", "dateDiff('second', timestamp, inserted_at)", "4"},
	}},
	{"JSON", []documented{
		{"JSONHas", "whether there is something under the keys, and not null", "JSONHas(properties, 'deep', 'a')", "true"},
		{"JSONExtractString", "the text under the keys: `properties.deep.a` is the same", "JSONExtractString(properties, 'price')", `"2.5"`},
		{"JSONExtractInt JSONExtractFloat JSONExtractBool", "the same, and a cast", "JSONExtractInt(properties, 'n')", "7"},
		{"JSONExtractRaw", "the JSON under the keys, as JSON", "JSONExtractRaw(properties, 'deep')", `"{\"a\": [1]}"`},
	}},
}

// The tables of docs/queries.md are written by "make docs".
func TestThePageOfQueriesIsCurrent(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	var named []string
	interval := batch.Interval{End: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)}
	for _, c := range chapters {
		text.WriteString("### " + c.name + "\n\n" + doctest.Table("function", "is", "example"))
		for _, f := range c.functions {
			names := strings.Fields(f.names)
			named = append(named, names...)
			s, err := query.ParseSelect("SELECT "+f.example+" AS v FROM events", query.PostHog())
			require.NoError(t, err, f.example)
			gives, err := json.Marshal(querytest.Evaluate(s.Columns[0].Expr, documentedEvent, interval))
			require.NoError(t, err)
			require.Equal(t, f.gives, string(gives), f.example)
			text.WriteString(doctest.Row("`"+strings.Join(names, "`, `")+"`", f.means, fmt.Sprintf("`%s` → `%s`", f.example, f.gives)))
		}
		text.WriteString("\n")
	}
	text.WriteString("Examples are about an event named `Sign up` of team 7 at 2026-01-31 12:34:56 with the properties `" + documentedEvent[query.FieldProperties].(string) + "`. In files, times have six digits and dates none.\n")
	slices.Sort(named)
	require.Equal(t, query.Functions(), named, "each function has its row, and only one")
	doctest.Generated(t, "docs/queries.md", "functions", text.String())
}

// operatorsMean is what the operators of filters ask.
var operatorsMean = map[string]string{
	"exact": "it equals a value", "is_not": "the opposite of `exact`", "in": "the same as `exact`, for lists", "not_in": "the opposite of `in`",
	"icontains": "it contains a value, whatever the case", "not_icontains": "the opposite of `icontains`",
	"regex": "a regular expression finds something in it", "not_regex": "the opposite of `regex`",
	"is_set": "it is there, and not null; `value` does not count", "is_not_set": "the opposite of `is_set`",
	"gt": "it is greater than a value: as numbers if the value is one or looks like one, else as text", "gte": "greater, or equal", "lt": "less", "lte": "less, or equal",
	"is_date_exact": "it is the moment, or within the day", "is_date_before": "it is before the moment or the day", "is_date_after": "it is after the moment or the day",
}

// The table of docs/filters.md is written by "make docs".
func TestThePageOfFiltersIsCurrent(t *testing.T) {
	t.Parallel()
	text := doctest.Table("operator", "keeps rows whose property is so")
	for _, operator := range query.Operators() {
		require.NotEmpty(t, operatorsMean[operator], operator)
		text += doctest.Row("`"+operator+"`", operatorsMean[operator])
	}
	require.Len(t, operatorsMean, len(query.Operators()))
	doctest.Generated(t, "docs/filters.md", "operators", text)
}
