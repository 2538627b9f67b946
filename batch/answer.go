package batch

import (
	"errors"
	"time"

	"github.com/google/uuid"
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
	// Makes is the id that what the request makes gets. It is kept with the key, so that a request that was cut off
	// after its effect finds it when it is sent again.
	Makes uuid.UUID
}

// A Claimed is what a claim was answered with.
type Claimed struct {
	// Answer is the earlier answer; nil = the request is to be served.
	Answer *Answer
	// Makes is the id to use: that of the claim, or of the earlier one that it takes over.
	Makes uuid.UUID
}

// What storage answers to a claim that cannot be had. Callers compare with errors.Is.
var (
	// ErrClaimed: the first request with this key has no answer yet.
	ErrClaimed = errors.New("the idempotency key is in use")
	// ErrOtherRequest: the key belongs to another request.
	ErrOtherRequest = errors.New("the idempotency key belongs to another request")
)
