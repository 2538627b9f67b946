package e2e

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/internal/doctest"
)

// A mention is a piece of code on a page: a span, or a line of a block for a shell.
type mention struct{ at, text string }

// mentions are the spans, and the lines of blocks for a shell with their continuations.
func mentions(t *testing.T) (spans, lines []mention) {
	t.Helper()
	for _, p := range doctest.Pages(t) {
		for _, s := range p.Spans {
			spans = append(spans, mention{p.At(s.Line), s.Text})
		}
		for _, b := range p.Blocks {
			if b.Language() != "sh" {
				continue
			}
			whole := ""
			for i, line := range strings.Split(b.Text, "\n") {
				if continued, ok := strings.CutSuffix(line, `\`); ok {
					whole += continued
					continue
				}
				lines = append(lines, mention{p.At(b.Line + i), whole + line})
				whole = ""
			}
		}
	}
	return spans, lines
}

// A manual is what a program says of itself.
type manual struct {
	t     *testing.T
	path  map[string]string // of the programs, by name
	mu    sync.Mutex
	known map[string]string
}

func newManual(t *testing.T) *manual {
	t.Helper()
	return &manual{t: t, path: map[string]string{"tranche": programs.service, "tranche-dev": programs.dev}, known: map[string]string{}}
}

// help is what the command explains with --help.
func (m *manual) help(command []string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := strings.Join(command, " ")
	if text, ok := m.known[key]; ok {
		return text
	}
	out, err := exec.Command(m.path[command[0]], append(slices.Clone(command[1:]), "--help")...).CombinedOutput()
	require.NoError(m.t, err, "%s: %s", key, out)
	m.known[key] = string(out)
	return string(out)
}

var (
	available  = regexp.MustCompile(`(?ms)^(?:[A-Z][a-z]+ Commands|Commands [A-Za-z ]+):\n(.*?)\n\n`)
	subcommand = regexp.MustCompile(`(?m)^  ([a-z-]+) `)
	topicLine  = regexp.MustCompile(`(?m)^  tranche ([a-z-]+) `)
)

// subcommands are those that the command has.
func (m *manual) subcommands(command []string) []string {
	var names []string
	for _, section := range available.FindAllStringSubmatch(m.help(command), -1) {
		for _, found := range subcommand.FindAllStringSubmatch(section[1], -1) {
			names = append(names, found[1])
		}
	}
	return names
}

// all is the help of a command and of all below it, topics too.
func (m *manual) all(command []string) string {
	text := m.help(command)
	names := m.subcommands(command)
	if _, topics, found := strings.Cut(text, "Additional help topics:\n"); found {
		for _, topic := range topicLine.FindAllStringSubmatch(topics, -1) {
			names = append(names, topic[1])
		}
	}
	for _, name := range names {
		text += m.all(append(slices.Clone(command), name))
	}
	return text
}

// problem says what the command line has that the program does not know, or nothing.
func (m *manual) problem(line string) string {
	words := strings.Fields(line)
	command := words[:1]
	behindFlag := false
	for _, word := range words[1:] {
		mayBeValue := behindFlag
		behindFlag = strings.HasPrefix(word, "-") && !strings.Contains(word, "=")
		if name, isFlag := strings.CutPrefix(strings.Trim(word, "[]"), "-"); isFlag && strings.Trim(name, "-0123456789dhm") != "" {
			name, _, _ = strings.Cut(strings.TrimPrefix(name, "-"), "=")
			if !regexp.MustCompile(`(?m)(^|[\s,])--?` + regexp.QuoteMeta(name) + `\b`).MatchString(m.help(command)) {
				return "there is no flag " + word
			}
			continue
		}
		names := m.subcommands(command)
		if len(names) == 0 || mayBeValue && !slices.Contains(names, word) {
			continue // an argument, or what a flag says
		}
		if !slices.Contains(names, word) {
			return "there is no command " + word
		}
		command = append(slices.Clone(command), word)
	}
	return ""
}

var (
	commandSpan = regexp.MustCompile(`^(?:bin/)?(tranche(?:-dev)? .*)$`)
	commandLine = regexp.MustCompile(`(?:^|[(;|&])\s*(?:\w+=\S+ +)*(?:\.?/?bin/)?(tranche(?:-dev)? [^#|;&)<>"']*)`)
	flagSpan    = regexp.MustCompile(`^--[a-z-]+$`)
)

func TestThePagesNameCommandsAndFlagsThatExist(t *testing.T) {
	t.Parallel()
	m := newManual(t)
	found := 0
	check := func(at, line string) {
		found++
		for alternative := range strings.SplitSeq(line, "|") { // migrate up|status
			if problem := m.problem(alternative); problem != "" && alternative == line {
				t.Errorf("%s: %s: %s", at, line, problem)
			}
		}
	}
	spans, lines := mentions(t)
	flags := m.all([]string{"tranche-dev"}) + m.all([]string{"tranche"})
	for _, s := range spans {
		if line := commandSpan.FindStringSubmatch(s.text); line != nil {
			check(s.at, line[1])
		}
		if flagSpan.MatchString(s.text) && !strings.Contains(flags, strings.TrimPrefix(s.text, "-")) {
			t.Errorf("%s: neither program has the flag %s", s.at, s.text)
		}
	}
	for _, l := range lines {
		for _, line := range commandLine.FindAllStringSubmatch(l.text, -1) {
			check(l.at, line[1])
		}
	}
	require.Greater(t, found, 10)
}

var settingName = regexp.MustCompile(`\bTRANCHE_[A-Z0-9_]+\b`)

// others are names that no program of ours reads: they are for tests.
var others = []string{"TRANCHE_TEST_POSTGRES", "TRANCHE_MODEL_CHECKS", "TRANCHE_MODEL_STEPS", "TRANCHE_UPDATE_DOCS"}

func TestThePagesNameSettingsThatExist(t *testing.T) {
	t.Parallel()
	out, _ := exec.Command(programs.service, "config").Output() // it also says which settings are missing
	known := append(settingName.FindAllString(string(out)+newManual(t).all([]string{"tranche"}), -1), others...)
	require.Contains(t, known, "TRANCHE_DATABASE_URL")
	for _, p := range doctest.Pages(t) {
		for i, line := range strings.Split(p.Text, "\n") {
			for _, name := range settingName.FindAllString(line, -1) {
				if !slices.Contains(known, name) {
					t.Errorf("%s: there is no setting %s", p.At(i+1), name)
				}
			}
		}
	}
}

// routes are the operations of the API's own document: their paths, by method.
type routes map[string]map[string][]string // method → path → names of query parameters

func routesOf(t *testing.T, s *devServer) routes {
	t.Helper()
	status, body := s.call(http.MethodGet, "/openapi.json", nil)
	require.Equal(t, http.StatusOK, status)
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	require.NoError(t, json.Unmarshal(body, &document))
	all := routes{}
	for path, item := range document.Paths {
		for method, text := range item {
			if method == "parameters" {
				continue
			}
			var operation struct{ Parameters []struct{ Name, In string } }
			require.NoError(t, json.Unmarshal(text, &operation))
			method = strings.ToUpper(method)
			if all[method] == nil {
				all[method] = map[string][]string{}
			}
			names := []string{}
			for _, p := range operation.Parameters {
				if p.In == "query" {
					names = append(names, p.Name)
				}
			}
			all[method][path] = names
		}
	}
	return all
}

// find finds a path by its end, and says whether it takes the parameters.
func (r routes) find(method, path string) bool {
	path, query, _ := strings.Cut(path, "?")
	short := strings.HasPrefix(path, "…") || !strings.HasPrefix(path, "/")
	wanted := strings.Split(strings.Trim(strings.TrimPrefix(path, "…"), "/"), "/")
	for known, names := range r[method] {
		parts := strings.Split(strings.Trim(known, "/"), "/")
		if len(parts) < len(wanted) || !short && len(parts) != len(wanted) || !same(parts[len(parts)-len(wanted):], wanted) {
			continue
		}
		takes := true
		for pair := range strings.SplitSeq(query, "&") {
			name, _, _ := strings.Cut(pair, "=")
			takes = takes && (name == "" || name == "…" || slices.Contains(names, name))
		}
		if takes {
			return true
		}
	}
	return false
}

func same(parts, wanted []string) bool {
	for i, part := range parts {
		if part != wanted[i] && (!strings.HasPrefix(part, "{") || !strings.ContainsAny(wanted[i][:1], "{$0123456789")) {
			return false
		}
	}
	return true
}

var (
	routeSpan = regexp.MustCompile(`^(GET|HEAD|POST|PUT|PATCH|DELETE) (\S+)$`)
	pathSpan  = regexp.MustCompile(`^/(?:api|healthz|readyz|metrics|docs|openapi)[^\s]*$`)
)

func TestThePagesNameRoutesThatExist(t *testing.T) {
	t.Parallel()
	s := startDev(t, t.TempDir())
	r := routesOf(t, s)
	spans, _ := mentions(t)
	found := 0
	for _, span := range spans {
		switch route := routeSpan.FindStringSubmatch(span.text); {
		case route != nil:
			found++
			if !r.find(route[1], route[2]) {
				t.Errorf("%s: there is no %s", span.at, span.text)
			}
		case pathSpan.MatchString(span.text):
			found++
			if !r.find(http.MethodGet, span.text) && !r.begins(span.text) {
				t.Errorf("%s: there is no %s", span.at, span.text)
			}
		}
	}
	require.Greater(t, found, 10)
}

// begins says whether paths begin so.
func (r routes) begins(path string) bool {
	wanted := strings.Split(strings.Trim(path, "/"), "/")
	for _, paths := range r {
		for known := range paths {
			parts := strings.Split(strings.Trim(known, "/"), "/")
			if len(parts) > len(wanted) && same(parts[:len(wanted)], wanted) {
				return true
			}
		}
	}
	return false
}
