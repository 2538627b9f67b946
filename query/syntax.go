package query

import (
	"strconv"
	"strings"
)

// A node is a part of a query as it was written, before anybody asks what its names mean. Operators are calls.
type node interface {
	// write writes the node so that parsing gives the same one again.
	write(b *strings.Builder)
}

type literalNode struct {
	value any // nil, string, int64, float64 or bool
}

type pathNode struct {
	parts []string
}

type callNode struct {
	name string
	args []node
}

type placeholderNode struct {
	text string
}

type starNode struct{}

// subqueryNode stands for a SELECT inside of an expression, which is refused.
type subqueryNode struct{}

func (n literalNode) write(b *strings.Builder) {
	switch v := n.value.(type) {
	case nil:
		b.WriteString("NULL")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		b.WriteString(floatText(v))
	case string:
		b.WriteString(QuoteText(v))
	}
}

// floatText writes a number so that it is read as one that is no integer.
func floatText(f float64) string {
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// QuoteText writes a text. Escapes are doubled, so that quotes in it end nothing.
func QuoteText(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s) + "'"
}

// QuoteName writes a name: in backticks unless it is a plain one.
func QuoteName(s string) string {
	plain := s != "" && !isDigit(s[0])
	for i := range len(s) {
		plain = plain && nameByte(s[i])
	}
	if plain && !reserved[strings.ToLower(s)] {
		return s
	}
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`", "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s) + "`"
}

// reserved are names that mean something else without quotes.
var reserved = map[string]bool{
	"select": true, "from": true, "where": true, "and": true, "or": true, "not": true, "in": true, "is": true, "null": true,
	"true": true, "false": true, "like": true, "ilike": true, "between": true, "case": true, "when": true, "then": true,
	"else": true, "end": true, "as": true, "cast": true, "union": true, "with": true, "join": true, "group": true,
	"order": true, "limit": true, "having": true, "distinct": true, "on": true, "using": true, "inner": true, "left": true,
	"right": true, "full": true, "cross": true, "global": true, "any": true, "all": true, "asof": true, "semi": true,
	"anti": true, "array": true, "prewhere": true, "sample": true, "final": true, "window": true, "qualify": true,
	"offset": true, "settings": true, "intersect": true, "except": true, "format": true, "interval": true, "outer": true,
}

func (n pathNode) write(b *strings.Builder) {
	for i, part := range n.parts {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(QuoteName(part))
	}
}

func (n callNode) write(b *strings.Builder) {
	b.WriteString(n.name)
	b.WriteByte('(')
	writeNodes(b, n.args)
	b.WriteByte(')')
}

func writeNodes(b *strings.Builder, nodes []node) {
	for i, n := range nodes {
		if i > 0 {
			b.WriteString(", ")
		}
		n.write(b)
	}
}

func (n placeholderNode) write(b *strings.Builder) { b.WriteString("{" + n.text + "}") }
func (starNode) write(b *strings.Builder)          { b.WriteByte('*') }
func (subqueryNode) write(b *strings.Builder)      { b.WriteString("(SELECT)") }

func textOf(n node) string {
	var b strings.Builder
	n.write(&b)
	return b.String()
}

// A selectNode is a SELECT as it was written.
type selectNode struct {
	columns []columnNode
	table   string // "" = no FROM
	alias   string // of the table
	where   node   // nil = none
}

type columnNode struct {
	expression node
	alias      string // "" = none
}

// String writes the query in its normal form.
func (s selectNode) String() string {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, c := range s.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		c.expression.write(&b)
		if c.alias != "" {
			b.WriteString(" AS " + QuoteName(c.alias))
		}
	}
	if s.table != "" {
		b.WriteString(" FROM " + QuoteName(s.table))
	}
	if s.alias != "" {
		b.WriteString(" AS " + QuoteName(s.alias))
	}
	if s.where != nil {
		b.WriteString(" WHERE ")
		s.where.write(&b)
	}
	return b.String()
}
