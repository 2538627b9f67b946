package cli

import (
	"strings"
	"unicode"
)

// A style says how text looks: in colors on a terminal, unless nobody wants them.
type style struct {
	color bool
	width int // of the terminal; zero = it is none
}

func styleOf(env Env, noColor bool) style {
	width := env.Width(env.Out)
	return style{width: width, color: width > 0 && !noColor && env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb"}
}

// A tone is what a text means.
type tone int

const (
	neutral tone = iota
	good
	bad
	busy
	faint
)

// paint colors a text.
func (s style) paint(t tone, text string) string {
	codes := map[tone]string{good: "32", bad: "31", busy: "33", faint: "2"}
	if !s.color || text == "" || codes[t] == "" {
		return text
	}
	return "\x1b[" + codes[t] + "m" + text + "\x1b[0m"
}

// toneOf is the tone of a status of whatever has one.
func toneOf(status string) tone {
	switch strings.ToLower(status) {
	case "completed", "delivered", "passed", "active":
		return good
	case "failed", "failedretryable", "failedbilling", "terminated", "timedout", "missing", "error":
		return bad
	case "running", "starting", "paused", "pending", "warning":
		return busy
	case "cancelled", "empty", "skipped", "debug":
		return faint
	}
	return neutral
}

// plain takes away what would steer a terminal: names and messages come from strangers.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// line is plain text on one line.
func line(text string) string { return strings.Join(strings.Fields(plain(text)), " ") }
