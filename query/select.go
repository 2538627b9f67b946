package query

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tranche/batch"
)

// A RefusalError says what of a query is not supported, as the API answers it.
type RefusalError struct {
	Message string
}

// Error is a sentence for the customer.
func (e *RefusalError) Error() string { return e.Message }

func refuse(format string, args ...any) error {
	return &RefusalError{Message: fmt.Sprintf(format, args...)}
}

const unsupported = "Unsupported HogQL query"

// A Select is a SELECT of the customer's over one model.
type Select struct {
	Model   batch.Model
	Columns []Column
	Where   Expr // nil = all rows
	// Text is the query in its normal form: parsing it gives the same query.
	Text string

	parsed selectNode
}

// maxColumns and maxName bound the columns of a query and their names.
const (
	maxColumns = 250
	maxName    = 255
)

// ParseEvents reads a SELECT over the model events: what an export of events has in place of its default columns. Errors
// are *RefusalError.
func ParseEvents(text string, models Catalog) (Select, error) {
	parsed, err := parseSelect(text)
	if _, ok := errors.AsType[*SyntaxError](err); ok {
		return Select{}, refuse("Failed to parse query")
	}
	if err != nil {
		return Select{}, err
	}
	m, ok := models.Model(batch.ModelEvents)
	switch {
	case parsed.table == "":
		return Select{}, refuse("Query must SELECT FROM events")
	case parsed.table != string(batch.ModelEvents) || !ok:
		return Select{}, refuse("Query must only SELECT FROM events")
	}
	r := resolver{model: m, table: parsed.table, alias: parsed.alias, hidden: unreadable(m)}
	return r.query(parsed, false)
}

// ParseSelect reads a SELECT over any model of the catalog: the query of the model hogql. Errors are *RefusalError.
func ParseSelect(text string, models Catalog) (Select, error) {
	parsed, err := parseSelect(text)
	if syntax, ok := errors.AsType[*SyntaxError](err); ok {
		return Select{}, refuse("Failed to parse HogQL query: %s", syntax.Message)
	}
	if err != nil {
		return Select{}, err
	}
	names := strings.Join(models.Names(), ", ")
	if parsed.table == "" {
		return Select{}, refuse("Invalid HogQL query: the query must SELECT FROM a table. Tables: %s", names)
	}
	m, ok := models.Model(batch.Model(parsed.table))
	if !ok {
		return Select{}, refuse("Invalid HogQL query: Unknown table '%s'. Tables: %s", clip(parsed.table), names)
	}
	r := resolver{model: m, table: parsed.table, alias: parsed.alias}
	return r.query(parsed, true)
}

// parseSelect reads a single SELECT, and refuses what is more than that.
func parseSelect(text string) (selectNode, error) {
	p, err := newParser(text)
	if err != nil {
		return selectNode{}, err
	}
	s, err := p.query()
	if err != nil {
		return selectNode{}, err
	}
	p.accept(";")
	if p.peek().kind != tokenEnd {
		return selectNode{}, p.unexpected()
	}
	return s, nil
}

func (p *parser) query() (selectNode, error) {
	if p.accept("(") {
		return p.enclosed()
	}
	if p.peek().keyword("WITH") {
		return selectNode{}, refuse("CTEs are not supported")
	}
	var s selectNode
	if err := p.expectWord("SELECT"); err != nil {
		return s, err
	}
	if p.peek().keyword("DISTINCT") {
		return s, refuse(unsupported)
	}
	for {
		c, err := p.column()
		if err != nil {
			return s, err
		}
		s.columns = append(s.columns, c)
		if !p.accept(",") {
			break
		}
	}
	if p.acceptWord("FROM") {
		if err := p.from(&s); err != nil {
			return s, err
		}
	}
	if p.acceptWord("WHERE") {
		var err error
		if s.where, err = p.expression(); err != nil {
			return s, err
		}
	}
	return s, p.refuseClauses()
}

// enclosed reads a SELECT in parentheses.
func (p *parser) enclosed() (selectNode, error) {
	return selectNode{}, p.nested(func() error {
		if err := p.skipParenthesis(); err != nil {
			return err
		}
		if err := p.refuseClauses(); err != nil {
			return err
		}
		return refuse("Subqueries are not supported")
	})
}

// nested refuses what is nested too deep.
func (p *parser) nested(parse func() error) error {
	_, err := p.deeper(func() (node, error) { return nil, parse() })
	return err
}

func (p *parser) column() (columnNode, error) {
	n, err := p.expression()
	if err != nil {
		return columnNode{}, err
	}
	c := columnNode{expression: n}
	t := p.peek()
	explicit := p.acceptWord("AS")
	if explicit {
		t = p.peek()
	}
	implicit := t.kind == tokenQuotedName || t.kind == tokenName && !reserved[strings.ToLower(t.text)]
	switch {
	case implicit, explicit && (t.kind == tokenText || t.kind == tokenName):
		p.next()
		c.alias = t.text
	case explicit:
		return c, p.unexpected()
	}
	if explicit && c.alias == "" {
		return c, syntaxError("a column's name is empty")
	}
	return c, nil
}

// joins are the keywords that begin a join.
var joins = []string{"JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "GLOBAL", "ANY", "ASOF", "SEMI", "ANTI", "ALL", "ARRAY", "OUTER"}

func (p *parser) from(s *selectNode) error {
	if p.accept("(") {
		return refuse("Subqueries are not supported")
	}
	t := p.next()
	if t.kind != tokenQuotedName && (t.kind != tokenName || reserved[strings.ToLower(t.text)]) {
		p.at--
		return p.unexpected()
	}
	s.table = t.text
	for p.accept(".") {
		s.table += "." + p.next().text
	}
	if p.accept("(") {
		s.table += "()" // a table function is no table
		if err := p.skipParenthesis(); err != nil {
			return err
		}
	}
	t = p.peek()
	explicit := p.acceptWord("AS")
	if explicit {
		t = p.peek()
	}
	switch {
	case t.kind == tokenQuotedName, t.kind == tokenName && !reserved[strings.ToLower(t.text)]:
		p.next()
		s.alias = t.text
	case explicit:
		return p.unexpected()
	}
	if p.peek().symbol(",") || slices.ContainsFunc(joins, p.peek().keyword) {
		return refuse("JOINs are not supported")
	}
	return nil
}

// clauses are the keywords of what a SELECT can have besides.
var clauses = []string{
	"GROUP", "ORDER", "LIMIT", "HAVING", "PREWHERE", "SAMPLE", "FINAL", "WINDOW", "QUALIFY", "OFFSET", "SETTINGS", "FORMAT",
}

func (p *parser) refuseClauses() error {
	t := p.peek()
	switch {
	case t.keyword("UNION"), t.keyword("INTERSECT"), t.keyword("EXCEPT"):
		return refuse("UNIONs are not supported")
	case slices.ContainsFunc(clauses, t.keyword):
		// A set operation may follow; it is the clearer answer.
		for _, later := range p.tokens[p.at:] {
			if later.keyword("UNION") {
				return refuse("UNIONs are not supported")
			}
		}
		return refuse(unsupported)
	}
	return nil
}
