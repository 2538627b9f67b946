package sql

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode"
)

// A patternSyntax is how a kind of source writes what regular expressions are made of. What a customer wrote is parsed
// as RE2 has it and printed again, with every character as an escape: nothing is left to how a source reads it.
type patternSyntax struct {
	char                           string // of one character, by its number
	none                           string // matches nothing
	beginLine, endLine, begin, end string
	word, notWord                  string // boundaries of words, ASCII
	firstChar                      rune   // the smallest that a source can hold
	any, anyButNewline, empty      string
}

func re2Pattern() patternSyntax {
	return patternSyntax{
		char: `\x{%x}`, none: `[^\x{0}-\x{10ffff}]`, beginLine: `(?m:^)`, endLine: `(?m:$)`, begin: `\A`, end: `\z`,
		word: `\b`, notWord: `\B`, any: `(?s:.)`, anyButNewline: `[^\x{a}]`, empty: `(?:)`,
	}
}

func postgresPattern() patternSyntax {
	const word = `[0-9A-Za-z_]`
	return patternSyntax{
		char: `\U%08x`, none: `(?!)`, beginLine: `(?:\A|(?<=\n))`, endLine: `(?:\Z|(?=\n))`, begin: `\A`, end: `\Z`,
		word:      `(?:(?<=` + word + `)(?!` + word + `)|(?<!` + word + `)(?=` + word + `))`,
		notWord:   `(?:(?<=` + word + `)(?=` + word + `)|(?<!` + word + `)(?!` + word + `))`,
		firstChar: 1, any: `(?:.|\n)`, anyButNewline: `[^\n]`, empty: `(?:)`,
	}
}

// print writes a parsed expression.
func (p patternSyntax) print(r *syntax.Regexp) string {
	var b strings.Builder
	p.write(&b, r)
	return b.String()
}

func (p patternSyntax) write(b *strings.Builder, r *syntax.Regexp) {
	switch r.Op {
	case syntax.OpNoMatch:
		b.WriteString(p.none)
	case syntax.OpEmptyMatch:
		b.WriteString(p.empty)
	case syntax.OpLiteral:
		for _, char := range r.Rune {
			if char < p.firstChar {
				b.WriteString(p.none)
				continue
			}
			p.writeLiteral(b, char, r.Flags&syntax.FoldCase != 0)
		}
	case syntax.OpCharClass:
		p.writeClass(b, r.Rune)
	case syntax.OpAnyCharNotNL:
		b.WriteString(p.anyButNewline)
	case syntax.OpAnyChar:
		b.WriteString(p.any)
	case syntax.OpBeginLine:
		b.WriteString(p.beginLine)
	case syntax.OpEndLine:
		b.WriteString(p.endLine)
	case syntax.OpBeginText:
		b.WriteString(p.begin)
	case syntax.OpEndText:
		b.WriteString(p.end)
	case syntax.OpWordBoundary:
		b.WriteString(p.word)
	case syntax.OpNoWordBoundary:
		b.WriteString(p.notWord)
	default:
		p.writeCompound(b, r)
	}
}

// writeCompound writes what is made of others.
func (p patternSyntax) writeCompound(b *strings.Builder, r *syntax.Regexp) {
	b.WriteString("(?:")
	for i, sub := range r.Sub {
		if i > 0 && r.Op == syntax.OpAlternate {
			b.WriteByte('|')
		}
		p.write(b, sub)
	}
	b.WriteByte(')')
	switch r.Op { //nolint:exhaustive // the others are complete
	case syntax.OpStar:
		b.WriteByte('*')
	case syntax.OpPlus:
		b.WriteByte('+')
	case syntax.OpQuest:
		b.WriteByte('?')
	case syntax.OpRepeat:
		switch {
		case r.Max == r.Min:
			fmt.Fprintf(b, "{%d}", r.Min)
		case r.Max < 0:
			fmt.Fprintf(b, "{%d,}", r.Min)
		default:
			fmt.Fprintf(b, "{%d,%d}", r.Min, r.Max)
		}
	}
}

// writeLiteral writes a character, or all those that differ from it by case only.
func (p patternSyntax) writeLiteral(b *strings.Builder, char rune, fold bool) {
	if !fold || unicode.SimpleFold(char) == char {
		fmt.Fprintf(b, p.char, char)
		return
	}
	b.WriteByte('[')
	fmt.Fprintf(b, p.char, char)
	for other := unicode.SimpleFold(char); other != char; other = unicode.SimpleFold(other) {
		fmt.Fprintf(b, p.char, other)
	}
	b.WriteByte(']')
}

// writeClass writes ranges of characters; of one that nearly all are in, those that are not.
func (p patternSyntax) writeClass(b *strings.Builder, ranges []rune) {
	if len(ranges) == 0 || ranges[len(ranges)-1] < p.firstChar {
		b.WriteString(p.none) // brackets with nothing in them are none
		return
	}
	if n := len(ranges); n >= 4 && ranges[0] == 0 && ranges[n-1] == unicode.MaxRune {
		inverse := make([]rune, 0, n-2)
		for i := 1; i+1 < n; i += 2 {
			inverse = append(inverse, ranges[i]+1, ranges[i+1]-1)
		}
		b.WriteString("[^")
		ranges = inverse
	} else {
		b.WriteByte('[')
	}
	for i := 0; i < len(ranges); i += 2 {
		if ranges[i+1] < p.firstChar {
			continue
		}
		fmt.Fprintf(b, p.char+"-"+p.char, max(ranges[i], p.firstChar), ranges[i+1])
	}
	b.WriteByte(']')
}
