package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/destinations"
	"tranche/internal/app"
)

// A schema is a JSON Schema, or another object of an OpenAPI document.
type schema map[string]any

// reference refers to a named schema of the document.
func reference(name string) schema { return schema{"$ref": "#/components/schemas/" + name} }

// orNull is the schema that also accepts null.
func orNull(s schema) schema {
	kind, ok := s["type"].(string)
	if !ok {
		return schema{"anyOf": []schema{s, {"type": "null"}}}
	}
	if kind == "null" {
		return s
	}
	s["type"] = []string{kind, "null"}
	if values, ok := s["enum"].([]string); ok {
		with := make([]any, 0, len(values)+1)
		for _, v := range values {
			with = append(with, v)
		}
		s["enum"] = append(with, nil)
	}
	return s
}

// bodyNames are the names of the bodies in the document.
var bodyNames = map[reflect.Type]string{
	reflect.TypeFor[exportBody]():               "BatchExport",
	reflect.TypeFor[runBody]():                  "Run",
	reflect.TypeFor[backfillBody]():             "Backfill",
	reflect.TypeFor[progressBody]():             "Progress",
	reflect.TypeFor[tallyBody]():                "Tally",
	reflect.TypeFor[previewBody]():              "BackfillPreview",
	reflect.TypeFor[logBody]():                  "LogEntry",
	reflect.TypeFor[countedPage[exportBody]]():  "BatchExportPage",
	reflect.TypeFor[countedPage[logBody]]():     "LogPage",
	reflect.TypeFor[cursorPage[runBody]]():      "RunPage",
	reflect.TypeFor[cursorPage[backfillBody]](): "BackfillPage",
	reflect.TypeFor[backfillIDBody]():           "StartedBackfill",
	reflect.TypeFor[coverageBody]():             "Coverage",
	reflect.TypeFor[coverageCountsBody]():       "CoverageCounts",
	reflect.TypeFor[coveredBody]():              "CoveredInterval",
	reflect.TypeFor[filledBody]():               "FilledGaps",
	reflect.TypeFor[filledRangeBody]():          "FilledRange",
	reflect.TypeFor[cancelledBody]():            "Cancelled",
	reflect.TypeFor[pausedBody]():               "Paused",
	reflect.TypeFor[stepBody]():                 "TestStep",
	reflect.TypeFor[stepResultBody]():           "TestStepResult",
	reflect.TypeFor[stepsBody]():                "TestSteps",
	reflect.TypeFor[healthBody]():               "Health",
	reflect.TypeFor[envelope]():                 "Error",
	reflect.TypeFor[exportPreviewBody]():        "Preview",
	reflect.TypeFor[previewedFileBody]():        "PreviewedFile",
	reflect.TypeFor[columnBody]():               "Column",
	reflect.TypeFor[schemaBody]():               "Schema",
	reflect.TypeFor[schemaFieldBody]():          "SchemaField",
	reflect.TypeFor[destinationBody]():          "Destination",
	reflect.TypeFor[activityBody]():             "Activity",
	reflect.TypeFor[actorBody]():                "Actor",
	reflect.TypeFor[changedBody]():              "ChangedField",
	reflect.TypeFor[cursorPage[activityBody]](): "ActivityPage",
	reflect.TypeFor[notificationBody]():         "Notification",
	reflect.TypeFor[notificationsBody]():        "NotificationList",
	reflect.TypeFor[messageBody]():              "NotificationDelivery",
	reflect.TypeFor[attemptBody]():              "NotificationAttempt",
	reflect.TypeFor[cursorPage[messageBody]]():  "NotificationDeliveryPage",
}

