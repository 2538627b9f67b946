package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"tranche/internal/doctest"
	"tranche/internal/promtest"
)

// sampleLine is a line of Prometheus' text format.
var sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)

// A scrape is what processes served at one moment, by series. Series begin with the name of their metric.
type scrape map[string]float64

// scrapeAll asks processes as a Prometheus would, by their jobs: one that does not answer is down.
func scrapeAll(c *caller, processes map[string]string) scrape {
	c.t.Helper()
	found := scrape{}
	for job, address := range processes {
		of := fmt.Sprintf(`instance="%s",job="%s"`, job, job)
		text, err := metricsOf(c, address)
		if found["up{"+of+"}"] = 1; err != nil {
			found["up{"+of+"}"] = 0
			continue
		}
		for line := range strings.Lines(text) {
			m := sampleLine.FindStringSubmatch(strings.TrimSpace(line))
			if m == nil {
				continue
			}
			value, err := strconv.ParseFloat(m[3], 64)
			require.NoError(c.t, err, line)
			found[m[1]+"{"+strings.TrimPrefix(m[2]+","+of, ",")+"}"] = value
		}
	}
	return found
}

func metricsOf(c *caller, address string) (string, error) {
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, address+"/metrics", nil)
	require.NoError(c.t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text := readAll(c.t, response.Body)
	requireNothingPlanted(c.t, "the metrics", []byte(text))
	return text, nil
}

// sum adds the series of a metric that have the labels.
func (s scrape) sum(metric string, labels ...string) (total float64, any bool) {
	for series, value := range s {
		name, rest, _ := strings.Cut(series, "{")
		if name == metric && !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(rest, l) }) {
			total, any = total+value, true
		}
	}
	return total, any
}

// A watch is what Prometheus would have seen of processes: stages, each scraped when it begins and when it ends, and
// stretched to minutes. In between, counters grow evenly.
type watch struct {
	*caller
	processes map[string]string
	// aside are alerts that a test may cause and does not look for.
	aside  string
	stages []stage
}

type stage struct {
	minutes int
	began   scrape
	ended   scrape
	fires   []string
	still   bool // clocks that stand between the scrapes stand
}

// begin begins a stage.
func (w *watch) begin() {
	w.t.Helper()
	w.stages = append(w.stages, stage{began: scrapeAll(w.caller, w.processes)})
}

// until waits for a scrape with which the stage may end.
func (w *watch) until(what string, condition func(s scrape) bool) {
	w.t.Helper()
	until(w.t, workPatience, what, func() bool { return condition(scrapeAll(w.caller, w.processes)) })
}

// end ends the stage: it lasted for minutes, at whose end these alerts fire, and no others.
func (w *watch) end(minutes int, fires ...string) {
	w.t.Helper()
	s := &w.stages[len(w.stages)-1]
	s.minutes, s.ended, s.fires = minutes, scrapeAll(w.caller, w.processes), fires
}

// series is what a series was in all stages, as promtool reads it.
func (w *watch) series(name string) string {
	var values []string
	before, clock := 0.0, 0
	for _, s := range w.stages {
		from, had := s.began[name]
		to, has := s.ended[name]
		switch {
		case !has:
			values = append(values, fmt.Sprintf("_x%d", s.minutes))
		case strings.Contains(name, "_timestamp_seconds{"):
			if s.still && had && from == to {
				values = append(values, fmt.Sprintf("%gx%d", before, s.minutes-1))
			} else {
				values = append(values, fmt.Sprintf("%d+60x%d", clock*60, s.minutes-1))
				before = float64((clock + s.minutes - 1) * 60)
			}
		case regexp.MustCompile(`_(total|count|sum|bucket)\{`).MatchString(name): // one that is new has grown from nothing
			values = append(values, fmt.Sprintf("%g+%gx%d", from+(to-from)/float64(s.minutes), (to-from)/float64(s.minutes), s.minutes-1))
		default:
			values = append(values, fmt.Sprintf("%gx%d", to, s.minutes-1))
		}
		clock += s.minutes
	}
	return strings.Join(values, " ")
}

