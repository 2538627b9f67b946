package query

import (
	"strconv"
	"strings"
)

// Limits of a query's text.
const (
	maxQuery  = 16 << 10 // bytes
	maxTokens = 4000
	maxDepth  = 50
)

// A parser reads tokens into nodes. Nothing in it knows fields or functions.
type parser struct {
	tokens []token
	at     int
	depth  int
}

func newParser(text string) (*parser, error) {
	if len(text) > maxQuery {
		return nil, syntaxError("the query is longer than " + strconv.Itoa(maxQuery) + " bytes")
	}
	all, err := tokens(text)
	if err != nil {
		return nil, err
	}
	if len(all) > maxTokens {
		return nil, syntaxError("the query has more than " + strconv.Itoa(maxTokens) + " words")
	}
	return &parser{tokens: all}, nil
}

func (p *parser) peek() token { return p.tokens[p.at] }

// peekAt looks further ahead; behind the end there is the end.
func (p *parser) peekAt(n int) token { return p.tokens[min(p.at+n, len(p.tokens)-1)] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

// accept takes the symbol if it is next.
func (p *parser) accept(symbol string) bool {
	if p.peek().symbol(symbol) {
		p.at++
		return true
	}
	return false
}

// acceptWord takes the keyword if it is next.
func (p *parser) acceptWord(word string) bool {
	if p.peek().keyword(word) {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(symbol string) error {
	if !p.accept(symbol) {
		return p.unexpected()
	}
	return nil
}

func (p *parser) expectWord(word string) error {
	if !p.acceptWord(word) {
		return p.unexpected()
	}
	return nil
}

func (p *parser) unexpected() error {
	t := p.peek()
	if t.kind == tokenEnd {
		return syntaxError("the query ends too early")
	}
	return syntaxError("unexpected '" + clip(t.text) + "'")
}

// deeper counts how deep expressions are nested.
func (p *parser) deeper(parse func() (node, error)) (node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, syntaxError("the query is nested deeper than " + strconv.Itoa(maxDepth) + " levels")
	}
	defer func() { p.depth-- }()
	return parse()
}

func (p *parser) expression() (node, error) { return p.deeper(p.disjunction) }

func (p *parser) disjunction() (node, error) { return p.chain("OR", FunctionOr, p.conjunction) }

func (p *parser) conjunction() (node, error) { return p.chain("AND", FunctionAnd, p.negation) }

// chain reads operands that are joined by a keyword.
func (p *parser) chain(word, function string, operand func() (node, error)) (node, error) {
	first, err := operand()
	if err != nil || !p.peek().keyword(word) {
		return first, err
	}
	args := []node{first}
	for p.acceptWord(word) {
		arg, err := operand()
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
	}
	return callNode{name: function, args: args}, nil
}

func (p *parser) negation() (node, error) {
	if !p.peek().keyword("NOT") {
		return p.comparison()
	}
	p.next()
	arg, err := p.deeper(p.negation)
	return callNode{name: FunctionNot, args: []node{arg}}, err
}

// comparisons are the functions behind symbols.
var comparisons = map[string]string{
	"=": FunctionEquals, "==": FunctionEquals, "!=": FunctionNotEquals, "<>": FunctionNotEquals, "<": FunctionLess,
	"<=": FunctionLessOrEquals, ">": FunctionGreater, ">=": FunctionGreaterOrEquals, "=~": FunctionMatch,
}

// comparison reads one comparison: a = b = c is refused.
func (p *parser) comparison() (node, error) {
	left, err := p.fallback()
	if err != nil {
		return nil, err
	}
	if p.peek().kind == tokenSymbol {
		symbol := p.peek().text
		name, ok := comparisons[symbol]
		if !ok && symbol != "!~" {
			return left, nil
		}
		p.next()
		right, err := p.fallback()
		if err != nil {
			return nil, err
		}
		if symbol == "!~" {
			return callNode{FunctionNot, []node{callNode{FunctionMatch, []node{left, right}}}}, nil
		}
		return callNode{name, []node{left, right}}, nil
	}
	return p.predicate(left)
}

// predicate reads IS NULL, IN, LIKE, ILIKE and BETWEEN behind what they are about.
func (p *parser) predicate(left node) (node, error) {
	if p.acceptWord("IS") {
		name := FunctionIsNull
		if p.acceptWord("NOT") {
			name = FunctionIsNotNull
		}
		return callNode{name, []node{left}}, p.expectWord("NULL")
	}
	negate := p.peek().keyword("NOT") && !p.peekAt(1).symbol("(")
	if negate {
		p.next()
	}
	var found node
	var err error
	switch {
	case p.acceptWord("IN"):
		found, err = p.in(left)
	case p.acceptWord("LIKE"):
		found, err = p.with(FunctionLike, left)
	case p.acceptWord("ILIKE"):
		found, err = p.with(FunctionILike, left)
	case p.acceptWord("BETWEEN"):
		found, err = p.between(left)
	case negate:
		return nil, p.unexpected()
	default:
		return left, nil
	}
	if negate && err == nil {
		found = callNode{FunctionNot, []node{found}}
	}
	return found, err
}

func (p *parser) with(name string, left node) (node, error) {
	right, err := p.fallback()
	return callNode{name, []node{left, right}}, err
}

func (p *parser) in(left node) (node, error) {
	closing := ")"
	if p.accept("[") {
		closing = "]"
	} else if err := p.expect("("); err != nil {
		return nil, err
	}
	if p.subquery() {
		return subqueryNode{}, p.skipParenthesis()
	}
	args, err := p.list(closing)
	if err == nil && len(args) == 0 {
		err = syntaxError("the list behind IN is empty")
	}
	return callNode{FunctionIn, append([]node{left}, args...)}, err
}

func (p *parser) between(left node) (node, error) {
	from, err := p.fallback()
	if err == nil {
		err = p.expectWord("AND")
	}
	if err != nil {
		return nil, err
	}
	to, err := p.fallback()
	return callNode{FunctionAnd, []node{
		callNode{FunctionGreaterOrEquals, []node{left, from}}, callNode{FunctionLessOrEquals, []node{left, to}},
	}}, err
}

func (p *parser) fallback() (node, error) {
	return p.binary(map[string]string{"??": "ifNull"}, p.sum)
}

func (p *parser) sum() (node, error) {
	return p.binary(map[string]string{"+": FunctionPlus, "-": FunctionMinus, "||": FunctionConcat}, p.product)
}

func (p *parser) product() (node, error) {
	return p.binary(map[string]string{"*": FunctionMultiply, "/": FunctionDivide, "%": FunctionModulo}, p.sign)
}

// binary reads operands and operators of one precedence, from left to right.
func (p *parser) binary(operators map[string]string, operand func() (node, error)) (node, error) {
	left, err := operand()
	for n := 0; err == nil && p.peek().kind == tokenSymbol; n++ {
		name, ok := operators[p.peek().text]
		if !ok {
			break
		}
		if n == maxDepth {
			return nil, syntaxError("an expression has more than " + strconv.Itoa(maxDepth) + " operands")
		}
		p.next()
		var right node
		right, err = operand()
		left = callNode{name, []node{left, right}}
	}
	return left, err
}

func (p *parser) sign() (node, error) {
	switch {
	case p.accept("-"):
		arg, err := p.deeper(p.sign)
		if l, ok := arg.(literalNode); ok {
			switch v := l.value.(type) {
			case int64:
				return literalNode{-v}, err
			case float64:
				return literalNode{-v}, err
			}
		}
		return callNode{FunctionNegate, []node{arg}}, err
	case p.accept("+"):
		return p.deeper(p.sign)
	}
	return p.postfix()
}

// postfix reads what follows a value: keys of JSON and casts.
func (p *parser) postfix() (node, error) {
	n, err := p.primary()
	for err == nil {
		switch {
		case p.accept("::"):
			n, err = p.castTo(n)
		case p.accept("["):
			n, err = p.key(n)
		default:
			return n, nil
		}
	}
	return n, err
}

// key reads ['key'] behind a path, which it becomes a part of.
func (p *parser) key(n node) (node, error) {
	path, ok := n.(pathNode)
	t := p.next()
	if !ok || t.kind != tokenText {
		return nil, syntaxError("brackets take a key in quotes, behind a field")
	}
	path.parts = append(path.parts[:len(path.parts):len(path.parts)], t.text)
	return path, p.expect("]")
}

// castTo reads the name of a type.
func (p *parser) castTo(n node) (node, error) {
	t := p.next()
	name, ok := castNames[strings.ToLower(t.text)]
	if !ok || t.kind != tokenName && t.kind != tokenText {
		return nil, syntaxError("unknown type '" + clip(t.text) + "'")
	}
	return callNode{name, []node{n}}, nil
}
