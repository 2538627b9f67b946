package api

import (
	"math"
	"sync"
	"time"

	"github.com/google/uuid"
)

// A RateLimit says how many requests a key may make; zero = any number. Each process counts for itself.
type RateLimit struct {
	PerMinute int
	Burst     int // at once; zero = PerMinute
}

// maxBuckets is how many keys are remembered before those that are idle are forgotten.
const maxBuckets = 10_000

// A limiter has a bucket of tokens for each key: a request takes one, and they come back with time.
type limiter struct {
	perSecond float64
	burst     float64

	mu      sync.Mutex
	buckets map[uuid.UUID]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// newLimiter returns nil when there is no limit.
func newLimiter(l RateLimit) *limiter {
	if l.PerMinute <= 0 {
		return nil
	}
	if l.Burst <= 0 {
		l.Burst = l.PerMinute
	}
	return &limiter{
		perSecond: float64(l.PerMinute) / time.Minute.Seconds(), burst: float64(l.Burst), buckets: map[uuid.UUID]bucket{},
	}
}

// take counts a request, or says how long to wait.
func (l *limiter) take(key uuid.UUID, now time.Time) (wait time.Duration) {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.buckets[key]
	if !known {
		if len(l.buckets) >= maxBuckets {
			l.forgetIdle(now)
		}
		b = bucket{tokens: l.burst, at: now}
	}
	b = l.refilled(b, now)
	if b.tokens < 1 {
		l.buckets[key] = b
		return time.Duration(math.Ceil((1 - b.tokens) / l.perSecond * float64(time.Second)))
	}
	b.tokens--
	l.buckets[key] = b
	return 0
}

func (l *limiter) refilled(b bucket, now time.Time) bucket {
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		return bucket{tokens: min(l.burst, b.tokens+passed*l.perSecond), at: now}
	}
	return b
}

// forgetIdle forgets full buckets: they are as good as new ones. When none is, all start anew.
func (l *limiter) forgetIdle(now time.Time) {
	for key, b := range l.buckets {
		if l.refilled(b, now).tokens >= l.burst {
			delete(l.buckets, key)
		}
	}
	if len(l.buckets) >= maxBuckets {
		clear(l.buckets)
	}
}
