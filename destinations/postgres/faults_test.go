package postgres

import (
	"context"
	"testing"
	"time"
)

// WithFaults returns the server with a point at which tests stop its destinations.
func (s Server) WithFaults(t *testing.T, at func(ctx context.Context, point string) error) Server {
	t.Helper()
	s.at = at
	return s
}

// WithHaste returns the server with little patience, for networks that tests make silent.
func (s Server) WithHaste(t *testing.T) Server {
	t.Helper()
	p := defaultPatience()
	p.dial, p.short, p.stall, p.probe, p.attempts, p.pause = time.Second, 5*time.Second, 5*time.Second, 100*time.Millisecond, 10, 20*time.Millisecond
	s.patience = &p
	return s
}
