package sql

// postgresDistinct reads, of the rows that agree in the distinct fields, the one that came first within the interval, when
// that lies in the part: so the parts of an interval have each row once. It sorts the interval, which a table without a
// unique index has to bear.
func postgresDistinct(w writer, s *selection) {
	keys := fill("@*", w.plain(w.table.Distinct)...)
	if s.counts {
		s.list = fill("count(DISTINCT (@1))", keys)
		return
	}
	at, _ := w.column(s.at)
	s.from = fill("(SELECT *, row_number() OVER (PARTITION BY @1 ORDER BY @2) AS "+w.quote(newest)+" FROM @3 WHERE @4) AS t",
		keys, at, s.from, joined(" AND ", s.conditions(w, s.query.Interval)))
	s.filter = nil // it is within
	s.more = append(s.more, textFragment(w.quote(newest)+" = 1"))
}
