package sql

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tranche/query"
)

// clickHouseJSON leaves text as it is, and writes objects, maps, tuples and arrays as JSON. The type is known when the
// query is planned, so one branch is left of it.
const clickHouseJSON = `if(match(toTypeName(@1), '^(LowCardinality\\()?(Nullable\\()?(String|FixedString|Nothing)'), ` +
	`CAST(@1 AS Nullable(String)), if(isNull(@1), NULL, toJSONString(@1)))`

// clickHouseText writes a value as a parameter has it, in the format of tab-separated values.
func clickHouseText(bound any, of query.Type) any {
	switch v := bound.(type) {
	case string:
		return strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`).Replace(v)
	case time.Time:
		if of == query.TypeDate {
			return v.UTC().Format(time.DateOnly)
		}
		return v.UTC().Format("2006-01-02 15:04:05.000000")
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(bound)
}

// clickHouseList is constants as one array: a list of thousands, each with a name, would be longer than a statement may be.
func clickHouseList(args []query.Expr) (fragment, bool) {
	kinds := map[query.Type]string{query.TypeString: "String", query.TypeInteger: "Int64", query.TypeFloat: "Float64"}
	kind, ok := kinds[args[0].Type()]
	items := make([]string, 0, len(args))
	for _, arg := range args[1:] {
		l, constant := arg.(query.Literal)
		if !constant || l.Value == nil {
			ok = false
			break
		}
		text := fmt.Sprint(clickHouseText(l.Value, l.Of))
		if l.Of == query.TypeString {
			text = "'" + strings.ReplaceAll(text, "'", `\'`) + "'"
		}
		items = append(items, text)
	}
	if !ok {
		return fragment{}, false
	}
	return fragment{text: string(rune(mark)), values: []value{{
		bound: "[" + strings.Join(items, ",") + "]", as: "{#:Array(" + kind + ")}",
	}}}, true
}

// clickHouseListed is what is looked for in a list. To lists, minus zero is not zero.
func clickHouseListed(e query.Expr, f fragment) fragment {
	if e.Type() == query.TypeFloat {
		return fill("(@1 + 0)", f)
	}
	return f
}

// clickHouseDistinct reads one of the rows that agree in the distinct fields, when the one that came first within the interval
// lies in the part: so the parts of an interval have each row once. Which of those in the part, the server chooses.
func clickHouseDistinct(w writer, s *selection) {
	keys := fill("@*", w.plain(w.table.Distinct)...)
	if s.counts {
		s.list = fill("uniqExact(tuple(@1))", keys) // without the tuple it passes over rows with a null
		return
	}
	if s.within.Start.After(s.query.Interval.Start) {
		at, _ := w.column(s.at)
		whole := s.query.Interval
		whole.End = s.within.End
		earlier := fill("(@1) NOT IN (SELECT @1 FROM @2 WHERE @3 GROUP BY @1 HAVING count() > 1 AND min(@4) < @5)",
			fill("@*", found(w.plain(w.table.Distinct))...), s.from, joined(" AND ", s.conditions(w, whole)), at, w.bind(s.within.Start, query.TypeInstant))
		s.more = append(s.more, earlier)
	}
	s.suffix = fill(" LIMIT 1 BY @1", keys)
}

// found are the columns as sets can find them, which have no nulls.
func found(columns []fragment) []fragment {
	all := make([]fragment, 0, 2*len(columns))
	for _, c := range columns {
		all = append(all, fill("isNull(@1)", c), fill("ifNull(@1, defaultValueOfArgumentType(assumeNotNull(@1)))", c))
	}
	return all
}
