package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tranche/internal/secret"
)

// The forms in which the settings are listed.
const (
	asTable    = "table"
	asJSON     = "json"
	asMarkdown = "markdown"
)

func configCommand(getenv func(string) string) *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use: "config", Short: "List every setting: value, where it comes from, default, meaning; exit 1 if one is wrong", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			values, _ := valuesOf(getenv) // readConfig reports what is wrong with them
			var err error
			switch form {
			case asTable:
				err = printSettings(cmd.OutOrStdout(), values)
			case asJSON:
				err = encodeSettings(cmd.OutOrStdout(), values)
			case asMarkdown:
				return describeSettings(cmd.OutOrStdout())
			default:
				return fmt.Errorf("--output must be one of %s, %s, %s", asTable, asJSON, asMarkdown)
			}
			if err != nil {
				return err
			}
			_, err = readConfig(getenv)
			return err
		},
	}
	cmd.Flags().StringVarP(&form, "output", "o", asTable, "table, json, or markdown (names, defaults and meanings only)")
	return cmd
}

// shown is a value as people may see it.
func (s setting) shown(v value) string {
	if s.secret && v.text != "" {
		return secret.Redacted
	}
	return v.text
}

func printSettings(out io.Writer, values map[string]value) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tVALUE\tFROM\tDEFAULT\tMEANING")
	for _, s := range settings {
		v := values[s.name]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.name, s.shown(v), v.origin, s.fallback, s.meaning)
	}
	return w.Flush()
}

func encodeSettings(out io.Writer, values map[string]value) error {
	type shown struct {
		Name    string `json:"name"`
		Key     string `json:"key"`
		Value   string `json:"value"`
		From    string `json:"from"`
		Default string `json:"default"`
		Meaning string `json:"meaning"`
		Secret  bool   `json:"secret"`
	}
	all := make([]shown, len(settings))
	for i, s := range settings {
		v := values[s.name]
		all[i] = shown{s.name, keyOf(s.name), s.shown(v), v.origin, s.fallback, s.meaning, s.secret}
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(all)
}

// describeSettings prints the table of docs/configure.md.
func describeSettings(out io.Writer) error {
	var text strings.Builder
	text.WriteString("| setting | default | meaning |\n|---|---|---|\n")
	for _, s := range settings {
		fallback, mark := "", ""
		if s.fallback != "" {
			fallback = "`" + s.fallback + "`"
		}
		if s.secret {
			mark = " 🔒"
		}
		fmt.Fprintf(&text, "| `%s`%s | %s | %s |\n", s.name, mark, fallback, strings.ReplaceAll(s.meaning, "|", "\\|"))
	}
	_, err := io.WriteString(out, text.String())
	return err
}
