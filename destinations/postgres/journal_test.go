package postgres_test

import (
	"context"
	"sync"

	"tranche/batch"
	"tranche/destinations"
)

// A journal remembers refs as our database does.
type journal struct {
	mu     sync.Mutex
	refs   []destinations.Ref
	closed bool
}

// Record is the destinations.Journal's.
func (j *journal) Record(_ context.Context, ref destinations.Ref) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return batch.Errorf(batch.CodeSuperseded, nil, "the run is over")
	}
	j.refs = append(j.refs, ref)
	return nil
}

// close fences the run.
func (j *journal) close() []destinations.Ref {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	return j.refs
}
