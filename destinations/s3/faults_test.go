package s3

import (
	"context"
	"testing"
	"time"
)

// A Fake is what tests put in the place of AWS and of our patience.
type Fake struct {
	StoreURL, STSURL string
	Idle             time.Duration
	MaxBackoff       time.Duration
	At               func(ctx context.Context, point string) error
}

// With returns the server as tests want it.
func (s Server) With(t *testing.T, f Fake) Server {
	t.Helper()
	s.storeURL, s.stsURL, s.idle, s.maxBackoff, s.at = f.StoreURL, f.STSURL, f.Idle, f.MaxBackoff, f.At
	if s.maxBackoff == 0 {
		s.maxBackoff = 20 * time.Millisecond
	}
	return s
}
