package api

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tranche/internal/app"
)

// A need says whether a field must be sent.
type need int

const (
	required need = iota // sent, and not null
	optional             // absent means the default; null is refused
	nullable             // absent and null mean the default
)

// A form is a JSON object that is read field by field. The first problem is kept, and what is read after it does not
// count: read all fields, then ask for the problem.
type form struct {
	fields map[string]any
	at     string // path of the object
	first  **app.Problem
	// spec, if not nil, collects what would be read: the schema of the object. Nothing is read then.
	spec schema
}

func newForm(fields map[string]any) *form {
	return &form{fields: fields, first: new(*app.Problem)}
}

// problem returns the first problem, or nil.
func (f *form) problem() error {
	if *f.first == nil {
		return nil
	}
	return *f.first
}

// fail keeps the problem if it is the first.
func (f *form) fail(p *app.Problem) {
	if *f.first == nil && f.spec == nil {
		*f.first = p
	}
}

// failField is fail for a field of the form.
func (f *form) failField(name, code, format string, args ...any) {
	f.fail(invalid(join(f.at, name), code, format, args...))
}

// value returns a field that was sent and is not null.
func (f *form) value(name string, need need) (value any, ok bool) {
	value, sent := f.fields[name]
	switch {
	case !sent && need == required:
		f.failField(name, codeRequired, "This field is required.")
	case sent && value == nil && need != nullable:
		f.failField(name, codeNull, "This field may not be null.")
	}
	return value, value != nil
}

// text returns a string of at most most characters, without the white space around it, which is not blank.
func (f *form) text(name string, need need, most int) string {
	f.note(name, need, schema{"type": "string", "minLength": 1, "maxLength": most})
	value, ok := f.value(name, need)
	if !ok {
		return ""
	}
	s, ok := value.(string)
	s = strings.TrimSpace(s)
	switch {
	case !ok:
		f.failField(name, codeInvalid, "Not a valid string.")
	case s == "":
		f.failField(name, codeBlank, "This field may not be blank.")
	case utf8.RuneCountInString(s) > most:
		f.failField(name, codeMaxLength, "Ensure this field has no more than %d characters.", most)
	}
	return s
}

// words returns a string as it was sent, or nil.
func (f *form) words(name string, need need) *string {
	f.note(name, need, schema{"type": "string"})
	value, ok := f.value(name, need)
	if !ok {
		return nil
	}
	s, ok := value.(string)
	if !ok {
		f.failField(name, codeInvalid, "Not a valid string.")
		return nil
	}
	return &s
}

// Choices are the strings that a field may have.
type choices struct {
	valid  func(string) bool
	listed []string // for the schema; nil = too many to list
}

// choice returns one of the choices, or "".
func (f *form) choice(name string, need need, of choices) string {
	f.note(name, need, of.schema())
	value, ok := f.value(name, need)
	if !ok {
		return ""
	}
	s, ok := value.(string)
	if !ok || !of.valid(s) {
		f.failField(name, codeChoice, "\"%s\" is not a valid choice.", shown(value))
	}
	return s
}

// shown is a value as an error shows it.
func shown(value any) string {
	if s, ok := value.(string); ok {
		return clip(s)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return typeName(value)
	}
	return clip(string(text))
}

// integer returns a whole number that fits an int32, or nil. Its range is the use case's to check.
func (f *form) integer(name string, need need) *int {
	f.note(name, need, schema{"type": "integer"})
	value, ok := f.value(name, need)
	if !ok {
		return nil
	}
	var n int64
	switch v := value.(type) {
	case int64:
		n, ok = v, true
	case float64:
		n, ok = int64(v), v == math.Trunc(v) && math.Abs(v) <= math.MaxInt32
	default:
		ok = false
	}
	if !ok {
		f.failField(name, codeInvalid, "A valid integer is required.")
		return nil
	}
	i := int(max(math.MinInt32, min(math.MaxInt32, n)))
	return &i
}

// integerWithin is integer with bounds for the document.
func (f *form) integerWithin(name string, need need, least, most int) *int {
	n := f.integer(name, need)
	f.note(name, need, schema{"type": "integer", "minimum": least, "maximum": most})
	return n
}

// boolean returns a bool; absent is false, and null is refused.
func (f *form) boolean(name string) bool {
	f.note(name, optional, schema{"type": "boolean"})
	value, ok := f.value(name, optional)
	if !ok {
		return false
	}
	b, ok := value.(bool)
	if !ok {
		f.failField(name, codeInvalid, "Must be a valid boolean.")
	}
	return b
}

// instant returns a time in UTC, or nil; it need not be sent. Without an offset it is read in zone.
func (f *form) instant(name string, zone *time.Location) *time.Time {
	f.note(name, nullable, schema{"type": "string", "description": "ISO 8601; without an offset, in the time zone of the project."})
	value, ok := f.value(name, nullable)
	if !ok {
		return nil
	}
	s, ok := value.(string)
	t, valid := parseTime(s, zone)
	if !ok || !valid {
		f.failField(name, codeInvalid, "Datetime has wrong format. "+
			"Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].")
		return nil
	}
	return &t
}

// object returns an object of the form; an empty one when it is absent.
func (f *form) object(name string, need need) *form {
	child := &form{at: join(f.at, name), first: f.first}
	if f.spec != nil {
		child.spec = schema{"type": "object", "properties": schema{}}
		f.note(name, need, child.spec)
	}
	value, ok := f.value(name, need)
	if !ok {
		return child
	}
	if child.fields, ok = value.(map[string]any); !ok {
		f.failField(name, codeInvalid, "Invalid data. Expected a dictionary, but got %s.", typeName(value))
	}
	return child
}

// names returns a list of at most most texts, none of which is blank, or nil.
func (f *form) names(name string, most int) []string {
	f.note(name, nullable, schema{"type": "array", "minItems": 1, "maxItems": most, "items": schema{"type": "string", "pattern": `\S`}})
	value, ok := f.value(name, nullable)
	if !ok {
		return nil
	}
	list, ok := value.([]any)
	switch {
	case !ok:
		f.failField(name, codeNoList, "Expected a list of items but got type \"%s\".", typeName(value))
	case len(list) == 0:
		f.failField(name, codeEmpty, "This list may not be empty.")
	case len(list) > most:
		f.failField(name, codeMaxLength, "Ensure this field has no more than %d elements.", most)
	}
	names := make([]string, len(list))
	for i, item := range list {
		text, ok := item.(string)
		switch {
		case !ok:
			f.failField(join(name, strconv.Itoa(i)), codeInvalid, "Not a valid string.")
		case strings.TrimSpace(text) == "":
			f.failField(join(name, strconv.Itoa(i)), codeBlank, "This field may not be blank.")
		}
		names[i] = text
	}
	return names
}

// note adds a field to the schema that is being collected.
func (f *form) note(name string, need need, field schema) {
	if f.spec == nil {
		return
	}
	if need == nullable {
		field = orNull(field)
	}
	if need == required {
		names, _ := f.spec["required"].([]string) // nil at first
		if !slices.Contains(names, name) {
			f.spec["required"] = append(names, name)
		}
	}
	properties, _ := f.spec["properties"].(schema) // made with the form
	properties[name] = field
}

func (c choices) schema() schema {
	if c.listed == nil {
		return schema{"type": "string"}
	}
	return schema{"type": "string", "enum": c.listed}
}
