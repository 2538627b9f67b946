package model

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSoakAProtocolThatLacksAPartIsFoundOut shows that the walks can fail: each does when the workers leave out a part. Without
// the fence they fail only in rare races.
func TestSoakAProtocolThatLacksAPartIsFoundOut(t *testing.T) { //nolint:paralleltest // each walk has the machine to itself
	if os.Getenv("SOAK") != "true" {
		t.Skip("long random walks: run make soak")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	for part, missed := range map[string]string{ //nolint:paralleltest // as above
		withoutPrevious:  `visible, but of no delivery`,
		withoutRecord:    `nothing settles`,
		withoutSupersede: `are both delivered`,
	} {
		t.Run(part, func(t *testing.T) {
			walk := exec.CommandContext(t.Context(), self, "-test.run", "^TestSoakEveryIntervalIsVisibleExactlyOnce$", "-rapid.nofailfile", "-test.v")
			walk.Env = append(os.Environ(), "TRANCHE_MODEL_BROKEN="+part)
			output, err := walk.CombinedOutput()
			var failed *exec.ExitError
			require.ErrorAs(t, err, &failed, "the model did not miss it:\n%s", output)
			require.Regexp(t, missed, string(output))
		})
	}
}
