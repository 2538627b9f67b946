package destinations

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"tranche/batch"
)

// A ConfigError says what is wrong with a destination's settings. Detail is for the customer, a whole sentence as the
// API answers it; it never holds the value of a setting that is secret.
type ConfigError struct {
	Detail string
}

// ConfigErrorf makes a ConfigError.
func ConfigErrorf(format string, args ...any) *ConfigError {
	return &ConfigError{Detail: fmt.Sprintf(format, args...)}
}

// Error returns the detail.
func (e *ConfigError) Error() string { return e.Detail }

// Unwrap makes it a *batch.Error with CodeConfig for whoever asks for a code.
func (e *ConfigError) Unwrap() error { return batch.Errorf(batch.CodeConfig, nil, "%s", e.Detail) }

// configErrorOf turns the verdict of a destination's own rules into a ConfigError.
func configErrorOf(err error) *ConfigError {
	if e, ok := err.(*ConfigError); ok { //nolint:errorlint // the outermost one has the whole sentence
		return e
	}
	return &ConfigError{Detail: batch.MessageOf(err)}
}

func unknownFields(names []string) *ConfigError {
	slices.Sort(names)
	return ConfigErrorf("Configuration has unknown field/s: '%s'", strings.Join(names, "', '"))
}

func invalidType(value any, want FieldType) *ConfigError {
	return ConfigErrorf("Configuration has invalid type: got '%s', expected '%s'", pythonType(value), want)
}

// pythonType names a value's type as clients of the contract know it.
func pythonType(value any) string {
	switch v := value.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case string:
		return "str"
	case int, int64:
		return "int"
	case float64:
		if v == math.Trunc(v) && math.Abs(v) <= 1<<53 {
			return "int"
		}
		return "float"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "float"
		}
		return "int"
	case []any, []string:
		return "list"
	case map[string]any:
		return "dict"
	}
	return fmt.Sprintf("%T", value)
}

// unknownKeys lists the keys of config that no field has; those of nested dicts as a path.
func unknownKeys(fields []Field, config map[string]any, path string) []string {
	var unknown []string
	for key, value := range config {
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == key })
		if i < 0 {
			unknown = append(unknown, path+key)
			continue
		}
		if nested, ok := value.(map[string]any); ok && fields[i].Fields != nil {
			unknown = append(unknown, unknownKeys(fields[i].Fields, nested, path+key+".")...)
		}
	}
	return unknown
}

// missingKey finds the first required key that config lacks, at any level.
func missingKey(fields []Field, config map[string]any, path string) (string, bool) {
	for _, f := range fields {
		value, ok := config[f.Name]
		if !ok && f.Required {
			return path + f.Name, true
		}
		nested, isDict := value.(map[string]any)
		if !isDict || f.Fields == nil {
			continue
		}
		if name, missing := missingKey(f.Fields, nested, path+f.Name+"."); missing {
			return name, true
		}
	}
	return "", false
}

// merge lays over on base, dict by dict, and changes neither.
func merge(base, over map[string]any) map[string]any {
	merged := make(map[string]any, len(base)+len(over))
	for key, value := range base {
		merged[key] = value
	}
	for key, value := range over {
		below, belowIsDict := merged[key].(map[string]any)
		above, aboveIsDict := value.(map[string]any)
		if belowIsDict && aboveIsDict {
			value = merge(below, above)
		}
		merged[key] = value
	}
	return merged
}

// typedValues casts every known key of config and adds defaults; unknown keys are dropped.
func typedValues(fields []Field, config map[string]any) (map[string]any, error) {
	typed := make(map[string]any, len(fields))
	for _, f := range fields {
		value, ok := config[f.Name]
		if !ok {
			value = f.Default
			if f.Fields != nil && !f.Nullable {
				value = map[string]any{} // whose own fields have defaults
			} else {
				typed[f.Name] = value
				continue
			}
		}
		cast, err := f.cast(value)
		if err != nil {
			return nil, err
		}
		typed[f.Name] = cast
	}
	return typed, nil
}

// checkEnums comes after a destination's own rules, whose texts are better.
func checkEnums(fields []Field, config map[string]any) error {
	for _, f := range fields {
		if nested, ok := config[f.Name].(map[string]any); ok {
			if err := checkEnums(f.Fields, nested); err != nil {
				return err
			}
		}
		if text, ok := config[f.Name].(string); ok && f.Enum != nil && !slices.Contains(f.Enum, text) {
			return ConfigErrorf("Configuration field '%s' must be one of '%s'", f.Name, strings.Join(f.Enum, "', '"))
		}
	}
	return nil
}

func redact(fields []Field, config map[string]any) map[string]any {
	shown := make(map[string]any, len(config))
	for _, f := range fields {
		value, ok := config[f.Name]
		if !ok || f.Secret {
			continue
		}
		if nested, isDict := value.(map[string]any); isDict && f.Fields != nil {
			shown[f.Name] = redact(f.Fields, nested)
			continue
		}
		// A stored value that no longer has its type is better hidden than shown: it may be anything.
		if typed, err := f.cast(value); err == nil {
			shown[f.Name] = typed
		}
	}
	return shown
}

func secretsOf(fields []Field, config map[string]any, found []string) []string {
	for _, f := range fields {
		switch value := config[f.Name].(type) {
		case string:
			if f.Secret && value != "" {
				found = append(found, value)
			}
		case map[string]any:
			if f.Secret {
				found = appendTexts(found, value)
				continue
			}
			found = secretsOf(f.Fields, value, found)
		case []string, []any:
			if f.Secret {
				found = append(found, texts(value)...)
			}
		}
	}
	return found
}

// appendTexts adds every text in a dict of unknown shape.
func appendTexts(found []string, value any) []string {
	switch v := value.(type) {
	case string:
		if v != "" {
			found = append(found, v)
		}
	case map[string]any:
		for _, item := range v {
			found = appendTexts(found, item)
		}
	case []any:
		for _, item := range v {
			found = appendTexts(found, item)
		}
	}
	return found
}

// texts reads a list of strings, also one that came through JSON.
func texts(value any) []string {
	switch list := value.(type) {
	case []string:
		return slices.Clone(list)
	case []any:
		var strs []string
		for _, item := range list {
			if s, ok := item.(string); ok {
				strs = append(strs, s)
			}
		}
		return strs
	}
	return nil
}

// fill sets the fields of a struct from typed values.
func fill(v reflect.Value, fields []Field, config map[string]any) error {
	for _, f := range fields {
		value := config[f.Name]
		if value == nil {
			continue // the zero value, or a nil pointer
		}
		field := v.FieldByIndex(f.index)
		if field.Kind() == reflect.Pointer {
			field.Set(reflect.New(field.Type().Elem()))
			field = field.Elem()
		}
		if err := fillOne(field, f, value); err != nil {
			return err
		}
	}
	return nil
}

func fillOne(field reflect.Value, f Field, value any) error {
	if nested, ok := value.(map[string]any); ok && f.Fields != nil {
		return fill(field, f.Fields, nested)
	}
	if text, ok := value.(string); ok && unmarshalsText(field.Type()) {
		unmarshaler := field.Addr().Interface().(encoding.TextUnmarshaler) // as unmarshalsText says
		if err := unmarshaler.UnmarshalText([]byte(text)); err != nil {
			return ConfigErrorf("Configuration field '%s' cannot be read", f.Name)
		}
		return nil
	}
	field.Set(reflect.ValueOf(value).Convert(field.Type()))
	return nil
}
