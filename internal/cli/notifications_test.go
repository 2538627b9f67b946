package cli_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/internal/cli"
)

// receiver is a webhook's other end, which answers with the status.
func receiver(t *testing.T, status *atomic.Int64) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	t.Cleanup(server.Close)
	return server.URL
}

var aSecret = regexp.MustCompile(`whsec_[A-Za-z0-9+/=]+`)

func TestTheLifeOfANotificationFromATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var status atomic.Int64
	status.Store(http.StatusNoContent)
	url := receiver(t, &status)
	w.run("notifications", "list").ends(cli.ExitOK).prints("Nobody is told of events of all exports of project 1.\n")
	made := w.run("notifications", "create", "On call", "--to", url+"/hooks/4711", "--event", "late,failed").ends(cli.ExitOK)
	require.Regexp(t, `^Name      On call\nId        [-0-9a-f]{36}\nKind      webhook\nTo        `+url+`/\*\*\*\nState     on\nEvents    failed, late\n`+
		`Secret    whsec_\S+ \(keep it: it is not shown again\)\nCreated   2026-05-06 07:08:09\nChanged   2026-05-06 07:08:09\nTimes in  UTC\n`+
		`Try it: tranche notifications test 'On call'\n$`, made.out)
	secret := aSecret.FindString(made.out)

	w.run("notifications", "list").ends(cli.ExitOK).prints(`
NAME     KIND     TO                          STATE  EVENTS        ID
On call  webhook  ` + url + `/***  on     failed, late  <id>
`)
	require.NotContains(t, w.run("notifications", "get", "On call").ends(cli.ExitOK).out, "Secret")
	require.Regexp(t, `^`+url+`/\*\*\* took it: status 204 after [0-9.]+s\n$`, w.run("notifications", "test", "On call").ends(cli.ExitOK).out)
	status.Store(http.StatusTeapot)
	w.pass(time.Minute)
	w.run("notifications", "test", "On call").ends(cli.ExitFailure, "did not take it: status 418 after ")
	require.Regexp(t, `^WHEN \(UTC\) +EVENT +STATUS +TRIES +EXPORT\n2026-\S+ \S+  test   failed    +1  - +status 418 after [^\n]*\n2026-\S+ \S+  test   delivered +1  - +status 204 after [0-9.]+s\n$`,
		w.run("notifications", "log", "On call").ends(cli.ExitOK).out)
	var messages []struct{ Status string }
	require.NoError(t, json.Unmarshal([]byte(w.run("notifications", "log", "On call", "-o", "json").ends(cli.ExitOK).out), &messages))
	require.Len(t, messages, 2)

	require.Contains(t, w.run("notifications", "update", "On call", "--off", "--name", "Nobody").ends(cli.ExitOK).out, "State     off\n")
	rotated := w.run("notifications", "update", "Nobody", "--rotate-secret", "-o", "yaml").ends(cli.ExitOK).out
	require.Regexp(t, `(?m)^secret: whsec_`, rotated)
	require.NotEqual(t, secret, aSecret.FindString(rotated))
	require.Contains(t, w.run("notifications", "get", "Nobody").ends(cli.ExitOK).out, "Old secret  signs too until 2026-05-0")
	require.NotContains(t, w.run("notifications", "update", "Nobody", "--revoke-old-secret").ends(cli.ExitOK).out, "Old secret")
	require.Contains(t, w.run("notifications", "update", "Nobody", "--late-after", "3h").ends(cli.ExitOK).out, "Late after  3h00m\n")
	require.Contains(t, w.run("activity", "--action", "notification.tested").ends(cli.ExitOK).out, "user 11")
	w.run("notifications", "delete", "Nobody").ends(cli.ExitUsage, "pass --yes")
	w.run("notifications", "delete", "Nobody", "--yes").ends(cli.ExitOK).prints(`Deleted "Nobody". Nothing is sent to ` + url + "/*** any more.\n")
	w.run("notifications", "get", "Nobody").ends(cli.ExitNotFound, `there is no notification "Nobody" of all exports of project 1`, "--export")
}

func TestNotificationsOfOneExportFromATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export()
	address := w.file("url.txt", "http://127.0.0.1:1/services/"+planted+"\n")
	of := []string{"--export", "to the vault"}
	run := func(args ...string) printout {
		return w.run(append(append([]string{"notifications"}, args...), of...)...)
	}
	run("list").ends(cli.ExitOK).prints("Nobody is told of events of \"to the vault\".\n")
	made := run("create", "team", "--kind", "slack", "--to-file", address, "--off").ends(cli.ExitOK).out
	require.Contains(t, made, "Events    all\n")
	require.Contains(t, made, "Try it: tranche notifications test team --export 'to the vault'\n")
	require.NotContains(t, made, "Secret")
	w.run("notifications", "get", "team").ends(cli.ExitNotFound)
	require.Contains(t, run("get", "team").ends(cli.ExitOK).out, "State     off\n")
	run("log", "team").ends(cli.ExitOK).prints("Nothing was sent to \"team\" yet.\n")
	run("test", "team").ends(cli.ExitFailure, "did not take it: no answer after ")
	run("create", "team", "--kind", "slack", "--to-file", address).ends(cli.ExitOK)
	run("get", "team").ends(cli.ExitUsage, `2 notifications are named "team"`)
}

func TestNotificationsThatAreCalledForInAWrongWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run("notifications", "create", "oncall", "--to", "http://127.0.0.1:1/").ends(cli.ExitOK)
	for name, c := range map[string]struct {
		args  string
		code  int
		words string
	}{
		"no address":           {"create x", cli.ExitUsage, "--to or --to-file says where to"},
		"two addresses":        {"create x --to http://127.0.0.1 --to-file f", cli.ExitUsage, "two ways"},
		"an address file":      {"create x --to-file nowhere", cli.ExitUsage, "no such file"},
		"an empty file":        {"create x --to-file " + w.file("empty", " \n"), cli.ExitUsage, "is empty"},
		"no name":              {"create --to http://127.0.0.1", cli.ExitUsage, "1 argument is needed"},
		"a kind":               {"create x --to http://127.0.0.1 --kind pigeon", cli.ExitRefused, "pigeon"},
		"an event":             {"create x --to http://127.0.0.1 --event eaten", cli.ExitRefused, `"eaten" is not a valid choice`},
		"an address of nobody": {"create x --to ftp://127.0.0.1", cli.ExitRefused, "url: "},
		"a secret":             {"create x --to http://127.0.0.1 --secret-file " + w.file("secret", "short"), cli.ExitRefused, "a secret is"},
		"a change of nothing":  {"update oncall", cli.ExitUsage, "name what is to change"},
		"half a minute":        {"create x --to http://127.0.0.1 --late-after 30s", cli.ExitUsage, "whole minutes"},
		"on and off":           {"update oncall --on --off", cli.ExitUsage, "contradict"},
		"no such export":       {"list --export nobody's", cli.ExitNotFound, `there is no export named "nobody's"`},
		"no such command":      {"eat", cli.ExitUsage, `"eat" is no command`},
		"no such notification": {"test nobody", cli.ExitNotFound, `there is no notification "nobody"`},
		"an argument too many": {"get a b", cli.ExitUsage, "1 argument is needed"},
		"an unknown format":    {"list -o xml", cli.ExitUsage, "xml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(c.args)
			w.of(t).run(append([]string{"notifications"}, args...)...).ends(c.code, c.words)
		})
	}
	reader := w.of(t)
	reader.env = map[string]string{"TRANCHE_URL": w.env["TRANCHE_URL"], "TRANCHE_API_KEY": readKey, "HOME": w.dir}
	require.Contains(t, reader.run("notifications", "list").ends(cli.ExitOK).out, "oncall")
	reader.run("notifications", "test", "oncall").ends(cli.ExitAuth, "batch_export:write")
}
