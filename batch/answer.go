package batch

import (
	"errors"
	"time"
)

// An Answer is what a request with an idempotency key was answered with, for when it is sent again.
type Answer struct {
	Status int // of HTTP
	Body   []byte
	ETag   string // empty = none
}

// A Claim is a request that carries an idempotency key.
type Claim struct {
	// Key is a hash of the caller and of the key that the caller chose; Request is one of all that was asked for.
	Key     string
	Request string
	// Until is when the answer is forgotten; AbandonedAt is when a request that has no answer by then was cut off.
	Until       time.Time
	AbandonedAt time.Time
}

// What storage answers to a claim that cannot be had. Callers compare with errors.Is.
var (
	// ErrClaimed: the first request with this key has no answer yet.
	ErrClaimed = errors.New("the idempotency key is in use")
	// ErrOtherRequest: the key belongs to another request.
	ErrOtherRequest = errors.New("the idempotency key belongs to another request")
)