// requireAlerts gives promtool what was seen, with the rules as they are delivered.
func (w *watch) requireAlerts() {
	w.t.Helper()
	type input struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	type sample struct {
		Labels string  `yaml:"labels"`
		Value  float64 `yaml:"value"`
	}
	type expectation struct {
		Expr    string   `yaml:"expr"`
		At      string   `yaml:"eval_time"`
		Samples []sample `yaml:"exp_samples"`
	}
	rules := filepath.Join(doctest.Root(w.t), "deploy", "prometheus", "rules.yml")
	content, err := os.ReadFile(rules)
	require.NoError(w.t, err)
	watched := regexp.MustCompile(`\b(?:tranche_[a-z_]+|up)\b`).FindAllString(string(content), -1)
	names := map[string]bool{}
	for _, s := range w.stages {
		for _, all := range []scrape{s.began, s.ended} {
			for name := range all {
				metric, _, _ := strings.Cut(name, "{")
				names[name] = names[name] || slices.Contains(watched, metric)
			}
		}
	}
	var inputs []input
	for name, is := range names {
		if is {
			inputs = append(inputs, input{name, w.series(name)})
		}
	}
	var expected []expectation
	at := 0
	for _, s := range w.stages {
		at += s.minutes
		e := expectation{Expr: fmt.Sprintf(`count by (alertname) (ALERTS{alertstate="firing",alertname!~%q})`, w.aside), At: fmt.Sprintf("%dm", at-1), Samples: []sample{}}
		for _, alert := range s.fires {
			e.Samples = append(e.Samples, sample{fmt.Sprintf("{alertname=%q}", alert), 1})
		}
		e.Expr = `sgn(` + e.Expr + `)` // however many of each
		expected = append(expected, e)
	}
	test, err := yaml.Marshal(map[string]any{
		"rule_files": []string{rules}, "evaluation_interval": "1m",
		"tests": []any{map[string]any{"interval": "1m", "input_series": inputs, "promql_expr_test": expected}},
	})
	require.NoError(w.t, err)
	dir := w.t.TempDir()
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, "test.yml"), test, 0o600))
	promtest.Run(w.t, dir, "test", "rules", "test.yml")
}

// documented reads the page of metrics: types and labels by name.
func documented(t *testing.T) (types map[string]string, labels map[string][]string) {
	t.Helper()
	types, labels = map[string]string{}, map[string][]string{}
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (counter|gauge|histogram) \\| ([^|]*) \\|")
	for _, m := range row.FindAllStringSubmatch(doctest.Read(t, "docs/metrics.md").Text, -1) {
		types[m[1]], labels[m[1]] = m[2], regexp.MustCompile("[a-z_]+").FindAllString(m[3], -1)
		slices.Sort(labels[m[1]])
	}
	return types, labels
}

// requireDocumented holds what a process serves against the page of metrics, and its labels against their bounds.
func requireDocumented(t *testing.T, text string) {
	t.Helper()
	types, labels := documented(t)
	id := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}`)
	name, series := "", map[string]int{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if kind, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ = strings.Cut(kind, " ")
			if regexp.MustCompile("^(go|process|promhttp)_").MatchString(name) {
				name = ""
				continue
			}
			require.Equal(t, types[name], kind, "%s is not on the page as it is served", name)
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil || name == "" {
			continue
		}
		if strings.HasSuffix(m[1], "_bucket") {
			continue
		}
		var got []string
		for _, l := range regexp.MustCompile(`([a-z_]+)="([^"]*)"`).FindAllStringSubmatch(m[2], -1) {
			got = append(got, l[1])
			require.True(t, l[1] == "batch_export_id" || !id.MatchString(l[2]), "the values of %s have no bound: %s", l[1], line)
		}
		slices.Sort(got)
		require.Equal(t, labels[name], got, line)
		series[name]++
	}
	for name, n := range series {
		require.LessOrEqual(t, n, 500, "%s has too many series", name)
	}
	for _, name := range []string{"tranche_runs_total", "temporal_activity_execution_latency_seconds", "tranche_source_duration_seconds"} {
		require.Positive(t, series[name], name)
	}
}
