package sql

// postgresDistinct reads, of the rows that agree in the distinct fields, the one that came first within the interval, when
// that lies in the part: so the parts of an interval have each row once. It sorts the interval, which is for intervals that
// are known to have such rows: see Repeated. Nulls are equal.
func postgresDistinct(w writer, s *selection) {
	keys := fill("@*", w.plain(w.table.Distinct)...)
	whole := joined(" AND ", s.conditions(w, s.query.Interval))
	if s.counts {
		// Groups are hashed, where a count of distinct records would be sorted.
		s.from, s.chosen = fill("(SELECT FROM @1 WHERE @2 GROUP BY @3) AS t", s.from, whole, keys), true
		return
	}
	at, _ := w.column(s.at)
	s.from = fill("(SELECT *, row_number() OVER (PARTITION BY @1 ORDER BY @2) AS "+w.quote(newest)+" FROM @3 WHERE @4) AS t",
		keys, at, s.from, whole)
	s.filter = nil // it is within
	s.more = append(s.more, textFragment(w.quote(newest)+" = 1"))
}
