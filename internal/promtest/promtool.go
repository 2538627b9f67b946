// Package promtest asks promtool, the tool of Prometheus itself, what rules and queries mean.
package promtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"tranche/internal/doctest"
)

// Promtool returns the tool's path. Without it, the test is skipped; with CI=true it fails.
func Promtool(tb testing.TB) string {
	tb.Helper()
	cached, err := filepath.Glob(filepath.Join(doctest.Root(tb), ".cache", "tools", "promtool-*", "promtool"))
	if err != nil {
		tb.Fatal(err)
	}
	if len(cached) > 0 {
		return slices.Max(cached)
	}
	path, err := exec.LookPath("promtool")
	if err == nil {
		return path
	}
	const missing = `no promtool: run "make test-servers", or have promtool in PATH`
	if os.Getenv("CI") == "true" {
		tb.Fatal(missing)
	}
	tb.Skip(missing)
	return ""
}

// Run runs promtool in a folder, which must be content.
func Run(tb testing.TB, dir string, args ...string) {
	tb.Helper()
	c := exec.CommandContext(tb.Context(), Promtool(tb), args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		tb.Fatalf("promtool %v: %v\n%s", args, err, out)
	}
}
