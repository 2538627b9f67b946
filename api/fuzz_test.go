package api_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/api"
)

// TestFuzz lets schemathesis send whatever the document allows, and what it does not. FUZZ is the path of the program;
// FUZZ_EXAMPLES is how many requests it makes up for each operation.
func TestFuzz(t *testing.T) {
	t.Parallel()
	program := os.Getenv("FUZZ")
	if program == "" {
		t.Skip("FUZZ is not set: the API is not fuzzed. Run `make fuzz`.")
	}
	w := newWorld(t)
	id := w.export(t)
	r := w.run(t, id, nil)
	for name, args := range map[string][]string{
		"any project":           nil,
		"things that are there": {"--exclude-method", "DELETE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if args != nil {
				config := fmt.Sprintf("[parameters]\n\"path.project_id\" = 1\n\"path.id\" = %q\n\"path.run_id\" = %q\n", id, r.ID)
				require.NoError(t, os.WriteFile(filepath.Join(dir, "schemathesis.toml"), []byte(config), 0o600))
			}
			w.fuzz(t, program, dir, args)
		})
	}
}

// fuzz serves the world and runs the program against it.
func (w *world) fuzz(t *testing.T, program, dir string, args []string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := api.NewHTTPServer(w.handler)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	examples := os.Getenv("FUZZ_EXAMPLES")
	if examples == "" {
		examples = "50"
	}
	args = append([]string{
		"run", "http://" + listener.Addr().String() + "/openapi.json",
		"--header", "Authorization: Bearer " + allKey, "--max-examples", examples, "--workers", "1", "--request-timeout", "30",
		"--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
		"--exclude-path", "/metrics", "--suppress-health-check", "all", "--no-color", "--seed", "1",
	}, args...)
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	t.Log(string(out))
	require.NoError(t, err)
}
