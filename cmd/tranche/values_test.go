package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const planted = "pl4nted-secret"

// written makes a file and returns its path.
func written(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// from is an environment.
func from(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestSettingsComeFromEnvironmentThenFileThenDefault(t *testing.T) {
	t.Parallel()
	path := written(t, `
# the service of a test
worker_slots: 7
backfill_slots: 8
settle_delay: 2m
allowed_networks: [10.0.0.0/8, 192.168.0.0/16]
temporal_ui_url: ~
database_url: postgres://file/tranche
cursor_key_file: `+written(t, "a-key-from-a-file\n")+`
`)
	getenv := from(map[string]string{settingsFile: path, "TRANCHE_WORKER_SLOTS": "9", "TRANCHE_DATABASE_URL_FILE": written(t, "postgres://secret-file/tranche")})
	c, err := readConfig(getenv, "TRANCHE_DATABASE_URL", "TRANCHE_CURSOR_KEY")
	require.NoError(t, err)
	require.Equal(t, 9, c.WorkerSlots)
	require.Equal(t, 8, c.BackfillSlots)
	require.Equal(t, 2*time.Minute, c.SettleDelay)
	require.Len(t, c.AllowedNetworks, 2)
	require.Equal(t, "postgres://secret-file/tranche", c.DatabaseURL)
	require.Equal(t, "a-key-from-a-file", c.CursorKey)
	require.Equal(t, 512, c.MemoryMB)

	values, problems := valuesOf(getenv)
	require.Empty(t, problems)
	for name, origin := range map[string]string{
		"TRANCHE_WORKER_SLOTS": fromEnvironment, "TRANCHE_BACKFILL_SLOTS": path, "TRANCHE_MEMORY_MB": fromDefault,
		"TRANCHE_TEMPORAL_UI_URL": fromDefault, settingsFile: fromEnvironment,
	} {
		require.Equal(t, origin, values[name].origin, name)
	}
	require.True(t, strings.HasPrefix(values["TRANCHE_DATABASE_URL"].origin, "environment, file /"))
	require.True(t, strings.HasPrefix(values["TRANCHE_CURSOR_KEY"].origin, path+", file /"))
}

func TestAllThatIsWrongWithSettingsIsSaidAtOnceAndNoValueIsQuoted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file        string
		environment map[string]string
		want        []string
	}{
		"unknown, misspelt, repeated and nested keys": {
			"worker_slot: 1\nTRANCHE_MEMORY_MB: 64\nlog_level: info\nlog_level: warn\nlisten: {host: " + planted + "}\nconfig: x\nlog_format_file: y\n",
			nil,
			[]string{
				"line 1: worker_slot: is no setting", "line 2: TRANCHE_MEMORY_MB: is written memory_mb here", "line 4: log_level: is there twice",
				"line 5: listen: must be a plain value", "line 6: config: is no setting", "line 7: log_format_file: is no setting",
			},
		},
		"values that do not parse, in both places": {
			"worker_slots: " + planted + "\n",
			map[string]string{"TRANCHE_MEMORY_MB": planted},
			[]string{"TRANCHE_WORKER_SLOTS: must be a whole number", "TRANCHE_MEMORY_MB: must be a whole number"},
		},
		"a secret given twice": {
			"",
			map[string]string{"TRANCHE_CURSOR_KEY": planted, "TRANCHE_CURSOR_KEY_FILE": "/x"},
			[]string{"TRANCHE_CURSOR_KEY: is set both directly and by TRANCHE_CURSOR_KEY_FILE"},
		},
		"a secret's file that is not there": {
			"master_keys_file: /nowhere/keys\n", nil,
			[]string{"TRANCHE_MASTER_KEYS: the file /nowhere/keys: no such file"},
		},
		"a secret's file that is empty": {
			"", map[string]string{"TRANCHE_MASTER_KEYS_FILE": written(t, "\n")}, []string{"is empty"},
		},
		"no YAML":           {"a: [" + planted, nil, []string{"is not YAML"}},
		"a list":            {"- " + planted, nil, []string{"must hold settings"}},
		"two documents":     {"worker_slots: 1\n---\nworker_slots: 2\n", nil, []string{"one document"}},
		"an alias":          {"listen: &a 127.0.0.1:1\nlog_level: *a\n", nil, []string{"line 2: log_level: must be a plain value"}},
		"no file":           {"", map[string]string{settingsFile: "/nowhere/tranche.yaml"}, []string{"the file /nowhere/tranche.yaml: no such file"}},
		"a folder":          {"", map[string]string{settingsFile: t.TempDir()}, []string{"is a directory"}},
		"a contradiction":   {"backfill_concurrency: 30\n", nil, []string{"TRANCHE_BACKFILL_CONCURRENCY: must not be above TRANCHE_BACKFILL_CONCURRENCY_MAX (20)"}},
		"a file of a GB":    {strings.Repeat("# much\n", mostSettingsBytes/7+1), nil, []string{"larger than"}},
		"nothing, required": {"# nothing\n", nil, []string{"TRANCHE_DATABASE_URL: must be set"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environment := map[string]string{settingsFile: written(t, c.file)}
			for k, v := range c.environment {
				environment[k] = v
			}
			var required []string
			if strings.Contains(c.want[0], "must be set") {
				required = append(required, "TRANCHE_DATABASE_URL")
			}
			_, err := readConfig(from(environment), required...)
			require.Error(t, err)
			for _, words := range c.want {
				require.ErrorContains(t, err, words)
			}
			require.Len(t, strings.Split(err.Error(), "\n"), len(c.want), err.Error())
			require.NotContains(t, err.Error(), planted)
		})
	}
}

