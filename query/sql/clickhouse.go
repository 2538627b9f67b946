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

// clickHouseDistinct reads, of the rows that agree in the distinct fields, the one that came first within the interval,
// when that lies in the part: so the parts of an interval have each row once.
func clickHouseDistinct(w writer, s *selection) {
	keys := fill("@*", w.plain(w.table.Distinct)...)
	if s.counts {
		s.list = fill("uniqExact(@1)", keys)
		return
	}
	if s.within.Start.After(s.query.Interval.Start) {
		at, _ := w.column(s.at)
		whole := s.query.Interval
		whole.End = s.within.End
		earlier := fill("(@1) NOT IN (SELECT @1 FROM @2 WHERE @3 GROUP BY @1 HAVING count() > 1 AND min(@4) < @5)",
			keys, s.from, joined(" AND ", s.conditions(w, whole)), at, w.bind(s.within.Start, query.TypeInstant))
		s.more = append(s.more, earlier)
	}
	s.suffix = fill(" LIMIT 1 BY @1", keys)
}
