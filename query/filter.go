package query

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Filter is a condition on a property, as PostHog has it. Rows must fulfil all filters of an export.
type Filter struct {
	Key string `json:"key"`
	// Operator is one of Operators.
	Operator string `json:"operator"`
	// Type says what the key is of: event, person, or hogql, whose key is a condition itself.
	Type string `json:"type"`
	// Value is text, a number, a truth, or a list of them, one of which must do.
	Value any `json:"value"`
}

// A FilterError says which filter is wrong and why.
type FilterError struct {
	Index  int // from 0; -1 = the filters as a whole
	Detail string
}

// Error is a sentence for the customer.
func (e *FilterError) Error() string { return e.Detail }

// Attr is the path of what is wrong, as the API names it.
func (e *FilterError) Attr() string {
	if e.Index < 0 {
		return "filters"
	}
	return "filters__" + strconv.Itoa(e.Index)
}

// The types of filters.
const (
	filterEvent  = "event"
	filterPerson = "person"
	filterHogQL  = "hogql"
)

// FilterTypes are the types of filters.
func FilterTypes() []string { return []string{filterEvent, filterHogQL, filterPerson} }

// The operators of filters.
const (
	opExact        = "exact"
	opIsNot        = "is_not"
	opIContains    = "icontains"
	opNotIContains = "not_icontains"
	opRegex        = "regex"
	opNotRegex     = "not_regex"
	opIsSet        = "is_set"
	opIsNotSet     = "is_not_set"
	opGT           = "gt"
	opGTE          = "gte"
	opLT           = "lt"
	opLTE          = "lte"
	opIn           = "in"
	opNotIn        = "not_in"
	opDateExact    = "is_date_exact"
	opDateBefore   = "is_date_before"
	opDateAfter    = "is_date_after"
)

// Operators are the operators of filters.
func Operators() []string {
	return []string{
		opExact, opIsNot, opIContains, opNotIContains, opRegex, opNotRegex, opIsSet, opIsNotSet, opGT, opGTE, opLT, opLTE,
		opIn, opNotIn, opDateExact, opDateBefore, opDateAfter,
	}
}

// opposites are the operators that keep exactly the rows that another one leaves out.
var opposites = map[string]string{
	opIsNot: opExact, opNotIContains: opIContains, opNotRegex: opRegex, opNotIn: opExact, opIsNotSet: opIsSet,
}

// Limits of the filters of an export. All values together, and the bytes of their texts, must fit into one statement.
const (
	maxFilters    = 100
	maxAllValues  = 20_000
	maxAllStrings = 192 << 10
)

// ParseFilters reads filters as they were sent: decoded JSON. Errors are *FilterError.
func ParseFilters(sent any) ([]Filter, error) {
	if sent == nil {
		return nil, nil
	}
	list, ok := sent.([]any)
	if !ok {
		return nil, &FilterError{Index: -1, Detail: "'filters' should be an array of filters"}
	}
	if len(list) > maxFilters {
		return nil, &FilterError{Index: -1, Detail: fmt.Sprintf("There can be at most %d filters", maxFilters)}
	}
	filters := make([]Filter, 0, len(list))
	for i, item := range list {
		f, err := parseFilter(item)
		if err != nil {
			return nil, &FilterError{Index: i, Detail: err.Error()}
		}
		filters = append(filters, f)
	}
	if values, size := extent(filters); values > maxAllValues || size > maxAllStrings {
		return nil, &FilterError{Index: -1, Detail: fmt.Sprintf("The filters have more than %d values, or %d bytes of text", maxAllValues, maxAllStrings)}
	}
	return filters, nil
}

// extent is how many values there are in filters, and how much text.
func extent(filters []Filter) (values, size int) {
	for _, f := range filters {
		size += len(f.Key)
		all := f.values()
		values += len(all)
		for _, v := range all {
			if text, ok := v.(string); ok {
				size += len(text)
			}
		}
	}
	return values, size
}

// detail is a sentence about a filter; ParseFilters says which.
func detail(format string, args ...any) error {
	return &FilterError{Detail: fmt.Sprintf(format, args...)}
}

func parseFilter(item any) (Filter, error) {
	object, ok := item.(map[string]any)
	if !ok {
		return Filter{}, detail("Each filter must be an object")
	}
	f := Filter{Operator: opExact, Value: object["value"]}
	f.Key, _ = object["key"].(string)
	f.Type, _ = object["type"].(string)
	if f.Key == placeholderStart || f.Key == placeholderEnd {
		return f, detail("'%s' and '%s' are attributes of a run and not 'filters': trigger a backfill to export another range", placeholderStart, placeholderEnd)
	}
	if !slices.Contains(FilterTypes(), f.Type) {
		return f, detail("Each filter must have a 'type' of one of: '%s', '%s', '%s'", filterEvent, filterHogQL, filterPerson)
	}
	if f.Key == "" {
		return f, detail("Each filter must have a 'key'")
	}
	if sent := object["operator"]; sent != nil {
		if f.Operator, ok = sent.(string); !ok || !slices.Contains(Operators(), f.Operator) {
			return f, detail("'%v' is not an operator. Operators are: '%s'", clip(fmt.Sprint(sent)), strings.Join(Operators(), "', '"))
		}
	}
	if f.Type == filterHogQL || f.Operator == opIsSet || f.Operator == opIsNotSet {
		return f, nil
	}
	values := f.values()
	if len(values) == 0 {
		return f, detail("The filter on '%s' needs a 'value'", clip(f.Key))
	}
	if len(values) > maxListed {
		return f, detail("The filter on '%s' has more than %d values", clip(f.Key), maxListed)
	}
	for _, v := range values {
		switch v.(type) {
		case string, bool, int64, float64:
		default:
			return f, detail("The values of the filter on '%s' must be text, numbers or truth values", clip(f.Key))
		}
	}
	return f, nil
}

