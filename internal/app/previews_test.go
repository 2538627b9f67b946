package app

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPreviewsAreLimited(t *testing.T) {
	t.Parallel()
	var p Previews
	var ends []func()
	for team := range int64(mostPreviews / previewsPerTeam) {
		for range previewsPerTeam {
			end, err := p.begin(team)
			require.NoError(t, err)
			ends = append(ends, end)
		}
		_, err := p.begin(team)
		require.ErrorContains(t, err, "this project")
	}
	_, err := p.begin(99)
	require.ErrorContains(t, err, "Too many previews")
	ends[0]()
	ends[0]() // counts once
	end, err := p.begin(99)
	require.NoError(t, err)
	_, err = p.begin(0)
	require.Error(t, err)
	end()
	for _, end := range ends {
		end()
	}
	require.Zero(t, p.all)
	require.Empty(t, p.teams)
}
