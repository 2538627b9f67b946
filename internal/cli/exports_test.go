package cli_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/cli"
)

// ids finds ids, which differ from test to test.
var ids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

func TestTheListOfExports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run("exports", "list").ends(cli.ExitOK).prints("No exports in project 1.\n")
	e := w.export()
	w.pass(time.Minute)
	w.run("exports", "create", "-f", w.file("daily.yaml",
		"{name: by day, interval: day, paused: true, destination: {type: File, config: {}}}")).ends(cli.ExitOK)
	w.runOf(e, 1, func(r *batch.Run) {
		rows, at := int64(1234567), start.Add(time.Minute)
		r.Status, r.RowsCompleted, r.FinishedAt = batch.RunCompleted, &rows, &at
	})
	w.pass(time.Hour)
	w.run("exports", "list").ends(cli.ExitOK).prints(`
NAME          TO              EVERY  STATE   LAST RUN               ROWS  ID
by day        events → File   day    paused  none yet                  -  <id>
to the vault  events → Vault  hour   active  Completed 1h ago  1,234,567  <id>
`)
	w.run("exports", "list", "--limit", "1").ends(cli.ExitOK).prints(`
NAME    TO             EVERY  STATE   LAST RUN  ROWS  ID
by day  events → File  day    paused  none yet     -  <id>
`)
	w.run("exports", "list", "--failing").ends(cli.ExitOK).prints("No exports in project 1.\n")
	require.Contains(t, w.run("exports", "list", "-o", "json").ends(cli.ExitOK).out, `"name": "to the vault",`)
	require.Contains(t, w.run("exports", "list", "-o", "yaml").ends(cli.ExitOK).out, "\n  name: to the vault\n")
}

func TestAnExportByNameAndById(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.export()
	want := `
Name      to the vault
Id        <id>
Exports   events → Vault
Every     hour
State     active
Created   2026-05-06 07:08:09
Changed   2026-05-06 07:08:09
  bucket  "b"
  port    443
  tags    ["x"]
  tls     true
Times in  UTC
`
	w.run("exports", "get", "to the vault").ends(cli.ExitOK).prints(want)
	w.run("exports", "get", e.ID.String()).ends(cli.ExitOK).prints(want)
	w.run("exports", "get", "to the moon").ends(cli.ExitNotFound, `there is no export named "to the moon" in project 1`)
	w.run("exports", "get", "01a21d8f-8524-7911-a5ab-75eccfb9b2f0").ends(cli.ExitNotFound, "there is no export with the id 01a2")
}

func TestPauseUnpauseDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export()
	w.run("exports", "pause", "to the vault").ends(cli.ExitOK).prints("\"to the vault\" is paused. Runs and backfills under way go on.\n")
	w.run("exports", "pause", "to the vault").ends(cli.ExitOK).prints("\"to the vault\" was paused already.\n")
	w.pass(3 * time.Hour)
	w.run("exports", "unpause", "to the vault", "--backfill").ends(cli.ExitOK).
		prints("\"to the vault\" is active again, and what was missed is backfilled. See it with: tranche backfills list 'to the vault'\n")
	w.run("backfills", "list", "to the vault").ends(cli.ExitOK).prints(`
RANGE (UTC)               STATUS    DONE  FAILED  ROWS  BYTES  BEGAN   BACKFILL
2026-05-06 07:00 – 10:00  Starting   0/3       0     0    0 B  0s ago  <id>
`)
	w.run("exports", "unpause", "to the vault").ends(cli.ExitOK).prints("\"to the vault\" was not paused.\n")

	w.run("exports", "delete", "to the vault").ends(cli.ExitUsage, "Nobody is there to ask: pass --yes")
	w.interactive, w.input = true, "n\n"
	w.run("exports", "delete", "to the vault").ends(cli.ExitFailure, "nothing was done", "[y/N]")
	w.input = "y\n"
	w.run("exports", "delete", "to the vault").ends(cli.ExitOK, `Delete "to the vault"`).prints("Deleted \"to the vault\". What it delivered is still there.\n")
	w.run("exports", "get", "to the vault").ends(cli.ExitNotFound)
}

