package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"tranche/batch"
	"tranche/internal/app"
)

// The types of errors in the envelope.
const (
	typeValidation     = "validation_error"
	typeInvalid        = "invalid_request"
	typeAuthentication = "authentication_error"
	typeThrottled      = "throttled_error"
	typeServer         = "server_error"
)

// The codes of the problems that this package finds.
const (
	codeInvalid     = "invalid_input"
	codeRequired    = "required"
	codeNull        = "null"
	codeBlank       = "blank"
	codeChoice      = "invalid_choice"
	codeAbsent      = "does_not_exist"
	codeMin         = "min_value"
	codeMax         = "max_value"
	codeMaxLength   = "max_length"
	codeEmpty       = "empty"
	codeNoList      = "not_a_list"
	codeNul         = "null_characters_not_allowed"
	codeParse       = "parse_error"
	codeUnavailable = "service_unavailable"
)

// An envelope is the body of every error. Only the first problem is told.
type envelope struct {
	Type   string  `json:"type"`
	Code   string  `json:"code"`
	Detail string  `json:"detail" description:"A sentence for people."`
	Attr   *string `json:"attr" description:"The field that it is about, with __ between the keys of a path; null = the request as a whole."`
}

// A refusal is an error together with how HTTP says it.
type refusal struct {
	status int
	envelope
	challenge bool          // ask for credentials
	after     time.Duration // when to try again; zero = not said
}

// Error is for operators.
func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.status, r.Code, r.Detail) }

func refused(status int, kind, code, detail string) *refusal {
	return &refusal{status: status, envelope: envelope{Type: kind, Code: code, Detail: detail}}
}

func notFound(detail string) *refusal {
	return refused(http.StatusNotFound, typeInvalid, "not_found", detail)
}

func methodNotAllowed(method string) *refusal {
	return refused(http.StatusMethodNotAllowed, typeInvalid, "method_not_allowed", fmt.Sprintf("Method \"%s\" not allowed.", method))
}

func forbidden(detail string) *refusal {
	return refused(http.StatusForbidden, typeAuthentication, "permission_denied", detail)
}

func unauthorized(code, detail string) *refusal {
	r := refused(http.StatusUnauthorized, typeAuthentication, code, detail)
	r.challenge = true
	return r
}

// throttled refuses a request that comes too soon.
func throttled(wait time.Duration) *refusal {
	seconds := int(math.Ceil(wait.Seconds()))
	r := refused(http.StatusTooManyRequests, typeThrottled, "throttled",
		fmt.Sprintf("Request was throttled. Expected available in %d seconds.", seconds))
	r.after = time.Duration(seconds) * time.Second
	return r
}

func parseError(detail string) *refusal {
	return refused(http.StatusBadRequest, typeInvalid, codeParse, "JSON parse error - "+detail)
}

// invalid is a validation error. An empty attr means the request as a whole.
func invalid(attr, code, format string, args ...any) *app.Problem {
	return &app.Problem{Kind: app.Invalid, Code: code, Attr: attr, Detail: fmt.Sprintf(format, args...)}
}

// refusalOf says how HTTP tells err.
func refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	if p, ok := errors.AsType[*app.Problem](err); ok {
		return refusalOfProblem(p)
	}
	if errors.Is(err, batch.ErrNotFound) {
		return notFound("Not found.")
	}
	code := batch.CodeOf(err)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		code == batch.CodeUnavailable || code == batch.CodeTimeout {
		return refused(http.StatusServiceUnavailable, typeServer, codeUnavailable, "The service is busy or restarting. Please try again.")
	}
	return refused(http.StatusInternalServerError, typeServer, "error", "A server error occurred.")
}

// refusalOfProblem maps every kind of problem.
func refusalOfProblem(p *app.Problem) *refusal {
	var r *refusal
	switch p.Kind {
	case app.Invalid:
		r = refused(http.StatusBadRequest, typeValidation, p.Code, p.Detail)
	case app.NotFound:
		r = refused(http.StatusNotFound, typeInvalid, p.Code, p.Detail)
	case app.Conflict:
		r = refused(http.StatusConflict, typeInvalid, p.Code, p.Detail)
	case app.TooMany:
		r = refused(http.StatusTooManyRequests, typeServer, p.Code, p.Detail)
	case app.PreconditionFailed:
		r = refused(http.StatusPreconditionFailed, typeInvalid, p.Code, p.Detail)
	case app.Unavailable:
		r = refused(http.StatusServiceUnavailable, typeServer, p.Code, p.Detail)
	}
	if r == nil {
		return refused(http.StatusInternalServerError, typeServer, "error", "A server error occurred.")
	}
	if p.Attr != "" {
		r.Attr = &p.Attr
	}
	return r
}

// refuse answers every request with r.
func (s *Server) refuse(r *refusal) gin.HandlerFunc {
	return func(c *gin.Context) { s.writeError(c, r) }
}

// writeError answers with err's envelope. What clients cannot know about an error goes to the log.
func (s *Server) writeError(c *gin.Context, err error) {
	r := refusalOf(err)
	if r.status >= http.StatusInternalServerError {
		level := zap.ErrorLevel
		if errors.Is(err, context.Canceled) {
			level = zap.DebugLevel // the client went away
		}
		s.Log.Log(level, "A request could not be answered.", append(whose(c), zap.String("route", routeOf(c)), zap.Error(err))...)
	}
	if r.challenge {
		c.Header("WWW-Authenticate", "Bearer")
	}
	if r.after > 0 {
		c.Header("Retry-After", strconv.Itoa(int(r.after.Seconds())))
	}
	s.writeJSON(c, r.status, r.envelope)
}

// writeJSON answers with body. It is encoded before the status is sent, so that what cannot be encoded is a 500.
func (s *Server) writeJSON(c *gin.Context, status int, body any) {
	c.Header("Cache-Control", "no-store")
	c.Header("X-Content-Type-Options", "nosniff")
	if body == nil {
		c.Status(status)
		c.Writer.WriteHeaderNow()
		return
	}
	text, err := encodeJSON(body)
	if err != nil {
		s.writeError(c, err)
		return
	}
	c.Data(status, "application/json", text)
}

// encodeJSON encodes a body; a replay is encoded already.
func encodeJSON(body any) ([]byte, error) {
	if text, ok := body.(replay); ok {
		return text, nil
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
