package doctest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/internal/doctest"
)

// notRun are the examples for a shell that no test types, by their page and first line, with the reason. All others are
// marked: "run" and "serve" for the walks in dev/e2e, or with the name by which another test finds them.
var notRun = []struct{ example, reason string }{
	{"README.md: make dev", "dev/e2e/demo_test.go runs the demo of a program that is built already"},
	{"README.md: make test", "it runs the tests"},
	{"README.md: export TRANCHE_API_KEY=my-development-key", "an overview: docs/cli.md and docs/walkthrough.md run these commands"},
	{"docs/cli.md: export TRANCHE_URL=http://127.0.0.1:8000     # this is the default", "the walk of the page sets them"},
	{"docs/cli.md: tranche exports diff -f exports/", "its output is that of TestApplyChangesWhatDiffers"},
	{"docs/install.md: CGO_ENABLED=0 go build -o bin/tranche ./cmd/tranche", "the tests of dev/e2e build it so"},
	{"docs/install.md: export TRANCHE_DATABASE_URL='postgres://tranche:secret@db:5432/tranche'", "its hosts are nobody's; docs/walkthrough.md sets the same"},
	{"docs/install.md: temporal operator namespace create --namespace tranche --retention 30d", "it is Temporal's own program"},
	{"docs/install.md: bin/tranche migrate up", "docs/walkthrough.md runs these commands"},
	{"docs/notifications.md: tranche notifications create 'On call' --to https://example.com/hooks/tranche --event failed,recovered,late   # prints the secret, once", "its receiver is nobody's; docs/walkthrough.md runs these commands"},
	{`docs/operate.md: pg_dump --format=custom --file=tranche.dump "$TRANCHE_DATABASE_URL"`, "dev/e2e/restore_test.go backs up and restores"},
	{"docs/upgrade.md: bin/tranche worker --build-id 1.4.0", "dev/e2e/upgrade_test.go runs both versions"},
	{"docs/upgrade.md: bin/tranche worker --build-id 1.5.0", "dev/e2e/upgrade_test.go runs both versions"},
	{"docs/walkthrough.md: make build     # in a clone of this repository: bin/tranche, the service, and bin/tranche-dev, which has a Temporal server in it", "the test has built them"},
}

func TestEveryExampleForAShellIsTypedOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for _, p := range doctest.Pages(t) {
		if strings.HasPrefix(p.Path, "docs/cli/") {
			continue // it is written from the help of the commands
		}
		for _, b := range p.Blocks {
			if b.Info != "sh" {
				continue
			}
			first, _, _ := strings.Cut(b.Text, "\n")
			key := p.Path + ": " + first
			found[key] = true
			known := slices.ContainsFunc(notRun, func(e struct{ example, reason string }) bool { return e.example == key })
			require.True(t, known, "%s: mark it as one that is run, or say here why it is not", p.At(b.Line))
		}
	}
	for _, e := range notRun {
		require.True(t, found[e.example], "there is no such example any more: %s", e.example)
		require.NotEmpty(t, e.reason)
	}
}