func TestConfigShowsWhereValuesComeFromAndHidesSecrets(t *testing.T) {
	t.Parallel()
	path := written(t, "worker_slots: 7\n")
	getenv := from(map[string]string{"TRANCHE_CURSOR_KEY": planted, "TRANCHE_MEMORY_MB": "64"})
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"--config", path, "config"}, getenv, &out))
	require.Regexp(t, `(?m)^TRANCHE_WORKER_SLOTS +7 +`+path+` +20 `, out.String())
	require.Regexp(t, `(?m)^TRANCHE_MEMORY_MB +64 +environment +512 `, out.String())
	require.Regexp(t, `(?m)^TRANCHE_CURSOR_KEY +\*\*\* +environment `, out.String())
	require.NotContains(t, out.String(), planted)

	out.Reset()
	require.NoError(t, run(t.Context(), []string{"config", "-o", "json", "--config", path}, getenv, &out))
	var listed []struct{ Name, Key, Value, From string }
	require.NoError(t, json.Unmarshal(out.Bytes(), &listed))
	require.Len(t, listed, len(settings))
	require.NotContains(t, out.String(), planted)
	require.Error(t, run(t.Context(), []string{"config", "-o", "xml"}, getenv, &out))
	require.Error(t, run(t.Context(), []string{"config"}, from(map[string]string{"TRANCHE_WORKER_SLOTS": "many"}), &out))
}

// Whoever adds a setting finds its row in docs/configure.md missing.
func TestTheDocumentListsEverySetting(t *testing.T) {
	t.Parallel()
	var table bytes.Buffer
	require.NoError(t, describeSettings(&table))
	document, err := os.ReadFile("../../docs/configure.md")
	require.NoError(t, err)
	require.Contains(t, string(document), table.String(),
		"put what \"go run ./cmd/tranche config -o markdown\" prints into docs/configure.md")
}

func TestVersionNamesTheMigration(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"version"}, from(nil), &out))
	require.Regexp(t, `^tranche dev, migration \d+, Temporal SDK \d+\.\d+\.\d+, go1\.`, out.String())
}