// enumOf lists the values of a type that has few.
func enumOf(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[batch.RunStatus]():
		return textsOf(batch.RunStatuses)
	case reflect.TypeFor[batch.BackfillStatus]():
		return textsOf([]batch.BackfillStatus{
			batch.BackfillStarting, batch.BackfillRunning, batch.BackfillCompleted, batch.BackfillFailed,
			batch.BackfillCancelled, batch.BackfillTerminated, batch.BackfillTimedOut,
		})
	case reflect.TypeFor[batch.BackfillOrder]():
		return textsOf(batch.BackfillOrders)
	case reflect.TypeFor[batch.Clock]():
		return textsOf(batch.Clocks)
	case reflect.TypeFor[batch.CoverageStatus]():
		return textsOf(batch.CoverageStatuses)
	case reflect.TypeFor[batch.Code]():
		return textsOf(slices.Sorted(maps.Keys(batch.Codes())))
	case reflect.TypeFor[batch.LogLevel]():
		return textsOf([]batch.LogLevel{batch.LogDebug, batch.LogInfo, batch.LogWarning, batch.LogError})
	case reflect.TypeFor[app.StepStatus]():
		return textsOf([]app.StepStatus{app.StepPassed, app.StepFailed, app.StepSkipped})
	case reflect.TypeFor[batch.ActorKind]():
		return textsOf(batch.ActorKinds)
	case reflect.TypeFor[batch.Action]():
		return textsOf(batch.Actions)
	case reflect.TypeFor[batch.SubscriptionKind]():
		return textsOf(batch.SubscriptionKinds)
	case reflect.TypeFor[batch.Event]():
		return append(textsOf(batch.Events), string(batch.EventTest))
	case reflect.TypeFor[batch.MessageStatus]():
		return textsOf(batch.MessageStatuses)
	case reflect.TypeFor[batch.IncrementalMode]():
		return incrementalModes.listed
	case reflect.TypeFor[batch.Frequency]():
		return intervals.listed
	}
	return nil
}

func textsOf[T ~string](values []T) []string {
	return each(values, func(v T) string { return string(v) })
}

