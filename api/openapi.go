package api

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"tranche/internal/auth"
)

// An operation is what the document says of a route, beside what the code that serves it tells.
type operation struct {
	id      string
	summary string
	// status and answer are what success is answered with; a nil answer is sent as none.
	status int
	answer reflect.Type
	// others are other statuses of success with their answers.
	others map[int]reflect.Type
	// query and body read everything that the handler reads; they are called to find out what that is.
	query func(*params)
	body  func(*form)
	// example is a body that is accepted; links lead from the answer to further operations.
	example string
	links   links
	// once: the request may carry an idempotency key. tagged: it may carry If-Match, and is answered with an ETag.
	once   bool
	tagged bool
	// deprecated: another route has taken its place.
	deprecated bool
	errors     []int // beside those that every route has
}

// document is the OpenAPI document of the server's routes.
func (s *Server) document() schema {
	paths := schema{}
	for i, prefix := range prefixes {
		for _, r := range s.routes() {
			path, parameters := templateOf(prefix + r.path)
			item, ok := paths[path].(schema)
			if !ok {
				item = schema{"parameters": parameters}
				paths[path] = item
			}
			item[strings.ToLower(r.method)] = describe(r, i > 0)
		}
	}
	for path, answer := range map[string]schema{
		"/healthz":      jsonAnswer("The process runs.", reference("Health")),
		"/readyz":       jsonAnswer("The process can serve requests.", reference("Health")),
		"/metrics":      {"description": "Metrics for Prometheus.", "content": schema{"text/plain": schema{"schema": schema{"type": "string"}}}},
		"/openapi.json": jsonAnswer("This document.", schema{"type": "object"}),
		"/docs":         {"description": "This document for people.", "content": schema{"text/html": schema{"schema": schema{"type": "string"}}}},
	} {
		responses := schema{"200": answer}
		if path == "/readyz" {
			responses["503"] = jsonAnswer("Something that the process depends on does not answer.", reference("Health"))
		}
		paths[path] = schema{"get": schema{
			"operationId": strings.TrimSuffix(strings.Trim(path, "/"), ".json"), "summary": answer["description"],
			"tags": []string{"server"}, "security": []schema{}, "responses": responses,
		}}
	}
	schemas := bodySchemas()
	for name, s := range destinationSchemas(s.Exports.Plugins) {
		schemas[name] = s
	}
	return schema{
		"openapi": "3.1.0",
		"info":    schema{"title": "Tranche", "version": "1", "description": about},
		"paths":   paths,
		"components": schema{
			"schemas":         schemas,
			"securitySchemes": schema{"key": schema{"type": "http", "scheme": "bearer", "description": "A personal API key."}},
		},
		"security": []schema{{"key": []string{}}},
	}
}

const about = "Batch exports: every interval of time is one delivery, made visible once. A trailing slash is optional on every path. " +
	"Of the problems of a request, the first one is told."

// templateOf turns a route into a path of the document.
func templateOf(route string) (string, []schema) {
	var parameters []schema
	parts := strings.Split(route, "/")
	for i, part := range parts {
		name, ok := strings.CutPrefix(part, ":")
		if !ok {
			continue
		}
		parts[i] = "{" + name + "}"
		of := schema{"type": "string", "format": "uuid"}
		if name == "project_id" {
			of = schema{"type": "integer", "minimum": 1}
		}
		parameters = append(parameters, schema{"name": name, "in": "path", "required": true, "schema": of})
	}
	return strings.Join(parts, "/"), parameters
}

// aliasSuffix tells operations apart that are the same under the other name of a project.
const aliasSuffix = "_of_environment"

// describe is what the document says of a route. An alias is the same under the other name of a project.
func describe(r route, alias bool) schema {
	o := r.operation
	id, tag := o.id, strings.Split(o.id, "_")[0]
	if alias {
		id, tag = id+aliasSuffix, "environments"
	}
	parameters := []schema{}
	if o.query != nil {
		o.query(&params{spec: &parameters})
	}
	failures := append([]int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable,
	}, o.errors...)
	success := schema{"description": http.StatusText(o.status)}
	if o.answer != nil {
		success = jsonAnswer(http.StatusText(o.status), schemaOf(o.answer))
	}
	if o.tagged && o.status != http.StatusNoContent {
		success["headers"] = schema{"ETag": schema{"schema": schema{"type": "string"}}}
	}
	described := schema{
		"operationId": id, "summary": o.summary, "tags": []string{tag},
		"description": fmt.Sprintf("Needs the scope `%s`.", r.scope),
	}
	if o.deprecated {
		described["deprecated"] = true
	}
	if o.tagged && o.status != http.StatusCreated {
		failures = append(failures, http.StatusPreconditionFailed)
		parameters = append(parameters, headerParameter("If-Match", "The ETag of the state that the caller knows."))
	}
	if o.once {
		failures = append(failures, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge)
		parameters = append(parameters, headerParameter(idempotencyHeader, "The same request under the same key is served once in a day."))
	}
	if o.body != nil {
		failures = append(failures, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
		form := newForm(nil)
		form.spec = schema{"type": "object", "properties": schema{}}
		o.body(form)
		_, needed := form.spec["required"]
		content := schema{"schema": form.spec}
		if o.example != "" {
			content["example"] = exampleOf(o.example)
		}
		described["requestBody"] = schema{"required": needed, "content": schema{"application/json": content}}
	}
	if o.links != nil {
		success["links"] = o.links.schema(alias)
	}
	described["parameters"] = parameters
	responses := schema{strconv.Itoa(o.status): success}
	for status, answer := range o.others {
		responses[strconv.Itoa(status)] = jsonAnswer(http.StatusText(status), schemaOf(answer))
	}
	for _, status := range failures {
		responses[strconv.Itoa(status)] = jsonAnswer(http.StatusText(status), reference("Error"))
	}
	described["responses"] = responses
	return described
}

