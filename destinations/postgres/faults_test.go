package postgres

import (
	"context"
	"testing"
)

// WithFaults returns the server with a point at which tests stop its destinations.
func (s Server) WithFaults(t *testing.T, at func(ctx context.Context, point string) error) Server {
	t.Helper()
	s.at = at
	return s
}
