package client

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

// Retries say how requests that may be repeated are repeated.
type Retries struct {
	// Attempts are all of them, the first one too.
	Attempts int
	// First is the pause before the second attempt; each further one is twice as long, up to Longest.
	First, Longest time.Duration
	// Patience is the longest time that a server may ask for.
	Patience time.Duration
}

// DefaultRetries outlast the restart of an API.
func DefaultRetries() Retries {
	return Retries{Attempts: 5, First: 250 * time.Millisecond, Longest: 4 * time.Second, Patience: time.Minute}
}

func (r Retries) orDefault() Retries {
	if r == (Retries{}) {
		return DefaultRetries()
	}
	return r
}

// codeKeyInUse is told of a request whose first attempt is still being served.
const codeKeyInUse = "idempotency_key_in_use"

// after says whether to send the request again after its failure, and when.
func (r Retries) after(attempt int, c call, err error) (wait time.Duration, again bool) {
	if attempt >= r.Attempts {
		return 0, false
	}
	repeatable := c.again || c.once
	if failure, ok := errors.AsType[*UnreachableError](err); ok {
		return r.pause(attempt), repeatable || failure.unsent
	}
	refusal, ok := errors.AsType[*Error](err)
	if !ok {
		return 0, false
	}
	switch refusal.Status {
	case http.StatusTooManyRequests:
		// Refused before anything was done. Other limits than that of requests name no time: waiting is no help there.
		return refusal.RetryAfter, refusal.RetryAfter > 0 && refusal.RetryAfter <= r.Patience
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return max(refusal.RetryAfter, r.pause(attempt)), repeatable && refusal.RetryAfter <= r.Patience
	case http.StatusConflict:
		return r.pause(attempt), c.once && refusal.Code == codeKeyInUse
	}
	return 0, false
}

// pause is between half of and a whole step, so that clients do not come back in step.
func (r Retries) pause(attempt int) time.Duration {
	step := min(r.First<<min(attempt-1, 16), r.Longest)
	return step/2 + rand.N(step/2+1)
}
