package cli_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/internal/cli"
)

func TestAPreviewOfADefinition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.file("files.yaml", "{name: files, destination: {type: File, config: {prefix: a, file_format: JSONLines}}}")
	out := w.run("exports", "preview", "-f", file, "--start", "2026-05-06T04:00", "--end", "2026-05-06T06:00").ends(cli.ExitOK).out
	require.Contains(t, out, "Export     files\nModel      events\nFrom       2026-05-06 04:00 – 06:00 UTC\nIntervals  2\nRows       -\nFiles      a/2026-05-06T04:00:00+00:00-2026-05-06T05:00:00+00:00.jsonl\n")
	require.Contains(t, out, "\nCOLUMN ")
	require.Contains(t, w.run("exports", "preview", "-f", file, "--start", "-1h").ends(cli.ExitOK).out, "2026-05-06 06:00 – 08:00 UTC")
	require.Contains(t, w.run("exports", "preview", "-f", file, "-o", "json").ends(cli.ExitOK).out, `"model": "events"`)
	w.run("exports", "preview", "-f", w.file("bad.yaml", "{name: bad, model: people, destination: {type: File, config: {}}}")).ends(cli.ExitRefused, "bad.yaml:1: bad: ")
	w.run("exports", "list").ends(cli.ExitOK).prints("No exports in project 1.\n")
}
