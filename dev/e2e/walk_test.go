package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/internal/doctest"
	"tranche/internal/testprocess"
)

// Blocks of the pages that are marked "run" are run, in order, by one shell for each page, in a folder with the programs
// in bin/, which is also where the shell looks for commands. A line "# → …" behind a command says what it prints: "…" stands for anything, and an id for any id, which
// takes its place from there on. What only reads is repeated until it prints that: a reader would do the same. A block
// that is marked "serve" starts tranche-dev, on ports of its own.
const (
	runMark   = "run"
	serveMark = "serve"
	expected  = "# → "
)

// The addresses that the pages have.
const (
	pagesAPI = "http://127.0.0.1:8000"
	pagesUI  = "http://127.0.0.1:8233"
)

func TestTheExamplesOfThePagesWork(t *testing.T) {
	t.Parallel()
	pages := slices.DeleteFunc(doctest.Pages(t), func(p doctest.Page) bool { return len(walked(p)) == 0 })
	require.NotEmpty(t, pages)
	for _, p := range pages {
		t.Run(strings.ReplaceAll(p.Path, "/", "-"), func(t *testing.T) {
			t.Parallel()
			w := newWalk(t)
			for _, b := range walked(p) {
				if b.Marked(serveMark) {
					w.serve(b.Text)
					continue
				}
				for _, s := range stepsOf(p, b) {
					w.take(s)
				}
			}
		})
	}
}

func walked(p doctest.Page) []doctest.Block {
	return slices.DeleteFunc(slices.Clone(p.Blocks), func(b doctest.Block) bool { return !b.Marked(runMark) && !b.Marked(serveMark) })
}

// A step is some commands of a page, and the lines that they are to print.
type step struct {
	at     string
	script string
	prints []string
}

// stepsOf cuts a block behind what its commands print.
func stepsOf(p doctest.Page, b doctest.Block) []step {
	var steps []step
	current := step{}
	for i, line := range strings.Split(strings.TrimSuffix(b.Text, "\n"), "\n") {
		text, prints := strings.CutPrefix(line, expected)
		if !prints && len(current.prints) > 0 {
			steps, current = append(steps, current), step{}
		}
		if current.at == "" {
			current.at = p.At(b.Line + i)
		}
		if prints {
			current.prints = append(current.prints, text)
		} else {
			current.script += line + "\n"
		}
	}
	return append(steps, current)
}

// A walk follows a page.
type walk struct {
	*testing.T
	folder string
	shell  *testprocess.Process
	stdin  io.Writer
	output output
	taken  int
	// instead has what takes the place of addresses and ids of the page.
	instead map[string]string
}

func newWalk(t *testing.T) *walk {
	t.Helper()
	w := &walk{T: t, folder: t.TempDir(), instead: map[string]string{}}
	require.NoError(t, os.Mkdir(filepath.Join(w.folder, "bin"), 0o755))
	for name, path := range map[string]string{"tranche-dev": programs.dev, "tranche": programs.service} {
		require.NoError(t, os.Symlink(path, filepath.Join(w.folder, "bin", name)))
	}
	shell := exec.Command("bash", "--noprofile", "--norc", "-eu")
	shell.Dir, shell.Stdout, shell.Stderr = w.folder, &w.output, &w.output
	shell.Env = append(shell.Environ(), "HOME="+w.folder, "PATH="+filepath.Join(w.folder, "bin")+":"+os.Getenv("PATH"))
	var err error
	w.stdin, err = shell.StdinPipe()
	require.NoError(t, err)
	w.shell, err = testprocess.Start(shell)
	require.NoError(t, err)
	t.Cleanup(w.shell.Kill)
	return w
}

