package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"tranche/batch"
)

// maxFiles is how many files of a directory are read.
const maxFiles = 1000

// A definition is an export as code. In its fields, texts that name variables are references.
type definition struct {
	origin string // where it is written
	name   string
	id     uuid.UUID // zero = it is known by its name
	fields map[string]any
}

func filesFlag(cmd *cobra.Command, files *[]string) {
	cmd.Flags().StringArrayVarP(files, "file", "f", nil, "definitions in this `FILE`, or in all files of a directory; - is standard input; repeatable")
}

// definitions reads all definitions of files, and refuses any two of one export.
func (s *session) definitions(files []string) ([]definition, error) {
	if len(files) == 0 {
		return nil, usagef("-f names files with definitions: see \"tranche help definitions\"")
	}
	var all []definition
	for _, name := range files {
		paths, err := expand(name)
		if err != nil {
			return nil, usage(err)
		}
		for _, path := range paths {
			found, err := s.readDefinitions(path)
			if err != nil {
				return nil, usage(err)
			}
			all = append(all, found...)
		}
	}
	if len(all) == 0 {
		return nil, usagef("there are no definitions in %s", strings.Join(files, ", "))
	}
	names := map[string]string{}
	for _, d := range all {
		for _, key := range []string{"name " + d.name, "id " + d.id.String()} {
			if other, twice := names[key]; twice && key != "id "+uuid.Nil.String() {
				return nil, usagef("%s and %s define the same export: %s", other, d.origin, d.name)
			}
			names[key] = d.origin
		}
	}
	return all, nil
}

// expand lists the files that a name stands for.
func expand(name string) ([]string, error) {
	if name == "-" {
		return []string{name}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	entries, err := os.ReadDir(name) // sorted
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml" || ext == ".json") {
			paths = append(paths, filepath.Join(name, e.Name()))
		}
	}
	if len(paths) > maxFiles {
		return nil, fmt.Errorf("%s has more than %d files", name, maxFiles)
	}
	return paths, nil
}

func (s *session) readDefinitions(path string) ([]definition, error) {
	var text []byte
	var err error
	dir := filepath.Dir(path) // that of standard input is the working directory
	if path == "-" {
		path = "standard input"
		text, err = readAll(s.env.In, path)
	} else {
		text, err = readFile(path)
	}
	if err != nil {
		return nil, err
	}
	return parseDefinitions(path, text, lookupFrom(dir, s.env.Getenv))
}

// parseDefinitions reads the documents of a text.
func parseDefinitions(path string, text []byte, find lookup) ([]definition, error) {
	var all []definition
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s", path, withoutValues(err))
		}
		if len(document.Content) == 0 || document.Content[0].Tag == "!!null" {
			continue // nothing between two lines of ---
		}
		root := document.Content[0]
		origin := fmt.Sprintf("%s:%d", path, root.Line)
		if root.Kind != yaml.MappingNode {
			return nil, fmt.Errorf("%s: a definition is a mapping of fields", origin)
		}
		d := definition{origin: origin}
		if err := root.Decode(&d.fields); err != nil {
			return nil, fmt.Errorf("%s: %s", origin, withoutValues(err))
		}
		if err := d.settle(find); err != nil {
			return nil, fmt.Errorf("%s: %w", origin, err)
		}
		all = append(all, d)
	}
}

// settle finds out which export it is and what its texts refer to.
func (d *definition) settle(find lookup) error {
	fields, err := resolved(d.fields, find)
	if err != nil {
		return err
	}
	d.fields, _ = fields.(map[string]any) // it was one
	if text, ok := d.fields["id"]; ok {
		if d.id, err = uuid.Parse(textOf(text)); err != nil {
			return errors.New("id is not the id of an export")
		}
		delete(d.fields, "id")
	}
	name, ok := d.fields["name"]
	if d.name = strings.TrimSpace(textOf(name)); !ok || d.name == "" {
		return errors.New("the export needs a name")
	}
	if destination, ok := d.fields["destination"].(map[string]any); !ok || textOf(destination["type"]) == "" {
		return errors.New("the export needs a destination with a type")
	}
	return d.settleTimes()
}

// settleTimes turns times without an offset into what they mean in the export's zone.
func (d *definition) settleTimes() error {
	zone := time.UTC
	if name := textOf(d.fields["timezone"]); name != "" {
		if known, err := batch.LoadLocation(name); err == nil { // the API refuses others
			zone = known
		}
	}
	for _, field := range timeFields {
		value, ok := d.fields[field]
		if !ok || value == nil {
			continue
		}
		t, err := timeOf(textOf(value), time.Time{}, zone)
		if err != nil || textOf(value) == "now" || textOf(value)[0] == '-' {
			return fmt.Errorf("%s: give a time such as 2026-07-28T15:00:00Z", field)
		}
		d.fields[field] = t.UTC().Format(time.RFC3339Nano)
	}
	return nil
}

// timeFields are the fields of an export that are times.
var timeFields = []string{"start_at", "end_at", "last_paused_at"}

// kind is the type of its destination.
func (d definition) kind() string {
	destination, _ := d.fields["destination"].(map[string]any) // settled
	return textOf(destination["type"])
}

// config is what its destination is told.
func (d definition) config() map[string]any {
	destination, _ := d.fields["destination"].(map[string]any) // settled
	config, _ := destination["config"].(map[string]any)        // absent and malformed: the API says so
	return config
}

// allSet refuses a body with references to nothing.
func (d definition) allSet(body map[string]any) error {
	unset := unsetIn(body)
	if len(unset) == 0 {
		return nil
	}
	var problems []string
	for _, name := range unset {
		if path, isFile := strings.CutPrefix(name, filePrefix); isFile {
			problems = append(problems, "the file "+path+" is empty or cannot be read")
		} else {
			problems = append(problems, name+" is not set in the environment")
		}
	}
	return usagef("%s: %s: %s", d.origin, d.name, strings.Join(problems, "; "))
}

// body is the definition as the API takes it, with what its references stand for.
func (d definition) body() map[string]any {
	body, _ := revealed(d.fields).(map[string]any) // it was one
	return body
}

// check refuses fields and settings that the server does not know: it would ignore some of them.
func (d definition) check(fields []string, settings []string) error {
	if _, shown := d.fields["team_id"]; shown { // as -o yaml has it
		return exitf(ExitRefused, "%s: this is what the API shows of an export, not a definition; \"tranche exports get %s --definition\" writes one",
			d.origin, quoted(d.name))
	}
	for _, name := range slices.Sorted(maps.Keys(d.fields)) {
		if !slices.Contains(fields, name) {
			return exitf(ExitRefused, "%s: there is no field %q of an export; there are %s", d.origin, name, strings.Join(fields, ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.config())) {
		if !slices.Contains(settings, name) {
			return exitf(ExitRefused, "%s: there is no setting %q of a destination of the type %s; there are %s",
				d.origin, name, d.kind(), strings.Join(settings, ", "))
		}
	}
	return nil
}
