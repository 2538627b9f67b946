package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"tranche/internal/secret"
)

// A reference is a text that names variables or files. What they hold is never shown; the text is.
type reference struct {
	template string
	text     secret.String
	unset    []string // variables that are not set, and files that cannot be read
}

// A lookup finds what a name in a reference stands for; empty = nothing.
type lookup func(name string) string

// filePrefix begins the name of a file in a reference.
const filePrefix = "file:"

// lookupFrom finds variables in the environment, and files from the directory of the definitions on.
func lookupFrom(dir string, getenv func(string) string) lookup {
	return func(name string) string {
		path, isFile := strings.CutPrefix(name, filePrefix)
		if !isFile {
			return getenv(name)
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		text, err := readFile(path)
		if err != nil {
			return "" // it is named as one that cannot be read
		}
		return strings.TrimRight(string(text), "\r\n")
	}
}

// references finds ${NAME} and ${file:PATH}, and the $$ that stands for a dollar sign.
var references = regexp.MustCompile(`\$\$|\$\{([^}]*)\}?`)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// isName says whether a reference may name it.
func isName(name string) bool {
	path, isFile := strings.CutPrefix(name, filePrefix)
	return isFile && path != "" || variable.MatchString(name)
}

// referenceTo resolves the variables and files of a text; one that names none stays a text.
func referenceTo(template string, find lookup) (any, error) {
	r := reference{template: template}
	named, malformed := false, false
	text := references.ReplaceAllStringFunc(template, func(found string) string {
		if found == "$$" {
			return "$"
		}
		name := strings.TrimSuffix(strings.TrimPrefix(found, "${"), "}")
		if !strings.HasSuffix(found, "}") || !isName(name) {
			malformed = true
			return ""
		}
		named = true
		value := find(name)
		if value == "" {
			r.unset = append(r.unset, name)
		}
		return value
	})
	if malformed {
		return nil, errors.New("${NAME} names a variable by letters, digits and _, ${file:PATH} a file; write $$ for a dollar sign")
	}
	if !named {
		return text, nil
	}
	r.text = secret.New(text)
	return r, nil
}

// resolved replaces what YAML made of a document: texts by references, times by texts.
func resolved(value any, find lookup) (any, error) {
	switch v := value.(type) {
	case string:
		return referenceTo(v, find)
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	case []any:
		all := make([]any, len(v))
		for i, item := range v {
			var err error
			if all[i], err = resolved(item, find); err != nil {
				return nil, err
			}
		}
		return all, nil
	case map[string]any:
		all := make(map[string]any, len(v))
		for _, name := range sortedKeys(v) {
			var err error
			if all[name], err = resolved(v[name], find); err != nil {
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

// unsetIn lists the variables that are named and not set, and the files that cannot be read.
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
