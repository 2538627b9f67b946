package querytest

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"tranche/query"
)

func text(function string, args []any) any {
	s := args[0].(string)
	switch function {
	case query.FunctionLower:
		return strings.Map(unicode.ToLower, s)
	case query.FunctionUpper:
		return strings.Map(unicode.ToUpper, s)
	case query.FunctionLength:
		return int64(utf8.RuneCountInString(s))
	case query.FunctionTrim:
		return strings.Trim(s, " ")
	case query.FunctionConcat:
		for _, more := range args[1:] {
			s += more.(string)
		}
		return s
	case query.FunctionSubstring:
		runes := []rune(s)
		from := min(int(args[1].(int64))-1, len(runes))
		return string(runes[from:min(from+int(args[2].(int64)), len(runes))])
	case query.FunctionSHA256Hex:
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	other := args[1].(string)
	switch function {
	case query.FunctionReplaceAll:
		return strings.ReplaceAll(s, other, args[2].(string))
	case query.FunctionStartsWith:
		return strings.HasPrefix(s, other)
	case query.FunctionEndsWith:
		return strings.HasSuffix(s, other)
	case query.FunctionContains:
		return strings.Contains(s, other)
	case query.FunctionPosition:
		if i := strings.Index(s, other); i >= 0 {
			return int64(utf8.RuneCountInString(s[:i])) + 1
		}
		return int64(0)
	case query.FunctionMatch:
		return regexp.MustCompile(other).MatchString(s)
	case query.FunctionLike:
		return like(s, other)
	case query.FunctionILike:
		return like(strings.Map(unicode.ToLower, s), strings.Map(unicode.ToLower, other))
	}
	panic("unknown function " + function)
}

// like matches a pattern of LIKE.
func like(s, pattern string) bool {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	escaped := false
	for _, r := range pattern {
		switch {
		case !escaped && r == '\\':
			escaped = true
			continue
		case !escaped && r == '%':
			b.WriteString(`.*`)
		case !escaped && r == '_':
			b.WriteString(`.`)
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
		escaped = false
	}
	if escaped {
		b.WriteString(`\\`)
	}
	return regexp.MustCompile(b.String() + `\z`).MatchString(s)
}
