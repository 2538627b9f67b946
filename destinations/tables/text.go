package tables

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"tranche/encode"
)

// A Cleaner writes text as databases take it, and counts the values that it had to change. It is not safe for use by
// several goroutines; its zero value is ready.
type Cleaner struct {
	// Changed counts the values from which something was removed, or that were written in another form.
	Changed int64

	validator encode.Validator
}

const (
	// maxNesting is how deep JSON may nest to be kept as such: PostgreSQL parses it on its stack.
	maxNesting = 1000
	// maxDigits is how many digits, and maxExponent how many digits of an exponent, a number may have to be kept as such:
	// PostgreSQL keeps numbers exactly and refuses those that it cannot.
	maxDigits   = 10_000
	maxExponent = 3
)

// Text appends text without the zero bytes that databases refuse; what is not UTF-8 becomes U+FFFD.
func (c *Cleaner) Text(b []byte, text string) []byte {
	if strings.IndexByte(text, 0) < 0 && utf8.ValidString(text) {
		return append(b, text...)
	}
	c.Changed++
	return append(b, strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")...)
}

// JSON appends JSON text without the escapes that databases refuse: that of the zero byte, and surrogates without their
// other half. What they cannot keep as it is, because it is no JSON or too deep, becomes a JSON string; numbers that are
// too large become strings.
func (c *Cleaner) JSON(b []byte, text string) []byte {
	if !c.validator.Valid(text) || tooDeep(text) {
		c.Changed++
		return c.quote(b, text)
	}
	if !suspicious(text) {
		return append(b, text...)
	}
	start := len(b)
	b = rewrite(b, text)
	if string(b[start:]) != text {
		c.Changed++
	}
	return b
}

// Quoted appends text as a JSON string.
func (c *Cleaner) Quoted(b []byte, text string) []byte {
	if strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text) {
		c.Changed++
	}
	return c.quote(b, text)
}

func (c *Cleaner) quote(b []byte, text string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == 0: // refused even as an escape
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// Unquote appends the text of a JSON string, which must be valid; other JSON as it is.
func (c *Cleaner) Unquote(b []byte, value string) []byte {
	if value == "" || value[0] != '"' {
		return c.Text(b, value)
	}
	inner := value[1 : len(value)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return c.Text(b, inner)
	}
	return c.Text(b, unescape(inner))
}

// suspicious says whether valid JSON may hold something that databases refuse. It errs on that side, and is cheap.
func suspicious(text string) bool {
	if strings.Contains(text, `\u`) || !utf8.ValidString(text) {
		return true
	}
	if len(text) > maxDigits {
		return true
	}
	for rest := text; ; {
		i := strings.IndexAny(rest, "eE")
		if i < 0 {
			return false
		}
		if i > 0 && '0' <= rest[i-1] && rest[i-1] <= '9' {
			return true
		}
		rest = rest[i+1:]
	}
}

// tooDeep says whether valid JSON nests too deep.
func tooDeep(text string) bool {
	if len(text) <= maxNesting || strings.Count(text, "[")+strings.Count(text, "{") <= maxNesting {
		return false
	}
	depth := 0
	for i := 0; i < len(text); {
		switch text[i] {
		case '"':
			i = encode.StringEnd(text, i+1)
			continue
		case '[', '{':
			if depth++; depth > maxNesting {
				return true
			}
		case ']', '}':
			depth--
		}
		i++
	}
	return false
}

// rewrite appends valid JSON with its strings and numbers made fit.
func rewrite(b []byte, text string) []byte {
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			end := encode.StringEnd(text, i+1)
			b = append(b, '"')
			b = appendEscaped(b, strings.ToValidUTF8(text[i+1:end-1], "\uFFFD"))
			b = append(b, '"')
			i = end
		case c == '-' || '0' <= c && c <= '9':
			end := i + 1
			for end < len(text) && strings.IndexByte("0123456789+-.eE", text[end]) >= 0 {
				end++
			}
			b = appendNumber(b, text[i:end])
			i = end
		default:
			b = append(b, c)
			i++
		}
	}
	return b
}

func appendNumber(b []byte, number string) []byte {
	exponent := strings.IndexAny(number, "eE")
	large := len(number) > maxDigits || exponent >= 0 && len(strings.TrimLeft(number[exponent+1:], "+-0")) > maxExponent
	if !large {
		return append(b, number...)
	}
	return append(append(append(b, '"'), number...), '"')
}

// appendEscaped appends the text between the quotes of a JSON string without the escapes that are refused.
func appendEscaped(b []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			return append(b, s...)
		}
		b, s = append(b, s[:i]...), s[i:]
		if s[1] != 'u' {
			b, s = append(b, s[:2]...), s[2:]
			continue
		}
		r, length := escaped(s)
		if r > 0 {
			b = append(b, s[:length]...)
		}
		s = s[length:]
	}
}

// escaped reads the \u escape, or the pair of them, that s begins with. Without a character it returns 0.
func escaped(s string) (r rune, length int) {
	first := hexRune(s[2:6])
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		if r := utf16.DecodeRune(first, hexRune(s[8:12])); r != utf8.RuneError {
			return r, 12
		}
	}
	return 0, 6
}

func hexRune(digits string) rune {
	n, err := strconv.ParseUint(digits, 16, 16)
	if err != nil {
		return 0 // the text is valid JSON, so this cannot be
	}
	return rune(n)
}

// unescape reads the text between the quotes of a JSON string. What no character is, is left out.
func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			return string(append(b, s...))
		}
		b, s = append(b, s[:i]...), s[i:]
		if s[1] == 'u' {
			r, length := escaped(s)
			if r > 0 {
				b = utf8.AppendRune(b, r)
			}
			s = s[length:]
			continue
		}
		plain := s[1]
		if at := strings.IndexByte("bfnrt", plain); at >= 0 {
			plain = "\b\f\n\r\t"[at]
		}
		b, s = append(b, plain), s[2:]
	}
}