func headerParameter(name, description string) schema {
	return schema{"name": name, "in": "header", "required": false, "description": description, "schema": schema{"type": "string"}}
}

func jsonAnswer(description string, of schema) schema {
	return schema{"description": description, "content": schema{"application/json": schema{"schema": of}}}
}

// A route is one operation on a project.
type route struct {
	method string
	path   string
	scope  auth.Scope
	serve  handler
	operation
}

// nobody reads forms and parameters whose values do not matter.
func (s *Server) nobody() caller { return caller{models: s.Exports.Models.Names()} }

// routes lists the operations, with their paths below a project.
func (s *Server) routes() []route {
	return slices.Concat(s.exportRoutes(), s.exportPreviewRoutes(), s.runRoutes(), s.coverageRoutes(), s.activityRoutes(), s.notificationRoutes())
}

const (
	exportsPath = "/batch_exports"
	exportPath  = exportsPath + "/:id"
)

func (s *Server) exportRoutes() []route {
	export := reflect.TypeFor[exportBody]()
	return []route{
		{http.MethodGet, exportsPath, auth.ScopeRead, s.listExports, operation{
			id: "batch_exports_list", summary: "List batch exports, newest first", status: http.StatusOK,
			answer: reflect.TypeFor[countedPage[exportBody]](), query: func(p *params) { exportPageOf(p) },
		}},
		{http.MethodPost, exportsPath, auth.ScopeWrite, s.once(s.createExport), operation{
			id: "batch_exports_create", summary: "Create a batch export", status: http.StatusCreated, answer: export,
			body: func(f *form) { draftOf(f, s.nobody()) }, once: true, tagged: true, example: exampleDraft, links: linksOfExport,
		}},
		{http.MethodGet, exportsPath + "/test", auth.ScopeRead, s.listTestSteps, operation{
			id: "batch_exports_test", summary: "List the steps of the connection test for a type of destination", status: http.StatusOK,
			answer: reflect.TypeFor[stepsBody](), query: func(p *params) { s.testedTypeOf(p) },
		}},
		{http.MethodPost, exportsPath + "/run_test_step_new", auth.ScopeWrite, s.testDraft, operation{
			id: "batch_exports_test_new", summary: "Run a step of the connection test for a batch export that does not exist yet", status: http.StatusOK,
			answer: reflect.TypeFor[stepBody](), body: func(f *form) { testOf(f, s.nobody()) }, example: exampleTest,
		}},
		{http.MethodPost, exportPath + "/run_test_step", auth.ScopeWrite, s.testExport, operation{
			id: "batch_exports_test_stored", summary: "Run a step of the connection test with changes that are not saved", status: http.StatusOK,
			answer: reflect.TypeFor[stepBody](), body: func(f *form) { changedTestOf(f, s.nobody()) }, example: exampleStoredTest,
		}},
		{http.MethodGet, exportPath, auth.ScopeRead, s.getExport, operation{
			id: "batch_exports_get", summary: "Read a batch export with its newest runs", status: http.StatusOK, answer: export, tagged: true,
		}},
		{http.MethodPut, exportPath, auth.ScopeWrite, s.putExport, operation{
			id: "batch_exports_replace", summary: "Replace a batch export; settings that are not sent are kept", status: http.StatusOK, answer: export,
			body: func(f *form) { changeOf(f, s.nobody(), true) }, tagged: true, example: exampleDraft, errors: []int{http.StatusConflict},
		}},
		{http.MethodPatch, exportPath, auth.ScopeWrite, s.patchExport, operation{
			id: "batch_exports_change", summary: "Change what is sent of a batch export", status: http.StatusOK, answer: export,
			body: func(f *form) { changeOf(f, s.nobody(), false) }, tagged: true, example: exampleChange, errors: []int{http.StatusConflict},
		}},
		{http.MethodDelete, exportPath, auth.ScopeWrite, s.deleteExport, operation{
			id: "batch_exports_delete", summary: "Delete a batch export and cancel what it does", status: http.StatusNoContent, tagged: true,
		}},
		{http.MethodPost, exportPath + "/pause", auth.ScopeWrite, s.once(s.pauseExport), operation{
			id: "batch_exports_pause", summary: "Stop the schedule; runs under way go on", status: http.StatusOK, answer: reflect.TypeFor[pausedBody](), once: true,
		}},
		{http.MethodPost, exportPath + "/unpause", auth.ScopeWrite, s.once(s.unpauseExport), operation{
			id: "batch_exports_unpause", summary: "Resume the schedule, and backfill what was missed when asked to", status: http.StatusOK,
			answer: reflect.TypeFor[pausedBody](), body: func(f *form) { unpauseOf(f) }, once: true, example: exampleUnpause,
		}},
		{http.MethodGet, exportPath + "/logs", auth.ScopeRead, s.listExportLogs, operation{
			id: "batch_exports_logs", summary: "List what happened, newest first", status: http.StatusOK,
			answer: reflect.TypeFor[countedPage[logBody]](), query: func(p *params) { logFilterOf(p) },
		}},
	}
}

