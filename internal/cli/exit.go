package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"tranche/internal/client"
)

// What a command's exit code says. They are for ever: scripts go by them.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2
	ExitNotFound    = 3
	ExitRefused     = 4
	ExitAuth        = 5
	ExitUnavailable = 6
	ExitDrift       = 7
	ExitEndedBadly  = 8
	ExitInterrupted = 130
)

// An exitError is an error with an exit code of its own.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

func exitf(code int, format string, args ...any) error {
	return &exitError{code, fmt.Sprintf(format, args...)}
}

// usagef says that a command was called in a wrong way.
func usagef(format string, args ...any) error { return exitf(ExitUsage, format, args...) }

// usage gives the code of wrong usage to an error.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{ExitUsage, err.Error()}
}

// ExitCode returns the exit code for what a command returned.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if own, ok := errors.AsType[*exitError](err); ok {
		return own.code
	}
	if refusal, ok := errors.AsType[*client.Error](err); ok {
		return exitOfStatus(refusal)
	}
	if _, ok := errors.AsType[*client.UnreachableError](err); ok {
		return ExitUnavailable
	}
	if errors.Is(err, context.Canceled) {
		return ExitInterrupted
	}
	// Cobra has no types for these.
	if strings.HasPrefix(err.Error(), "unknown command ") || strings.HasPrefix(err.Error(), "required flag(s) ") {
		return ExitUsage
	}
	return ExitFailure
}

func exitOfStatus(e *client.Error) int {
	switch e.Status {
	case http.StatusNotFound:
		return ExitNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return ExitAuth
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return ExitUnavailable
	case http.StatusTooManyRequests:
		if e.RetryAfter > 0 {
			return ExitUnavailable
		}
		return ExitRefused
	}
	if e.Status >= http.StatusBadRequest && e.Status < http.StatusInternalServerError {
		return ExitRefused
	}
	return ExitFailure
}

// Explain is an error as it is told on a terminal: with what to do about it, where that is known.
func Explain(err error) string {
	text := err.Error()
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	if _, ok := errors.AsType[*client.UnreachableError](err); ok {
		return text + "\n  TRANCHE_URL, or a profile, says where the API is: see \"tranche profiles\"."
	}
	refusal, ok := errors.AsType[*client.Error](err)
	if !ok {
		return text
	}
	switch refusal.Status {
	case http.StatusUnauthorized:
		return text + "\n  TRANCHE_API_KEY, or a profile, has the key: see \"tranche profiles\"."
	case http.StatusForbidden:
		return text + "\n  The key needs this scope, and a project of its own organization: see \"tranche profiles\"."
	}
	return text
}

func asRefusal(err error) (*client.Error, bool) { return errors.AsType[*client.Error](err) }
