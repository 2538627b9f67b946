package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

const (
	// settingsFile names the YAML file. It is no key of that file.
	settingsFile = "TRANCHE_CONFIG"
	// settingsPrefix begins the names of all settings; their keys in the file lack it and are in lower case.
	settingsPrefix = "TRANCHE_"
	// secretFile ends the name of a setting that says in which file a secret is.
	secretFile = "_FILE"
	// mostSettingsBytes bounds the settings file, and a file with a secret.
	mostSettingsBytes = 1 << 20
)

// A value is what a setting is, and where that comes from.
type value struct {
	text   string
	origin string
	broken bool // it was given, and cannot be read: that is said already
}

// Where values come from when it is not a file.
const (
	fromDefault     = "default"
	fromEnvironment = "environment"
)

// keyOf is the key of a setting in the settings file.
func keyOf(name string) string { return strings.ToLower(strings.TrimPrefix(name, settingsPrefix)) }

// valuesOf finds every setting: in the environment, else in the settings file, else its default. A secret may be in a
// file of its own, which NAME_FILE names in either place.
func valuesOf(getenv func(string) string) (map[string]value, []error) {
	path := getenv(settingsFile)
	listed, problems := readSettingsFile(path)
	values := make(map[string]value, len(settings))
	for _, s := range settings {
		v, err := valueIn(s, getenv(s.name), fromEnvironment, func() string { return getenv(s.name + secretFile) })
		if v.origin == "" {
			key := keyOf(s.name)
			v, err = valueIn(s, listed[key], path, func() string { return listed[key+keyOf(secretFile)] })
		}
		if v.origin == "" {
			v = value{text: s.fallback, origin: fromDefault}
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", s.name, err))
		}
		values[s.name] = v
	}
	return values, problems
}

// valueIn is a setting as one place has it; without an origin if it has not. Nothing and the empty text are the same.
func valueIn(s setting, text, origin string, file func() string) (value, error) {
	path := ""
	if s.secret {
		path = file()
	}
	switch {
	case text != "" && path != "":
		return value{origin: origin, broken: true}, fmt.Errorf("is set both directly and by %s%s", s.name, secretFile)
	case text != "":
		return value{text: text, origin: origin}, nil
	case path == "":
		return value{}, nil
	}
	v := value{origin: fmt.Sprintf("%s, file %s", origin, path)}
	content, err := readBounded(path)
	if err == nil {
		v.text = strings.TrimSpace(string(content))
		if v.text == "" {
			err = errors.New("is empty")
		}
	}
	v.broken = err != nil
	if err != nil {
		err = fmt.Errorf("the file %s: %w", path, err)
	}
	return v, err
}

// readSettingsFile returns the settings of a file by their keys, and all that is wrong with it.
func readSettingsFile(path string) (map[string]string, []error) {
	if path == "" {
		return nil, nil
	}
	content, err := readBounded(path)
	if err != nil {
		return nil, []error{fmt.Errorf("%s: the file %s: %w", settingsFile, path, err)}
	}
	found, problems := parseSettings(content)
	for i, err := range problems {
		problems[i] = fmt.Errorf("%s: the file %s: %w", settingsFile, path, err)
	}
	return found, problems
}

// parseSettings reads a mapping of keys to plain values or lists of such. Errors name keys and lines, never values.
func parseSettings(content []byte) (map[string]string, []error) {
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil // nothing but comments
	} else if err != nil {
		return nil, []error{errors.New("is not YAML")} // the parser's error may quote a secret
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, []error{errors.New("must hold one document")}
	}
	mapping := document.Content[0]
	if mapping.Kind != yaml.MappingNode {
		return nil, []error{errors.New("must hold settings, one a line: key: value")}
	}
	found := make(map[string]string, len(mapping.Content)/2)
	known := knownKeys()
	var problems []error
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, node := mapping.Content[i], mapping.Content[i+1]
		text, err := plain(node)
		_, repeated := found[key.Value]
		switch {
		case !slices.Contains(known, key.Value):
			err = unknownKey(key.Value, known)
		case repeated:
			err = errors.New("is there twice")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("line %d: %s: %w", key.Line, key.Value, err))
		}
		found[key.Value] = text
	}
	return found, problems
}

// knownKeys are what a settings file may hold.
func knownKeys() []string {
	var keys []string
	for _, s := range settings {
		if s.name == settingsFile {
			continue
		}
		keys = append(keys, keyOf(s.name))
		if s.secret {
			keys = append(keys, keyOf(s.name+secretFile))
		}
	}
	return keys
}

// unknownKey says what was meant, if that can be told.
func unknownKey(key string, known []string) error {
	if meant := keyOf(strings.ToUpper(key)); slices.Contains(known, meant) {
		return fmt.Errorf("is written %s here", meant)
	}
	return errors.New("is no setting; \"tranche config\" lists them")
}

// plain is the text of a value. A list is its entries with commas between them, as in the environment.
func plain(node *yaml.Node) (string, error) {
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Tag == "!!null" {
			return "", nil
		}
		return node.Value, nil
	case yaml.SequenceNode:
		parts := make([]string, len(node.Content))
		for i, entry := range node.Content {
			if entry.Kind != yaml.ScalarNode {
				return "", errors.New("must be a list of plain values")
			}
			parts[i] = entry.Value
		}
		return strings.Join(parts, ","), nil
	default:
		return "", errors.New("must be a plain value, or a list of such")
	}
}

// readBounded reads a small file.
func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, reasonOf(err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, mostSettingsBytes+1))
	if err != nil {
		return nil, reasonOf(err)
	}
	if len(content) > mostSettingsBytes {
		return nil, fmt.Errorf("is larger than %d bytes", mostSettingsBytes)
	}
	return content, nil
}

// reasonOf is an error of a file without its path, which is said already.
func reasonOf(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

// withFlags adds flags to a command that go before the environment; each is a setting, by its name.
func withFlags(cmd *cobra.Command, getenv func(string) string, flags map[string]string) func(string) string {
	given := make(map[string]*string, len(flags))
	for _, s := range settings {
		for flag, name := range flags {
			if name == s.name {
				given[name] = cmd.Flags().String(flag, "", fmt.Sprintf("%s (%s, default %q)", s.meaning, name, s.fallback))
			}
		}
	}
	return func(name string) string {
		if text := given[name]; text != nil && *text != "" {
			return *text
		}
		return getenv(name)
	}
}
