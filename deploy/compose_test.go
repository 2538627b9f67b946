// Package deploy holds what the containers of docker-compose.yml mount, and the tests that keep that file true.
package deploy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// settings are the names that the service reads from its environment.
var settings = []string{
	"TRANCHE_ALLOWED_NETWORKS",
	"TRANCHE_CURSOR_KEY",
	"TRANCHE_DATABASE_URL",
	"TRANCHE_FILE_ROOT",
	"TRANCHE_LISTEN",
	"TRANCHE_LOG_FORMAT",
	"TRANCHE_LOG_LEVEL",
	"TRANCHE_MASTER_KEYS",
	"TRANCHE_METRICS_LISTEN",
	"TRANCHE_SOURCE_URL",
	"TRANCHE_TEMPORAL_ADDRESS",
	"TRANCHE_TEMPORAL_NAMESPACE",
	"TRANCHE_TEMPORAL_UI_URL",
	"TRANCHE_TRACES_ENDPOINT",
}

// oneShots are the services that do their work and end.
var oneShots = []string{"migrate", "temporal-namespace", "temporal-schema"}

func TestComposeHasEveryService(t *testing.T) {
	t.Parallel()
	want := []string{
		"api", "clickhouse", "grafana", "migrate", "minio", "postgres", "prometheus", "temporal", "temporal-namespace", "temporal-schema",
		"temporal-ui", "worker",
	}
	require.Equal(t, want, slices.Sorted(maps.Keys(project(t).Services)))
}

// An image without an exact tag is another one tomorrow.
func TestComposePinsEveryImage(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`^[a-z0-9./-]+:[A-Za-z0-9._-]*[0-9]+[.-][A-Za-z0-9._-]+$`)
	for name, service := range project(t).Services {
		if service.Build != nil {
			require.Equal(t, "tranche:local", service.Image, name)
			continue
		}
		require.Regexp(t, pinned, service.Image, name)
	}
}

// A start waits for what it needs to be well or done, never just to be started.
func TestComposeGatesEveryStart(t *testing.T) {
	t.Parallel()
	p := project(t)
	for name, service := range p.Services {
		for needed, dependency := range service.DependsOn {
			if slices.Contains(oneShots, needed) {
				require.Equal(t, types.ServiceConditionCompletedSuccessfully, dependency.Condition, "%s needs %s", name, needed)
				continue
			}
			require.Equal(t, types.ServiceConditionHealthy, dependency.Condition, "%s needs %s", name, needed)
			require.NotNil(t, p.Services[needed].HealthCheck, "%s needs %s, which has no health check", name, needed)
		}
	}
	require.Contains(t, p.Services["migrate"].DependsOn, "postgres")
	for _, name := range []string{"api", "worker"} {
		require.Contains(t, p.Services[name].DependsOn, "migrate")
		require.Contains(t, p.Services[name].DependsOn, "temporal-namespace")
		require.NotNil(t, p.Services[name].HealthCheck)
	}
}

func TestComposeRestartsWhatServesAndEndsWhatDoesNot(t *testing.T) {
	t.Parallel()
	for name, service := range project(t).Services {
		if slices.Contains(oneShots, name) {
			require.True(t, strings.HasPrefix(service.Restart, "on-failure:"), "%s: %s", name, service.Restart)
			continue
		}
		require.Equal(t, types.RestartPolicyUnlessStopped, service.Restart, name)
	}
}

func TestComposeRunsTwoWorkers(t *testing.T) {
	t.Parallel()
	worker := project(t).Services["worker"]
	require.Equal(t, 2, worker.GetScale())
	require.Empty(t, worker.Ports, "two workers cannot have one port of the host")
	require.Empty(t, worker.ContainerName, "two workers cannot have one name")
}

// What must survive lies in named volumes, and what is mounted from here is here.
func TestComposeKeepsState(t *testing.T) {
	t.Parallel()
	p := project(t)
	used := map[string][]string{}
	for name, service := range p.Services {
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeBind {
				require.FileExists(t, volume.Source, name)
				require.True(t, volume.ReadOnly, "%s can write to %s", name, volume.Source)
				continue
			}
			require.Equal(t, types.VolumeTypeVolume, volume.Type, name)
			require.NotEmpty(t, volume.Source, "%s has a volume without a name", name)
			used[volume.Source] = append(used[volume.Source], name)
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(p.Volumes)), slices.Sorted(maps.Keys(used)))
	for _, name := range []string{"postgres", "clickhouse", "minio", "prometheus"} {
		require.Equal(t, []string{name}, used[name])
	}
	require.ElementsMatch(t, []string{"api", "worker"}, used["exports"])
	require.Equal(t, "/var/lib/tranche/exports", *p.Services["worker"].Environment["TRANCHE_FILE_ROOT"])
}

