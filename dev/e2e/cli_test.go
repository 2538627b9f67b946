package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A shell runs the service's program as a user of the API does: from the environment, in a folder of their own.
type shell struct {
	t   *testing.T
	env []string
	dir string
}

func (s *devServer) shell() *shell {
	dir := s.program.t.TempDir()
	return &shell{t: s.program.t, dir: dir, env: []string{
		"TRANCHE_URL=" + s.base, "TRANCHE_API_KEY=" + s.key, "TRANCHE_PROJECT=1", "HOME=" + dir, "TRANCHE_PROFILES=", "TRANCHE_PROFILE=", "XDG_CONFIG_HOME=",
	}}
}

// tranche runs a command to its end, checks its exit code, and returns what it printed on standard output.
func (s *shell) tranche(code int, args ...string) string {
	s.t.Helper()
	p := launch(s.t, s.env, programs.service, args...)
	require.Equal(s.t, code, p.wait(), "tranche %s\n%s%s", strings.Join(args, " "), p.stdout.String(), p.stderr.String())
	require.NotContains(s.t, p.stdout.String()+p.stderr.String(), theKey)
	return p.stdout.String()
}

func (s *shell) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	require.NoError(s.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// TestTheWholeLifeOfAnExportFromATerminal is a user's: they define an export, test it, apply it, backfill it, look at what
// became of it, change it, follow its log, and delete it.
func TestTheWholeLifeOfAnExportFromATerminal(t *testing.T) {
	t.Parallel()
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -3)
	events := newEventMaker(8).within(day, 6*time.Hour, 120)
	dir := t.TempDir()
	server := startDev(t, dir, "--load", writeJSONLines(t, "events.jsonl", events))
	s := server.shell()
	const name = "by the hour"
	definition := s.file("export.yaml", `
name: by the hour
interval: hour
destination:
  type: File
  config: {prefix: "${PREFIX}", file_format: JSONLines}
`)
	s.env = append(s.env, "PREFIX=cli")

	require.Contains(t, s.tranche(0, "exports", "test", "-f", definition), "Passed")
	require.Contains(t, s.tranche(0, "exports", "apply", "-f", definition, "--yes"), name+": created\n")
	require.Contains(t, s.tranche(0, "exports", "apply", "-f", definition), "1 unchanged.\n")
	s.tranche(0, "exports", "diff", "-f", definition)

	bounds := []string{"--start", day.Format(time.DateOnly), "--end", day.Add(6 * time.Hour).Format("2006-01-02T15:04")}
	require.Contains(t, s.tranche(0, append([]string{"backfills", "create", name, "--dry-run"}, bounds...)...), "Would run  6 intervals\n")
	done := s.tranche(0, append([]string{"backfills", "create", name, "--concurrency", "3", "--wait"}, bounds...)...)
	require.Regexp(t, `^Completed: 6 intervals delivered, 120 rows, [0-9.]+ kB, in `, done)
	require.Contains(t, s.tranche(0, "coverage", name, "--start", day.Format(time.DateOnly), "--end", day.Add(6*time.Hour).Format(time.RFC3339), "--check"),
		"6 intervals: 6 delivered.\n")
	files, err := filepath.Glob(filepath.Join(dir, "exports", "cli", "*.jsonl"))
	require.NoError(t, err)
	require.Len(t, files, 6)

	var runs []struct{ ID, Status string }
	require.NoError(t, json.Unmarshal([]byte(s.tranche(0, "runs", "list", name, "--limit", "0", "-o", "json")), &runs))
	require.GreaterOrEqual(t, len(runs), 6)
	require.Contains(t, s.tranche(0, "runs", "logs", name, "latest", "-f"), "finished successfully")
	require.Regexp(t, `^Completed: 1 interval delivered`, s.tranche(0, "runs", "retry", name, runs[len(runs)-1].ID, "--wait"))
	s.tranche(4, "runs", "cancel", name, runs[len(runs)-1].ID)

	s.tranche(7, "exports", "diff", "-f", s.file("export.yaml", strings.Replace(read(t, definition), "JSONLines", "Parquet", 1)))
	require.Contains(t, s.tranche(0, "exports", "apply", "-f", definition, "-y"), `destination.config.file_format: "JSONLines" → "Parquet"`)
	require.Contains(t, s.tranche(0, "activity", name), "export.updated")
	s.tranche(0, "exports", "pause", name)
	require.Contains(t, s.tranche(0, "exports", "list"), "paused")
	s.tranche(0, "exports", "unpause", name, "--backfill")
	s.followUntilInterrupted(name)
	s.tranche(0, "exports", "delete", name, "--yes")
	s.tranche(3, "exports", "get", name)
}

// followUntilInterrupted follows the log of an export and ends it as Ctrl-C does.
func (s *shell) followUntilInterrupted(name string) {
	s.t.Helper()
	p := launch(s.t, s.env, programs.service, "logs", name, "-f")
	until(s.t, workPatience, "the log", func() bool { return strings.Contains(p.stdout.String(), "finished successfully") })
	require.NoError(s.t, p.Command.Process.Signal(syscall.SIGINT))
	require.Zero(s.t, p.wait(), p.stderr.String())
	require.Empty(s.t, p.stderr.String())
}

// TestWatchingABackfillOutlastsAnAPIThatRestarts kills the server under a watching command, and starts it again.
func TestWatchingABackfillOutlastsAnAPIThatRestarts(t *testing.T) {
	t.Parallel()
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -3)
	dir := t.TempDir()
	server := startDev(t, dir, "--load", writeJSONLines(t, "events.jsonl", newEventMaker(9).within(day, 12*time.Hour, 60)))
	s := server.shell()
	s.tranche(0, "exports", "create", "-f", s.file("export.yaml", "{name: a, destination: {type: File, config: {prefix: a}}}"))
	watch := launch(t, s.env, programs.service, "backfills", "create", "a", "--start", day.Format(time.DateOnly),
		"--end", day.Add(12*time.Hour).Format("2006-01-02T15:04"), "--concurrency", "1", "--wait")
	until(t, workPatience, "the first line", func() bool {
		return regexp.MustCompile(`: [1-9][0-9]* of 12 intervals`).MatchString(watch.stderr.String())
	})
	address := strings.TrimPrefix(server.base, "http://")
	server.Kill()
	startDev(t, dir, "--listen", address)
	select {
	case <-watch.Ended():
	case <-time.After(workPatience):
		require.FailNow(t, "the watching does not end", watch.stderr.String())
	}
	require.Zero(t, watch.Command.ProcessState.ExitCode(), watch.stderr.String())
	require.Contains(t, watch.stdout.String(), fmt.Sprintf("Completed: %d intervals delivered", 12))
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}