func TestTheConnectionTest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.file("good.yaml", "{name: files, destination: {type: File, config: {prefix: a}}}")
	passed := `
files: 3 steps
  Passed   Check that the prefix is inside the folder of exports
  Passed   Check that the folder can be written
  Passed   Check that there is space
`
	w.run("exports", "test", "-f", good).ends(cli.ExitOK).prints(passed)
	w.run("exports", "list").ends(cli.ExitOK).prints("No exports in project 1.\n")
	w.run("exports", "create", "-f", good).ends(cli.ExitOK)
	w.run("exports", "test", "files").ends(cli.ExitOK).prints(passed)
	require.Contains(t, w.run("exports", "test", "files", "-o", "json").ends(cli.ExitOK).out, `"status": "Passed"`)
	w.run("exports", "test").ends(cli.ExitUsage, "name an export, or definitions with -f")
	w.run("exports", "test", "-f", w.file("bad.yaml", "{name: files, destination: {type: File, config: {prefix: ../../x}}}")).
		ends(cli.ExitRefused, "destination")
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export()
	for name, tt := range map[string]struct {
		args []string
		code int
		text string
	}{
		"an unknown noun":         {[]string{"exprots"}, cli.ExitUsage, `unknown command "exprots"`},
		"an unknown verb":         {[]string{"exports", "lits"}, cli.ExitUsage, `"lits" is no command of "tranche exports"; is it list?`},
		"an unknown flag":         {[]string{"exports", "list", "--nope"}, cli.ExitUsage, "unknown flag: --nope"},
		"too few arguments":       {[]string{"runs", "get", "to the vault"}, cli.ExitUsage, "2 arguments are needed, not 1"},
		"too many arguments":      {[]string{"exports", "list", "x"}, cli.ExitUsage, `"x" is one argument too many`},
		"an unknown format":       {[]string{"exports", "list", "-o", "xml"}, cli.ExitUsage, "table, json and yaml are known"},
		"an unknown zone":         {[]string{"exports", "list", "--zone", "Mars"}, cli.ExitUsage, "there is no such time zone"},
		"a run that is no id":     {[]string{"runs", "get", "to the vault", "x"}, cli.ExitUsage, `"x" is no id of a run`},
		"no runs yet":             {[]string{"runs", "get", "to the vault", "latest"}, cli.ExitNotFound, `"to the vault" has no runs yet`},
		"an unknown status":       {[]string{"runs", "list", "to the vault", "--status", "Odd"}, cli.ExitRefused, `status: "Odd" is not a valid choice.`},
		"bounds of another order": {[]string{"runs", "list", "to the vault", "--start", "2026-01-01"}, cli.ExitUsage, "go with --by-interval"},
		"a backfill of nothing":   {[]string{"backfills", "create", "to the vault"}, cli.ExitUsage, "--start says where"},
		"no time at all":          {[]string{"backfills", "create", "to the vault", "--start", "tomorrow"}, cli.ExitUsage, `--start: "tomorrow" is no time`},
		"a time to come":          {[]string{"backfills", "create", "to the vault", "--start", "2026-05-01", "--end", "2027-01-01"}, cli.ExitRefused, "is in the future"},
		"no definitions":          {[]string{"exports", "apply"}, cli.ExitUsage, "-f names files with definitions"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.of(t).run(tt.args...).ends(tt.code, tt.text)
		})
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export()
	w.env["TRANCHE_API_KEY"] = readKey
	w.run("exports", "get", "to the vault").ends(cli.ExitOK)
	w.run("exports", "pause", "to the vault").ends(cli.ExitAuth, "API key missing required scope 'batch_export:write'")
	w.env["TRANCHE_API_KEY"] = "a-key-that-nobody-gave"
	w.run("exports", "list").ends(cli.ExitAuth, "Incorrect authentication credentials.", "TRANCHE_API_KEY, or a profile, has the key")
	w.env["TRANCHE_API_KEY"] = ""
	w.run("exports", "list").ends(cli.ExitAuth, "there is no API key for http://127.0.0.1:")
	w.env["TRANCHE_API_KEY"] = theKey
	w.env["TRANCHE_PROJECT"] = "9"
	w.run("exports", "list").ends(cli.ExitNotFound, "Project not found.")
}

func TestNamesCannotSteerTheTerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run("exports", "create", "-f", w.file("x.yaml", `{name: "evil\e[2J\u202Egnp", destination: {type: File, config: {}}}`)).ends(cli.ExitOK)
	out := w.run("exports", "list").ends(cli.ExitOK).out
	require.NotContains(t, out, "\x1b")
	require.NotContains(t, out, "\u202e")
	require.Contains(t, out, "evil�[2J�gnp")
}
