package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheDemoDeliversADay is the README's promise to a newcomer: make dev runs this command.
func TestTheDemoDeliversADay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := launch(t, nil, programs.dev, on(dir, "--demo", "--once")...)
	until(t, workPatience, "the demo to end", func() bool { return !p.alive() })
	require.Zero(t, p.wait(), tail(p.stderr.String()))
	said := p.stdout.String()
	require.Regexp(t, `^ready api=http://\S+ ui=http://\S+ key=\S+\n`, said)
	require.Len(t, regexp.MustCompile(`(?m)^ +\S+ \S+ +\S+ +Completed +2500 +\d+ +1$`).FindAllString(said, -1), 24, said)
	require.Contains(t, said, "Delivered 24 intervals, 60000 rows,")
	require.Len(t, regexp.MustCompile(`(?m)^  curl `).FindAllString(said, -1), 3)
	files, err := filepath.Glob(filepath.Join(dir, "exports", "demo", "*", "*.jsonl.gz"))
	require.NoError(t, err)
	require.Len(t, files, 24)
	staged, err := os.ReadDir(filepath.Join(dir, "exports", ".staging"))
	require.NoError(t, err)
	require.Empty(t, staged)
}
