package api_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/api"
	"tranche/batch"
)

// TestFuzz lets schemathesis send whatever the document allows, and what it does not: to any project, to things that are
// there, and along the links from what it made itself. FUZZ is the path of the program, FUZZ_EXAMPLES how many requests
// it makes up for each operation in each phase; without it the run is short.
func TestFuzz(t *testing.T) {
	t.Parallel()
	program, phases := fuzzer(t), "examples,fuzzing"
	if os.Getenv("FUZZ_EXAMPLES") != "" {
		phases += ",coverage" // thousands of requests, whatever FUZZ_EXAMPLES says
	}
	for name, f := range map[string]struct {
		args  []string
		there bool // the ids in paths are of things that are there
	}{
		"any project": {args: []string{"--phases", phases, "--exclude-path-regex", "/api/environments/"}},
		"things that are there": {
			args: []string{"--phases", "examples,fuzzing", "--mode", "positive", "--exclude-method", "DELETE", "--exclude-path-regex", "/api/environments/"}, there: true,
		},
		"things that were made": {args: []string{"--phases", "stateful", "--mode", "positive", "--exclude-method", "DELETE", "--include-path-regex", "/api/environments/"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *api.Server) { s.Backfills.Limit = 1 << 20 })
			dir, config := t.TempDir(), ""
			if name != "any project" {
				hooks, err := filepath.Abs(filepath.Join("testdata", "fuzz"))
				require.NoError(t, err)
				require.NoError(t, os.CopyFS(dir, os.DirFS(hooks)))
				config = "hooks = \"hooks\"\n[parameters]\n\"path.project_id\" = 1\n"
			}
			if f.there {
				config += w.things(t)
			}
			require.NoError(t, os.WriteFile(filepath.Join(dir, "schemathesis.toml"), []byte(config), 0o600))
			total, succeeded := w.fuzz(t, program, dir, f.args)
			if f.there {
				require.Greater(t, 3*succeeded, total, "too few requests succeed to find anything")
			}
		})
	}
}

// fuzzer is the path of schemathesis.
func fuzzer(t *testing.T) string {
	t.Helper()
	if program := os.Getenv("FUZZ"); program != "" {
		return program
	}
	found, err := filepath.Glob(filepath.Join("..", ".cache", "tools", "schemathesis-*", "bin", "schemathesis"))
	require.NoError(t, err)
	if len(found) > 0 {
		program, err := filepath.Abs(slices.Max(found))
		require.NoError(t, err)
		return program
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("schemathesis is not installed: run `make fuzzer`")
	}
	t.Skip("SKIPPED, THE API IS NOT FUZZED: schemathesis is not installed, run `make fuzzer`")
	return ""
}

// things makes one of everything and returns settings that name them.
func (w *world) things(t *testing.T) string {
	t.Helper()
	id := w.export(t, to("File"), `"paused": true`)
	backfill := uuid.Must(uuid.NewV7())
	end := start.Truncate(time.Hour)
	require.NoError(t, w.CreateBackfill(t.Context(), batch.Backfill{
		ID: backfill, ExportID: id, TeamID: 1, Retry: true, StartAt: new(end.Add(-time.Hour)), EndAt: &end, Status: batch.BackfillRunning,
		Concurrency: 1, CreatedAt: start, LastUpdatedAt: start,
	}, 5))
	r := w.run(t, id, nil)
	return fmt.Sprintf("\"path.id\" = %q\n\"path.run_id\" = %q\n\"path.backfill_id\" = %q\n", id, r.ID, backfill)
}

// Answers counts the answers to each operation by their status.
type answers struct {
	mu     sync.Mutex
	counts map[string]map[int]int
}

func (a *answers) add(operation string, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.counts[operation] == nil {
		a.counts[operation] = map[int]int{}
	}
	a.counts[operation][status]++
}

// log tells how many requests succeeded, and returns it: a fuzz that is refused everywhere finds nothing.
func (a *answers) log(t *testing.T) (total, succeeded int) {
	t.Helper()
	var lines []string
	for operation, counts := range a.counts {
		lines = append(lines, fmt.Sprintf("%-80s %v", operation, counts))
		for status, n := range counts {
			total += n
			if status < 300 {
				succeeded += n
			}
		}
	}
	slices.Sort(lines)
	t.Logf("%d requests, %d succeeded\n%s", total, succeeded, strings.Join(lines, "\n"))
	return total, succeeded
}

// fuzz serves the world and runs the program against it.
func (w *world) fuzz(t *testing.T, program, dir string, args []string) (total, succeeded int) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	told := &answers{counts: map[string]map[int]int{}}
	server := api.NewHTTPServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		recorder := &statusWriter{ResponseWriter: rw, status: http.StatusOK}
		w.handler.ServeHTTP(recorder, r)
		if path := w.contract.path(r.URL.Path); path != "" {
			told.add(r.Method+" "+path, recorder.status)
		}
	}))
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	examples := os.Getenv("FUZZ_EXAMPLES")
	if examples == "" {
		examples = "5"
	}
	args = append([]string{
		"run", "http://" + listener.Addr().String() + "/openapi.json",
		"--header", "Authorization: Bearer " + allKey, "--max-examples", examples, "--workers", "1", "--request-timeout", "30",
		"--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance",
		"--exclude-path", "/metrics", "--suppress-health-check", "all", "--no-color", "--seed", "1", "--warnings", "off",
	}, args...)
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	total, succeeded = told.log(t)
	require.NoError(t, err, "%s", out)
	return total, succeeded
}

// A statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the status.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
