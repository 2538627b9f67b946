package encode

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// maxDepth is how deep JSON may nest to be embedded; what is deeper is written as a string. encoding/json reads as deep.
const maxDepth = 10_000

// A guard embeds JSON text in a line. Sources promise JSON, but one bad value must not break a file: whatever a text
// holds, what is appended is one valid value without a line break.
type guard struct {
	nesting [maxDepth/64 + 1]uint64 // one bit per level: set = object
}

// append embeds text: verbatim where it can be, without its white space if it has line breaks, as a string if it is
// not JSON, as null if it is empty.
func (g *guard) append(b []byte, text string) []byte {
	if text == "" {
		return append(b, "null"...)
	}
	valid, broken := g.scan(text)
	if !valid {
		return appendString(b, text)
	}
	if !broken {
		return appendUTF8(b, text)
	}
	if !utf8.ValidString(text) {
		text = string(appendUTF8(nil, text))
	}
	return appendCompact(b, text)
}

// appendCompact appends valid JSON without the white space between its tokens.
func appendCompact(b []byte, text string) []byte {
	for i := 0; i < len(text); {
		switch text[i] {
		case ' ', '\t', '\n', '\r':
			i++
		case '"':
			end := stringEnd(bytesOf(text), i+1)
			b = append(b, text[i:end]...)
			i = end
		default:
			b = append(b, text[i])
			i++
		}
	}
	return b
}

// scan says whether text is one JSON value, and whether it has line breaks between its tokens.
func (g *guard) scan(text string) (valid, broken bool) {
	if strings.IndexByte(text, '\n') >= 0 || strings.IndexByte(text, '\r') >= 0 {
		broken = true // inside a string it would be invalid
	}
	s := bytesOf(text)
	depth := 0
	i := skipSpace(s, 0)
	for {
		// A value starts at i.
		if i >= len(s) {
			return false, broken
		}
		switch c := s[i]; c {
		case '{', '[':
			if depth == maxDepth {
				return false, broken
			}
			g.push(depth, c == '{')
			depth++
			i = skipSpace(s, i+1)
			if i < len(s) && s[i] == c+2 { // } and ] are two after { and [
				depth--
				i++
				break
			}
			if c == '{' {
				i = keyEnd(s, i)
			}
			if i < 0 {
				return false, broken
			}
			continue
		case '"':
			i = stringEnd(s, i+1)
		case 't':
			i = wordEnd(s, i, "true")
		case 'f':
			i = wordEnd(s, i, "false")
		case 'n':
			i = wordEnd(s, i, "null")
		default:
			i = numberEnd(s, i)
		}
		i, depth = g.afterValue(s, i, depth)
		if i < 0 {
			return false, broken
		}
		if depth == 0 {
			return i == len(s), broken
		}
	}
}

// afterValue closes what ends behind a value and returns where the next value starts, or with depth 0 the end.
func (g *guard) afterValue(s []byte, i, depth int) (next, left int) {
	for i >= 0 {
		i = skipSpace(s, i)
		if depth == 0 {
			return i, 0
		}
		if i >= len(s) {
			return -1, depth
		}
		object := g.object(depth - 1)
		switch {
		case s[i] == ',' && object:
			return keyEnd(s, skipSpace(s, i+1)), depth
		case s[i] == ',':
			return skipSpace(s, i+1), depth
		case s[i] == '}' && object, s[i] == ']' && !object:
			depth--
			i++
		default:
			return -1, depth
		}
	}
	return i, depth
}

func (g *guard) push(level int, object bool) {
	mask := uint64(1) << (level % 64)
	if object {
		g.nesting[level/64] |= mask
	} else {
		g.nesting[level/64] &^= mask
	}
}

func (g *guard) object(level int) bool { return g.nesting[level/64]>>(level%64)&1 == 1 }

// keyEnd passes a key and its colon; -1 = there is none.
func keyEnd(s []byte, i int) int {
	if i < 0 || i >= len(s) || s[i] != '"' {
		return -1
	}
	if i = stringEnd(s, i+1); i < 0 {
		return -1
	}
	if i = skipSpace(s, i); i >= len(s) || s[i] != ':' {
		return -1
	}
	return skipSpace(s, i+1)
}

func skipSpace(s []byte, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

func wordEnd(s []byte, i int, word string) int {
	if len(s)-i < len(word) || string(s[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

func numberEnd(s []byte, i int) int {
	if s[i] == '-' {
		i++
	}
	start := i
	if i = digitsEnd(s, i); i == start || s[start] == '0' && i > start+1 {
		return -1
	}
	if i < len(s) && s[i] == '.' {
		start = i + 1
		if i = digitsEnd(s, start); i == start {
			return -1
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		start = i
		if i = digitsEnd(s, start); i == start {
			return -1
		}
	}
	return i
}

func digitsEnd(s []byte, i int) int {
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return i
}

// Masks of eight bytes at once.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// stringEnd returns the index behind the quote that ends the string whose text starts at i; -1 = it is not a string.
func stringEnd(s []byte, i int) int {
	for {
		for len(s)-i >= 8 {
			x := binary.LittleEndian.Uint64(s[i:])
			quote, slash := x^ones*'"', x^ones*'\\'
			found := ((x - ones*0x20) &^ x) | ((quote - ones) &^ quote) | ((slash - ones) &^ slash)
			if found &= highs; found != 0 {
				i += bits.TrailingZeros64(found) / 8
				break
			}
			i += 8
		}
		if i >= len(s) {
			return -1
		}
		switch c := s[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = escapeEnd(s, i+1); i < 0 {
				return -1
			}
		case c < 0x20:
			return -1
		default:
			i++
		}
	}
}

// escapeEnd passes what follows a backslash.
func escapeEnd(s []byte, i int) int {
	if i >= len(s) {
		return -1
	}
	switch s[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if len(s)-i < 5 {
			return -1
		}
		for _, c := range s[i+1 : i+5] {
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return -1
			}
		}
		return i + 5
	}
	return -1
}

// bytesOf views a string's bytes, which must not be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
