package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/google/uuid"

	"tranche/dev/stack"
)

// A caller uses a stack as its users do.
type caller struct {
	*stack.Stack
}

// export makes an export to files.
func (c *caller) export(ctx context.Context, interval string, paused bool) (uuid.UUID, error) {
	var made struct{ ID uuid.UUID }
	err := c.Call(ctx, http.MethodPost, "", map[string]any{
		"name": "measured", "interval": interval, "paused": paused,
		"destination": map[string]any{"type": "File", "config": map[string]any{"prefix": "measured"}},
	}, &made)
	return made.ID, err
}

// spread describes how times are distributed.
func spread(times []time.Duration) string {
	slices.Sort(times)
	at := func(share float64) time.Duration {
		return times[min(len(times)-1, int(share*float64(len(times))))].Round(time.Millisecond)
	}
	if len(times) == 0 {
		return "none"
	}
	return fmt.Sprintf("median %s, 95%% within %s, slowest %s", at(0.5), at(0.95), at(1))
}

// cpu is how much processor time this process has used.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
