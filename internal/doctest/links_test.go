package doctest_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"tranche/internal/doctest"
)

// elsewhere are links that lead out of the project: a test cannot follow them everywhere.
var elsewhere = regexp.MustCompile(`^(https?|mailto):`)

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	t.Parallel()
	root, pages := doctest.Root(t), doctest.Pages(t)
	anchors := map[string]bool{}
	for _, p := range pages {
		for _, h := range p.Headings {
			anchors[p.Path+"#"+h.Anchor] = true
		}
	}
	for _, p := range pages {
		for _, l := range p.Links {
			if elsewhere.MatchString(l.Target) {
				continue
			}
			target, anchor, _ := strings.Cut(l.Target, "#")
			to := p.Path
			if target != "" {
				to = path.Join(path.Dir(p.Path), target)
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(to))); err != nil || strings.HasPrefix(to, "..") {
				t.Errorf("%s: there is no %s", p.At(l.Line), l.Target)
			}
			if anchor != "" && !anchors[to+"#"+anchor] {
				t.Errorf("%s: %s has no heading with the anchor #%s", p.At(l.Line), to, anchor)
			}
		}
	}
}

// front is the page with which readers begin.
const front = "README.md"

func TestEveryPageIsFoundFromTheFrontPage(t *testing.T) {
	t.Parallel()
	pages := map[string]doctest.Page{}
	for _, p := range doctest.Pages(t) {
		pages[p.Path] = p
	}
	found, next := map[string]bool{}, []string{front}
	for len(next) > 0 {
		p := pages[next[0]]
		next = next[1:]
		for _, l := range p.Links {
			target, _, _ := strings.Cut(l.Target, "#")
			to := path.Join(path.Dir(p.Path), target)
			for candidate := range pages { // a link to a folder is one to each page in it
				if (candidate == to || path.Dir(candidate) == to) && !found[candidate] {
					found[candidate] = true
					next = append(next, candidate)
				}
			}
		}
	}
	for path := range pages {
		if !found[path] && path != front {
			t.Errorf("no page that is found from %s links to %s", front, path)
		}
	}
}

var (
	makeCall  = regexp.MustCompile(`\bmake ([a-z][a-z-]*)`)
	makeRule  = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
	makeSetup = regexp.MustCompile(`^make( |$)`)
)

func TestEveryMakeTargetExists(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(doctest.Root(t), "Makefile"))
	require.NoError(t, err)
	targets := map[string]bool{}
	for _, rule := range makeRule.FindAllStringSubmatch(string(makefile), -1) {
		targets[rule[1]] = true
	}
	require.True(t, targets["test"])
	check := func(at, text string) {
		for _, call := range makeCall.FindAllStringSubmatch(text, -1) {
			if !targets[call[1]] {
				t.Errorf("%s: there is no make %s", at, call[1])
			}
		}
	}
	for _, p := range doctest.Pages(t) {
		for _, s := range p.Spans {
			if makeSetup.MatchString(s.Text) {
				check(p.At(s.Line), s.Text)
			}
		}
		for _, b := range p.Blocks {
			for i, line := range strings.Split(b.Text, "\n") {
				if makeSetup.MatchString(line) {
					command, _, _ := strings.Cut(line, "#")
					check(p.At(b.Line+i), command)
				}
			}
		}
	}
}

// left is what stands for something that an example leaves out.
var left = regexp.MustCompile(`,?\s*…`)

func TestEveryBlockOfDataParses(t *testing.T) {
	t.Parallel()
	for _, p := range doctest.Pages(t) {
		for _, b := range p.Blocks {
			var err error
			switch b.Language() {
			case "json":
				err = parseJSON(left.ReplaceAllString(b.Text, ""))
			case "yaml":
				decoder := yaml.NewDecoder(strings.NewReader(b.Text))
				for err == nil {
					err = decoder.Decode(new(any))
				}
				if errors.Is(err, io.EOF) {
					err = nil
				}
			}
			if err != nil {
				t.Errorf("%s: %v", p.At(b.Line), err)
			}
		}
	}
}

// parseJSON takes one document after the other.
func parseJSON(text string) error {
	decoder := json.NewDecoder(strings.NewReader(text))
	for decoder.More() {
		if err := decoder.Decode(new(any)); err != nil {
			return err
		}
	}
	return nil
}

func TestTheExampleOfAManifestIsAsItsSchemaSays(t *testing.T) {
	t.Parallel()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(filepath.Join(doctest.Root(t), "docs", "manifest.schema.json"))
	require.NoError(t, err)
	for _, b := range doctest.Read(t, "docs/manifest.md").Blocks {
		if b.Language() == "json" {
			example, err := jsonschema.UnmarshalJSON(strings.NewReader(b.Text))
			require.NoError(t, err)
			require.NoError(t, schema.Validate(example))
		}
	}
}
