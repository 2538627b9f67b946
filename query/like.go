package query

import "strings"

// LikePattern writes a pattern of LIKE so that every source reads it alike: % is any text, _ any character, and a
// backslash takes the meaning from what follows it.
func LikePattern(pattern string) string {
	var b strings.Builder
	escaped := false
	for _, r := range pattern {
		switch {
		case escaped:
			escaped = false
			if r == '%' || r == '_' || r == '\\' {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		case r == '\\':
			escaped = true
		default:
			b.WriteRune(r)
		}
	}
	if escaped {
		b.WriteString(`\\`)
	}
	return b.String()
}
