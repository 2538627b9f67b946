package testprocess_test

import (
	"bytes"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/internal/testprocess"
)

const patience = time.Minute

func TestWhatDoesNotFollowIsKilled(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"it follows":           `echo up; exec sleep 600`,
		"it will not hear":     `trap "" TERM; echo up; while :; do sleep 600; done`,
		"it has ended already": `echo up`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := make(written, 1)
			command := exec.Command("sh", "-c", script)
			command.Stdout = up
			command.WaitDelay = time.Second // the shell's own child may keep the output open
			p, err := testprocess.Start(command)
			require.NoError(t, err)
			<-up
			p.Stop(syscall.SIGTERM, 100*time.Millisecond)
			<-p.Ended()
			require.NotNil(t, command.ProcessState)
		})
	}
}

// written receives when something is written.
type written chan struct{}

func (w written) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("up")) {
		w <- struct{}{}
	}
	return len(p), nil
}

func TestAwaitTellsWhyItIsNotReady(t *testing.T) {
	t.Parallel()
	p, err := testprocess.Start(exec.Command("sleep", "600"))
	require.NoError(t, err)
	t.Cleanup(p.Kill)
	asked := 0
	require.NoError(t, p.Await(func() bool { asked++; return asked == 3 }, patience))
	require.Error(t, p.Await(func() bool { return false }, time.Millisecond))
	p.Kill()
	require.EqualError(t, p.Await(func() bool { return false }, patience), "the server ended")
	_, err = testprocess.Start(exec.Command("/nonexistent"))
	require.Error(t, err)
}
