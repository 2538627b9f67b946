package encode

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"
)

// What a byte of a text means to a JSON string.
const (
	plain  = 0
	escape = 1 // must be escaped
	multi  = 2 // part of a multi-byte sequence, which must be checked
)

var byteClass = func() (class [256]uint8) {
	for c := range class {
		switch {
		case c < 0x20 || c == '"' || c == '\\':
			class[c] = escape
		case c >= utf8.RuneSelf:
			class[c] = multi
		}
	}
	return class
}()

const hexDigits = "0123456789abcdef"

// replacement stands for a byte that is not UTF-8: no reader may stumble over one bad value.
const replacement = string(utf8.RuneError)

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := plainEnd(s, 0); i < len(s); i = plainEnd(s, i) {
		c := s[i]
		switch byteClass[c] {
		case plain:
			i++
		case escape:
			b = append(b, s[start:i]...)
			b = appendEscaped(b, c)
			i++
			start = i
		default:
			_, size := utf8.DecodeRuneInString(s[i:])
			if size == 1 {
				b = append(b, s[start:i]...)
				b = append(b, replacement...)
				start = i + 1
			}
			i += size
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// plainEnd skips eight bytes at a time while all of them are plain.
func plainEnd(s string, i int) int {
	b := bytesOf(s)
	for len(b)-i >= 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^ones*'"', x^ones*'\\'
		if (x|(x-ones*0x20)|((quote-ones)&^quote)|((slash-ones)&^slash))&highs != 0 {
			return i
		}
		i += 8
	}
	return i
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// appendUTF8 appends s with what is not UTF-8 replaced.
func appendUTF8(b []byte, s string) []byte {
	if utf8.ValidString(s) {
		return append(b, s...)
	}
	for i := 0; i < len(s); {
		_, size := utf8.DecodeRuneInString(s[i:])
		if size == 1 && s[i] >= utf8.RuneSelf {
			b = append(b, replacement...)
		} else {
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return b
}

// appendBase64 appends p as a JSON string in standard base64.
func appendBase64(b, p []byte) []byte {
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, p)
	return append(b, '"')
}

// appendFloat appends the shortest number that reads back as x. JSON has none for NaN and infinities: words says
// whether they are written as such or as null.
func appendFloat(b []byte, x float64, bits int, words bool) []byte {
	switch {
	case math.IsNaN(x) && words:
		return append(b, "NaN"...)
	case math.IsInf(x, 1) && words:
		return append(b, "Infinity"...)
	case math.IsInf(x, -1) && words:
		return append(b, "-Infinity"...)
	case math.IsNaN(x) || math.IsInf(x, 0):
		return append(b, "null"...)
	}
	return appendFinite(b, x, bits)
}

// The magnitudes beyond which numbers are written with an exponent, as JavaScript does.
const (
	smallest = 1e-6
	largest  = 1e21
)

func appendFinite(b []byte, x float64, bits int) []byte {
	format := byte('f')
	if size := math.Abs(x); size != 0 && (size < smallest || size >= largest) {
		format = 'e'
	}
	return strconv.AppendFloat(b, x, format, -1, bits)
}

// appendDecimal appends digits, the text of an unscaled integer, with its point moved by scale.
func appendDecimal(b, digits []byte, scale int32) []byte {
	if len(digits) > 0 && digits[0] == '-' {
		b = append(b, '-')
		digits = digits[1:]
	}
	point := len(digits) - int(scale)
	switch {
	case scale <= 0:
		b = append(b, digits...)
		if len(digits) == 1 && digits[0] == '0' {
			return b
		}
		for range -scale {
			b = append(b, '0')
		}
		return b
	case point > 0:
		b = append(b, digits[:point]...)
		b = append(b, '.')
		return append(b, digits[point:]...)
	}
	b = append(b, '0', '.')
	for range -point {
		b = append(b, '0')
	}
	return append(b, digits...)
}
