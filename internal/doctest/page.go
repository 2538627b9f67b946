// Package doctest reads the project's pages, for the tests that hold them against the code.
package doctest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// A Page is one file in Markdown.
type Page struct {
	// Path is the file's, from the project's root, with slashes.
	Path     string
	Text     string
	Headings []Heading
	Links    []Link
	// Spans are the pieces of code in running text.
	Spans  []Span
	Blocks []Block
}

// A Heading is a place that links can point to.
type Heading struct {
	Line   int
	Text   string
	Anchor string
}

// A Link is the target of a link or an image.
type Link struct {
	Line   int
	Target string
}

// A Span is a piece of code in a line.
type Span struct {
	Line int
	Text string
}

// A Block is a fenced block of code.
type Block struct {
	Line int // of its first line of code
	// Info is what stands behind the opening fence, such as "sh run".
	Info string
	Text string // ends with a line break
}

// Language is the first word of the info.
func (b Block) Language() string {
	language, _, _ := strings.Cut(b.Info, " ")
	return language
}

// Marked says whether a word follows the language: "sh run" is marked "run".
func (b Block) Marked(word string) bool {
	_, marks, _ := strings.Cut(b.Info, " ")
	for mark := range strings.FieldsSeq(marks) {
		if mark == word {
			return true
		}
	}
	return false
}

// At names a line of the page, as editors open it.
func (p Page) At(line int) string { return fmt.Sprintf("%s:%d", p.Path, line) }

// Block returns the first block that is marked with a word.
func (p Page) Block(tb testing.TB, mark string) Block {
	tb.Helper()
	for _, b := range p.Blocks {
		if b.Marked(mark) {
			return b
		}
	}
	tb.Fatalf("%s has no block that is marked %q", p.Path, mark)
	return Block{}
}

// module is the first line of the root's go.mod.
const module = "module tranche\n"

// Root returns the project's folder, in which the working directory is.
func Root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), module) {
			return dir
		}
	}
	tb.Fatalf("the working directory is not in the project: %v", err)
	return ""
}

// Pages reads every page of the project.
func Pages(tb testing.TB) []Page {
	tb.Helper()
	root := Root(tb)
	var pages []Page
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch name := entry.Name(); {
		case entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "bin" || name == "node_modules" || name == "testdata"):
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(name, ".md"):
			relative, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			pages = append(pages, Read(tb, filepath.ToSlash(relative)))
		}
		return nil
	})
	if err != nil {
		tb.Fatalf("find the pages: %v", err)
	}
	return pages
}

// Read reads one page.
func Read(tb testing.TB, path string) Page {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(Root(tb), filepath.FromSlash(path)))
	if err != nil {
		tb.Fatalf("read a page: %v", err)
	}
	return Parse(path, string(text))
}

var (
	fence   = regexp.MustCompile("^ {0,3}(```+|~~~+) *([^`]*)$")
	heading = regexp.MustCompile(`^ {0,3}(#{1,6}) +(.*?) *#*$`)
	link    = regexp.MustCompile(`\]\(<?([^()<>\s]+)>?(?: +"[^"]*")?\)`)
	// linkText is a link, of which the text is kept.
	linkText = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
)

// Parse reads the text of a page.
func Parse(path, text string) Page {
	p := Page{Path: path, Text: text}
	prose := p.takeBlocks(text)
	p.takeHeadings(prose)
	for i, line := range strings.Split(p.takeSpans(prose), "\n") {
		for _, found := range link.FindAllStringSubmatch(line, -1) {
			p.Links = append(p.Links, Link{i + 1, found[1]})
		}
	}
	return p
}

// takeBlocks keeps the blocks, and returns the text with empty lines in their place.
func (p *Page) takeBlocks(text string) string {
	var prose strings.Builder
	var open *Block
	var closing string
	for i, line := range strings.SplitAfter(text, "\n") {
		found := fence.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		switch {
		case open == nil && found == nil:
			prose.WriteString(line)
			continue
		case open == nil:
			open, closing = &Block{Line: i + 2, Info: strings.TrimSpace(found[2])}, found[1]
		case found != nil && strings.HasPrefix(found[1], closing) && found[2] == "":
			p.Blocks = append(p.Blocks, *open)
			open = nil
		default:
			open.Text += line
		}
		prose.WriteString("\n")
	}
	return prose.String()
}

// takeHeadings keeps the headings, with the anchors that GitHub gives them.
func (p *Page) takeHeadings(prose string) {
	seen := map[string]int{}
	for i, line := range strings.Split(prose, "\n") {
		found := heading.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		anchor := anchorOf(found[2])
		n := seen[anchor]
		seen[anchor]++
		if n > 0 {
			anchor = fmt.Sprintf("%s-%d", anchor, n)
		}
		p.Headings = append(p.Headings, Heading{i + 1, found[2], anchor})
	}
}

// anchorOf is lower case, without marks, and has hyphens for spaces.
func anchorOf(text string) string {
	text = linkText.ReplaceAllString(text, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}

// takeSpans keeps the spans of code, and returns the text with spaces in their place. A span begins and ends with as
// many backticks, and does not go beyond its paragraph.
func (p *Page) takeSpans(prose string) string {
	masked := []byte(prose)
	for i := 0; i < len(prose); i++ {
		if prose[i] != '`' {
			continue
		}
		n := backticks(prose[i:])
		length := closingBackticks(prose[i+n:], n)
		if length < 0 {
			i += n - 1
			continue
		}
		text := strings.Join(strings.Fields(prose[i+n:i+n+length]), " ")
		p.Spans = append(p.Spans, Span{1 + strings.Count(prose[:i], "\n"), text})
		for j := i; j < i+n+length+n; j++ {
			if masked[j] != '\n' {
				masked[j] = ' '
			}
		}
		i += n + length + n - 1
	}
	return string(masked)
}

// backticks counts those with which the text begins.
func backticks(text string) int { return len(text) - len(strings.TrimLeft(text, "`")) }

// closingBackticks is where the paragraph has exactly n backticks, or -1.
func closingBackticks(text string, n int) int {
	paragraph, _, _ := strings.Cut(text, "\n\n")
	for i := 0; i < len(paragraph); i++ {
		if paragraph[i] != '`' {
			continue
		}
		found := backticks(paragraph[i:])
		if found == n {
			return i
		}
		i += found - 1
	}
	return -1
}
