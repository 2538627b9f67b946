package app_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/app"
	"tranche/storage/storagetest"
)

func TestABackfillThatWasCancelledInPauseIsToldSo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		paused    bool
		ago       time.Duration
		execution app.Execution
		told      bool
	}{
		"Temporal did not answer":       {paused: true, ago: time.Hour, execution: app.ExecutionRunning, told: true},
		"it is being told":              {paused: true, ago: time.Second, execution: app.ExecutionRunning},
		"it knows, and waits for a run": {paused: true, ago: time.Hour, execution: app.ExecutionCancelling},
		"it is over":                    {paused: true, ago: time.Hour, execution: app.ExecutionCancelled},
		"it finds out by itself":        {ago: time.Hour, execution: app.ExecutionRunning},
		"it was long ago":               {paused: true, ago: 25 * time.Hour, execution: app.ExecutionRunning},
		"a little less than a day ago":  {paused: true, ago: 24*time.Hour - time.Second, execution: app.ExecutionRunning, told: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 0)
			w.temporal.backfill = c.execution
			at := w.now
			b := storagetest.Backfill(w.export, noon.Add(-time.Hour), noon)
			require.NoError(t, w.CreateBackfill(t.Context(), b, 100))
			_, err := w.UpdateBackfill(t.Context(), b.ID, func(b *batch.Backfill) error {
				if c.paused {
					b.PausedAt = &at
				}
				b.Status, b.FinishedAt = batch.BackfillCancelled, &at
				return nil
			})
			require.NoError(t, err)
			w.now = at.Add(c.ago)
			done := w.reconcile(t)
			if !c.told {
				require.Empty(t, w.temporal.cancelled)
				return
			}
			require.Equal(t, []uuid.UUID{b.ID}, w.temporal.cancelled)
			require.Equal(t, 1, done[app.RepairCancel])
		})
	}
}