// schemaOf is the schema of a body's type: what encoding/json makes of it.
func schemaOf(t reflect.Type) schema {
	switch t {
	case reflect.TypeFor[uuid.UUID]():
		return schema{"type": "string", "format": "uuid"}
	case reflect.TypeFor[json.RawMessage]():
		return schema{"description": "Any JSON."}
	case reflect.TypeFor[instant]():
		return schema{"type": "string", "format": "date-time"}
	case reflect.TypeFor[rowBody]():
		return schema{"type": "object"}
	case reflect.TypeFor[filterBody]():
		return reference("Filter")
	}
	if name, ok := bodyNames[t]; ok {
		return reference(name)
	}
	if values := enumOf(t); values != nil {
		return schema{"type": "string", "enum": values}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return orNull(schemaOf(t.Elem()))
	case reflect.Slice:
		return schema{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return schema{"type": "object"}
	case reflect.Int, reflect.Int64:
		return schema{"type": "integer", "format": "int64"}
	case reflect.Float64:
		return schema{"type": "number"}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.String:
		return schema{"type": "string"}
	}
	panic("api: no schema for " + t.String())
}

// objectOf is the schema of a struct, whose fields are always sent.
func objectOf(t reflect.Type) schema {
	properties, names := schema{}, []string{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		of := schemaOf(field.Type)
		if field.Tag.Get("nullable") == "true" {
			of = orNull(of)
		}
		if meaning := field.Tag.Get("description"); meaning != "" {
			of["description"] = meaning
		}
		properties[name] = of
		if options != "omitempty" {
			names = append(names, name)
		}
	}
	return schema{"type": "object", "properties": properties, "required": names}
}

// bodySchemas are the named schemas of all bodies that are sent but for destinations.
func bodySchemas() schema {
	all := schema{"Filter": filterSchema()}
	for t, name := range bodyNames {
		all[name] = objectOf(t)
	}
	return all
}

// A direction says whether settings are sent to us or by us.
type direction int

const (
	toCreate direction = iota // to create
	toChange                  // to change: nothing is required
	toShow
)

// destinationSchemas describes the kinds of destination as clients send and see them: one schema for each kind, and
// their unions.
func destinationSchemas(registry *destinations.Registry) schema {
	all := schema{}
	unions := map[string]*union{"NewDestination": {}, "ChangedDestination": {}, "Destination": {}}
	for _, kind := range registry.Types() {
		plugin, _ := registry.Plugin(kind)
		for prefix, d := range map[string]direction{"New": toCreate, "Changed": toChange, "": toShow} {
			all[prefix+kind+"Settings"] = settingsSchema(plugin, d)
			all[prefix+kind+"Destination"] = destinationSchema(kind, prefix+kind+"Settings", d)
			unions[prefix+"Destination"].add(kind, prefix+kind+"Destination")
		}
	}
	// The plugin of a stored export may be gone: then its settings are not shown.
	all["UnknownDestination"] = schema{
		"type": "object", "required": []string{"type", "config", "integration"},
		"properties": schema{
			"type":        schema{"type": "string", "not": schema{"enum": registry.Types()}},
			"config":      schema{"type": "object", "maxProperties": 0},
			"integration": schema{"type": []string{"integer", "null"}},
		},
	}
	unions["Destination"].of = append(unions["Destination"].of, reference("UnknownDestination"))
	for name, u := range unions {
		all[name] = u.schema()
	}
	return all
}

// A union is a schema of alternatives that their property type tells apart.
type union struct {
	of      []schema
	mapping schema
}

func (u *union) add(value, name string) {
	if u.mapping == nil {
		u.mapping = schema{}
	}
	u.of = append(u.of, reference(name))
	u.mapping[value] = reference(name)["$ref"]
}

func (u *union) schema() schema {
	return schema{"anyOf": u.of, "discriminator": schema{"propertyName": "type", "mapping": u.mapping}}
}

func destinationSchema(kind, settings string, d direction) schema {
	s := schema{
		"type": "object", "title": kind,
		"properties": schema{
			"type": schema{"type": "string", "const": kind}, "config": reference(settings), "integration": schema{"type": []string{"integer", "null"}},
		},
	}
	switch d {
	case toCreate:
		s["required"] = []string{"type", "config"}
	case toShow:
		s["required"] = []string{"type", "config", "integration"}
	case toChange:
	}
	return s
}

// settingsSchema describes the settings of a kind of destination.
func settingsSchema(plugin destinations.Plugin, d direction) schema {
	return fieldsSchema(plugin.Fields(), d)
}

func fieldsSchema(fields []destinations.Field, d direction) schema {
	properties, required := schema{}, []string{}
	for _, f := range fields {
		if f.Secret && d == toShow {
			continue
		}
		properties[f.Name] = fieldSchema(f, d)
		if f.Required && d == toCreate {
			required = append(required, f.Name)
		}
	}
	s := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// fieldSchema describes one setting. Numbers and bools are also accepted as text, and shown as what they are.
func fieldSchema(f destinations.Field, d direction) schema {
	s := schema{}
	switch f.Type {
	case destinations.FieldStr:
		s["type"] = []string{"string"}
	case destinations.FieldInt:
		s["type"] = []string{"integer"}
	case destinations.FieldFloat:
		s["type"] = []string{"number"}
	case destinations.FieldBool:
		s["type"] = []string{"boolean"}
	case destinations.FieldList:
		s["type"], s["items"] = []string{"array"}, schema{"type": "string"}
	case destinations.FieldDict:
		s["type"] = []string{"object"}
		if f.Fields != nil {
			s = fieldsSchema(f.Fields, d)
			s["type"] = []string{"object"}
		}
	}
	types, _ := s["type"].([]string) // set above
	if d != toShow {
		types = withText(s, f.Type, types)
	}
	if f.Enum != nil {
		s["enum"] = slices.Clone(f.Enum)
	}
	if f.Nullable {
		types = append(types, "null")
		if f.Enum != nil {
			s["enum"] = append(each(f.Enum, func(v string) any { return v }), nil)
		}
	}
	s["type"] = types
	if f.Description != "" {
		s["description"] = f.Description
	}
	if f.Default != nil && d == toCreate {
		s["default"] = f.Default
	}
	if f.Secret {
		s["writeOnly"] = true
	}
	return s
}

// withText adds the texts that a setting is cast from.
func withText(s schema, t destinations.FieldType, types []string) []string {
	switch t {
	case destinations.FieldInt:
		s["pattern"] = `^\s*[+-]?[0-9]+\s*$`
	case destinations.FieldFloat:
	case destinations.FieldBool:
		s["pattern"] = `^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$`
	case destinations.FieldStr, destinations.FieldList, destinations.FieldDict:
		return types
	}
	return append(types, "string")
}
