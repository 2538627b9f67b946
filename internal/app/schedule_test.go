package app_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"tranche/batch"
	"tranche/destinations"
	"tranche/internal/app"
	"tranche/query"
	"tranche/storage/storagetest"
)

// A slow Temporal does something before the first schedule that it is given takes effect. It keeps what came last.
type slowTemporal struct {
	before func()
	last   *batch.Export // nil = there is none
}

// Put is the Schedules'.
func (f *slowTemporal) Put(_ context.Context, e batch.Export) error {
	if do := f.before; do != nil {
		f.before = nil
		do()
	}
	f.last = &e
	return nil
}

// Remove is the Schedules'.
func (f *slowTemporal) Remove(context.Context, uuid.UUID) error {
	f.last = nil
	return nil
}

func TestOfTwoChangesAtOnceTheNewerOneIsScheduled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		other func(t *testing.T, s *app.Exports, id uuid.UUID)
		want  *batch.Frequency
	}{
		"the other one changes the interval": {func(t *testing.T, s *app.Exports, id uuid.UUID) {
			t.Helper()
			_, err := s.Update(t.Context(), 1, 1, id, nil, app.Change{Interval: app.SentValue("week")})
			require.NoError(t, err)
		}, new(batch.Weekly)},
		"the other one deletes the export": {func(t *testing.T, s *app.Exports, id uuid.UUID) {
			t.Helper()
			require.NoError(t, s.Delete(t.Context(), 1, 1, id, nil))
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, e, temporal := storagetest.SQLite(t), storagetest.Export(), &slowTemporal{}
			require.NoError(t, db.CreateExport(t.Context(), e))
			flows := newTemporal()
			backfills := &app.Backfills{Store: db, Workflows: flows, Log: zap.NewNop(), Now: time.Now}
			runs := &app.Runs{Store: db, Backfills: backfills, Log: zap.NewNop(), Now: time.Now}
			backfills.Runs = runs
			exports := &app.Exports{
				Store: db, Schedules: temporal, Models: query.PostHog(), Plugins: destinations.NewRegistry(), Runs: runs, Backfills: backfills, Log: zap.NewNop(), Now: time.Now,
			}
			temporal.before = func() { c.other(t, exports, e.ID) }
			_, err := exports.Update(t.Context(), 1, 1, e.ID, nil, app.Change{Interval: app.SentValue("day")})
			require.NoError(t, err)
			if c.want == nil {
				require.Nil(t, temporal.last)
				return
			}
			require.Equal(t, *c.want, temporal.last.Frequency)
			latest, err := db.ExportByID(t.Context(), e.ID)
			require.NoError(t, err)
			require.Equal(t, latest.Revision, latest.ScheduledRevision)
			require.Equal(t, latest.Revision, temporal.last.Revision)
		})
	}
}
