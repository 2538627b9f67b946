package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tranche/internal/doctest"
	"tranche/internal/pgtest"
	"tranche/internal/testprocess"
)

// Blocks of the pages that are marked "run" are run, in order, by one shell for each page, in a folder with the programs
// in bin/, which is also where the shell looks for commands, and with a PostgreSQL for pages that use psql. A line "# → …" behind a command says
// what it prints: "…" stands for anything, and an id for any id, which takes its place from there on. What only reads is
// repeated until it prints that: a reader would do the same. A block that is marked "serve" is a process in a terminal of
// its own, on a port of its own; the same block once more starts it again.
const (
	runMark   = "run"
	serveMark = "serve"
	expected  = "# → "
)

// The addresses that the pages have.
const (
	pagesAPI      = "http://127.0.0.1:8000"
	pagesUI       = "http://127.0.0.1:8233"
	pagesTemporal = "127.0.0.1:7233"
	pagesPostgres = "127.0.0.1:5432"
	pagesReceiver = "8088" // the port of whoever is notified
)

func TestTheExamplesOfThePagesWork(t *testing.T) {
	t.Parallel()
	pages := slices.DeleteFunc(doctest.Pages(t), func(p doctest.Page) bool { return len(walked(p)) == 0 })
	require.NotEmpty(t, pages)
	for _, p := range pages {
		t.Run(strings.ReplaceAll(p.Path, "/", "-"), func(t *testing.T) {
			t.Parallel()
			w := newWalk(t, p)
			for _, b := range walked(p) {
				if b.Marked(serveMark) {
					w.serve(b)
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
	served map[string]server // by the commands that started them
	// instead has what takes the place of addresses and ids of the page.
	instead map[string]string
}

// A server is a process that a page has in a terminal of its own.
type server struct {
	*program
	address string
}

func newWalk(t *testing.T, p doctest.Page) *walk {
	t.Helper()
	w := &walk{T: t, folder: t.TempDir(), instead: map[string]string{}, served: map[string]server{}}
	require.NoError(t, os.Mkdir(filepath.Join(w.folder, "bin"), 0o755))
	for name, path := range map[string]string{"tranche-dev": programs.dev, "tranche": programs.service} {
		require.NoError(t, os.Symlink(path, filepath.Join(w.folder, "bin", name)))
	}
	shell := exec.Command("bash", "--noprofile", "--norc", "-eu")
	shell.Dir, shell.Stdout, shell.Stderr = w.folder, &w.output, &w.output
	path := filepath.Join(w.folder, "bin") + ":" + os.Getenv("PATH")
	shell.Env = append(shell.Environ(), "HOME="+w.folder)
	if strings.Contains(p.Text, "psql ") {
		bin, variables := w.postgres(p)
		path += ":" + bin
		shell.Env = append(shell.Env, variables...)
	}
	shell.Env = append(shell.Env, "PATH="+path)
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	w.stdin, err = shell.StdinPipe()
	require.NoError(t, err)
	w.shell, err = testprocess.Start(shell)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = syscall.Kill(-w.shell.Command.Process.Pid, syscall.SIGKILL) // what it runs, too; it may have ended
		w.shell.Kill()
	})
	return w
}

// What pages make in PostgreSQL.
var (
	madeDatabase = regexp.MustCompile(`(?m)^(?:CREATE DATABASE|createdb) (\w+)`)
	madeRole     = regexp.MustCompile(`(?m)^CREATE ROLE (\w+)`)
)

// postgres returns where psql is, and what tells it of the test's server. What the page makes there is removed after.
func (w *walk) postgres(p doctest.Page) (bin string, variables []string) {
	w.Helper()
	c, err := pgx.Connect(w.Context(), postgres.Database(w.T))
	require.NoError(w, err)
	bin, err = pgtest.Bin()
	require.NoError(w, err)
	w.Cleanup(func() {
		ctx := context.WithoutCancel(w.Context())
		defer c.Close(ctx)
		var statements []string
		for _, made := range madeDatabase.FindAllStringSubmatch(p.Text, -1) {
			statements = append(statements, "DROP DATABASE IF EXISTS "+made[1]+" WITH (FORCE)")
		}
		for _, made := range madeRole.FindAllStringSubmatch(p.Text, -1) {
			statements = append(statements, "DROP ROLE IF EXISTS "+made[1])
		}
		for _, statement := range statements {
			_, err := c.Exec(ctx, statement)
			require.NoError(w, err)
		}
	})
	at := c.Config()
	port := strconv.Itoa(int(at.Port))
	w.instead[pagesPostgres] = net.JoinHostPort(at.Host, port)
	return bin, []string{"PGHOST=" + at.Host, "PGPORT=" + port, "PGUSER=" + at.User}
}

var (
	temporalReady = regexp.MustCompile(`^ready temporal=(\S+) ui=(http://\S+) `)
	ofShells      = regexp.MustCompile(`(?m)#.*$|\\$`)
)

// serve starts a process as the page has it, but for its ports.
func (w *walk) serve(b doctest.Block) {
	w.Helper()
	if b.Language() == "python" {
		w.receive(b.Text)
		return
	}
	words := strings.Fields(ofShells.ReplaceAllString(w.replaced(b.Text), ""))
	command := words[len(words)-1]
	switch {
	case words[0] == "bin/tranche":
		w.serveService(strings.Join(words, " "), words[1:])
	case words[0] == "bin/tranche-dev" && command == "temporal":
		ready := w.ready(temporalReady, append(words[1:], "--port", "0", "--ui-listen", "127.0.0.1:0"))
		w.instead[pagesTemporal], w.instead[pagesUI] = ready[1], ready[2]
	default:
		require.Equal(w, "bin/tranche-dev", words[0])
		ready := w.ready(readyLine, append(words[1:], "--listen", "127.0.0.1:0", "--ui-listen", "127.0.0.1:0"))
		w.instead[pagesAPI], w.instead[pagesUI] = ready[1], ready[2]
	}
}

// ready starts tranche-dev, and returns what its first line says.
func (w *walk) ready(line *regexp.Regexp, args []string) (found []string) {
	w.Helper()
	p := launchIn(w.T, w.folder, nil, programs.dev, args...)
	until(w.T, startPatience, "the ready line", func() bool {
		found = line.FindStringSubmatch(p.stdout.String())
		require.True(w, found != nil || p.alive(), "it ended before it was ready: %s", p.stderr.String())
		return found != nil
	})
	return found
}

// serveService starts an API or a worker. One that runs is ended first, and has its address again.
func (w *walk) serveService(command string, args []string) {
	w.Helper()
	at := "127.0.0.1:0"
	if old, runs := w.served[command]; runs {
		code, _ := old.terminate()
		require.Zero(w, code, old.stderr.String())
		at = old.address
	}
	p := launchIn(w.T, w.folder, []string{"TRANCHE_LISTEN=" + at, "TRANCHE_METRICS_LISTEN=" + at}, programs.service, args...)
	w.served[command] = server{p, p.serving(command)}
	if args[len(args)-1] == "api" {
		w.instead[pagesAPI] = "http://" + w.served[command].address
	}
}

// receive starts a receiver of notifications, and waits until it takes connections.
func (w *walk) receive(script string) {
	w.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(w, err)
	_, w.instead[pagesReceiver], _ = net.SplitHostPort(free.Addr().String())
	require.NoError(w, free.Close())
	python, err := exec.LookPath("python3")
	if err != nil && os.Getenv("CI") != "true" {
		w.Skip("SKIPPED, THE REST OF THE PAGE IS NOT TESTED: there is no python3 to receive notifications")
	}
	require.NoError(w, err)
	p := launchIn(w.T, w.folder, nil, python, "-u", "-c", w.replaced(script))
	until(w.T, startPatience, "the receiver", func() bool {
		require.True(w, p.alive(), p.stderr.String())
		c, err := net.Dial("tcp", free.Addr().String())
		return err == nil && c.Close() == nil
	})
}

// reads says that a step changes nothing, so that it may be taken again.
var (
	reads  = regexp.MustCompile(`(?m)^\s*(curl|ls|cat|zcat|head|tranche|bin/tranche)\b`)
	writes = regexp.MustCompile(`\s(-d|-X|--data|-o|apply|create|fill|retry|cancel|pause|unpause|resume|delete|test|rotate|up)\b`)
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
