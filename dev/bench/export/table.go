package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// print writes the measurements as a table of Markdown.
func print(out io.Writer, order []subject, all []Measurement) error {
	byName := make(map[string]Measurement, len(all))
	var perRow float64 // bytes of values; COPY does not tell
	for _, m := range all {
		byName[m.Name] = m
		if m.In > 0 && m.Rows > 0 {
			perRow = float64(m.In) / float64(m.Rows)
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	line := func(cells ...any) {
		for _, c := range cells {
			_, _ = fmt.Fprintf(w, "| %v\t", c) // Flush returns the error
		}
		_, _ = fmt.Fprintln(w, "|") // as above
	}
	line("export", "rows", "rows/s", "MB/s", "CPU s", "CPU s / M rows", "CPU ÷ COPY", "size ÷ COPY", "peak MiB", "MB out")
	line("---", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:")
	for _, s := range order {
		m, ok := byName[s.name]
		if !ok {
			continue
		}
		seconds, millions := m.Wall.Seconds(), float64(m.Rows)/1e6
		cpu, size := "", ""
		if than, ok := byName[s.than]; ok {
			cpu = fmt.Sprintf("%.2f", m.CPU.Seconds()/millions/(than.CPU.Seconds()/float64(than.Rows)*1e6))
			size = fmt.Sprintf("%.2f", float64(m.Out)/float64(m.Rows)/(float64(than.Out)/float64(than.Rows)))
		}
		line(m.Name, m.Rows, fmt.Sprintf("%.0f", float64(m.Rows)/seconds), fmt.Sprintf("%.0f", perRow*float64(m.Rows)/1e6/seconds),
			fmt.Sprintf("%.2f", m.CPU.Seconds()), fmt.Sprintf("%.2f", m.CPU.Seconds()/millions), cpu, size,
			fmt.Sprintf("%.0f", float64(m.RSS)/(1<<20)), fmt.Sprintf("%.1f", float64(m.Out)/1e6))
	}
	return w.Flush()
}
