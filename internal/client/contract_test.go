package client_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"tranche/api"
	"tranche/destinations"
	"tranche/destinations/file"
	"tranche/internal/app"
	"tranche/internal/client"
	"tranche/internal/telemetry"
)

// described is the API's own description of a body.
type described struct {
	Ref        string               `json:"$ref"`
	Type       any                  `json:"type"`
	Format     string               `json:"format"`
	AnyOf      []described          `json:"anyOf"`
	Items      *described           `json:"items"`
	Properties map[string]described `json:"properties"`
}

// TestBodiesAreTheAPIs holds every field that the client reads against the description that the API generates from the
// types that it serves: its name, its type, and whether it may be null.
func TestBodiesAreTheAPIs(t *testing.T) {
	t.Parallel()
	schemas := describedByAPI(t)
	for name, of := range map[string]reflect.Type{
		"BatchExport": reflect.TypeFor[client.Export](), "Run": reflect.TypeFor[client.Run](),
		"Backfill": reflect.TypeFor[client.Backfill](), "Progress": reflect.TypeFor[client.Progress](),
		"Tally": reflect.TypeFor[client.Tally](), "BackfillPreview": reflect.TypeFor[client.BackfillPreview](),
		"LogEntry": reflect.TypeFor[client.LogEntry](), "CoveredInterval": reflect.TypeFor[client.Covered](),
		"FilledGaps": reflect.TypeFor[client.Filled](), "FilledRange": reflect.TypeFor[client.FilledRange](),
		"TestStep": reflect.TypeFor[client.TestStep](), "TestStepResult": reflect.TypeFor[client.TestResult](),
		"StartedBackfill": reflect.TypeFor[client.StartedBackfill](), "Paused": reflect.TypeFor[client.Paused](),
		"Cancelled": reflect.TypeFor[client.Cancelled](), "Activity": reflect.TypeFor[client.Activity](),
		"Preview": reflect.TypeFor[client.Preview](), "PreviewedFile": reflect.TypeFor[client.PreviewedFile](),
		"Notification": reflect.TypeFor[client.Notification](), "NotificationDelivery": reflect.TypeFor[client.Message](),
		"NotificationAttempt": reflect.TypeFor[client.Attempt](),
		"Actor":               reflect.TypeFor[client.Actor](), "ChangedField": reflect.TypeFor[client.ChangedField](),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range of.NumField() {
				field := of.Field(i)
				wire, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				spec, ok := schemas[name].Properties[wire]
				require.True(t, ok, "the API's %s has no %s", name, wire)
				require.True(t, fits(spec, field.Type), "%s.%s is a %s here, and there %+v", name, wire, field.Type, spec)
			}
		})
	}
}

// fits says whether every value that is described can be decoded into the type without loss.
func fits(s described, t reflect.Type) bool {
	nullable := false
	if len(s.AnyOf) > 0 {
		nullable = slices.ContainsFunc(s.AnyOf, func(d described) bool { return d.Type == "null" })
		s = s.AnyOf[0]
	}
	kind := s.Type
	if kinds, ok := kind.([]any); ok {
		nullable = nullable || slices.Contains(kinds, any("null"))
		kind = kinds[0]
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	} else if nullable && t.Kind() != reflect.Slice && t.Kind() != reflect.Map {
		return false
	}
	switch {
	case t == reflect.TypeFor[json.RawMessage](): // holds anything
		return true
	case s.Ref != "":
		return t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]()
	case s.Format == "date-time":
		return t == reflect.TypeFor[time.Time]()
	case s.Format == "uuid":
		return t == reflect.TypeFor[uuid.UUID]()
	}
	switch kind {
	case "string":
		return t.Kind() == reflect.String
	case "integer":
		return t.Kind() == reflect.Int64 || t.Kind() == reflect.Int
	case "number":
		return t.Kind() == reflect.Float64
	case "boolean":
		return t.Kind() == reflect.Bool
	case "array":
		return t.Kind() == reflect.Slice && fits(*s.Items, t.Elem())
	case "object":
		return t.Kind() == reflect.Map
	}
	return false
}

// describedByAPI asks the real API for its description.
func describedByAPI(t *testing.T) map[string]described {
	t.Helper()
	text := document(t)
	var d struct {
		Components struct {
			Schemas map[string]described `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(text, &d))
	require.NotEmpty(t, d.Components.Schemas)
	return d.Components.Schemas
}

func document(t *testing.T) []byte {
	t.Helper()
	registry := telemetry.NewRegistry()
	server := api.Server{
		Exports: &app.Exports{Plugins: destinations.NewRegistry(file.Plugin(file.Server{Root: t.TempDir()}))}, Backfills: &app.Backfills{MostConcurrency: 20},
		Scrape: telemetry.Handler(registry), Metrics: telemetry.NewMetrics(registry), Log: zap.NewNop(), Now: time.Now, CursorKey: make([]byte, 32),
	}
	recorder := httptest.NewRecorder()
	server.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/openapi.json", nil))
	require.Equal(t, http.StatusOK, recorder.Code)
	return recorder.Body.Bytes()
}

func TestTheDocumentTellsFieldsAndSettings(t *testing.T) {
	t.Parallel()
	var d client.Document
	require.NoError(t, json.Unmarshal(document(t), &d))
	require.Subset(t, d.ExportFields(), []string{"name", "destination", "interval", "model", "paused", "timezone"})
	settings, ok := d.Settings("File")
	require.True(t, ok)
	require.Contains(t, settings.Properties, "prefix")
	_, ok = d.Settings("Carrier pigeon")
	require.False(t, ok)
}
