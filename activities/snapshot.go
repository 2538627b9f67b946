package activities

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"tranche/batch"
	"tranche/sources"
)

// snapshots are what this process has its source hold for the splits of runs. The zero value is ready.
type snapshots struct {
	mu sync.Mutex
	of map[uuid.UUID]snapshot // by run
}

// A snapshot is one of them.
type snapshot struct {
	name       string
	generation int
}

// take removes the one of a run.
func (s *snapshots) take(runID uuid.UUID) (snapshot, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.of[runID]
	delete(s.of, runID)
	return found, ok
}

// put notes the one of a run, if it has a name.
func (s *snapshots) put(runID uuid.UUID, held snapshot) {
	if held.name == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = make(map[uuid.UUID]snapshot)
	}
	s.of[runID] = held
}

func (s *snapshots) all() map[uuid.UUID]snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.of)
}

// hold has the splits of a plan read as of one moment, if there are several and the source can, and returns its name. Where
// it cannot now, each is read as of its own time: whether rows changed in between is what the recount is for.
func (a *Activities) hold(ctx context.Context, splits []sources.Split) string {
	source, ok := a.Source.(sources.Snapshotter)
	if !ok || len(splits) < 2 {
		return ""
	}
	name, err := source.Hold(ctx)
	if err != nil {
		a.log(ctx).Info("The source holds no snapshot for the parts of the interval: each is read as of its own time.", zap.Error(err))
	}
	for i := range splits {
		splits[i].Snapshot = name
	}
	return name
}

// release lets go of what this process has its source hold for a run.
func (a *Activities) release(runID uuid.UUID) {
	if held, ok := a.snapshots.take(runID); ok {
		a.letGo(held.name)
	}
}

func (a *Activities) letGo(name string) {
	if source, ok := a.Source.(sources.Snapshotter); ok && name != "" {
		source.Release(name)
	}
}

// releaseRead lets go of what is held for runs that other processes brought further: whose splits are all read, or that are
// over. What cannot be found out now is asked again, and nothing is held for long in any case.
func (a *Activities) releaseRead(ctx context.Context) {
	for runID, held := range a.snapshots.all() {
		if a.needed(ctx, runID, held.generation) {
			continue
		}
		a.release(runID)
	}
}

// needed says whether splits of a generation may still be read, as far as can be told.
func (a *Activities) needed(ctx context.Context, runID uuid.UUID, generation int) bool {
	receipts, planned, err := a.Store.Receipts(ctx, runID, generation)
	if errors.Is(err, batch.ErrNotFound) || batch.CodeOf(err) == batch.CodeSuperseded {
		return false // it is delivered, or fenced
	}
	if err != nil {
		return true
	}
	r, err := a.Store.RunByID(ctx, runID)
	return err != nil || len(receipts) < planned && !r.Status.Final() && r.Generation == generation
}
