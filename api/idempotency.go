package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
)

// An AnswerStore keeps the answers to requests that carry an idempotency key.
type AnswerStore interface {
	// ClaimAnswer returns an earlier answer, or the id of what the request makes. It refuses with batch.ErrClaimed or
	// batch.ErrOtherRequest.
	ClaimAnswer(ctx context.Context, c batch.Claim) (batch.Claimed, error)
	SaveAnswer(ctx context.Context, c batch.Claim, a batch.Answer) error
	// ReleaseAnswer is for requests that had no effect, AbandonAnswer for those of which nobody knows.
	ReleaseAnswer(ctx context.Context, c batch.Claim) error
	AbandonAnswer(ctx context.Context, c batch.Claim) error
}

const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
	maxIdempotencyKey = 255
	// answersFor is how long an answer is kept.
	answersFor = 24 * time.Hour
	// abandonedAfter is when a request without an answer was cut off: it is longer than any may take.
	abandonedAfter = 2 * requestTimeout
)

// once makes a handler answer a request that is sent again under the same idempotency key as it did the first time.
// Only success is kept: what was refused may be corrected and sent again. What a request makes gets an id that is kept with
// the key before the request is served: whatever cuts the request off, the same request does not make it twice.
func (s *Server) once(serve handler) handler {
	return func(c *gin.Context, who caller) (int, any, error) {
		claim, err := s.claimOf(c, who)
		if err != nil || claim == nil {
			if err != nil {
				return 0, nil, err
			}
			return serve(c, who)
		}
		claimed, err := s.Answers.ClaimAnswer(c.Request.Context(), *claim)
		if err != nil {
			return 0, nil, refusedClaim(err)
		}
		if earlier := claimed.Answer; earlier != nil {
			c.Header(replayedHeader, "true")
			if earlier.ETag != "" {
				c.Header("ETag", earlier.ETag)
			}
			return earlier.Status, replay(earlier.Body), nil
		}
		who.makes = claimed.Makes
		return s.serveClaimed(c, who, *claim, serve)
	}
}

// A replay is a body that is encoded already.
type replay []byte

// serveClaimed serves the request and keeps its answer.
func (s *Server) serveClaimed(c *gin.Context, who caller, claim batch.Claim, serve handler) (status int, body any, err error) {
	ctx := context.WithoutCancel(c.Request.Context()) // the client may be gone
	giveBack := s.Answers.AbandonAnswer               // after a panic too
	defer func() {
		if giveBack == nil {
			return
		}
		if err := giveBack(ctx, claim); err != nil {
			s.Log.Warn("An idempotency key could not be given back; it is free again in a minute.", zap.Error(err))
		}
	}()
	status, body, err = serve(c, who)
	if err != nil {
		if refusalOf(err).status < http.StatusInternalServerError {
			giveBack = s.Answers.ReleaseAnswer
		}
		return status, body, err
	}
	text, err := encodeJSON(body)
	if err != nil {
		return 0, nil, err
	}
	giveBack = nil
	err = s.Answers.SaveAnswer(ctx, claim, batch.Answer{Status: status, Body: text, ETag: c.Writer.Header().Get("ETag")})
	if err != nil { // the work is done: the client must learn of it
		s.Log.Error("The answer to a request with an idempotency key is not kept.", zap.Error(err))
	}
	return status, replay(text), nil
}

// claimOf reads the idempotency key and what it is for; nil = the request has none.
func (s *Server) claimOf(c *gin.Context, who caller) (*batch.Claim, error) {
	keys := c.Request.Header.Values(idempotencyHeader)
	if len(keys) == 0 {
		return nil, nil
	}
	key := keys[0]
	if len(keys) > 1 || key == "" || len(key) > maxIdempotencyKey || !printable(key) {
		return nil, refused(http.StatusBadRequest, typeInvalid, codeInvalid,
			fmt.Sprintf("The header %s must be 1 to %d printable ASCII characters.", idempotencyHeader, maxIdempotencyKey))
	}
	body, err := readBody(c)
	if err != nil {
		return nil, err
	}
	c.Request.Body = io.NopCloser(bytes.NewReader(body))
	now := s.Now()
	return &batch.Claim{
		Key:     hashOf(strconv.FormatInt(who.teamID, 10), strconv.FormatInt(who.userID, 10), key),
		Request: hashOf(c.Request.Method, c.FullPath(), c.Param("id"), c.Param("run_id")+c.Param("backfill_id"), string(body)),
		Until:   now.Add(answersFor), AbandonedAt: now.Add(abandonedAfter), Makes: uuid.Must(uuid.NewV7()),
	}, nil
}

// refusedClaim says why a key cannot be had.
func refusedClaim(err error) error {
	switch {
	case errors.Is(err, batch.ErrOtherRequest):
		return refused(http.StatusUnprocessableEntity, typeInvalid, "idempotency_key_reused",
			"This idempotency key was used for another request.")
	case errors.Is(err, batch.ErrClaimed):
		return refused(http.StatusConflict, typeInvalid, "idempotency_key_in_use",
			"The first request with this idempotency key is still being served. Please try again.")
	}
	return err
}

func printable(text string) bool {
	for _, b := range []byte(text) {
		if b < ' ' || b > '~' {
			return false
		}
	}
	return true
}

// hashOf hashes parts so that no two lists of parts have the same hash.
func hashOf(parts ...string) string {
	hash := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(hash.Sum(nil))
}
