package s3

import (
	"errors"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"tranche/destinations"
)

// patience is how long to wait for the other side, and how often to ask it.
type patience struct {
	dial time.Duration // to be connected, and to agree on TLS
	// idle is how long a connection may neither take nor give a byte while we wait for it. It has no other limit of time:
	// a large part may take long on a slow line.
	idle     time.Duration
	requests int           // how often one request is made when the store is slow, throttles or breaks off
	backoff  time.Duration // the longest pause before a request is made again
	// roleTries is how often a role is asked for: one that was just made is not known everywhere at once. The pauses are
	// 2, 4, 8, 16 seconds.
	roleTries int
	attended  bool
}

// patienceFor is long for deliveries, and ends within seconds where somebody waits.
func (s Server) patienceFor(owner destinations.Owner) patience {
	p := patience{dial: 10 * time.Second, idle: 30 * time.Second, requests: 5, backoff: 16 * time.Second, roleTries: 5}
	if owner.Attended {
		p = patience{dial: 4 * time.Second, idle: 6 * time.Second, requests: 2, backoff: time.Second, roleTries: 1, attended: true}
	}
	if s.idle > 0 {
		p.idle = s.idle
	}
	if s.maxBackoff > 0 {
		p.backoff = s.maxBackoff
	}
	return p
}

// retryer makes requests again. Where somebody waits, only what was answered is: a store that throttles us may well take
// the next request, one that cannot be reached is told of at once.
func (p patience) retryer() *retry.Standard {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = p.requests, p.backoff
		o.RateLimiter = ratelimit.None // activities bound how long it goes on
		if p.attended {
			o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(unreached)}, o.Retryables...)
		}
	})
}

// unreached says that no error of the network is worth another try.
func unreached(err error) aws.Ternary {
	if _, ok := errors.AsType[net.Error](err); ok {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}
