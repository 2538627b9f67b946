package destinations

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A FieldType is the type of a setting, named as error texts name it.
type FieldType string

// The types of settings.
const (
	FieldStr   FieldType = "str"
	FieldInt   FieldType = "int"
	FieldFloat FieldType = "float"
	FieldBool  FieldType = "bool"
	FieldList  FieldType = "list" // of str
	FieldDict  FieldType = "dict"
)

// A Field is one setting of a kind of destination.
type Field struct {
	Name        string
	Type        FieldType
	Nullable    bool
	Required    bool
	Secret      bool
	Default     any // the typed value when the setting is not sent; nil when Required or null
	Enum        []string
	Description string
	// Fields are the settings of a dict whose keys are known; nil = any keys.
	Fields []Field

	index []int // of the struct's field
}

// The settings that every kind of destination has.
const (
	includeEvents = "include_events"
	excludeEvents = "exclude_events"
)

// What names of events may come to: they go into one statement, as the values of filters do.
const (
	maxEvents     = 1000
	maxEventBytes = 64 << 10
)

// checkEvents bounds the names of events.
func checkEvents(config map[string]any) error {
	for _, setting := range []string{includeEvents, excludeEvents} {
		names, size := texts(config[setting]), 0
		for _, name := range names {
			size += len(name)
		}
		if len(names) > maxEvents || size > maxEventBytes {
			return ConfigErrorf("'%s' has more than %d names, or %d bytes of text", setting, maxEvents, maxEventBytes)
		}
	}
	return nil
}

// commonFields belong to every kind of destination, beside those of its struct.
func commonFields() []Field {
	return []Field{
		{Name: excludeEvents, Type: FieldList, Nullable: true, Description: "Names of events to leave out."},
		{Name: includeEvents, Type: FieldList, Nullable: true, Description: "Names of the only events to export."},
	}
}

// fieldsOf reads the settings that a struct declares. It panics on a declaration that cannot work.
func fieldsOf(t reflect.Type) []Field {
	var fields []Field
	for _, sf := range reflect.VisibleFields(t) {
		if sf.Anonymous {
			continue
		}
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if name == "" || !sf.IsExported() {
			panic(fmt.Sprintf("destinations: field %s of %s must be exported and have a json name", sf.Name, t))
		}
		f := fieldOf(name, sf)
		same := slices.IndexFunc(fields, func(other Field) bool { return other.Name == name })
		switch {
		case same < 0:
			fields = append(fields, f)
		case len(f.index) < len(fields[same].index):
			fields[same] = f
		}
	}
	return fields
}

func fieldOf(name string, sf reflect.StructField) Field {
	f := Field{
		Name:        name,
		Required:    sf.Tag.Get("required") == "true",
		Secret:      sf.Tag.Get("secret") == "true",
		Description: sf.Tag.Get("description"),
		index:       sf.Index,
	}
	if enum := sf.Tag.Get("enum"); enum != "" {
		f.Enum = strings.Split(enum, ",")
	}
	t := sf.Type
	if t.Kind() == reflect.Pointer {
		f.Nullable, t = true, t.Elem()
	}
	f.Type = typeOf(t)
	if f.Type == "" {
		panic(fmt.Sprintf("destinations: setting %q has the type %s", name, sf.Type))
	}
	if f.Type == FieldDict && t.Kind() == reflect.Struct {
		f.Fields = fieldsOf(t)
	}
	f.Default = f.defaultOf(sf.Tag)
	return f
}

// typeOf returns the setting's type for a Go type, or "".
func typeOf(t reflect.Type) FieldType {
	if unmarshalsText(t) {
		return FieldStr
	}
	switch t.Kind() {
	case reflect.String:
		return FieldStr
	case reflect.Int, reflect.Int64:
		return FieldInt
	case reflect.Float64:
		return FieldFloat
	case reflect.Bool:
		return FieldBool
	case reflect.Struct:
		return FieldDict
	}
	switch t {
	case reflect.TypeFor[[]string]():
		return FieldList
	case reflect.TypeFor[map[string]any]():
		return FieldDict
	}
	return ""
}

func unmarshalsText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// defaultOf is the value of a setting that is not sent.
func (f Field) defaultOf(tag reflect.StructTag) any {
	text, tagged := tag.Lookup("default")
	if tagged {
		value, err := f.cast(text)
		if err != nil {
			panic(fmt.Sprintf("destinations: setting %q cannot have the default %q", f.Name, text))
		}
		return value
	}
	if f.Required || f.Nullable {
		return nil
	}
	switch f.Type {
	case FieldStr:
		return ""
	case FieldInt:
		return int64(0)
	case FieldFloat:
		return float64(0)
	case FieldBool:
		return false
	case FieldList:
		return []string{}
	case FieldDict:
		return map[string]any{}
	}
	return nil
}

// cast turns a value as JSON, storage or a tag has it into the setting's type.
func (f Field) cast(value any) (any, error) {
	if value == nil && f.Nullable {
		return nil, nil
	}
	switch f.Type {
	case FieldStr:
		if s, ok := value.(string); ok {
			return s, nil
		}
	case FieldInt:
		if n, ok := integer(value); ok {
			return n, nil
		}
	case FieldFloat:
		if x, ok := float(value); ok {
			return x, nil
		}
	case FieldBool:
		if b, ok := boolean(value); ok {
			return b, nil
		}
	case FieldList:
		return f.castList(value)
	case FieldDict:
		m, ok := value.(map[string]any)
		if !ok {
			break
		}
		if f.Fields == nil {
			return m, nil
		}
		return typedValues(f.Fields, m)
	}
	return nil, invalidType(value, f.Type)
}

func (f Field) castList(value any) (any, error) {
	switch list := value.(type) {
	case []string:
		return list, nil
	case []any:
		strs := make([]string, len(list))
		for i, item := range list {
			s, ok := item.(string)
			if !ok {
				return nil, invalidType(item, FieldStr)
			}
			strs[i] = s
		}
		return strs, nil
	}
	return nil, invalidType(value, f.Type)
}

// boolean accepts a bool and the words that a bool is written as.
func boolean(value any) (b, ok bool) {
	switch v := value.(type) {
	case bool:
		return v, true
	case string:
		switch strings.ToLower(v) {
		case "true":
			return true, true
		case "false":
			return false, true
		}
	}
	return false, false
}

// integer accepts whole numbers and their text.
func integer(value any) (int64, bool) {
	switch v := value.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case float64:
		// Whole floats are how encoding/json reads integers; beyond 2⁵³ they are not exact.
		if n := int64(v); v >= -1<<53 && v <= 1<<53 && float64(n) == v {
			return n, true
		}
	case fmt.Stringer: // json.Number
		n, err := strconv.ParseInt(v.String(), 10, 64)
		return n, err == nil
	case string:
		n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		return n, err == nil
	}
	return 0, false
}

// float accepts numbers and their text.
func float(value any) (float64, bool) {
	switch v := value.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case fmt.Stringer: // json.Number
		x, err := strconv.ParseFloat(v.String(), 64)
		return x, err == nil
	case string:
		x, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		return x, err == nil
	}
	return 0, false
}
