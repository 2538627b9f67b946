package query

import "regexp/syntax"

// Limits of regular expressions.
const (
	maxPattern = 1000
	maxRepeat  = 255 // PostgreSQL's
	// maxRanges bounds what classes such as \pL are written out as: the pattern is sent with each statement.
	maxRanges = 8000
)

// ParseRegexp reads a regular expression in RE2's syntax, without captures that mean anything. What it gives is printed
// for each source in that source's syntax, so that a pattern means the same everywhere.
func ParseRegexp(pattern string) (*syntax.Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, typeErrorf("a regular expression has at most %d characters", maxPattern)
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, typeErrorf("%q is not a regular expression", clip(pattern))
	}
	if repeats(parsed) {
		return nil, typeErrorf("a regular expression repeats at most %d times", maxRepeat)
	}
	if ranges(parsed) > maxRanges {
		return nil, typeErrorf("a regular expression has too many classes of characters such as \\pL")
	}
	return parsed, nil
}

// ranges counts the ranges of characters that the expression is made of.
func ranges(r *syntax.Regexp) int {
	n := 0
	if r.Op == syntax.OpCharClass {
		n = len(r.Rune) / 2
	}
	for _, sub := range r.Sub {
		n += ranges(sub)
	}
	return n
}

// repeats says whether something is repeated more often than every source can.
func repeats(r *syntax.Regexp) bool {
	if r.Op == syntax.OpRepeat && (r.Min > maxRepeat || r.Max > maxRepeat) {
		return true
	}
	for _, sub := range r.Sub {
		if repeats(sub) {
			return true
		}
	}
	return false
}
