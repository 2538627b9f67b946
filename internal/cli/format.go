package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"tranche/internal/client"
)

// A format is how results are shown.
type format string

const (
	tables format = "table"
	asJSON format = "json"
	asYAML format = "yaml"
)

func formatOf(text string) (format, error) {
	switch f := format(text); f {
	case tables, asJSON, asYAML:
		return f, nil
	}
	return "", usagef("--output %s: table, json and yaml are known", text)
}

// raws are the bodies of things, as the API says them.
func raws[T any](items []client.Body[T]) []json.RawMessage {
	all := make([]json.RawMessage, len(items))
	for i, item := range items {
		all[i] = item.Raw
	}
	return all
}

// machine shows bodies to scripts; false = the format is for people.
func (s *session) machine(body any) (bool, error) {
	if s.format == tables {
		return false, nil
	}
	text, err := json.Marshal(body)
	if err != nil {
		return true, err
	}
	return true, write(s.out, s.format, text)
}

// write lays out JSON, or turns it into YAML with its fields in their order and its numbers as they are.
func write(out io.Writer, f format, text []byte) error {
	var laid bytes.Buffer
	if f == asJSON {
		if err := json.Indent(&laid, text, "", "  "); err != nil {
			return err
		}
		laid.WriteByte('\n')
	} else {
		var node yaml.Node // JSON is YAML: parsing it keeps order and digits
		if err := yaml.Unmarshal(text, &node); err != nil {
			return err
		}
		unflow(&node)
		encoder := yaml.NewEncoder(&laid)
		encoder.SetIndent(2)
		if err := encoder.Encode(&node); err != nil {
			return err
		}
	}
	_, err := out.Write(laid.Bytes())
	return err
}

// unflow takes the braces and quotes of JSON away where YAML needs none.
func unflow(n *yaml.Node) {
	n.Style &^= yaml.FlowStyle
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.Style &^= yaml.DoubleQuotedStyle
	}
	if (n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode) && len(n.Content) == 0 {
		n.Style |= yaml.FlowStyle
	}
	for _, child := range n.Content {
		unflow(child)
	}
}

// A cell is one text of a table.
type cell struct {
	text string
	tone tone
}

// A column is one of a table. Right ones are for numbers; one without a title, the last, has remarks, which may be cut to
// fit a terminal.
type column struct {
	title string
	right bool
}

// A table shows rows for people.
type table struct {
	columns []column
	rows    [][]cell
}

func newTable(titles ...string) *table {
	t := &table{}
	for _, title := range titles {
		right := strings.HasPrefix(title, ">")
		t.columns = append(t.columns, column{strings.TrimPrefix(title, ">"), right})
	}
	return t
}

// add adds a row: texts, or cells with a tone.
func (t *table) add(values ...any) {
	row := make([]cell, len(values))
	for i, v := range values {
		c, ok := v.(cell)
		if !ok {
			c = cell{text: fmt.Sprint(v)}
		}
		c.text = line(c.text)
		row[i] = c
	}
	t.rows = append(t.rows, row)
}

const gap = "  "

// write prints the table.
func (t *table) write(out io.Writer, st style) error {
	widths := make([]int, len(t.columns))
	for i, c := range t.columns {
		widths[i] = utf8.RuneCountInString(c.title)
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	var text strings.Builder
	titles := make([]cell, len(t.columns))
	for i, c := range t.columns {
		titles[i] = cell{c.title, faint}
	}
	t.line(&text, titles, widths, st)
	for _, row := range t.rows {
		t.line(&text, row, widths, st)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

func (t *table) line(text *strings.Builder, row []cell, widths []int, st style) {
	at, end := 0, len(row)
	for end > 0 && row[end-1].text == "" {
		end--
	}
	for i, c := range row[:end] {
		if i > 0 {
			text.WriteString(gap)
			at += len(gap)
		}
		shown := c.text
		if remark := t.columns[i].title == ""; remark && st.width > 0 { // ids and numbers are never cut
			shown = cut(shown, st.width-at)
		}
		pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(shown)))
		at += widths[i]
		switch {
		case t.columns[i].right:
			text.WriteString(pad + st.paint(c.tone, shown))
		case i == end-1:
			text.WriteString(st.paint(c.tone, shown))
		default:
			text.WriteString(st.paint(c.tone, shown) + pad)
		}
	}
	text.WriteByte('\n')
}

// shortest is the least that a text is cut to.
const shortest = 20

// cut shortens a text to a width, at its end.
func cut(text string, width int) string {
	width = max(width, shortest)
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// facts are a thing's properties, one on each line.
type facts struct{ rows [][2]cell }

func (f *facts) add(name string, value any) {
	c, ok := value.(cell)
	if !ok {
		c = cell{text: fmt.Sprint(value)}
	}
	if c.text == "" {
		return
	}
	f.rows = append(f.rows, [2]cell{{name, faint}, c})
}

func (f *facts) write(out io.Writer, st style) error {
	width := 0
	for _, row := range f.rows {
		width = max(width, utf8.RuneCountInString(row[0].text))
	}
	var text strings.Builder
	for _, row := range f.rows {
		pad := strings.Repeat(" ", width-utf8.RuneCountInString(row[0].text))
		text.WriteString(st.paint(row[0].tone, row[0].text) + pad + gap + st.paint(row[1].tone, line(row[1].text)) + "\n")
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// writeStreamed writes one of a stream of bodies: JSON on a line of its own, YAML as a document.
func writeStreamed(out io.Writer, f format, text []byte) error {
	if f == asJSON {
		var laid bytes.Buffer
		if err := json.Compact(&laid, text); err != nil {
			return err
		}
		laid.WriteByte('\n')
		_, err := out.Write(laid.Bytes())
		return err
	}
	if _, err := io.WriteString(out, "---\n"); err != nil {
		return err
	}
	return write(out, f, text)
}
