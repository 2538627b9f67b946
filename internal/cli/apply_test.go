package cli_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/internal/cli"
)

// where begins every plan.
func (p printout) plan() string {
	p.t.Helper()
	first, rest, found := strings.Cut(p.out, "\n")
	require.True(p.t, found && strings.HasPrefix(first, "http://127.0.0.1:") && strings.HasSuffix(first, ", project 1"), p.out)
	return rest
}

const planOfSecrets = `= to the vault  unchanged
    destination.config.secret: secret, sent; the API does not show whether it differs
1 unchanged.
`

func TestApplyIsIdempotent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.env["VAULT_SECRET"] = planted
	file := w.file("vault.yaml", vaultYAML)
	require.Equal(t, `+ to the vault  create: events → Vault, hour
1 to create.
to the vault: created
`, w.run("exports", "apply", "-f", file, "--yes").ends(cli.ExitOK).plan())
	require.Equal(t, planOfSecrets+"to the vault: unchanged, secrets too\n", w.run("exports", "apply", "-f", file, "--yes").ends(cli.ExitOK).plan())
	w.env["VAULT_SECRET"] = "another secret"
	require.Equal(t, planOfSecrets+"to the vault: secrets changed\n", w.run("exports", "apply", "-f", file, "--yes").ends(cli.ExitOK).plan())

	w.env["VAULT_SECRET"] = ""
	w.run("exports", "apply", "-f", file, "--yes").ends(cli.ExitUsage, "vault.yaml:2: to the vault: VAULT_SECRET is not set in the environment")
	require.Equal(t, "= to the vault  unchanged\n1 unchanged.\n", w.run("exports", "apply", "-f", file, "--keep-secrets").ends(cli.ExitOK).plan())
	w.run("exports", "diff", "-f", file).ends(cli.ExitOK).prints("= to the vault  unchanged\n1 unchanged.\n")
}

func TestApplyChangesWhatDiffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export()
	w.run("exports", "pause", "to the vault").ends(cli.ExitOK)
	file := w.file("vault.yaml", `
name: to the vault
interval: day
timezone: Europe/Berlin
offset_hour: 5
start_at: 2026-06-01 00:00
destination:
  type: Vault
  config: {bucket: "${BUCKET}", secret: "${VAULT_SECRET}", port: "8443", tls: false, prefix: costs $$1}
`)
	w.env["BUCKET"] = "bucket-of-the-environment"
	differences := `~ to the vault  update
    interval: "hour" → "day"
    offset_hour: null → 5
    start_at: null → "2026-05-31T22:00:00Z"
    timezone: "UTC" → "Europe/Berlin"
    destination.config.bucket: "b" → ${BUCKET} (not shown)
    destination.config.port: 443 → "8443"
    destination.config.prefix: null → "costs $1"
    destination.config.tags: ["x"] → []
    destination.config.tls: true → false
`
	w.run("exports", "diff", "-f", file).ends(cli.ExitDrift, "1 export is not as defined").prints(differences + "1 to change.\n")
	secret := "    destination.config.secret: secret, sent; the API does not show whether it differs\n"
	w.run("exports", "apply", "-f", file).ends(cli.ExitUsage, "Change 1 export? Nobody is there to ask: pass --yes")
	require.Equal(t, differences+secret+"1 to change.\n", w.run("exports", "apply", "-f", file, "--dry-run").ends(cli.ExitOK).plan())
	require.Equal(t, differences+secret+"1 to change.\nto the vault: changed\n", w.run("exports", "apply", "-f", file, "--yes").ends(cli.ExitOK).plan())
	w.run("exports", "diff", "-f", file).ends(cli.ExitOK)
	out := w.run("exports", "get", "to the vault").ends(cli.ExitOK).out
	require.Contains(t, out, "bucket-of-the-environment")
	require.Contains(t, out, "paused", "what a definition does not say of pauses stays")

	w.run("exports", "diff", "-f", w.file("vault.yaml", vaultYAML)).ends(cli.ExitDrift) // what is left out has its default
	w.run("exports", "apply", "-f", w.file("vault.yaml", vaultYAML), "-y").ends(cli.ExitOK)
	w.run("exports", "diff", "-f", w.file("vault.yaml", vaultYAML)).ends(cli.ExitOK)
}

func TestApplyNeverOverwritesAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.export()
	w.interactive = true
	w.input = "y\n"
	changed := strings.Replace(vaultYAML, "name:", "interval: day\nname:", 1)
	// Somebody else changes the export while the question stands: the answer is read after the change.
	w.beforeAnswer(func() {
		w.send(http.MethodPatch, "/"+e.ID.String(), `{"interval": "week"}`)
	})
	w.run("exports", "apply", "-f", w.file("vault.yaml", changed)).
		ends(cli.ExitRefused, "to the vault: somebody changed it since the plan was made, and was not overwritten: apply again")
	require.Contains(t, w.run("exports", "list").out, "week")
}

func TestApplyByIdRenames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.export()
	file := w.file("vault.yaml", strings.Replace(vaultYAML, "name: to the vault", "id: "+e.ID.String()+"\nname: renamed", 1))
	require.Contains(t, w.run("exports", "apply", "-f", file, "-y").ends(cli.ExitOK).plan(), `name: "to the vault" → "renamed"`)
	w.run("exports", "get", "renamed").ends(cli.ExitOK)
}

func TestSecretsComeFromFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("exports/secrets/vault", planted+"\n")
	file := w.file("exports/vault.yaml", strings.Replace(vaultYAML, "${VAULT_SECRET}", "${file:secrets/vault}", 1))
	require.Contains(t, w.run("exports", "apply", "-f", file, "-y").ends(cli.ExitOK).plan(), "to the vault: created\n")
	require.Equal(t, planOfSecrets+"to the vault: unchanged, secrets too\n", w.run("exports", "apply", "-f", w.dir+"/exports", "-y").ends(cli.ExitOK).plan())
	w.file("exports/secrets/vault", "another")
	require.Equal(t, planOfSecrets+"to the vault: secrets changed\n", w.run("exports", "apply", "-f", file, "-y").ends(cli.ExitOK).plan())
	w.file("exports/secrets/vault", "\n")
	w.run("exports", "apply", "-f", file, "-y").ends(cli.ExitUsage, "vault.yaml:2: to the vault: the file secrets/vault is empty or cannot be read")
	w.run("exports", "test", "-f", file).ends(cli.ExitUsage, "secrets/vault")
	w.run("exports", "diff", "-f", file).ends(cli.ExitOK)
	w.run("exports", "diff", "-f", w.file("exports/vault.yaml", strings.Replace(vaultYAML, "${VAULT_SECRET}", "${file:}", 1))).
		ends(cli.ExitUsage, "destination: config: secret: ${NAME} names a variable by letters, digits and _, ${file:PATH} a file")
}

func TestTheDefinitionsAreTheWholeProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export()
	files := w.file("files.yaml", "{name: a, destination: {type: File, config: {}}}\n---\n{name: b, destination: {type: File, config: {}}}\n")
	w.run("exports", "apply", "-f", files, "-y").ends(cli.ExitOK)
	w.run("exports", "diff", "-f", files).ends(cli.ExitOK)
	const plan = "= a  unchanged\n= b  unchanged\n- to the vault  delete\n1 to delete, 2 unchanged.\n"
	w.run("exports", "diff", "-f", files, "--whole-project").ends(cli.ExitDrift, "1 export is not as defined").prints(plan)
	w.run("exports", "apply", "-f", files, "--whole-project").ends(cli.ExitUsage, "DELETE 1 export? Nobody is there to ask: pass --yes")
	asked := w.of(t)
	asked.interactive, asked.input = true, "n\n"
	asked.run("exports", "apply", "-f", files, "--whole-project").ends(cli.ExitFailure, "nothing was done")
	done := w.run("exports", "apply", "-f", files, "--whole-project", "--prune", "to the vault", "--yes").ends(cli.ExitOK)
	require.Equal(t, plan+"to the vault: deleted\n", done.plan())
	w.run("exports", "get", "to the vault").ends(cli.ExitNotFound)
	w.run("exports", "diff", "-f", files, "--whole-project").ends(cli.ExitOK)
}

func TestPruneDeletesWhatIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export()
	w.file("dir/a.yaml", "{name: a, destination: {type: File, config: {}}}\n---\n{name: b, destination: {type: File, config: {}}}\n---\n")
	w.file("dir/c.json", `{"name": "c", "destination": {"type": "File", "config": {}}}`)
	w.file("dir/README.md", "not a definition")
	dir := w.dir + "/dir"
	w.run("exports", "apply", "-f", dir, "-y", "--prune", "a").ends(cli.ExitUsage, "--prune a: ").ends(cli.ExitUsage, "defines this export")
	require.Equal(t, `+ a  create: events → File, hour
+ b  create: events → File, hour
+ c  create: events → File, hour
- to the vault  delete
3 to create, 1 to delete.
a: created
b: created
c: created
to the vault: deleted
`, w.run("exports", "apply", "-f", dir, "-y", "--prune", "to the vault").ends(cli.ExitOK).plan())
	require.Contains(t, w.run("exports", "apply", "-f", dir, "--prune", "to the vault").ends(cli.ExitOK).plan(), "3 unchanged.")
}

func TestDefinitionsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export()
	const to = "destination: {type: File, config: {}}"
	for name, tt := range map[string]struct {
		text, problem string
		code          int
	}{
		"no YAML":                 {"{", "x.yaml: ", cli.ExitUsage},
		"a list":                  {"- a", "x.yaml:1: a definition is a mapping of fields", cli.ExitUsage},
		"no name":                 {to, "x.yaml:1: the export needs a name", cli.ExitUsage},
		"no destination":          {"name: a", "the export needs a destination with a type", cli.ExitUsage},
		"the second of them":      {"name: a\n" + to + "\n---\nname: ''\n" + to, "x.yaml:4: the export needs a name", cli.ExitUsage},
		"one export twice":        {"name: a\n" + to + "\n---\nname: a\n" + to, "define the same export: a", cli.ExitUsage},
		"a field twice":           {"name: a\nname: b\n" + to, "already defined", cli.ExitUsage},
		"an unknown field":        {"name: a\nintervall: day\n" + to, `there is no field "intervall" of an export`, cli.ExitRefused},
		"an unknown setting":      {"name: a\ndestination: {type: File, config: {prefx: a}}", `there is no setting "prefx" of a destination of the type File`, cli.ExitRefused},
		"an unknown type":         {"name: a\ndestination: {type: Pigeon, config: {}}", `the server has no destinations of the type "Pigeon"`, cli.ExitRefused},
		"another type":            {"name: to the vault\n" + to, "a type cannot be changed to File", cli.ExitRefused},
		"a variable without }":    {"name: a ${B\n" + to, "name: ${NAME} names a variable", cli.ExitUsage},
		"a variable that is none": {"name: a ${1B}\n" + to, "name: ${NAME} names a variable", cli.ExitUsage},
		"a variable without text": {"name: a ${NOT_SET_1}${NOT_SET_2}\n" + to, "NOT_SET_1 is not set in the environment; NOT_SET_2 is not", cli.ExitUsage},
		"a time that is none":     {"name: a\nstart_at: -7d\n" + to, "start_at: give a time", cli.ExitUsage},
		"a zone that is none":     {"name: a\ntimezone: Mars\n" + to, `timezone: "Mars" is not a valid choice.`, cli.ExitRefused},
		"no such export":          {"id: 01a21d8f-8524-7911-a5ab-75eccfb9b2f0\nname: a\n" + to, "there is no export with the id", cli.ExitNotFound},
		"too many aliases":        {"name: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]", "excessive aliasing", cli.ExitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := w.of(t)
			w.run("exports", "apply", "--yes", "-f", w.file("x.yaml", tt.text)).ends(tt.code, tt.problem)
		})
	}
	w.run("exports", "create", "-f", w.file("vault.yaml", vaultYAML)).ends(cli.ExitRefused, `there is an export named "to the vault"`)
	w.run("exports", "apply", "-f", w.dir+"/missing.yaml").ends(cli.ExitUsage, "no such file")
}

