package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
)

//go:embed docs.html
var docsText string

var docsPage = template.Must(template.New("docs").Parse(docsText))

// A docsOperation is an operation as the page shows it.
type docsOperation struct {
	ID, Method, Path, Summary, Description string
	Parameters                             []schema
	Body                                   string // JSON; empty = none
	Responses                              []docsResponse
}

type docsResponse struct {
	Status, Description, Body string
}

// docs answers with the document as a page, which loads nothing from elsewhere.
func (s *Server) docs(document func() schema) gin.HandlerFunc {
	render := sync.OnceValues(func() ([]byte, error) { return docsOf(document()) })
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

// docsOf renders the page.
func docsOf(document schema) ([]byte, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	var d struct {
		Info       struct{ Title, Description string }
		Paths      map[string]map[string]json.RawMessage
		Components struct{ Schemas map[string]json.RawMessage }
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
			operations = append(operations, o)
		}
	}
	slices.SortFunc(operations, func(a, b docsOperation) int {
		return strings.Compare(a.Path+a.Method, b.Path+b.Method)
	})
	schemas := map[string]string{}
	for name, text := range d.Components.Schemas {
		schemas[name] = indented(text)
	}
	var page bytes.Buffer
	err = docsPage.Execute(&page, map[string]any{"Info": d.Info, "Operations": operations, "Schemas": schemas})
	return page.Bytes(), err
}

func docsOperationOf(method, path string, text json.RawMessage) (docsOperation, error) {
	type content map[string]struct{ Schema json.RawMessage }
	var d struct {
		OperationID, Summary, Description string
		Parameters                        []schema
		RequestBody                       struct{ Content content }
		Responses                         map[string]struct {
			Description string
			Content     content
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return docsOperation{}, err
	}
	o := docsOperation{
		ID: d.OperationID, Method: strings.ToUpper(method), Path: path, Summary: d.Summary, Description: d.Description,
		Parameters: d.Parameters, Body: indented(d.RequestBody.Content["application/json"].Schema),
	}
	for status, r := range d.Responses {
		o.Responses = append(o.Responses, docsResponse{status, r.Description, indented(r.Content["application/json"].Schema)})
	}
	slices.SortFunc(o.Responses, func(a, b docsResponse) int { return strings.Compare(a.Status, b.Status) })
	return o, nil
}

// indented lays JSON out for reading.
func indented(text json.RawMessage) string {
	var out bytes.Buffer
	if len(text) == 0 || json.Indent(&out, text, "", "  ") != nil {
		return ""
	}
	return out.String()
}
