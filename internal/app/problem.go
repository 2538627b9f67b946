package app

import "fmt"

// A Kind is the class of a refusal.
type Kind int

// The kinds.
const (
	Invalid            Kind = iota + 1 // the request is wrong
	NotFound                           // there is no such thing for this caller
	Conflict                           // the request collides with something under way
	TooMany                            // a limit is reached
	Unavailable                        // a service that we need does not answer: try again
	PreconditionFailed                 // the caller knows an older state than there is
)

// A Problem is a refusal that the caller can understand. Nothing was changed.
type Problem struct {
	Kind   Kind
	Code   string // the API's code, such as invalid_input
	Detail string // a sentence for the caller
	Attr   string // path of the offending field, keys joined by "__"; empty = the request as a whole
	Err    error  // the cause, for operators
}

// Error is for operators.
func (p *Problem) Error() string {
	if p.Err != nil {
		return fmt.Sprintf("%s: %v", p.Detail, p.Err)
	}
	return p.Detail
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// The codes of problems that this package finds.
const (
	codeInvalid  = "invalid_input"
	codeChoice   = "invalid_choice"
	codeNull     = "null"
	codeBlank    = "blank"
	codeMin      = "min_value"
	codeMax      = "max_value"
	codeLong     = "max_length"
	codeNotFound = "not_found"

	codeDuplicateBackfill = "duplicate_backfill"
	codeOverlapping       = "overlapping_deliveries"
)

func invalid(attr, code, format string, args ...any) *Problem {
	return &Problem{Kind: Invalid, Code: code, Attr: attr, Detail: fmt.Sprintf(format, args...)}
}

func notFound(detail string) *Problem {
	return &Problem{Kind: NotFound, Code: codeNotFound, Detail: detail}
}
