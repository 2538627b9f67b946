package api

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
)

//go:embed docs.html
var docsText string

var docsPage = template.Must(template.New("docs").Parse(docsText))

// A docsGroup is the operations of one thing.
type docsGroup struct {
	Name       string
	Operations []docsOperation
}

// A docsOperation is an operation as the page shows it.
type docsOperation struct {
	ID, Method, Path, Short, Summary string
	Description                      []docsWords
	Deprecated                       bool
	Parameters, Body                 []docsField
	Example                          string // JSON; empty = none
	Answers                          []docsAnswer
	Refusals                         []string // statuses that are answered with the envelope

	group string
	order int
}

// A docsAnswer is what success is answered with.
type docsAnswer struct {
	Status, Description string
	Type                []docsWords
	Fields              []docsField
}

// A docsField is a field of a body or a parameter.
type docsField struct {
	Name, In string
	Required bool
	Type     []docsWords
	Meaning  string
}

// Words of a type or a sentence: a name in the code, a link to a schema, or plain.
type docsWords struct{ Text, Link, Code string }

// A docsSchema is a named schema.
type docsSchema struct {
	Name   string
	Type   []docsWords
	Fields []docsField
	JSON   string
}

// docs answers with the document as a page, which loads nothing from elsewhere.
func (s *Server) docs(document func() schema) gin.HandlerFunc {
	render := sync.OnceValues(func() ([]byte, error) {
		var order []string
		for _, r := range s.routes() {
			order = append(order, r.id)
		}
		return docsOf(document(), order)
	})
	return func(c *gin.Context) {
		page, err := render()
		if err != nil {
			s.writeError(c, err)
			return
		}
		c.Header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		c.Header("X-Content-Type-Options", "nosniff")
		c.Data(http.StatusOK, "text/html; charset=utf-8", page)
	}
}

// docsOf renders the page, with operations in the order of their ids.
func docsOf(document schema, order []string) ([]byte, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	var d struct {
		Info       struct{ Title, Description string }
		Paths      map[string]map[string]json.RawMessage
		Components struct{ Schemas map[string]schema }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	var operations []docsOperation
	for path, item := range d.Paths {
		if strings.HasPrefix(path, "/api/environments/") {
			continue // the same once more
		}
		for method, text := range item {
			if method == "parameters" {
				continue
			}
			o, err := docsOperationOf(method, path, text)
			if err != nil {
				return nil, err
			}
			o.order = slices.Index(order, o.ID)
			operations = append(operations, o)
		}
	}
	var schemas []docsSchema
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		of := d.Components.Schemas[name]
		text, err := json.MarshalIndent(of, "", "  ")
		if err != nil {
			return nil, err
		}
		schemas = append(schemas, docsSchema{name, docsType(of), docsFields(of), string(text)})
	}
	var page bytes.Buffer
	err = docsPage.Execute(&page, map[string]any{"Info": d.Info, "Groups": docsGroups(operations), "Schemas": schemas})
	return page.Bytes(), err
}

// docsGroups puts together what is about one thing, in the order of the routes; what is about the server comes last.
func docsGroups(operations []docsOperation) []docsGroup {
	slices.SortFunc(operations, func(a, b docsOperation) int {
		return cmp.Or(cmp.Compare(uint(a.order), uint(b.order)), cmp.Compare(a.Path, b.Path)) // those without a route have -1
	})
	var groups []docsGroup
	for _, o := range operations {
		i := slices.IndexFunc(groups, func(g docsGroup) bool { return g.Name == o.group })
		if i < 0 {
			i, groups = len(groups), append(groups, docsGroup{Name: o.group})
		}
		groups[i].Operations = append(groups[i].Operations, o)
	}
	return groups
}

// docsPrefix is what most paths begin with; the page leaves it out of its list.
const docsPrefix = "/api/projects/{project_id}"

// docsGroupNames are what tags are called where the tag itself is not enough.
var docsGroupNames = map[string]string{"batch": "batch exports", "server": "the server"}

