package query

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A tokenKind is a kind of token.
type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenName
	tokenQuotedName
	tokenText
	tokenNumber
	tokenPlaceholder
	tokenSymbol
)

// A token is a word of a query.
type token struct {
	kind tokenKind
	text string // what it means: of a name without its quotes, of a text its characters
}

// keyword says whether the token is the keyword, in any case.
func (t token) keyword(word string) bool {
	return t.kind == tokenName && strings.EqualFold(t.text, word)
}

func (t token) symbol(text string) bool { return t.kind == tokenSymbol && t.text == text }

// A SyntaxError says that a text is not a query.
type SyntaxError struct {
	Message string
}

// Error is for the customer.
func (e *SyntaxError) Error() string { return e.Message }

func syntaxError(message string) error { return &SyntaxError{Message: message} }

// symbols are the operators and brackets, longer ones before those that they begin with.
var symbols = []string{
	"::", "==", "!=", "<>", "<=", ">=", "=~", "!~", "||", "??",
	"(", ")", "[", "]", ",", ".", "+", "-", "*", "/", "%", "=", "<", ">", ";",
}

// tokens cuts a query into tokens. Comments and white space are nothing.
func tokens(text string) ([]token, error) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, syntaxError("the query is not text")
	}
	var all []token
	for {
		var err error
		if text, err = skipBlank(text); err != nil {
			return nil, err
		}
		if text == "" {
			return append(all, token{kind: tokenEnd}), nil
		}
		var t token
		if t, text, err = nextToken(text); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
}

func skipBlank(text string) (string, error) {
	for {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
		switch {
		case strings.HasPrefix(text, "--"):
			_, text, _ = strings.Cut(text, "\n")
		case strings.HasPrefix(text, "/*"):
			_, after, closed := strings.Cut(text[2:], "*/")
			if !closed {
				return "", syntaxError("a comment does not end")
			}
			text = after
		default:
			return text, nil
		}
	}
}

func nextToken(text string) (token, string, error) {
	first := text[0]
	switch {
	case first == '\'':
		value, rest, err := quoted(text, "a text does not end")
		return token{tokenText, value}, rest, err
	case first == '`' || first == '"':
		value, rest, err := quoted(text, "a quoted name does not end")
		if err == nil && value == "" {
			err = syntaxError("a quoted name is empty")
		}
		return token{tokenQuotedName, value}, rest, err
	case first == '{':
		value, rest, closed := strings.Cut(text[1:], "}")
		if !closed {
			return token{}, "", syntaxError("a placeholder does not end")
		}
		return token{tokenPlaceholder, strings.TrimSpace(value)}, rest, nil
	case isDigit(first) || first == '.' && len(text) > 1 && isDigit(text[1]):
		n := numberLength(text)
		if n < len(text) && nameByte(text[n]) {
			return token{}, "", syntaxError("a number is followed by letters")
		}
		return token{tokenNumber, text[:n]}, text[n:], nil
	case nameByte(first):
		n := 1
		for n < len(text) && nameByte(text[n]) {
			n++
		}
		return token{tokenName, text[:n]}, text[n:], nil
	}
	for _, s := range symbols {
		if strings.HasPrefix(text, s) {
			return token{tokenSymbol, s}, text[len(s):], nil
		}
	}
	_, size := utf8.DecodeRuneInString(text)
	return token{}, "", syntaxError("unexpected character " + text[:size])
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// nameByte says whether a name without quotes may have c: ASCII only, so that no two names look alike.
func nameByte(c byte) bool {
	return c == '_' || c == '$' || isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// numberLength is the length of the number at the start of text. A minus is an operator.
func numberLength(text string) int {
	n := digits(text, 0)
	if n < len(text) && text[n] == '.' {
		n = digits(text, n+1)
	}
	if n < len(text) && (text[n] == 'e' || text[n] == 'E') {
		exponent := n + 1
		if exponent < len(text) && (text[exponent] == '+' || text[exponent] == '-') {
			exponent++
		}
		if end := digits(text, exponent); end > exponent {
			n = end
		}
	}
	return n
}

func digits(text string, from int) int {
	for from < len(text) && isDigit(text[from]) {
		from++
	}
	return from
}

// escapes are what a backslash makes of the character behind it; others stay as they are.
var escapes = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', 'b': '\b', 'f': '\f', 'v': '\v', 'a': '\a'}

// quoted reads up to the quote that ends what the first one began. A quote that is doubled or behind a backslash means
// itself.
func quoted(text, unended string) (value, rest string, err error) {
	quote := text[0]
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] == '0' {
				return "", "", syntaxError("a text holds a NUL")
			}
			if escape, ok := escapes[text[i]]; ok {
				b.WriteByte(escape)
			} else {
				b.WriteByte(text[i])
			}
		case c == quote && i+1 < len(text) && text[i+1] == quote:
			i++
			b.WriteByte(quote)
		case c == quote:
			return b.String(), text[i+1:], nil
		default:
			b.WriteByte(c)
		}
	}
	return "", "", syntaxError(unended)
}
