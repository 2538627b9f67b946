package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"tranche/internal/doctest"
	"tranche/internal/promtest"
)

// A shown query is one of a panel of the dashboard, under its title.
type shown struct{ panel, expr string }

// queries are those of the dashboard, with what Grafana would fill in.
func (w *watch) queries() (all []shown) {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join(doctest.Root(w.t), "deploy", "grafana", "tranche.json"))
	require.NoError(w.t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(w.t, json.Unmarshal(content, &dashboard))
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all = append(all, shown{p.Title, strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")})
		}
	}
	require.NotEmpty(w.t, all)
	return all
}

// requirePanels wants all panels of the dashboard to have shown something at the end of a stage, but for those that are
// quiet, since nothing happened of which they tell.
func (w *watch) requirePanels(stage int, quiet ...string) {
	w.t.Helper()
	var panels []string
	for _, q := range w.queries() {
		if !slices.Contains(quiet, q.panel) {
			panels = append(panels, q.panel)
		}
	}
	w.requireShown(stage, panels...)
}

// requireShown gives promtool what was seen, and asks it what each query of the panels would have shown at the end of a
// stage: something.
func (w *watch) requireShown(stage int, panels ...string) {
	w.t.Helper()
	at := -1
	for _, s := range w.stages[:stage+1] {
		at += s.minutes
	}
	type expectation struct {
		Expr    string           `yaml:"expr"`
		At      string           `yaml:"eval_time"`
		Samples []map[string]any `yaml:"exp_samples"`
	}
	var expected []expectation
	var text strings.Builder
	for _, q := range w.queries() {
		if !slices.Contains(panels, q.panel) {
			continue
		}
		text.WriteString(q.expr + "\n")
		// A point of the name, so that a failure says which panel is empty; a value that is no number is a value here.
		named := fmt.Sprintf(`label_replace(sgn(count(%s)), "panel", %q, "", "")`, q.expr, q.panel)
		expected = append(expected, expectation{named, fmt.Sprintf("%dm", at), []map[string]any{{"labels": fmt.Sprintf("{panel=%q}", q.panel), "value": 1}}})
	}
	require.GreaterOrEqual(w.t, len(expected), len(panels), "%v", panels)
	names := map[string]bool{}
	for _, name := range regexp.MustCompile(`\b[a-z]+_[a-z_]+\b`).FindAllString(text.String(), -1) {
		names[name] = true
	}
	var inputs []map[string]string
	for series := range w.stages[stage].ended {
		if metric, _, _ := strings.Cut(series, "{"); names[metric] {
			inputs = append(inputs, map[string]string{"series": series, "values": w.series(series)})
		}
	}
	test, err := yaml.Marshal(map[string]any{
		"evaluation_interval": "1m",
		"tests":               []any{map[string]any{"interval": "1m", "input_series": inputs, "promql_expr_test": expected}},
	})
	require.NoError(w.t, err)
	dir := w.t.TempDir()
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, "panels.yml"), test, 0o600))
	promtest.Run(w.t, dir, "test", "rules", "panels.yml")
}
