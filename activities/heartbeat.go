package activities

import (
	"context"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
)

// A meter counts what an activity has done so far. The zero value is ready.
type meter struct {
	rows, bytes atomic.Int64
}

// Progress is what a heartbeat carries: numbers only.
type Progress struct {
	Rows  int64 `json:"rows"`
	Bytes int64 `json:"bytes"`
}

// Heartbeats come often enough that a lost one does not kill an activity, and that a cancel arrives within seconds.
const (
	beatsPerTimeout = 5
	slowestBeat     = 2 * time.Second
)

// beat sends heartbeats until the returned function is called, which waits for the last one.
func beat(ctx context.Context, timeout time.Duration, m *meter) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	ticker := time.NewTicker(min(timeout/beatsPerTimeout, slowestBeat))
	go func() {
		defer close(ended)
		defer ticker.Stop()
		for {
			activity.RecordHeartbeat(ctx, Progress{Rows: m.rows.Load(), Bytes: m.bytes.Load()})
			select {
			case <-ticker.C:
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
