package query

import (
	"fmt"
	"strconv"
	"strings"
)

// A SchemaField is a column of a customer's query, as clients see it.
type SchemaField struct {
	Expression string `json:"expression"`
	Alias      string `json:"alias"`
}

// A Schema shows what a customer's query over events became, in the words of ClickHouse. It is for people and clients:
// nothing is computed from it.
type Schema struct {
	Fields []SchemaField  `json:"fields"`
	Values map[string]any `json:"values"`
	Query  string         `json:"hogql_query,omitempty"`
}

// Schema shows the query.
func (s Select) Schema() Schema {
	shown := Schema{Fields: []SchemaField{}, Values: map[string]any{}, Query: s.Text}
	w := schemaWriter{values: shown.Values, table: s.parsed.table, alias: s.parsed.alias}
	for _, c := range s.parsed.columns {
		shown.Fields = append(shown.Fields, SchemaField{Expression: w.expression(c.expression), Alias: c.shownAlias()})
	}
	return shown
}

// shownAlias is the name of a column as SQL has it: a text alone is shown as it is.
func (c columnNode) shownAlias() string {
	name, _ := c.name()
	if l, ok := c.expression.(literalNode); ok && c.alias == "" {
		if text, ok := l.value.(string); ok {
			return text
		}
	}
	if plain := name != "" && !isDigit(name[0]) && strings.IndexFunc(name, func(r rune) bool { return r > 127 || !nameByte(byte(r)) }) < 0; plain {
		return name
	}
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`", "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(name) + "`"
}

// A schemaWriter writes expressions with bound constants.
type schemaWriter struct {
	values       map[string]any
	table, alias string
}

func (w schemaWriter) bind(value any) string {
	name := "hogql_val_" + strconv.Itoa(len(w.values))
	w.values[name] = value
	return "%(" + name + ")s"
}

func (w schemaWriter) expression(n node) string {
	switch n := n.(type) {
	case literalNode:
		if text, ok := n.value.(string); ok {
			return w.bind(text)
		}
		return textOf(n)
	case pathNode:
		return w.path(n.parts)
	case callNode:
		return w.call(n)
	}
	return textOf(n)
}

func (w schemaWriter) path(parts []string) string {
	if len(parts) > 1 && (parts[0] == w.alias || parts[0] == w.table) {
		parts = parts[1:]
	}
	if len(parts) > 1 && parts[0] == "person" {
		parts = append([]string{"person_" + parts[1]}, parts[2:]...)
	}
	field := w.table + "." + QuoteName(parts[0])
	if len(parts) == 1 {
		return field
	}
	args := []string{field}
	for _, key := range parts[1:] {
		args = append(args, w.bind(key))
	}
	return fmt.Sprintf(`replaceRegexpAll(nullIf(nullIf(JSONExtractRaw(%s), ''), 'null'), '^"|"$', '')`, strings.Join(args, ", "))
}

// accurate are the casts that ClickHouse writes with the name of the type.
var accurate = map[string]string{FunctionToInt: "Int64", FunctionToFloat: "Float64"}

func (w schemaWriter) call(n callNode) string {
	args := make([]string, len(n.args))
	for i, arg := range n.args {
		args[i] = w.expression(arg)
	}
	name := canonical(n.name)
	if other, ok := synonyms[name]; ok {
		name = other
	}
	if kind, ok := accurate[name]; ok {
		return "accurateCastOrNull(" + strings.Join(args, ", ") + ", " + w.bind(kind) + ")"
	}
	return name + "(" + strings.Join(args, ", ") + ")"
}
