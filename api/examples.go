package api

import "encoding/json"

// Bodies of requests as the document shows them. Each is one that this server accepts; a File destination needs a server
// that has a folder for files.
const (
	exampleDraft = `{
		"name": "Events, every hour", "model": "events", "interval": "hour", "paused": true,
		"destination": {"type": "File", "config": {"prefix": "events/{year}/{month}", "file_format": "Parquet", "compression": "zstd"}}
	}`
	exampleChange        = `{"interval": "day", "timezone": "Europe/Berlin", "offset_hour": 2, "destination": {"config": {"prefix": "daily"}}}`
	exampleRange         = `{"start_at": "2026-01-01T00:00:00Z", "end_at": "2026-01-02T00:00:00Z"}`
	exampleExportPreview = `{
		"name": "Purchases", "model": "hogql", "interval": "hour", "primary_key": ["uuid"],
		"hogql_query": "SELECT uuid, timestamp, properties.plan AS plan FROM events WHERE event = 'purchase'",
		"destination": {"type": "File", "config": {"prefix": "purchases", "file_format": "Parquet"}},
		"data_interval_start": "2026-01-01T00:00:00Z", "data_interval_end": "2026-01-01T02:00:00Z"
	}`
	exampleFill       = `{"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z", "include_paused": true}`
	exampleUnpause    = `{"backfill": true}`
	exampleTest       = `{"name": "Events", "interval": "hour", "destination": {"type": "File", "config": {"prefix": "events"}}, "step": 1}`
	exampleStoredTest = `{"destination": {"config": {"prefix": "elsewhere"}}, "step": 0}`
)

// The links from answers to what can be done next: the operation, and where its parameters come from.
var (
	linksOfExport = links{
		"read": {"batch_exports_get", made}, "change": {"batch_exports_change", made}, "replace": {"batch_exports_replace", made},
		"pause": {"batch_exports_pause", made}, "unpause": {"batch_exports_unpause", made}, "test": {"batch_exports_test_stored", made},
		"logs": {"batch_exports_logs", made}, "runs": {"runs_list", made}, "backfill": {"backfills_create", made}, "backfills": {"backfills_list", made},
	}
	linksOfRuns = links{
		"read": {"runs_get", firstRun}, "logs": {"runs_logs", firstRun}, "retry": {"runs_retry", firstRun}, "cancel": {"runs_cancel", firstRun},
	}
	linksOfBackfill = links{"read": {"backfills_get", started}, "cancel": {"backfills_cancel", started}}
)

// A link is an operation and its parameters, as runtime expressions of OpenAPI.
type link struct {
	operation  string
	parameters map[string]string
}

type links map[string]link

const (
	sameProject = "$request.path.project_id"
	sameExport  = "$request.path.id"
)

var (
	made     = map[string]string{"project_id": sameProject, "id": "$response.body#/id"}
	firstRun = map[string]string{"project_id": sameProject, "id": sameExport, "run_id": "$response.body#/results/0/id"}
	started  = map[string]string{"project_id": sameProject, "id": sameExport, "backfill_id": "$response.body#/backfill_id"}
)

// schema is what the document has of the links; an alias stays under its own name of a project.
func (all links) schema(alias bool) schema {
	described := schema{}
	for name, l := range all {
		operation := l.operation
		if alias {
			operation += aliasSuffix
		}
		described[name] = schema{"operationId": operation, "parameters": l.parameters}
	}
	return described
}

// exampleOf is the value of an example.
func exampleOf(text string) any { return json.RawMessage(text) }
