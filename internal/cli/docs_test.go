package cli_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/stretchr/testify/require"

	"tranche/internal/cli"
)

var update = flag.Bool("update", false, "write docs/cli anew")

// TestTheReferenceIsCurrent holds docs/cli against the commands. To write it anew: go test ./internal/cli -run Reference -update.
func TestTheReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	root := &cobra.Command{
		Use: "tranche", Short: "The commands that talk to the API", DisableAutoGenTag: true,
		Long: "These are the commands that talk to the API. \"tranche help\" lists those of the service too.",
	}
	root.AddCommand(cli.Commands(cli.Env{
		Getenv: func(string) string { return "" }, Now: time.Now, Zone: time.UTC, Width: func(any) int { return 0 },
	})...)
	want, kept := t.TempDir(), filepath.Join("..", "..", "docs", "cli")
	require.NoError(t, doc.GenMarkdownTree(root, want))
	if *update {
		require.NoError(t, os.RemoveAll(kept))
		require.NoError(t, os.CopyFS(kept, os.DirFS(want)))
	}
	fresh, stored := filesIn(t, want), filesIn(t, kept)
	for name := range stored {
		require.Contains(t, fresh, name, "a page of no command")
	}
	for name, text := range fresh {
		require.Equal(t, text, stored[name], "%s is out of date; run: go test ./internal/cli -run Reference -update", name)
	}
}

func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	files := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		files[e.Name()] = string(text)
	}
	return files
}