// values are those of which one must do.
func (f Filter) values() []any {
	switch v := f.Value.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{f.Value}
}

// Compile turns filters into a condition; nil = all rows. Errors are *FilterError.
func Compile(filters []Filter, m Model) (Expr, error) {
	conditions := make([]Expr, 0, len(filters))
	for i, f := range filters {
		e, err := f.compile(m)
		if err != nil {
			return nil, &FilterError{Index: i, Detail: fmt.Sprintf("The filter on '%s' cannot work: %s", clip(f.Key), err)}
		}
		conditions = append(conditions, e)
	}
	return And(conditions...), nil
}

func (f Filter) compile(m Model) (Expr, error) {
	if f.Type == filterHogQL {
		return compileCondition(f.Key, m)
	}
	field := FieldProperties
	if f.Type == filterPerson {
		field = FieldPersonProperties
	}
	if spec, ok := m.Spec(field); !ok || spec.Type != TypeJSON {
		return nil, fmt.Errorf("the model %s has no %s", m.Name, field)
	}
	p, err := property(m.Ref(field), []string{f.Key})
	if err != nil {
		return nil, err
	}
	operator, negated := opposites[f.Operator]
	if !negated {
		operator = f.Operator
	}
	if operator == opIn {
		operator = opExact
	}
	e, err := f.positive(operator, p)
	if err != nil || !negated {
		return e, err
	}
	// What is not known to be so is not so: an event without the property is one whose property is something else.
	return Apply(FunctionNot, call(FunctionCoalesce, TypeBoolean, e, Truth(false)))
}

// compileCondition reads a condition that the customer wrote out.
func compileCondition(text string, m Model) (Expr, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	n, err := p.expression()
	if err == nil && p.peek().kind != tokenEnd {
		err = p.unexpected()
	}
	if err != nil {
		return nil, err
	}
	if contains[subqueryNode](n) {
		return nil, errors.New("subqueries are not supported")
	}
	e, err := resolver{model: m, table: string(m.Name)}.expression(n)
	if err != nil {
		return nil, err
	}
	return convert(e, TypeBoolean)
}

// positive is an operator that is not the opposite of another one. One of the values must do.
func (f Filter) positive(operator string, p Property) (Expr, error) {
	if operator == opIsSet {
		return Apply(FunctionIsNotNull, p)
	}
	if operator == opExact {
		return f.exact(p)
	}
	var any []Expr
	for _, v := range f.values() {
		e, err := compare(operator, p, v)
		if err != nil {
			return nil, err
		}
		any = append(any, e)
	}
	return Or(any...), nil
}

// exact compares text with text and numbers with numbers.
func (f Filter) exact(p Property) (Expr, error) {
	texts, numbers := []Expr{p}, []Expr{call(FunctionToFloat, TypeFloat, p)}
	integers := []Expr{call(FunctionToInt, TypeInteger, p)}
	for _, v := range f.values() {
		switch v := v.(type) {
		case int64:
			if large(Integer(v)) {
				integers = append(integers, Integer(v))
			} else {
				numbers = append(numbers, Number(float64(v)))
			}
		case float64:
			numbers = append(numbers, Number(v))
		default:
			texts = append(texts, Text(textValue(v)))
		}
	}
	var any []Expr
	for _, args := range [][]Expr{texts, numbers, integers} {
		if len(args) > 1 {
			any = append(any, call(FunctionIn, TypeBoolean, args...))
		}
	}
	return Or(any...), nil
}

func textValue(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return ""
}

// orders are the functions behind the operators that compare sizes.
var orders = map[string]string{
	opGT: FunctionGreater, opGTE: FunctionGreaterOrEquals, opLT: FunctionLess, opLTE: FunctionLessOrEquals,
}

// compare applies an operator to one value.
func compare(operator string, p Property, v any) (Expr, error) {
	switch operator {
	case opIContains:
		return call(FunctionContains, TypeBoolean,
			call(FunctionLower, TypeString, p), call(FunctionLower, TypeString, Text(textValue(v)))), nil
	case opRegex:
		return Apply(FunctionMatch, p, Text(textValue(v)))
	case opDateExact, opDateBefore, opDateAfter:
		return compareDates(operator, p, textValue(v))
	}
	if n, ok := numberValue(v); ok {
		return Apply(orders[operator], call(FunctionToFloat, TypeFloat, p), Number(n))
	}
	return Apply(orders[operator], p, Text(textValue(v)))
}

// numberValue is a value that is a number, or the text of one.
func numberValue(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	case string:
		n, err := strconv.ParseFloat(v, 64)
		return n, err == nil && floatRegexp.MatchString(v)
	}
	return 0, false
}

// compareDates compares moments; a day is all of its moments in UTC.
func compareDates(operator string, p Property, text string) (Expr, error) {
	t, day, ok := ParseTime(text)
	if !ok {
		return nil, fmt.Errorf("'%s' is not a date such as 2026-01-31 or 2026-01-31T12:30:00Z", clip(text))
	}
	end := t
	if day {
		end = t.Add(24 * time.Hour)
	}
	at := call(FunctionToDateTime, TypeInstant, p)
	switch {
	case operator == opDateBefore:
		return Apply(FunctionLess, at, Instant(t))
	case operator == opDateAfter && day:
		return Apply(FunctionGreaterOrEquals, at, Instant(end))
	case operator == opDateAfter:
		return Apply(FunctionGreater, at, Instant(t))
	case day:
		return And(call(FunctionGreaterOrEquals, TypeBoolean, at, Instant(t)), call(FunctionLess, TypeBoolean, at, Instant(end))), nil
	}
	return Apply(FunctionEquals, at, Instant(t))
}
