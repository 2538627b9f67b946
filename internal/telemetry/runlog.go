package telemetry

import (
	"context"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"tranche/batch"
)

// LogStore is what a RunLog needs of the database.
type LogStore interface {
	AppendLogs(ctx context.Context, entries []batch.LogEntry) error
}

const (
	runLogQueue   = 8192                   // lines that may wait; further ones are dropped and counted
	runLogLine    = 8 << 10                // bytes that a line may have; of a longer one the rest is left out, and it says so
	runLogBatch   = 500                    // lines that go into one write
	runLogEvery   = 250 * time.Millisecond // how old a line may get before it is written
	runLogTimeout = 5 * time.Second        // for one write
	runLogTries   = 3                      // of one write; its lines are dropped and counted after the last
	runLogBackOff = 200 * time.Millisecond // between tries
)

// A RunLog writes the lines that customers see in batches, off the path of whoever logs them.
type RunLog struct {
	store   LogStore
	metrics *Metrics
	log     *zap.Logger
	every   time.Duration

	mu     sync.RWMutex // guards closed against a send on a closed queue
	closed bool
	queue  chan batch.LogEntry
	abort  context.CancelFunc
	done   chan struct{}
}

// NewRunLog starts a writer; Close stops it.
func NewRunLog(store LogStore, metrics *Metrics, log *zap.Logger) *RunLog {
	return newRunLog(store, metrics, log, runLogQueue, runLogEvery)
}

func newRunLog(store LogStore, metrics *Metrics, log *zap.Logger, queue int, every time.Duration) *RunLog {
	ctx, abort := context.WithCancel(context.Background())
	l := &RunLog{
		store: store, metrics: metrics, log: log, every: every,
		queue: make(chan batch.LogEntry, queue), abort: abort, done: make(chan struct{}),
	}
	go l.write(ctx)
	return l
}

// Log takes a line and returns at once. When the queue is full or the log is closed, the line is dropped and counted.
func (l *RunLog) Log(entry batch.LogEntry) {
	entry.Message = bounded(entry.Message)
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		l.metrics.droppedLogs.Inc()
		return
	}
	select {
	case l.queue <- entry:
	default:
		l.metrics.droppedLogs.Inc()
	}
}

// bounded cuts a line that is too long at the end of a character.
func bounded(line string) string {
	if len(line) <= runLogLine {
		return line
	}
	end := runLogLine
	for end > 0 && !utf8.RuneStart(line[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d more bytes are left out)", line[:end], len(line)-end)
}

// Close writes what waits and stops the writer. When ctx ends first, the rest is dropped and counted. Closing again waits too.
func (l *RunLog) Close(ctx context.Context) error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
	l.mu.Unlock()
	defer l.abort()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		l.abort()
		<-l.done
		return ctx.Err()
	}
}

// write runs until the queue is closed and empty.
func (l *RunLog) write(ctx context.Context) {
	defer close(l.done)
	ticker := time.NewTicker(l.every)
	defer ticker.Stop()
	waiting := make([]batch.LogEntry, 0, runLogBatch)
	for {
		select {
		case entry, open := <-l.queue:
			if !open {
				l.flush(ctx, waiting)
				return
			}
			waiting = append(waiting, entry)
			if len(waiting) < runLogBatch {
				continue
			}
		case <-ticker.C:
		}
		l.flush(ctx, waiting)
		waiting = waiting[:0]
	}
}

// flush writes the entries, in their order. While it tries again, new lines wait in the queue.
func (l *RunLog) flush(ctx context.Context, entries []batch.LogEntry) {
	if len(entries) == 0 {
		return
	}
	var err error
	for try := range runLogTries {
		if try > 0 {
			select {
			case <-time.After(runLogBackOff):
			case <-ctx.Done():
			}
		}
		if err = l.append(ctx, entries); err == nil {
			return
		}
	}
	l.metrics.droppedLogs.Add(float64(len(entries)))
	l.log.Error("Lines of run logs are lost: the database refused them.", zap.Int("lines", len(entries)), zap.Error(err))
}

func (l *RunLog) append(ctx context.Context, entries []batch.LogEntry) error {
	ctx, cancel := context.WithTimeout(ctx, runLogTimeout)
	defer cancel()
	return l.store.AppendLogs(ctx, entries)
}
