package cli_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/internal/cli"
)

func TestWhoDidWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export()
	w.pass(time.Minute)
	w.run("exports", "pause", "to the vault").ends(cli.ExitOK)
	out := w.run("activity", "to the vault").ends(cli.ExitOK).out
	require.Regexp(t, `^WHEN \(UTC\) +WHO +ACTION +EXPORT\n`+
		`2026-05-06 07:09:09  user 11.* from 127\.0\.0\.1  export\.paused   to the vault  .*paused: false → true.*\n`+
		`2026-05-06 07:08:09  user 11.* from 127\.0\.0\.1  export\.created  to the vault\n$`, out)
	w.run("notifications", "create", "On call", "--to", "http://127.0.0.1:1/", "--event", "late").ends(cli.ExitOK)
	made := w.run("activity", "--action", "notification.created").ends(cli.ExitOK).out
	require.Regexp(t, `notification\.created  -  +[-0-9a-f]{36}; enabled: true; events: \["late"\]; kind: "webhook"; late_after_minutes: 0; name: "On call"; `, made)
	require.NotContains(t, w.run("activity", "--action", "export.created").ends(cli.ExitOK).out, "export.paused")
	w.run("activity", "--action", "export.eaten").ends(cli.ExitRefused, `action: "export.eaten" is not a valid choice.`)
	w.run("activity", "--actor", "operator", "--action", "export.paused").ends(cli.ExitOK).prints("Nothing was done.\n")
	w.run("exports", "delete", "to the vault", "--yes").ends(cli.ExitOK)
	require.Regexp(t, `(?m)export\.deleted  [-0-9a-f]{36}$`, w.run("activity", "--action", "export.deleted").ends(cli.ExitOK).out)
	require.Contains(t, w.run("activity", "-o", "json").ends(cli.ExitOK).out, `"action": "export.paused"`)
}
