package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// textOf is a scalar as text: the API takes numbers and bools as texts too.
func textOf(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case reference:
		return v.text.Reveal()
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return fmt.Sprint(value)
}

// shown is a value as people read it. What a reference stands for is not shown.
func shown(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case reference:
		return v.template
	case string:
		return strconv.Quote(plain(v))
	case []any, map[string]any, []string:
		text, err := json.Marshal(withTemplates(v))
		if err != nil {
			return "?"
		}
		return string(text)
	}
	return textOf(value)
}

// withTemplates replaces references by their own text.
func withTemplates(value any) any {
	switch v := value.(type) {
	case reference:
		return v.template
	case []any:
		all := make([]any, len(v))
		for i, item := range v {
			all[i] = withTemplates(item)
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for name, item := range v {
			all[name] = withTemplates(item)
		}
		return all
	}
	return value
}

// same says whether the API would store want as have. In lists of objects it may have added fields to them.
func same(want, have any) bool {
	switch w := want.(type) {
	case []any:
		h, ok := have.([]any)
		if !ok || len(h) != len(w) {
			return len(w) == 0 && have == nil
		}
		for i := range w {
			if !same(w[i], h[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return len(w) == 0 && have == nil
		}
		for name, value := range w {
			if !same(value, h[name]) {
				return false
			}
		}
		return true
	}
	if want == nil || have == nil {
		return empty(want) && empty(have)
	}
	if boolean, ok := have.(bool); ok {
		return strings.EqualFold(textOf(want), strconv.FormatBool(boolean))
	}
	return textOf(want) == textOf(have)
}

// empty says whether a value is none: nothing was set.
func empty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// sameTime compares two times as texts.
func sameTime(want, have any) bool {
	if want == nil || have == nil {
		return want == nil && have == nil
	}
	w, err := time.Parse(time.RFC3339Nano, textOf(want))
	if err != nil {
		return false
	}
	h, err := time.Parse(time.RFC3339Nano, textOf(have))
	return err == nil && w.Truncate(time.Microsecond).Equal(h)
}