func TestWhatTheAPIShowsIsNoDefinition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export()
	shown := w.run("exports", "get", "to the vault", "-o", "yaml").ends(cli.ExitOK).out
	w.run("exports", "apply", "-f", w.file("shown.yaml", shown), "-y").
		ends(cli.ExitRefused, "not a definition; \"tranche exports get 'to the vault' --definition\" writes one")
}

func TestSecretsInFilesAreWarnedOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.file("vault.yaml", strings.Replace(vaultYAML, "${VAULT_SECRET}", planted, 1))
	w.run("exports", "apply", "-f", file, "-y").ends(cli.ExitOK, "destination.config.secret is a secret: keep it out of the file, and write ${SECRET}")
}

func TestADefinitionOfWhatExists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export()
	w.run("exports", "pause", "to the vault").ends(cli.ExitOK)
	printed := w.run("exports", "get", "to the vault", "--definition").ends(cli.ExitOK).prints(`
name: to the vault
interval: hour
paused: true
destination:
  type: Vault
  # Secrets are not shown. Of these settings it may have some:
  # token: ${TRANCHE_TO_THE_VAULT_TOKEN}
  config:
    bucket: b
    secret: ${TRANCHE_TO_THE_VAULT_SECRET}
    tags:
      - x
`)
	w.run("exports", "diff", "-f", w.file("printed.yaml", printed.out)).ends(cli.ExitOK)
}

func TestPlansForScripts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.export()
	file := w.file("vault.yaml", strings.Replace(vaultYAML, "bucket: b,", `bucket: "${BUCKET}",`, 1))
	w.env["BUCKET"] = "hidden"
	out := w.run("exports", "apply", "-f", file, "-y", "-o", "json").ends(cli.ExitOK).prints(`
[
  {
    "action": "update",
    "name": "to the vault",
    "id": "<id>",
    "changes": [
      {
        "field": "destination.config.bucket",
        "from": "b",
        "to": "${BUCKET}"
      }
    ],
    "secrets_sent": [
      "destination.config.secret"
    ],
    "result": "changed"
  }
]
`)
	require.NotContains(t, out.out, "hidden")
}

func TestFiltersAreComparedAsTheyAreStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	filtered := w.file("filtered.yaml", `
name: filtered
filters:
  - {key: $$browser, operator: exact, type: event, value: [Firefox]}
destination: {type: File, config: {}}
`)
	w.run("exports", "apply", "-y", "-f", filtered).ends(cli.ExitOK)
	w.run("exports", "diff", "-f", filtered).ends(cli.ExitOK)
	printed := w.run("exports", "get", "filtered", "--definition").ends(cli.ExitOK).out
	w.run("exports", "diff", "-f", w.file("printed.yaml", printed)).ends(cli.ExitOK)
	w.run("exports", "diff", "-f", w.file("other.yaml", strings.Replace(printed, "Firefox", "Chrome", 1))).ends(cli.ExitDrift)
	without := w.file("without.yaml", "{name: filtered, destination: {type: File, config: {}}}")
	require.Contains(t, w.run("exports", "apply", "-y", "-f", without).ends(cli.ExitOK).out, `→ null`)
	w.run("exports", "diff", "-f", without).ends(cli.ExitOK)
}
