package e2e

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// requireRefusal runs tranche-dev to its end, which must come soon, with the exit code and one line that says why.
func requireRefusal(t *testing.T, code int, words []string, args ...string) {
	t.Helper()
	p := launch(t, nil, programs.dev, args...)
	require.Equal(t, code, p.wait(), "%s", p.stderr.String())
	require.Empty(t, p.stdout.String())
	text := p.stderr.String()
	require.Len(t, p.stderr.lines(), 1, "one line: %s", text)
	require.True(t, strings.HasPrefix(text, "tranche-dev: "), text)
	for _, word := range words {
		require.Contains(t, text, word)
	}
	for _, noise := range []string{"panic", "goroutine", "0x", "failed to"} {
		require.NotContains(t, text, noise)
	}
}

// on are the flags of a start on free ports.
func on(dataDir string, more ...string) []string {
	return append([]string{"--data-dir", dataDir, "--listen", "127.0.0.1:0", "--ui-listen", "127.0.0.1:0"}, more...)
}

func TestAFileThatCannotBeReadLoadsNothing(t *testing.T) {
	t.Parallel()
	m := newEventMaker(5)
	good := m.within(epoch, time.Hour, 100)
	lines := func(at int, bad string) string {
		var b strings.Builder
		for i, e := range good {
			if i == at {
				b.WriteString(bad + "\n")
			}
			b.Write(e.line(t))
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		file, content string
		words         []string
	}{
		"half a line":                  {"cut.jsonl", lines(41, `{"uuid":"`), []string{"row 42", "JSON"}},
		"no uuid":                      {"cut.jsonl", lines(99, `{"event":"e","distinct_id":"d","timestamp":"2025-01-01T00:00:00Z"}`), []string{"row 100", "uuid is missing"}},
		"a uuid that is none":          {"bad.jsonl", lines(0, `{"uuid":"1","event":"e","distinct_id":"d","timestamp":"2025-01-01T00:00:00Z"}`), []string{"row 1", "uuid"}},
		"a time that is none":          {"bad.jsonl", lines(7, `{"uuid":"00000000-0000-4000-8000-000000000000","event":"e","distinct_id":"d","timestamp":"yesterday"}`), []string{"row 8", "timestamp"}},
		"no gzip":                      {"plain.jsonl.gz", "hello", []string{"gzip"}},
		"no Parquet":                   {"plain.parquet", "hello", nil},
		"a CSV file without a column":  {"bad.csv", "uuid,event\n", []string{"distinct_id"}},
		"a name that says nothing":     {"events.txt", "", []string{".jsonl"}},
		"bytes that are no characters": {"bad.jsonl", lines(3, "{\"uuid\":\"\xff\"}"), []string{"row 4", "UTF-8"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, file := t.TempDir(), filepath.Join(t.TempDir(), c.file)
			require.NoError(t, os.WriteFile(file, []byte(c.content), 0o600))
			requireRefusal(t, 1, append(c.words, file), on(dir, "--load", writeJSONLines(t, "good.jsonl", good), "--load", file)...)
			if name != "half a line" {
				return
			}
			dev := startDev(t, dir)
			export := dev.create(fileExport("none", "hour", ""))
			b := dev.completed(export, dev.backfill(export, epoch.Format(time.RFC3339), epoch.Add(time.Hour).Format(time.RFC3339)), workPatience)
			require.Zero(t, *b.Records, "nothing of the first file is there either")
			require.Empty(t, readDelivered(t, filepath.Join(dir, "exports")).files)
		})
	}
}

func TestAStartThatCannotWorkEndsAtOnceAndSaysWhy(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { taken.Close() })
	port := taken.Addr().String()
	regular := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(regular, nil, 0o600))
	below := filepath.Join(regular, "data")
	newer := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(newer, "VERSION"), []byte("99\n"), 0o600))
	foreign := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(foreign, "VERSION"), []byte("hello\n"), 0o600))

	for name, c := range map[string]struct {
		code  int
		words []string
		args  []string
	}{
		"the port is taken":                  {1, []string{port, "in use"}, on(t.TempDir(), "--listen", port)},
		"the port of the UI is taken":        {1, []string{port, "in use"}, on(t.TempDir(), "--ui-listen", port)},
		"the address is none":                {1, []string{"nonsense"}, on(t.TempDir(), "--listen", "nonsense")},
		"the directory cannot be made":       {1, []string{below, "cannot be written"}, on(below)},
		"the demo cannot write":              {1, []string{below, "cannot be written"}, on(below, "--demo")},
		"the directory is of a newer one":    {1, []string{newer, "newer version"}, on(newer)},
		"the directory is not ours":          {1, []string{foreign, "VERSION"}, on(foreign)},
		"the file to load is missing":        {1, []string{"absent.jsonl", "no such file"}, on(t.TempDir(), "--load", "absent.jsonl")},
		"the file to load is a folder":       {1, []string{foreign}, on(t.TempDir(), "--load", foreign)},
		"the key is too short":               {1, []string{"16"}, on(t.TempDir(), "--api-key", "short")},
		"the key cannot be sent":             {1, []string{"key"}, on(t.TempDir(), "--api-key", "with spaces in the middle")},
		"the log level is none":              {1, []string{"loud"}, on(t.TempDir(), "--log-level", "loud")},
		"a flag is unknown":                  {2, []string{"-frequency"}, on(t.TempDir(), "--frequency", "7")},
		"a flag lacks its value":             {2, []string{"load"}, on(t.TempDir(), "--load")},
		"an argument is unexpected":          {2, []string{`"events.jsonl"`}, on(t.TempDir(), "events.jsonl")},
		"--once has no demo to be done with": {2, []string{"--demo"}, on(t.TempDir(), "--once")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireRefusal(t, c.code, c.words, c.args...)
		})
	}
}

func TestAStartThatWasRefusedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	for _, args := range [][]string{{"--api-key", "short"}, {"--frequency", "7"}, {"events.jsonl"}, {"--log-level", "loud"}, {"--once"}} {
		p := launch(t, nil, programs.dev, on(dir, args...)...)
		require.NotZero(t, p.wait())
		require.NoDirExists(t, dir, "%v", args)
	}
	newer := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(newer, "VERSION"), []byte("99\n"), 0o600))
	require.NotZero(t, launch(t, nil, programs.dev, on(newer)...).wait())
	entries, err := os.ReadDir(newer)
	require.NoError(t, err)
	for _, e := range entries {
		require.Contains(t, []string{"VERSION", "lock"}, e.Name(), "a newer version's directory is not touched")
	}
}

func TestADirectoryHasOneServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startDev(t, dir)
	requireRefusal(t, 1, []string{dir, "in use by another process"}, on(dir)...)
	requireRefusal(t, 1, []string{dir, "in use by another process"}, on(dir, "--demo", "--once")...)
	export := first.create(fileExport("still", "day", "works"))
	first.Kill()
	second := startDev(t, dir)
	var e struct{ Name string }
	second.do(http.MethodGet, at(export), nil, &e)
	require.Equal(t, "still", e.Name)
}

func TestAnExportThatCannotWorkIsRefusedAndNotStored(t *testing.T) {
	t.Parallel()
	dev := startDev(t, t.TempDir())
	changed := func(change func(settings, destination, config map[string]any)) map[string]any {
		settings := fileExport("refused", "hour", "x")
		destination := settings["destination"].(map[string]any)
		change(settings, destination, destination["config"].(map[string]any))
		return settings
	}
	attr := func(name string) *string { return &name }
	for name, c := range map[string]struct {
		settings map[string]any
		attr     *string
	}{
		"unknown type":         {changed(func(_, d, _ map[string]any) { d["type"] = "Fax" }), attr("destination__type")},
		"unknown setting":      {changed(func(_, _, c map[string]any) { c["colour"] = "red" }), attr("destination")},
		"a prefix that leaves": {changed(func(_, _, c map[string]any) { c["prefix"] = "a/../../b" }), attr("destination")},
		"unknown compression":  {changed(func(_, _, c map[string]any) { c["compression"] = "zip" }), attr("destination")},
		"unknown interval":     {changed(func(s, _, _ map[string]any) { s["interval"] = "fortnight" }), attr("interval")},
		"unknown time zone":    {changed(func(s, _, _ map[string]any) { s["timezone"] = "Mars/Olympus" }), attr("timezone")},
		"no name":              {changed(func(s, _, _ map[string]any) { delete(s, "name") }), attr("name")},
	} {
		// One after the other: they share a server and the count of what it stores.
		e := dev.refused(http.StatusBadRequest, http.MethodPost, exports, c.settings)
		require.Equal(t, "validation_error", e.Type, name)
		require.NotEmpty(t, e.Code, name)
		require.NotEmpty(t, e.Detail, name)
		require.Equal(t, c.attr, e.Attr, name)
	}
	var list struct{ Count int }
	dev.do(http.MethodGet, exports, nil, &list)
	require.Zero(t, list.Count)
}
