package cli

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tranche/internal/secret"
)

// A reference is a text that names variables. What they hold is never shown; the text is.
type reference struct {
	template string
	text     secret.String
	unset    []string // variables that are not set
}

// references finds ${NAME}, and the $$ that stands for a dollar sign.
var references = regexp.MustCompile(`\$\$|\$\{([^}]*)\}?`)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// referenceTo resolves the variables of a text; one that names none stays a text.
func referenceTo(template string, getenv func(string) string) (any, error) {
	r := reference{template: template}
	named, malformed := false, false
	text := references.ReplaceAllStringFunc(template, func(found string) string {
		if found == "$$" {
			return "$"
		}
		name := strings.TrimSuffix(strings.TrimPrefix(found, "${"), "}")
		if !strings.HasSuffix(found, "}") || !variable.MatchString(name) {
			malformed = true
			return ""
		}
		named = true
		value := getenv(name)
		if value == "" {
			r.unset = append(r.unset, name)
		}
		return value
	})
	if malformed {
		return nil, errors.New("${NAME} names a variable by letters, digits and _; write $$ for a dollar sign")
	}
	if !named {
		return text, nil
	}
	r.text = secret.New(text)
	return r, nil
}

// resolved replaces what YAML made of a document: texts by references, times by texts.
func resolved(value any, getenv func(string) string) (any, error) {
	switch v := value.(type) {
	case string:
		return referenceTo(v, getenv)
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	case []any:
		all := make([]any, len(v))
		for i, item := range v {
			var err error
			if all[i], err = resolved(item, getenv); err != nil {
				return nil, err
			}
		}
		return all, nil
	case map[string]any:
		all := make(map[string]any, len(v))
		for _, name := range sortedKeys(v) {
			var err error
			if all[name], err = resolved(v[name], getenv); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		return all, nil
	case map[any]any:
		return nil, errors.New("the names of fields are texts")
	}
	return value, nil
}

// revealed replaces references by what they stand for.
func revealed(value any) any {
	switch v := value.(type) {
	case reference:
		return v.text.Reveal()
	case []any:
		all := make([]any, len(v))
		for i, item := range v {
			all[i] = revealed(item)
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for name, item := range v {
			all[name] = revealed(item)
		}
		return all
	}
	return value
}

// unsetIn lists the variables that are named and not set.
func unsetIn(value any) []string {
	var unset []string
	switch v := value.(type) {
	case reference:
		unset = v.unset
	case []any:
		for _, item := range v {
			unset = append(unset, unsetIn(item)...)
		}
	case map[string]any:
		for _, name := range sortedKeys(v) {
			unset = append(unset, unsetIn(v[name])...)
		}
	}
	slices.Sort(unset)
	return slices.Compact(unset)
}
