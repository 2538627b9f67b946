package cli_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/internal/cli"
)

func TestWhichAPIAndWhichKey(t *testing.T) {
	t.Parallel()
	const profiles = `
profile: staging
profiles:
  staging: {url: "http://staging.test", project: 2, api_key: "${STAGING_KEY}"}
  production: {url: "https://tranche.test/below/", project: 7, api_key_file: ~/production.key}
  bare: {url: "http://bare.test"}
`
	for name, tt := range map[string]struct {
		env  map[string]string
		args []string
		want string
	}{
		"nothing said but the file's default": {
			map[string]string{"STAGING_KEY": planted},
			nil,
			"API      http://staging.test (profile staging)\nProject  2 (profile staging)\nKey      set (profile staging)\n",
		},
		"the environment goes before the default": {
			map[string]string{"STAGING_KEY": planted, "TRANCHE_URL": "http://env.test", "TRANCHE_PROJECT": "3", "TRANCHE_API_KEY": theKey},
			nil,
			"API      http://env.test (TRANCHE_URL)\nProject  3 (TRANCHE_PROJECT)\nKey      set (TRANCHE_API_KEY)\n",
		},
		"a profile that is named goes before the environment": {
			map[string]string{"TRANCHE_URL": "http://env.test", "TRANCHE_PROJECT": "3", "TRANCHE_API_KEY": theKey},
			[]string{"--profile", "production"},
			"API      https://tranche.test/below (profile production)\nProject  7 (profile production)\nKey      set (profile production)\n",
		},
		"the environment's profile": {
			map[string]string{"TRANCHE_PROFILE": "production"},
			nil,
			"API      https://tranche.test/below (profile production)\nProject  7 (profile production)\nKey      set (profile production)\n",
		},
		"a flag goes before all, and the profile's key to no other URL": {
			map[string]string{"STAGING_KEY": planted},
			[]string{"--url", "http://elsewhere.test", "--project", "9", "--profile", "staging"},
			"API      http://elsewhere.test (--url)\nProject  9 (--project)\nKey      none: set TRANCHE_API_KEY, or api_key in a profile\n",
		},
		"nor when the environment has the URL": {
			map[string]string{"STAGING_KEY": planted, "TRANCHE_URL": "http://env.test"},
			nil,
			"API      http://env.test (TRANCHE_URL)\nProject  2 (profile staging)\nKey      none: set TRANCHE_API_KEY, or api_key in a profile\n",
		},
		"a profile without a key takes the environment's": {
			map[string]string{"TRANCHE_API_KEY": theKey},
			[]string{"--profile", "bare"},
			"API      http://bare.test (profile bare)\nProject  1 (default)\nKey      set (TRANCHE_API_KEY)\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := emptyWorld(t)
			for name, value := range tt.env {
				w.env[name] = value
			}
			w.file(".config/tranche/config.yaml", profiles)
			w.file("production.key", theKey+"\n")
			require.Contains(t, w.run(append([]string{"profiles"}, tt.args...)...).ends(cli.ExitOK).out, tt.want)
		})
	}
}

func TestProfilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config, problem string
		args            []string
	}{
		"no such profile":         {"profiles: {a: {url: http://a.test}}", `there is no profile "b"`, []string{"--profile", "b"}},
		"a typo":                  {"profiles: {a: {ulr: http://a.test}}", "is not a file of profiles: line 1: field ulr not found in a profile", nil},
		"a value of another type": {"profiles: {a: {project: " + planted + "}}", "is not a file of profiles: line 1", nil},
		"a URL that is none":      {"{profile: a, profiles: {a: {url: a.test}}}", "the URL of the API (profile a) must be a URL that begins with http:// or https://", nil},
		"a variable that is unset": {
			"{profile: a, profiles: {a: {url: 'http://a.test', api_key: '${NOT_SET}'}}}", "profile a: the variable NOT_SET of its key is not set", nil,
		},
		"a key that is not there": {
			"{profile: a, profiles: {a: {url: 'http://a.test', api_key_file: /nowhere/key}}}", "profile a: read the key: open /nowhere/key", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := emptyWorld(t)
			w.file(".config/tranche/config.yaml", tt.config)
			w.run(append([]string{"exports", "list"}, tt.args...)...).ends(cli.ExitUsage, tt.problem)
		})
	}
}

func TestAKeyThatOthersCanRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.file(".config/tranche/config.yaml", "{profile: a, profiles: {a: {url: '"+w.env["TRANCHE_URL"]+"', api_key: "+theKey+"}}}")
	w.env["TRANCHE_URL"], w.env["TRANCHE_API_KEY"] = "", ""
	w.run("exports", "list").ends(cli.ExitOK)
	require.NoError(t, os.Chmod(path, 0o644))
	w.run("exports", "list").ends(cli.ExitOK, "others can read the key in "+path+": chmod 600 it")
}

func TestManualPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run("man", filepath.Join(w.dir, "man1")).ends(cli.ExitOK)
	page, err := os.ReadFile(filepath.Join(w.dir, "man1", "tranche-exports-apply.1"))
	require.NoError(t, err)
	require.Contains(t, string(page), "--prune")
}

func TestShellsCompleteNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.export()
	r := w.runOf(e, 1, nil)
	require.Contains(t, w.run("__complete", "exports", "get", "").out, "to the vault\tevents → Vault, hour\n")
	out := w.run("__complete", "runs", "get", "to the vault", "").out
	require.Contains(t, out, "latest\tthe newest run\n")
	require.Contains(t, out, r.ID.String()+"\t2026-05-06 06:00 – 07:00, Running\n")
	require.Contains(t, w.run("__complete", "backfills", "watch", "to the vault", "").out, "latest\tthe newest backfill\n")
	require.Contains(t, w.run("__complete", "exports", "list", "-o", "").out, "yaml")
	of := []string{"--export", "to the vault"}
	w.run(append([]string{"notifications", "create", "On call", "--to", "http://127.0.0.1:1/"}, of...)...).ends(cli.ExitOK)
	require.Contains(t, w.run("__complete", "notifications", "test", "--export", "to the vault", "").out, "On call\twebhook to http://127.0.0.1:1/***\n")
	require.NotContains(t, w.run("__complete", "notifications", "test", "").out, "On call")
	require.Contains(t, w.run("__complete", "notifications", "list", "--export", "").out, "to the vault\t")
	require.Contains(t, w.run("__complete", "notifications", "create", "x", "--event", "").out, "auto_paused")
	w.env["TRANCHE_API_KEY"] = ""
	require.NotContains(t, w.run("__complete", "exports", "get", "").out, "vault", "without a server there is nothing to offer")
}
