package query

import "regexp/syntax"

// Limits of regular expressions.
const (
	maxPattern = 1000
	maxRepeat  = 255 // PostgreSQL's
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
	return parsed, nil
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
