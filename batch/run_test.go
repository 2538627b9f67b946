package batch_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
)

// These ids are in rows and histories: whoever changes them orphans every run there is.
func TestRunIDIsForEver(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ temporal, want string }{
		"an id of the server":                  {"0195f3a0-7d4b-7c11-8a53-0f3c5d2a9b10", "35cb30cd-d539-50ff-8efd-a1dbe46101ea"},
		"the id of the SDK's test environment": {"default-test-run-id", "709925f7-ac3a-5eb0-b6a5-eea4340b24dc"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := batch.RunID(tt.temporal)
			require.Equal(t, tt.want, got.String())
			require.Equal(t, uuid.Version(5), got.Version())
		})
	}
}

func TestWorkflowID(t *testing.T) {
	t.Parallel()
	export := uuid.MustParse("0195f3a0-7d4b-7c11-8a53-0f3c5d2a9b10")
	end := time.Date(2024, 11, 3, 6, 0, 0, 0, time.UTC)
	const want = "0195f3a0-7d4b-7c11-8a53-0f3c5d2a9b10-2024-11-03T06:00:00Z"
	require.Equal(t, want, batch.WorkflowID(export, end))
	require.Equal(t, want, batch.WorkflowID(export, end.In(time.FixedZone("", -5*3600))), "in another zone")
	require.Equal(t, want, batch.WorkflowID(export, end.Add(999*time.Millisecond)), "Temporal cuts off fractions")
}

func TestBackfillWorkflowID(t *testing.T) {
	t.Parallel()
	export := uuid.MustParse("0195f3a0-7d4b-7c11-8a53-0f3c5d2a9b10")
	backfill := uuid.MustParse("0195f3a1-0000-7000-8000-000000000001")
	want := "0195f3a0-7d4b-7c11-8a53-0f3c5d2a9b10-Backfill-0195f3a1-0000-7000-8000-000000000001"
	require.Equal(t, want, batch.BackfillWorkflowID(export, backfill))
}

func TestRunStatuses(t *testing.T) {
	t.Parallel()
	for _, s := range batch.RunStatuses {
		require.True(t, s.Valid(), s)
		require.Equal(t, s != batch.RunStarting && s != batch.RunRunning, s.Final(), s)
	}
	require.Len(t, batch.RunStatuses, 10)
	require.False(t, batch.RunStatus("completed").Valid())
	require.False(t, batch.RunStatus("").Valid())
}

func TestBackfillStatusFinal(t *testing.T) {
	t.Parallel()
	require.False(t, batch.BackfillStarting.Final())
	require.False(t, batch.BackfillRunning.Final())
	for _, s := range []batch.BackfillStatus{
		batch.BackfillCompleted, batch.BackfillFailed, batch.BackfillCancelled, batch.BackfillTerminated, batch.BackfillTimedOut,
	} {
		require.True(t, s.Final(), s)
	}
}