// serve starts tranche-dev as the page has it, but for its ports.
func (w *walk) serve(text string) {
	w.Helper()
	words := strings.Fields(regexp.MustCompile(`(?m)#.*$|\\$`).ReplaceAllString(text, ""))
	require.Equal(w, "bin/tranche-dev", words[0])
	p := launchIn(w.T, w.folder, nil, programs.dev, append(words[1:], "--listen", "127.0.0.1:0", "--ui-listen", "127.0.0.1:0")...)
	var ready []string
	until(w.T, startPatience, "the ready line", func() bool {
		ready = readyLine.FindStringSubmatch(p.stdout.String())
		require.True(w, ready != nil || p.alive(), "it ended before it was ready: %s", p.stderr.String())
		return ready != nil
	})
	w.instead[pagesAPI], w.instead[pagesUI] = ready[1], ready[2]
}

// reads says that a step changes nothing, so that it may be taken again.
var (
	reads  = regexp.MustCompile(`(?m)^\s*(curl|ls|cat|zcat|head|tranche|bin/tranche)\b`)
	writes = regexp.MustCompile(`\s(-d|-X|--data|-o|apply|create|fill|retry|cancel|pause|unpause|delete)\b`)
)

// take runs a step until it prints what the page says.
func (w *walk) take(s step) {
	w.Helper()
	script := w.replaced(s.script)
	again := reads.MatchString(script) && !writes.MatchString(script)
	until(w.T, workPatience, s.at+" to print what it says", func() bool {
		printed := w.run(s, script)
		problem := w.compare(s.prints, printed)
		require.True(w, problem == "" || again, "%s: %s\nis not in what is printed:\n%s", s.at, problem, printed)
		return problem == ""
	})
}

// replaced is text of the page with the addresses and ids that there are instead.
func (w *walk) replaced(text string) string {
	var pairs []string
	for from, to := range w.instead {
		pairs = append(pairs, from, to)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// run gives the script to the shell, and returns what it printed.
func (w *walk) run(s step, script string) string {
	w.Helper()
	w.taken++
	before, mark := len(w.output.String()), fmt.Sprintf("--- step %d is over", w.taken)
	_, err := fmt.Fprintf(w.stdin, "%s\necho; echo '%s'\n", script, mark)
	require.NoError(w, err, s.at)
	var printed string
	deadline := time.After(workPatience)
	for over := false; !over; {
		select {
		case <-w.shell.Ended():
			require.FailNow(w, "a command fails", "%s:\n%s%s", s.at, script, w.output.String()[before:])
		case <-deadline:
			require.FailNow(w, "a command does not end", "%s: %s", s.at, script)
		case <-time.After(pollEvery):
		}
		printed, _, over = strings.Cut(w.output.String()[before:], mark)
	}
	return printed
}

// anID is an id of an export, a run, a backfill.
var anID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// compare returns the first line that was not printed, in order, or nothing. It learns which ids there are instead of
// those of the page.
func (w *walk) compare(lines []string, printed string) string {
	learned := map[string]string{}
	for _, line := range lines {
		pattern, ids := w.patternOf(line)
		found := pattern.FindStringSubmatchIndex(printed)
		if found == nil {
			return line
		}
		for i, id := range ids {
			learned[id] = printed[found[2*i+2]:found[2*i+3]]
		}
		printed = printed[found[1]:]
	}
	for id, there := range learned {
		w.instead[id] = there
	}
	return ""
}

// patternOf matches a line of a page, and captures the ids that are not known so far.
func (w *walk) patternOf(line string) (*regexp.Regexp, []string) {
	var ids []string
	text := regexp.QuoteMeta(w.replaced(line))
	text = strings.ReplaceAll(text, "…", `.*?`)
	for _, id := range anID.FindAllString(line, -1) {
		if _, known := w.instead[id]; !known && strings.Contains(text, id) {
			ids = append(ids, id)
			text = strings.Replace(text, id, "("+anID.String()+")", 1)
			text = strings.ReplaceAll(text, id, anID.String())
		}
	}
	return regexp.MustCompile(text), ids
}
