package query

import (
	"math"
	"strconv"
	"strings"
)

func (p *parser) primary() (node, error) {
	t := p.peek()
	switch t.kind {
	case tokenText:
		p.next()
		return literalNode{t.text}, nil
	case tokenNumber:
		p.next()
		return number(t.text)
	case tokenPlaceholder:
		p.next()
		return placeholderNode{t.text}, nil
	case tokenName, tokenQuotedName:
		return p.named()
	case tokenSymbol:
		if t.text == "(" {
			return p.parenthesis()
		}
		if t.text == "*" {
			p.next()
			return starNode{}, nil
		}
	case tokenEnd:
	}
	return nil, p.unexpected()
}

func number(text string) (node, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return literalNode{n}, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, syntaxError("the number " + clip(text) + " is too large")
	}
	return literalNode{f}, nil
}

func (p *parser) parenthesis() (node, error) {
	p.next()
	if p.subquery() {
		return subqueryNode{}, p.skipParenthesis()
	}
	n, err := p.expression()
	if err != nil {
		return nil, err
	}
	return n, p.expect(")")
}

// subquery says whether a SELECT begins.
func (p *parser) subquery() bool { return p.peek().keyword("SELECT") || p.peek().keyword("WITH") }

// skipParenthesis passes over what is refused later, up to the parenthesis that closes the open one.
func (p *parser) skipParenthesis() error {
	for open := 1; open > 0; {
		t := p.next()
		switch {
		case t.kind == tokenEnd:
			return p.unexpected()
		case t.symbol("("):
			open++
		case t.symbol(")"):
			open--
		}
	}
	return nil
}

// named reads what begins with a name: a constant, CASE, CAST, a call or a path.
func (p *parser) named() (node, error) {
	t := p.next()
	if t.kind == tokenName {
		switch strings.ToLower(t.text) {
		case "null":
			return literalNode{nil}, nil
		case "true", "false":
			return literalNode{strings.EqualFold(t.text, "true")}, nil
		case "case":
			return p.caseOf()
		case "cast":
			if p.peek().symbol("(") {
				return p.cast()
			}
		}
		if p.peek().symbol("(") {
			p.next()
			args, err := p.list(")")
			return callNode{t.text, args}, err
		}
		if reserved[strings.ToLower(t.text)] {
			p.at--
			return nil, p.unexpected()
		}
	}
	path := pathNode{parts: []string{t.text}}
	for p.accept(".") {
		part := p.next()
		if part.symbol("*") {
			return starNode{}, nil
		}
		if part.kind != tokenName && part.kind != tokenQuotedName {
			p.at--
			return nil, p.unexpected()
		}
		path.parts = append(path.parts, part.text)
	}
	return path, nil
}

// list reads expressions up to the closing bracket.
func (p *parser) list(closing string) ([]node, error) {
	if p.accept(closing) {
		return nil, nil
	}
	var all []node
	for {
		if p.peek().keyword("DISTINCT") {
			return nil, &RefusalError{Message: unsupported}
		}
		if closing == ")" && len(all) == 0 && p.subquery() { // as in EXISTS (SELECT …)
			return []node{subqueryNode{}}, p.skipParenthesis()
		}
		n, err := p.expression()
		if err != nil {
			return nil, err
		}
		all = append(all, n)
		if p.accept(closing) {
			return all, nil
		}
		if err := p.expect(","); err != nil {
			return nil, err
		}
	}
}

func (p *parser) cast() (node, error) {
	p.next()
	n, err := p.expression()
	if err != nil {
		return nil, err
	}
	if !p.acceptWord("AS") {
		if err := p.expect(","); err != nil {
			return nil, err
		}
	}
	if n, err = p.castTo(n); err != nil {
		return nil, err
	}
	return n, p.expect(")")
}

// caseOf reads CASE [x] WHEN a THEN b … [ELSE c] END.
func (p *parser) caseOf() (node, error) {
	var subject node
	var err error
	if !p.peek().keyword("WHEN") {
		if subject, err = p.expression(); err != nil {
			return nil, err
		}
	}
	var args []node
	for p.acceptWord("WHEN") {
		condition, err := p.expression()
		if err == nil {
			err = p.expectWord("THEN")
		}
		if err != nil {
			return nil, err
		}
		if subject != nil {
			condition = callNode{FunctionEquals, []node{subject, condition}}
		}
		value, err := p.expression()
		if err != nil {
			return nil, err
		}
		args = append(args, condition, value)
	}
	if args == nil {
		return nil, p.unexpected()
	}
	otherwise := node(literalNode{nil})
	if p.acceptWord("ELSE") {
		if otherwise, err = p.expression(); err != nil {
			return nil, err
		}
	}
	return callNode{FunctionMultiIf, append(args, otherwise)}, p.expectWord("END")
}
