package storage

import (
	"encoding/json"
	"reflect"
	"strings"

	"tranche/batch"
)

// selectionTextOf encodes what an export wants of its model; nil = all of it.
func selectionTextOf(s batch.Selection) (*string, error) {
	if reflect.ValueOf(s).IsZero() {
		return nil, nil //nolint:nilnil // as the comment says
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	encoded := string(text)
	return &encoded, nil
}

// selectionOf decodes it. Whole numbers stay exact.
func selectionOf(text *string) (batch.Selection, error) {
	var s batch.Selection
	if text == nil {
		return s, nil
	}
	decoder := json.NewDecoder(strings.NewReader(*text))
	decoder.UseNumber()
	if err := decoder.Decode(&s); err != nil {
		return s, err
	}
	for i, f := range s.Filters {
		s.Filters[i], _ = exact(f).(map[string]any) // which it is
	}
	s.Modifiers, _ = exact(s.Modifiers).(map[string]any) // which it is
	return s, nil
}

// exact turns the numbers of decoded JSON into int64 where they are whole and float64 elsewhere.
func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // the API takes no number that does not fit
		return f
	case map[string]any:
		for name, value := range v {
			v[name] = exact(value)
		}
	case []any:
		for i, value := range v {
			v[i] = exact(value)
		}
	}
	return v
}
