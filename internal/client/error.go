package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An Error is what the API answers when it refuses.
type Error struct {
	Status int
	Type   string
	Code   string
	Detail string
	Attr   string // the field that is wrong, its path joined by "__"; empty = none
	// RequestID finds the request in the server's log.
	RequestID string
	// RetryAfter is when to try again; zero = not said.
	RetryAfter time.Duration
}

// Error returns the API's sentence and the field that it is about.
func (e *Error) Error() string {
	text := e.Detail
	if e.Attr != "" && !strings.Contains(text, e.Attr) {
		text = strings.ReplaceAll(e.Attr, "__", ".") + ": " + text
	}
	if e.Status >= http.StatusInternalServerError && e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// An UnreachableError says that nobody answered.
type UnreachableError struct {
	Base string
	Err  error
	// unsent: the request cannot have reached anybody.
	unsent bool
}

// Error names who did not answer.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%s does not answer: %v", e.Base, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// maxRetryAfter bounds what a server may ask for.
const maxRetryAfter = 24 * time.Hour

// errorOf reads the envelope of an error. What has none is told by its status: pages of proxies are not for terminals.
func errorOf(response *http.Response, text []byte) *Error {
	e := &Error{Status: response.StatusCode, RequestID: response.Header.Get(requestIDHeader)}
	var envelope struct {
		Type   string  `json:"type"`
		Code   string  `json:"code"`
		Detail string  `json:"detail"`
		Attr   *string `json:"attr"`
	}
	if err := json.Unmarshal(text, &envelope); err == nil && envelope.Detail != "" {
		e.Type, e.Code, e.Detail = envelope.Type, envelope.Code, envelope.Detail
		if envelope.Attr != nil {
			e.Attr = *envelope.Attr
		}
	} else {
		e.Detail = fmt.Sprintf("the server answered %s, and not as the API does", statusText(response.StatusCode))
	}
	if seconds, err := strconv.ParseInt(response.Header.Get("Retry-After"), 10, 32); err == nil && seconds > 0 {
		e.RetryAfter = min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	return e
}

func statusText(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}
