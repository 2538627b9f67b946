package batch

import (
	"errors"
	"fmt"
	"time"
)

// A Code names a kind of failure. Codes are stable: they appear in the API, in metrics and in Temporal.
type Code string

// The codes. Each has a fault in faults.
const (
	CodeInternal          Code = "internal"            // a defect of ours
	CodeUnavailable       Code = "unavailable"         // the other side does not answer or breaks off
	CodeThrottled         Code = "throttled"           // the other side asks us to slow down
	CodeTimeout           Code = "timeout"             // no answer in time
	CodeBusy              Code = "busy"                // another run holds the interval's lease
	CodeCredentials       Code = "invalid_credentials" // the destination does not know us
	CodePermission        Code = "permission_denied"   // the destination knows us and refuses
	CodeNotFound          Code = "not_found"           // a bucket, table, database or file that must exist does not
	CodeConfig            Code = "invalid_config"      // the export's settings cannot work
	CodeFilter            Code = "invalid_filter"      // the export's filters or query do not fit the source's model any more
	CodeSchema            Code = "schema_mismatch"     // the destination's table or the format cannot hold these columns
	CodeNoSpace           Code = "no_space"            // the destination is full
	CodeVerification      Code = "verification_failed" // the destination reports other numbers than we staged
	CodeSuperseded        Code = "superseded"          // a newer run of the interval fenced this one
	CodeCancelled         Code = "cancelled"           // somebody cancelled the run
	CodeDestinationClosed Code = "destination_refused" // the server does not allow this destination
	CodeOverlap           Code = "overlaps_delivery"   // the time was delivered with intervals of another length
)

// A Fault says who must act on a failure.
type Fault int

// The faults.
const (
	Nobodys   Fault = iota + 1 // passes by itself: retry
	Customers                  // the customer must change something: do not retry
	Ours                       // a defect or an outage of ours: retry, and tell the operator
)

// String names the fault as logs and the API show it.
func (f Fault) String() string {
	switch f {
	case Nobodys:
		return "nobody"
	case Customers:
		return "customer"
	case Ours:
		return "operator"
	}
	return "unknown"
}

// faults is the whole retry policy.
var faults = map[Code]Fault{
	CodeInternal:          Ours,
	CodeUnavailable:       Nobodys,
	CodeThrottled:         Nobodys,
	CodeTimeout:           Nobodys,
	CodeBusy:              Nobodys,
	CodeCredentials:       Customers,
	CodePermission:        Customers,
	CodeNotFound:          Customers,
	CodeConfig:            Customers,
	CodeFilter:            Customers,
	CodeSchema:            Customers,
	CodeNoSpace:           Nobodys,
	CodeVerification:      Ours,
	CodeSuperseded:        Customers,
	CodeCancelled:         Customers,
	CodeDestinationClosed: Customers,
	CodeOverlap:           Customers,
}

// Codes returns every code with its fault.
func Codes() map[Code]Fault {
	all := make(map[Code]Fault, len(faults))
	for c, f := range faults {
		all[c] = f
	}
	return all
}

// Fault says who must act. An unknown code is our defect.
func (c Code) Fault() Fault {
	if f, ok := faults[c]; ok {
		return f
	}
	return Ours
}

// Known says whether c is one of the codes.
func (c Code) Known() bool {
	_, ok := faults[c]
	return ok
}

// Retryable says whether trying again can help without anybody changing anything.
// A failed verification is ours but certain: the same bytes would be compared again.
func (c Code) Retryable() bool {
	return c.Fault() != Customers && c != CodeVerification
}

// An Error is a failure whose cause is known. Message is for the customer; Err is for operators and never leaves the process.
type Error struct {
	Code       Code
	Message    string        // a sentence fragment in lower case that names what they can fix; no secret, no host of ours
	RetryAfter time.Duration // a hint; zero = the ordinary back-off
	Err        error         // the cause; may be nil
}

// Errorf makes an Error. The format's arguments reach the customer, cause does not.
func Errorf(code Code, cause error, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Err: cause}
}

// Error is for operators: it includes the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first Error in err's chain, or CodeInternal.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// InternalMessage is what a customer sees of an error that nobody classified.
const InternalMessage = "an internal error occurred"

// MessageOf returns the sentence that a customer may see of err.
func MessageOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Message
	}
	return InternalMessage
}

// What storage answers when a row is not as the caller thinks. Callers compare with errors.Is.
var (
	// ErrNotFound: there is no such row, or it is not the caller's to see.
	ErrNotFound = errors.New("not found")
	// ErrUnchanged, returned by the function of an update, ends it without writing. Updates do not return it.
	ErrUnchanged = errors.New("unchanged")
	// ErrTooManyBackfills: the team runs as many backfills as it may.
	ErrTooManyBackfills = errors.New("too many backfills are running")
	// ErrDuplicateBackfill: a backfill of the same range is running.
	ErrDuplicateBackfill = errors.New("a backfill of this range is running")
)
