package app_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"tranche/batch"
	"tranche/destinations"
	"tranche/internal/app"
	"tranche/query"
)

func TestAStepThatAsksHasAQuestionMark(t *testing.T) {
	t.Parallel()
	type settings struct{}
	for said, told := range map[string]string{"nobody answers": "Nobody answers.", "is a firewall in the way?": "Is a firewall in the way?"} {
		plugin := destinations.Define(destinations.Definition[settings]{
			Type: "Mute", Steps: []destinations.Step{{Name: "call"}},
			Open: func(context.Context, settings) (destinations.Destination, error) {
				return nil, batch.Errorf(batch.CodeUnavailable, nil, "%s", said)
			},
		})
		s := app.Exports{Models: query.PostHog(), Plugins: destinations.NewRegistry(plugin), Log: zap.NewNop(), Now: time.Now}
		result, err := s.TestDraft(t.Context(), 1, app.Draft{Name: "x", Destination: app.DestinationDraft{Type: "Mute"}}, 0)
		require.NoError(t, err)
		require.Equal(t, told, result.Message)
	}
}

// Whoever presses the button waits: destinations are told so.
func TestDestinationsAreToldThatSomebodyWaitsForATest(t *testing.T) {
	t.Parallel()
	type settings struct{}
	var owner destinations.Owner
	plugin := destinations.Define(destinations.Definition[settings]{
		Type: "Curious", Steps: []destinations.Step{{Name: "ask"}},
		OpenFor: func(_ context.Context, o destinations.Owner, _ settings) (destinations.Destination, error) {
			owner = o
			return nil, batch.Errorf(batch.CodeUnavailable, nil, "nobody is in")
		},
	})
	s := app.Exports{Models: query.PostHog(), Plugins: destinations.NewRegistry(plugin), Log: zap.NewNop(), Now: time.Now}
	draft := app.Draft{Name: "x", Destination: app.DestinationDraft{Type: "Curious"}}
	result, err := s.TestDraft(t.Context(), 7, draft, 0)
	require.NoError(t, err)
	require.Equal(t, "Nobody is in.", result.Message)
	require.True(t, owner.Attended)
	require.EqualValues(t, 7, owner.TeamID)
}

func TestAStepThatHangsFailsInTime(t *testing.T) {
	t.Parallel()
	type settings struct{}
	plugin := destinations.Define(destinations.Definition[settings]{
		Type: "Slow", Steps: []destinations.Step{{Name: "wait"}},
		Open: func(ctx context.Context, _ settings) (destinations.Destination, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	synctest.Test(t, func(t *testing.T) {
		s := app.Exports{Models: query.PostHog(), Plugins: destinations.NewRegistry(plugin), Log: zap.NewNop(), Now: time.Now}
		draft := app.Draft{Name: "x", Destination: app.DestinationDraft{Type: "Slow"}}
		result, err := s.TestDraft(t.Context(), 1, draft, 0)
		require.NoError(t, err)
		require.Equal(t, app.StepFailed, result.Status)
		require.Equal(t, "The test step did not finish within 15 seconds.", result.Message)

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.TestDraft(gone, 1, draft, 0)
		require.ErrorIs(t, err, context.Canceled)
	})
}
