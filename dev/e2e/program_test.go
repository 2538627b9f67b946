package e2e

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/internal/testprocess"
)

// Patience with a machine that does other things too. Nothing waits that long when all is well.
const (
	startPatience = 90 * time.Second
	endPatience   = 30 * time.Second
	workPatience  = 3 * time.Minute
	pollEvery     = 50 * time.Millisecond
)

// until waits for what the condition says.
func until(t *testing.T, patience time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			require.FailNow(t, "waited in vain for "+what)
		case <-tick.C:
		}
	}
}

// An output is what a program wrote so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write is the io.Writer's.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String returns all of it.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// lines returns what was written, by line.
func (o *output) lines() []string {
	return strings.Split(strings.TrimSuffix(o.String(), "\n"), "\n")
}

// A program is a process of ours. It dies with the test.
type program struct {
	*testprocess.Process
	t              *testing.T
	stdout, stderr output
}

// launch starts a program. The environment is added to the test's own.
func launch(t *testing.T, environment []string, path string, args ...string) *program {
	t.Helper()
	return launchIn(t, "", environment, path, args...)
}

// launchIn starts a program in a folder; empty = the test's own.
func launchIn(t *testing.T, folder string, environment []string, path string, args ...string) *program {
	t.Helper()
	p := &program{t: t}
	command := exec.Command(path, args...)
	command.Dir = folder
	command.Env = append(command.Environ(), environment...)
	command.Stdout, command.Stderr = &p.stdout, &p.stderr
	var err error
	p.Process, err = testprocess.Start(command)
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Kill()
		p.requireNothingPlanted(path, args)
		if t.Failed() {
			t.Logf("standard error of %s:\n%s", path, tail(p.stderr.String()))
		}
	})
	return p
}

// tail is the end of a long text.
func tail(text string) string {
	const most = 8000
	if len(text) > most {
		return "…" + text[len(text)-most:]
	}
	return text
}

// wait waits for the program's own end and returns its exit code.
func (p *program) wait() int {
	p.t.Helper()
	select {
	case <-p.Ended():
	case <-time.After(endPatience):
		require.FailNow(p.t, "the program does not end", "%s", p.stderr.String())
	}
	return p.Command.ProcessState.ExitCode()
}

// terminate asks the program to stop, and returns its exit code and how long it took.
func (p *program) terminate() (int, time.Duration) {
	p.t.Helper()
	began := time.Now()
	require.NoError(p.t, p.Command.Process.Signal(syscall.SIGTERM))
	code := p.wait()
	return code, time.Since(began)
}

// alive says whether the program still runs.
func (p *program) alive() bool {
	select {
	case <-p.Ended():
		return false
	default:
		return true
	}
}

// A devServer is a running tranche-dev.
type devServer struct {
	*program
	*caller
	ui string
}

var readyLine = regexp.MustCompile(`^ready api=(http://\S+) ui=(http://\S+) key=(\S+)\n`)

// theKey is the key of servers that are started again.
const theKey = "e2e-key-of-sixteen-or-more"

// startDev starts tranche-dev over a data directory, on free ports, and waits until it is ready.
func startDev(t *testing.T, dataDir string, args ...string) *devServer {
	t.Helper()
	p := launch(t, nil, programs.dev, append([]string{
		"--data-dir", dataDir, "--listen", "127.0.0.1:0", "--ui-listen", "127.0.0.1:0", "--api-key", theKey,
	}, args...)...)
	var ready []string
	until(t, startPatience, "the ready line", func() bool {
		ready = readyLine.FindStringSubmatch(p.stdout.String())
		require.True(t, ready != nil || p.alive(), "it ended before it was ready: %s", p.stderr.String())
		return ready != nil
	})
	require.Equal(t, theKey, ready[3])
	return &devServer{program: p, caller: &caller{t: t, base: ready[1], key: ready[3]}, ui: ready[2]}
}
