package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"tranche/internal/doctest"
	"tranche/internal/promtest"
)

// A rule is an alert rule of Prometheus.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func rules(t *testing.T) []rule {
	t.Helper()
	content, err := os.ReadFile("prometheus/rules.yml")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	require.NoError(t, yaml.Unmarshal(content, &file))
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

func TestPrometheusTakesItsConfigurationAndRules(t *testing.T) {
	t.Parallel()
	promtest.Run(t, "prometheus", "check", "config", "--syntax-only", "prometheus.yml")
	promtest.Run(t, "prometheus", "check", "rules", "rules.yml")
}

func TestRulesSayWhatTheyShould(t *testing.T) {
	t.Parallel()
	promtest.Run(t, "prometheus", "test", "rules", "rules_test.yml")
	content, err := os.ReadFile("prometheus/rules_test.yml")
	require.NoError(t, err)
	for _, r := range rules(t) {
		require.Contains(t, string(content), `alertname="`+r.Alert+`"`, "no test sees it fire")
	}
}

// Every alert has a section of the run book, which says four things, and every section has its alert.
func TestEveryAlertHasItsSectionOfTheRunBook(t *testing.T) {
	t.Parallel()
	page := doctest.Read(t, "docs/runbook.md")
	sections := map[string]string{}
	for part := range strings.SplitSeq(page.Text, "\n## ") {
		name, text, _ := strings.Cut(part, "\n")
		sections[name] = text
	}
	for name := range sections {
		require.True(t, strings.HasPrefix(name, "# ") || slices.ContainsFunc(rules(t), func(r rule) bool { return r.Alert == name }),
			"the section %s is of no alert", name)
	}
	for _, r := range rules(t) {
		require.Equal(t, "docs/runbook.md#"+strings.ToLower(r.Alert), r.Annotations["runbook_url"], r.Alert)
		for _, word := range []string{"**Meaning.**", "**How to look.**", "**What fixes it.**"} {
			require.Contains(t, sections[r.Alert], word, r.Alert)
		}
		require.Contains(t, causes(t, r.Alert), tested(sections[r.Alert]), "the test that the run book names does not see it fire")
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		require.NotEmpty(t, r.Annotations["description"], r.Alert)
		require.Contains(t, []string{"critical", "warning", "info"}, r.Labels["severity"], r.Alert)
	}
}

// tested is the test that a section of the run book names.
func tested(section string) string {
	m := regexp.MustCompile("\\*\\*Tested\\.\\*\\* `(TestAlerts[A-Za-z]+)`: [^.]{20,}\\.\n").FindStringSubmatch(section + "\n")
	if m == nil {
		return ""
	}
	return m[1]
}

// causes are the end-to-end tests that cause the real condition of an alert in running processes and see it fire.
func causes(t *testing.T, alert string) (tests []string) {
	t.Helper()
	files, err := filepath.Glob("../dev/e2e/alerts*_test.go")
	require.NoError(t, err)
	for _, path := range files {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		for part := range strings.SplitSeq(string(content), "\nfunc ") {
			name, _, _ := strings.Cut(part, "(")
			for _, fires := range regexp.MustCompile(`\.end\([^)]*\)`).FindAllString(part, -1) {
				if strings.Contains(fires, `"`+alert+`"`) {
					tests = append(tests, name)
				}
			}
		}
	}
	require.NotEmpty(t, tests, "nobody causes %s", alert)
	return tests
}

// A dashboard is what we check of one of Grafana's.
type dashboard struct {
	UID    string  `json:"uid"`
	Panels []panel `json:"panels"`
}

type panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Datasource  struct {
		UID string `json:"uid"`
	} `json:"datasource"`
	GridPos struct{ X, Y, W, H int } `json:"gridPos"`
	Targets []struct {
		Expr  string `json:"expr"`
		RefID string `json:"refId"`
	} `json:"targets"`
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	content, err := os.ReadFile("grafana/tranche.json")
	require.NoError(t, err)
	var d dashboard
	require.NoError(t, json.Unmarshal(content, &d))
	require.NotEmpty(t, d.Panels)
	return d
}

func TestTheDashboardIsWhole(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("grafana/datasource.yml")
	require.NoError(t, err)
	var provisioned struct {
		Datasources []struct {
			UID string `yaml:"uid"`
		} `yaml:"datasources"`
	}
	require.NoError(t, yaml.Unmarshal(content, &provisioned))
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range readDashboard(t).Panels {
		require.False(t, ids[p.ID], "two panels have the id %d", p.ID)
		ids[p.ID] = true
		require.NotEmpty(t, p.Title)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				require.Empty(t, taken[[2]int{x, y}], "%s lies over it", p.Title)
				taken[[2]int{x, y}] = p.Title
				require.Less(t, x, 24, "%s is too far to the right", p.Title)
			}
		}
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Description, p.Title)
		require.Equal(t, provisioned.Datasources[0].UID, p.Datasource.UID, p.Title)
		require.NotEmpty(t, p.Targets, p.Title)
	}
}

// What Grafana fills in before it asks.
var filled = strings.NewReplacer("$__rate_interval", "1m")

func TestPrometheusUnderstandsEveryPanel(t *testing.T) {
	t.Parallel()
	type recording struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	type group struct {
		Name  string      `yaml:"name"`
		Rules []recording `yaml:"rules"`
	}
	panels := group{Name: "panels"}
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			panels.Rules = append(panels.Rules, recording{fmt.Sprintf("panel:%d:%s", p.ID, target.RefID), filled.Replace(target.Expr)})
		}
	}
	content, err := yaml.Marshal(map[string][]group{"groups": {panels}})
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "panels.yml"), content, 0o600))
	promtest.Run(t, dir, "check", "rules", "panels.yml")
}

// A metric that nobody serves is a panel that is empty, and an alert that never fires. docs/metrics.md is held against
// what processes serve.
func TestRulesAndPanelsNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (counter|gauge|histogram) \\| ([^|]*) \\|")
	known := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(doctest.Read(t, "docs/metrics.md").Text, -1) {
		labels := regexp.MustCompile("[a-z_]+").FindAllString(m[3], -1)
		if known[m[1]] = labels; m[2] == "histogram" {
			known[m[1]+"_bucket"], known[m[1]+"_sum"], known[m[1]+"_count"] = append(labels, "le"), labels, labels
			delete(known, m[1])
		}
	}
	require.NotEmpty(t, known)
	name := regexp.MustCompile(`\b(?:tranche|temporal)_[a-z_]+\b`)
	selector := regexp.MustCompile(`\b((?:tranche|temporal)_[a-z_]+)\{([^}]*)\}`)
	label := regexp.MustCompile(`([a-z_]+)\s*(?:=|!=|=~|!~)\s*"`)
	check := func(where, expr string) {
		for _, metric := range name.FindAllString(expr, -1) {
			require.Contains(t, known, metric, where)
		}
		for _, m := range selector.FindAllStringSubmatch(expr, -1) {
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				require.Contains(t, known[m[1]], l[1], "%s: a label of %s", where, m[1])
			}
		}
	}
	for _, r := range rules(t) {
		check(r.Alert, r.Expr)
	}
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			check(p.Title, target.Expr)
		}
	}
}