func (s *Server) runRoutes() []route {
	const (
		runs      = exportPath + "/runs"
		run       = runs + "/:run_id"
		backfills = exportPath + "/backfills"
		backfill  = backfills + "/:backfill_id"
	)
	cancelled, backfillID, paused := reflect.TypeFor[cancelledBody](), reflect.TypeFor[backfillIDBody](), reflect.TypeFor[pausedBody]()
	return []route{
		{http.MethodGet, runs, auth.ScopeRead, s.listRuns, operation{
			id: "runs_list", summary: "List runs", status: http.StatusOK, answer: reflect.TypeFor[cursorPage[runBody]](),
			query: func(p *params) { runFilterOf(p); p.text("cursor") }, links: linksOfRuns,
		}},
		{http.MethodGet, run, auth.ScopeRead, s.getRun, operation{
			id: "runs_get", summary: "Read a run", status: http.StatusOK, answer: reflect.TypeFor[runBody](),
		}},
		{http.MethodGet, run + "/logs", auth.ScopeRead, s.listRunLogs, operation{
			id: "runs_logs", summary: "List what happened in a run, newest first", status: http.StatusOK,
			answer: reflect.TypeFor[countedPage[logBody]](), query: func(p *params) { logFilterOf(p) },
		}},
		{http.MethodPost, run + "/retry", auth.ScopeWrite, s.once(s.retryRun), operation{
			id: "runs_retry", summary: "Deliver the interval of a run again", status: http.StatusCreated, answer: backfillID, once: true, links: linksOfBackfill,
		}},
		{http.MethodPost, run + "/cancel", auth.ScopeWrite, s.once(s.cancelRun), operation{
			id: "runs_cancel", summary: "Cancel a run", status: http.StatusOK, answer: cancelled, once: true,
		}},
		{http.MethodGet, backfills, auth.ScopeRead, s.listBackfills, operation{
			id: "backfills_list", summary: "List backfills", status: http.StatusOK, answer: reflect.TypeFor[cursorPage[backfillBody]](),
			query: func(p *params) { backfillOrderOf(p); p.text("cursor") },
		}},
		{http.MethodPost, backfills, auth.ScopeWrite, s.once(s.createBackfill), operation{
			id: "backfills_create", summary: "Run a range of intervals, or tell what that would do", status: http.StatusCreated, answer: backfillID,
			body: func(f *form) { s.draftOfBackfill(f) }, once: true, example: exampleRange, links: linksOfBackfill,
			others: map[int]reflect.Type{http.StatusOK: reflect.TypeFor[previewBody]()},
		}},
		{http.MethodPost, exportPath + "/backfill", auth.ScopeWrite, s.once(s.createBackfillOld), operation{
			id: "backfills_create_old", summary: "Run a range of intervals; post to backfills instead", status: http.StatusOK, answer: backfillID,
			body: func(f *form) { boundsOf(f) }, once: true, deprecated: true, example: exampleRange,
		}},
		{http.MethodGet, backfill, auth.ScopeRead, s.getBackfill, operation{
			id: "backfills_get", summary: "Read a backfill and how far it is", status: http.StatusOK, answer: reflect.TypeFor[backfillBody](),
		}},
		{http.MethodPost, backfill + "/pause", auth.ScopeWrite, s.once(s.pauseBackfill), operation{
			id: "backfills_pause", summary: "Let the runs of a backfill that are under way go on, and start no more", status: http.StatusOK, answer: paused, once: true,
		}},
		{http.MethodPost, backfill + "/resume", auth.ScopeWrite, s.once(s.resumeBackfill), operation{
			id: "backfills_resume", summary: "Go on with a backfill that is paused", status: http.StatusOK, answer: paused, once: true,
		}},
		{http.MethodPost, backfill + "/cancel", auth.ScopeWrite, s.once(s.cancelBackfill), operation{
			id: "backfills_cancel", summary: "Cancel a backfill and its runs", status: http.StatusOK, answer: cancelled, once: true,
		}},
	}
}

// openAPI answers with the document.
func (s *Server) openAPI(document func() schema) gin.HandlerFunc {
	return func(c *gin.Context) { s.writeJSON(c, http.StatusOK, document()) }
}
