package doctest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// UpdateVariable is set to true in the environment to make [Generated] write pages instead of comparing them: make docs does.
const UpdateVariable = "TRANCHE_UPDATE_DOCS"

// Generated holds a section of a page against what the code says now. A section stands between two comments:
//
//	<!-- generated: settings -->
//	<!-- end of settings -->
func Generated(tb testing.TB, path, section, text string) {
	tb.Helper()
	p := Read(tb, path)
	begin, end := "<!-- generated: "+section+" -->\n", "<!-- end of "+section+" -->\n"
	before, rest, found := strings.Cut(p.Text, begin)
	was, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		tb.Fatalf("%s has no section between %q and %q", path, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	want := "\n" + strings.TrimSpace(text) + "\n\n"
	if was == want {
		return
	}
	if os.Getenv(UpdateVariable) != "true" {
		tb.Fatalf("the section %q of %s is not what the code says now: run make docs, and read what it changed", section, path)
	}
	full := filepath.Join(Root(tb), filepath.FromSlash(path))
	if err := os.WriteFile(full, []byte(before+begin+want+end+after), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// Row is a row of a table: cells may hold anything but line breaks.
func Row(cells ...string) string {
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(cell, "|", `\|`)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// Table is a table with a header.
func Table(header ...string) string {
	return Row(header...) + "|" + strings.Repeat("---|", len(header)) + "\n"
}