// What is provisioned is mounted where its configuration looks for it.
func TestComposeMountsRulesAndDashboardsWhereTheyAreLookedFor(t *testing.T) {
	t.Parallel()
	mounted := func(service string) map[string]string { // names by where they are
		found := map[string]string{}
		for _, v := range project(t).Services[service].Volumes {
			found[v.Target] = filepath.Base(v.Source)
		}
		return found
	}
	read := func(path string, into any) {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(content, into))
	}
	var prometheus struct {
		RuleFiles []string `yaml:"rule_files"`
	}
	read("prometheus/prometheus.yml", &prometheus)
	require.NotEmpty(t, prometheus.RuleFiles)
	for _, path := range prometheus.RuleFiles {
		require.Equal(t, "rules.yml", mounted("prometheus")[path], path)
	}
	require.Equal(t, "prometheus.yml", mounted("prometheus")["/etc/prometheus/prometheus.yml"])

	var provider struct {
		Providers []struct{ Options struct{ Path string } }
	}
	read("grafana/dashboards.yml", &provider)
	path := provider.Providers[0].Options.Path + "/tranche.json"
	require.Equal(t, "tranche.json", mounted("grafana")[path])
	require.Equal(t, path, *project(t).Services["grafana"].Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
	require.Equal(t, "dashboards.yml", mounted("grafana")["/etc/grafana/provisioning/dashboards/tranche.yml"])
	require.Equal(t, "datasource.yml", mounted("grafana")["/etc/grafana/provisioning/datasources/tranche.yml"])
}

// Ports that are published on every address of a laptop are open to its network.
func TestComposePublishesOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for name, service := range project(t).Services {
		for _, port := range service.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "%s, port %s", name, port.Published)
		}
	}
}

// The compose file, .env.example and this list name the same settings.
func TestComposeNamesEverySetting(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	for name, service := range project(t).Services {
		for setting := range service.Environment {
			if strings.HasPrefix(setting, "TRANCHE_") {
				require.Contains(t, []string{"api", "migrate", "worker"}, name)
				given[setting] = true
			}
		}
	}
	require.Equal(t, settings, slices.Sorted(maps.Keys(given)))

	listed := environment(t)
	maps.DeleteFunc(listed, func(name, _ string) bool { return !strings.HasPrefix(name, "TRANCHE_") })
	require.Equal(t, settings, slices.Sorted(maps.Keys(listed)))
}

// A setting that the binary does not read does nothing, and nobody would notice.
func TestServiceReadsEverySetting(t *testing.T) {
	t.Parallel()
	read := stringsIn(t, "../cmd/tranche")
	for _, setting := range settings {
		require.Contains(t, read, setting, "cmd/tranche does not read it")
	}
}

// Secrets have no default: compose refuses to start without them.
func TestComposeHasNoDefaultSecrets(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"TRANCHE_MASTER_KEYS", "TRANCHE_CURSOR_KEY"} {
		values := environment(t)
		require.Empty(t, values[secret])
		fill(values)
		values[secret] = ""
		_, err := load(t, values)
		require.ErrorContains(t, err, secret)
	}
}

func TestTemporalIsFair(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("temporal/dynamicconfig.yaml")
	require.NoError(t, err)
	var config map[string][]struct {
		Value any `yaml:"value"`
	}
	require.NoError(t, yaml.Unmarshal(content, &config))
	for key, value := range map[string]any{
		"matching.enableFairness": true, "matching.numTaskqueueReadPartitions": 1, "matching.numTaskqueueWritePartitions": 1,
	} {
		require.Len(t, config[key], 1, key)
		require.Equal(t, value, config[key][0].Value, key)
	}

	temporal := project(t).Services["temporal"]
	i := slices.IndexFunc(temporal.Volumes, func(v types.ServiceVolumeConfig) bool {
		return v.Target == *temporal.Environment["DYNAMIC_CONFIG_FILE_PATH"]
	})
	require.GreaterOrEqual(t, i, 0, "Temporal reads a file that is not mounted")
	require.Equal(t, "dynamicconfig.yaml", filepath.Base(temporal.Volumes[i].Source))
}

func TestImageHoldsNoMoreThanTheService(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../Dockerfile")
	require.NoError(t, err)
	text := string(content)
	require.Regexp(t, `(?m)^FROM golang:\d+\.\d+\.\d+-\w+ AS build$`, text)
	last := text[strings.LastIndex(text, "\nFROM ")+1:]
	require.Regexp(t, `(?m)^FROM scratch$`, last)
	require.Regexp(t, `(?m)^USER [1-9]\d*:[1-9]\d*$`, last)
	require.Regexp(t, `(?m)^HEALTHCHECK .*CMD \["/tranche", "health"\]$`, last)
	require.Regexp(t, `(?m)^ENTRYPOINT \["/tranche"\]$`, last)
	require.NotRegexp(t, `(?m)^RUN `, last, "there is no shell in it")
}

// project is docker-compose.yml, as it is for someone who filled in .env.example.
func project(t *testing.T) *types.Project {
	t.Helper()
	values := environment(t)
	fill(values)
	p, err := load(t, values)
	require.NoError(t, err)
	return p
}

func load(t *testing.T, values map[string]string) (*types.Project, error) {
	t.Helper()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  root,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(root, "docker-compose.yml")}},
		Environment: values,
	})
}

// environment reads .env.example.
func environment(t *testing.T) map[string]string {
	t.Helper()
	values, err := dotenv.Read("../.env.example")
	require.NoError(t, err)
	return values
}

// fill sets the secrets as .env.example asks for.
func fill(values map[string]string) {
	values["TRANCHE_MASTER_KEYS"] = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	values["TRANCHE_CURSOR_KEY"] = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
}

// stringsIn returns the string literals of a package's code, struct tags included word by word; its tests do not count.
func stringsIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "there is no Go code in %s", dir)
	var found []string
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(node ast.Node) bool {
			if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				value, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				found = append(found, strings.FieldsFunc(value, func(r rune) bool {
					return r != '_' && (r < 'A' || r > 'Z')
				})...)
			}
			return true
		})
	}
	return found
}