func docsOperationOf(method, path string, text json.RawMessage) (docsOperation, error) {
	type content map[string]struct {
		Schema  schema
		Example json.RawMessage
	}
	var d struct {
		OperationID, Summary, Description string
		Deprecated                        bool
		Tags                              []string
		Parameters                        []struct {
			Name, In, Description string
			Required              bool
			Schema                schema
		}
		RequestBody struct{ Content content }
		Responses   map[string]struct {
			Description string
			Content     content
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return docsOperation{}, err
	}
	body := d.RequestBody.Content["application/json"]
	o := docsOperation{
		ID: d.OperationID, Method: strings.ToUpper(method), Path: path, Short: cmp.Or(strings.TrimPrefix(path, docsPrefix), path),
		Summary: d.Summary, Description: docsSentence(d.Description), Deprecated: d.Deprecated,
		Body: docsFields(body.Schema), Example: indented(body.Example), group: strings.Join(d.Tags, " "),
	}
	o.group = cmp.Or(docsGroupNames[o.group], o.group)
	for _, p := range d.Parameters {
		meaning, _ := p.Schema["description"].(string)
		o.Parameters = append(o.Parameters, docsField{p.Name, p.In, p.Required, docsType(p.Schema), strings.TrimSpace(p.Description + " " + meaning)})
	}
	for _, status := range slices.Sorted(maps.Keys(d.Responses)) {
		if number, err := strconv.Atoi(status); err == nil && number >= http.StatusBadRequest && path != "/readyz" {
			o.Refusals = append(o.Refusals, status)
			continue
		}
		r := d.Responses[status]
		of := r.Content["application/json"].Schema
		o.Answers = append(o.Answers, docsAnswer{status, r.Description, docsType(of), docsFields(of)})
	}
	return o, nil
}

// docsSentence sets apart what stands between backticks.
func docsSentence(text string) []docsWords {
	var words []docsWords
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			words = append(words, docsWords{Code: part})
		} else if part != "" {
			words = append(words, docsWords{Text: part})
		}
	}
	return words
}

// docsFields are the properties of an object; what must be sent comes first.
func docsFields(of schema) []docsField {
	properties, _ := of["properties"].(map[string]any) // nothing else has fields
	required, _ := of["required"].([]any)              // as above
	var fields []docsField
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		property, _ := properties[name].(map[string]any) // a schema is an object
		meaning, _ := property["description"].(string)   // may be absent
		fields = append(fields, docsField{Name: name, Required: slices.Contains(required, any(name)), Type: docsType(property), Meaning: meaning})
	}
	slices.SortStableFunc(fields, func(a, b docsField) int {
		switch {
		case a.Required == b.Required:
			return 0
		case a.Required:
			return -1
		}
		return 1
	})
	return fields
}

// docsType says what a schema takes, in a few words.
func docsType(of schema) []docsWords {
	if len(of) == 0 {
		return nil
	}
	if to, ok := of["$ref"].(string); ok {
		name := to[strings.LastIndexByte(to, '/')+1:]
		return []docsWords{{Text: name, Link: "schema-" + name}}
	}
	if value, ok := of["const"]; ok {
		return []docsWords{docsCode(value)}
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		if some, ok := of[key].([]any); ok {
			return docsAlternatives(some, func(one any) []docsWords {
				alternative, _ := one.(map[string]any) // a schema is an object
				return docsType(alternative)
			})
		}
	}
	if values, ok := of["enum"].([]any); ok {
		return docsAlternatives(values, func(value any) []docsWords { return []docsWords{docsCode(value)} })
	}
	kinds, ok := of["type"].([]any)
	if !ok {
		kinds = []any{of["type"]}
	}
	return docsAlternatives(kinds, func(kind any) []docsWords {
		name, _ := kind.(string) // absent: anything
		format, _ := of["format"].(string)
		if items, ok := of["items"].(map[string]any); ok && name == "array" {
			return append([]docsWords{{Text: "list of "}}, docsType(items)...)
		}
		if name == "string" {
			name = cmp.Or(format, name)
		}
		return []docsWords{{Text: cmp.Or(name, "anything")}}
	})
}

// docsAlternatives joins what several alternatives take.
func docsAlternatives(some []any, each func(any) []docsWords) []docsWords {
	var words []docsWords
	for i, one := range some {
		if i > 0 {
			words = append(words, docsWords{Text: " or "})
		}
		words = append(words, each(one)...)
	}
	return words
}

func docsCode(value any) docsWords {
	if text, ok := value.(string); ok {
		return docsWords{Code: text}
	}
	text, _ := json.Marshal(value) // it was read from JSON
	return docsWords{Code: string(text)}
}

// indented lays JSON out for reading.
func indented(text json.RawMessage) string {
	var out bytes.Buffer
	if len(text) == 0 || json.Indent(&out, text, "", "  ") != nil {
		return ""
	}
	return out.String()
}
