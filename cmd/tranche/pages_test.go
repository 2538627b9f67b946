package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/destinations"
	"tranche/internal/doctest"
)

// The pages of destinations say what their plugins say: "make docs" writes it. A new destination needs a page
// docs/destinations/<type>.md with the sections settings and steps, and a line of the index is made for it.
func TestThePagesOfDestinationsAreCurrent(t *testing.T) {
	t.Parallel()
	registry, err := plugins(t.Context(), config{AWSIdentity: identityNone})
	require.NoError(t, err)
	index := doctest.Table("type", "goes to", "what a reader may rely on", "parts of an interval at once", "backfills without end")
	for _, kind := range registry.Types() {
		plugin, _ := registry.Plugin(kind)
		page := strings.ToLower(kind) + ".md"
		index += doctest.Row(fmt.Sprintf("[`%s`](%s)", kind, page), plugin.Name, string(plugin.Guarantee), splitsOf(plugin), yes(plugin.Endless))
		doctest.Generated(t, "docs/destinations/"+page, "settings", settingsTable(plugin.Fields()))
		doctest.Generated(t, "docs/destinations/"+page, "steps", stepsTable(plugin.Steps()))
	}
	doctest.Generated(t, "docs/destinations/README.md", "types", index)
}

func settingsTable(fields []destinations.Field) string {
	text := doctest.Table("setting", "type", "default", "required", "secret", "meaning")
	all := flat("", fields)
	slices.SortStableFunc(all, func(a, b destinations.Field) int { // what must be sent comes first
		return strings.Compare(yes(b.Required), yes(a.Required))
	})
	for _, f := range all {
		text += doctest.Row("`"+f.Name+"`", typeOf(f), defaultOf(f), yes(f.Required), yes(f.Secret), f.Description)
	}
	return text
}

// flat lists the settings of objects under their names.
func flat(prefix string, fields []destinations.Field) []destinations.Field {
	var all []destinations.Field
	for _, f := range fields {
		f.Name = prefix + f.Name
		all = append(append(all, f), flat(f.Name+".", f.Fields)...)
	}
	return all
}

func typeOf(f destinations.Field) string {
	name := map[destinations.FieldType]string{
		destinations.FieldStr: "text", destinations.FieldInt: "integer", destinations.FieldFloat: "number", destinations.FieldBool: "boolean",
		destinations.FieldList: "list of texts", destinations.FieldDict: "object",
	}[f.Type]
	if len(f.Enum) > 0 {
		name = "`" + strings.Join(f.Enum, "`, `") + "`"
	}
	return name
}

func defaultOf(f destinations.Field) string {
	switch {
	case f.Required:
		return ""
	case f.Default == nil:
		return "`null`"
	case f.Type == destinations.FieldStr:
		return fmt.Sprintf("`%q`", f.Default)
	}
	return fmt.Sprintf("`%v`", f.Default)
}

func splitsOf(plugin destinations.Plugin) string {
	one := plugin.MaxSplits(map[string]any{})
	numbered := plugin.MaxSplits(map[string]any{"max_file_size_mb": int64(1)})
	if one == numbered {
		return fmt.Sprint(one)
	}
	return fmt.Sprintf("%d; %d with `max_file_size_mb`", one, numbered)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func stepsTable(steps []destinations.Step) string {
	text := doctest.Table("step", "name", "what it does")
	for i, s := range steps {
		text += doctest.Row(fmt.Sprint(i), s.Name, s.Description)
	}
	return text
}

func TestEverySettingOfADestinationIsExplained(t *testing.T) {
	t.Parallel()
	registry, err := plugins(t.Context(), config{AWSIdentity: identityNone})
	require.NoError(t, err)
	for _, kind := range registry.Types() {
		plugin, _ := registry.Plugin(kind)
		for _, f := range flat("", plugin.Fields()) {
			require.Regexp(t, `^[A-Z].*\.$`, f.Description, "%s: %s needs a sentence in its description tag", kind, f.Name)
		}
		for _, s := range plugin.Steps() {
			require.Regexp(t, `^[A-Z].*\.$`, s.Description, "%s: %s", kind, s.Name)
		}
	}
}
