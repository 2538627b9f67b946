package api_test

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"tranche/api"
)

// A contract is the OpenAPI document of a server, ready to check answers against it.
type contract struct {
	document map[string]any
	compiler *jsonschema.Compiler

	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema
}

// contracts are kept by the kinds of destination, on which documents depend: most worlds have the same.
var contracts sync.Map

func contractOf(t *testing.T, types []string, handler func() http.Handler) *contract {
	t.Helper()
	kinds := strings.Join(types, " ")
	if known, ok := contracts.Load(kinds); ok {
		return known.(*contract)
	}
	recorder := httptest.NewRecorder()
	handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/openapi.json", nil))
	require.Equal(t, http.StatusOK, recorder.Code)
	value, err := jsonschema.UnmarshalJSON(recorder.Body)
	require.NoError(t, err)
	c := &contract{document: value.(map[string]any), compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	// The document leaves room for fields to come; the tests do not.
	for name, of := range at(c.document, "components", "schemas").(map[string]any) {
		of := of.(map[string]any)
		if _, open := of["additionalProperties"]; of["type"] == "object" && !open && name != "UnknownDestination" {
			of["additionalProperties"] = false
		}
	}
	c.compiler.AssertFormat()
	require.NoError(t, c.compiler.AddResource("http://test/openapi.json", c.document))
	contracts.Store(kinds, c)
	return c
}

// at walks down a JSON value; nil when there is nothing.
func at(value any, path ...string) any {
	for _, name := range path {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[name]
	}
	return value
}

// path finds the path of the document that an address matches; those without parameters first.
func (c *contract) path(address string) string {
	address = strings.TrimSuffix(address, "/")
	best := ""
	for path := range c.document["paths"].(map[string]any) {
		if matches(path, address) && (best == "" || strings.Count(path, "{") < strings.Count(best, "{")) {
			best = path
		}
	}
	return best
}

func matches(path, address string) bool {
	want, got := strings.Split(path, "/"), strings.Split(address, "/")
	if len(want) != len(got) {
		return false
	}
	for i, part := range want {
		if part != got[i] && !strings.HasPrefix(part, "{") {
			return false
		}
	}
	return true
}

// check requires that the document tells of the answer.
func (c *contract) check(t *testing.T, r *http.Request, answer *httptest.ResponseRecorder) {
	t.Helper()
	pointer := "/components/schemas/Error"
	path := c.path(r.URL.Path)
	operation := at(c.document, "paths", path, strings.ToLower(r.Method))
	if operation == nil {
		require.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, answer.Code, "%s %s is not in the document", r.Method, r.URL.Path)
	} else {
		status := strconv.Itoa(answer.Code)
		described := at(operation, "responses", status)
		require.NotNil(t, described, "%s %s: the document does not tell of %s", r.Method, path, status)
		content := at(described, "content")
		if content == nil {
			require.Empty(t, answer.Body.String())
			return
		}
		media, _, err := mime.ParseMediaType(answer.Header().Get("Content-Type"))
		require.NoError(t, err)
		require.NotNil(t, at(content, media), "%s %s is answered with %s", r.Method, path, media)
		if media != "application/json" {
			return
		}
		pointer = "/paths/" + escaped(path) + "/" + strings.ToLower(r.Method) + "/responses/" + status + "/content/application~1json/schema"
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(answer.Body.Bytes()))
	require.NoError(t, err)
	require.NoError(t, c.schema(t, pointer).Validate(value), "%s %s: %s", r.Method, r.URL, answer.Body)
	requireListed(t, answer.Code, value)
}

func escaped(path string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(path)
}

func (c *contract) schema(t *testing.T, pointer string) *jsonschema.Schema {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.compiled[pointer] == nil {
		compiled, err := c.compiler.Compile("http://test/openapi.json#" + pointer)
		require.NoError(t, err)
		c.compiled[pointer] = compiled
	}
	return c.compiled[pointer]
}

func TestTheDocumentHasEveryRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paths := w.contract.document["paths"].(map[string]any)
	for _, p := range places(t, w) {
		path := w.contract.path(project + strings.Split(p.path, "?")[0])
		require.NotNil(t, at(paths, path, strings.ToLower(p.method)), "%s %s", p.method, p.path)
		alias := strings.Replace(path, "/api/projects/", "/api/environments/", 1)
		require.NotNil(t, at(paths, alias, strings.ToLower(p.method)), "%s %s", p.method, alias)
	}
	matrix := map[string]bool{}
	for _, p := range places(t, w) {
		matrix[strings.ToLower(p.method)+" "+w.contract.path(project+strings.Split(p.path, "?")[0])] = true
	}
	ids := map[any]bool{}
	for path, item := range paths {
		for method, operation := range item.(map[string]any) {
			if method == "parameters" {
				continue
			}
			if strings.HasPrefix(path, "/api/projects/") {
				require.True(t, matrix[method+" "+path], "who may %s %s is not tested", method, path)
			}
			id := at(operation, "operationId")
			require.NotEmpty(t, id)
			require.False(t, ids[id], id)
			ids[id] = true
		}
	}
}

func TestBodiesInTheDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bodies := map[string]struct {
		path, method string
		good, bad    []string
	}{
		"create": {
			exports, "post",
			[]string{draft(), draft(`"destination": {"type": "Vault", "config": {"bucket": "b", "secret": "s", "port": "5432", "tls": "True"}}`), draft(`"timezone": null, "filters": []`)},
			[]string{`{}`, draft(`"interval": "month"`), draft(`"name": null`), draft(`"destination": {"type": "Fax", "config": {}}`), draft(`"destination": {"type": "Vault", "config": {"bucket": "b"}}`), draft(`"destination": {"type": "Vault", "config": {"bucket": "b", "secret": "s", "x": 1}}`)},
		},
		"change":   {exports + "/{id}", "patch", []string{`{}`, `{"destination": {"config": {"bucket": "b"}}}`}, []string{`{"name": null}`, `{"offset_hour": "x"}`}},
		"replace":  {exports + "/{id}", "put", []string{draft()}, []string{`{}`, `{"name": "x"}`}},
		"backfill": {exports + "/{id}/backfills", "post", []string{`{}`, `{"start_at": "2026-01-01", "end_at": null}`}, []string{`{"start_at": 5}`}},
		"unpause":  {exports + "/{id}/unpause", "post", []string{`{"backfill": true}`}, []string{`{"backfill": null}`}},
	}
	for name, tt := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			schema := w.contract.schema(t, "/paths/"+escaped(w.contract.path(tt.path))+"/"+tt.method+"/requestBody/content/application~1json/schema")
			valid := func(body string) error {
				value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
				require.NoError(t, err)
				return schema.Validate(value)
			}
			for _, body := range tt.good {
				require.NoError(t, valid(body), body)
			}
			for _, body := range tt.bad {
				require.Error(t, valid(body), body)
			}
		})
	}
}

func TestSecretsAreOnlyWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	schemas := at(w.contract.document, "components", "schemas")
	require.Equal(t, true, at(schemas, "NewVaultSettings", "properties", "secret", "writeOnly"))
	require.Nil(t, at(schemas, "VaultSettings", "properties", "secret"))
	require.Equal(t, json.Number("443"), at(schemas, "NewVaultSettings", "properties", "port", "default"))
	require.Equal(t, "#/components/schemas/NewVaultDestination", at(schemas, "NewDestination", "discriminator", "mapping", "Vault"))
}

func TestThePageOfTheDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *api.Server) {})
	answer := w.callAs(t, "", http.MethodGet, "/docs", "")
	require.Equal(t, http.StatusOK, answer.Code)
	page := answer.Body.String()
	for _, text := range []string{"batch_exports_create", "Deliver the interval of a run again", "Idempotency-Key", "VaultSettings"} {
		require.Contains(t, page, text)
	}
	for _, from := range []string{"src=", "href=\"http", "@import", "url("} {
		require.NotContains(t, page, from, "it loads nothing from elsewhere")
	}
	require.Contains(t, answer.Header().Get("Content-Security-Policy"), "default-src 'none'")
	for _, link := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page, -1) {
		require.Contains(t, page, `id="`+link[1]+`"`, "a link leads nowhere")
	}
	require.Less(t, strings.Index(page, `id="batch_exports_create"`), strings.Index(page, `id="batch_exports_get"`), "in the order of the routes")
	require.Less(t, strings.Index(page, `id="runs_list"`), strings.Index(page, `id="readyz"`), "what is about the server comes last")
}

func TestExamplesOfTheDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := map[any]bool{}
	for _, item := range w.contract.document["paths"].(map[string]any) {
		for _, operation := range item.(map[string]any) {
			ids[at(operation, "operationId")] = true
		}
	}
	examples := 0
	for path, item := range w.contract.document["paths"].(map[string]any) {
		for method, operation := range item.(map[string]any) {
			responses, _ := at(operation, "responses").(map[string]any)
			for _, response := range responses {
				linked, _ := at(response, "links").(map[string]any)
				for name, link := range linked {
					require.True(t, ids[at(link, "operationId")], "%s of %s leads nowhere", name, path)
				}
			}
			example := at(operation, "requestBody", "content", "application/json", "example")
			if example == nil {
				require.Nil(t, at(operation, "requestBody"), "%s %s has no example", method, path)
				continue
			}
			examples++
			body, err := json.Marshal(example)
			require.NoError(t, err)
			schema := w.contract.schema(t, "/paths/"+escaped(path)+"/"+method+"/requestBody/content/application~1json/schema")
			require.NoError(t, schema.Validate(example), "%s %s", method, path)
			id := w.export(t, `"destination": {"type": "File", "config": {}}, "paused": true`).String()
			address := strings.NewReplacer("{project_id}", "1", "{id}", id, "{notification_id}", w.notification(t, noticesOf(path, id))).Replace(path)
			answer := w.call(t, strings.ToUpper(method), address, string(body))
			require.Less(t, answer.Code, 300, "%s %s: %s", method, path, answer.Body)
			for _, backfill := range w.call(t, http.MethodGet, exports+"/"+id+"/backfills", "").ids() {
				w.call(t, http.MethodPost, exports+"/"+id+"/backfills/"+backfill+"/cancel", "") // there may be five
			}
		}
	}
	require.GreaterOrEqual(t, examples, 16)
}
