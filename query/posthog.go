package query

import "tranche/batch"

// PostHog returns the models of PostHog's schema, in tables of the same names.
func PostHog() Catalog { return Catalog{eventsModel(), personsModel(), sessionsModel()} }

func eventsModel() Model {
	properties := Ref{Field: FieldProperties, Of: TypeJSON}
	return Model{
		Name: batch.ModelEvents, Table: []string{"events"},
		Tenant: FieldTeamID, Ingested: FieldInsertedAt, Occurred: FieldTimestamp,
		Fields: []FieldSpec{
			column(FieldUUID, TypeString),
			required(FieldTeamID, TypeInteger),
			column(FieldEvent, TypeString),
			column(FieldDistinctID, TypeString),
			column(FieldTimestamp, TypeInstant),
			required(FieldInsertedAt, TypeInstant),
			optional(FieldCreatedAt, TypeInstant, Ref{Field: FieldInsertedAt, Of: TypeInstant}),
			optional(FieldProperties, TypeJSON, Literal{Value: "{}", Of: TypeJSON}),
			optional(FieldPersonProperties, TypeJSON, Literal{Of: TypeJSON}),
			optional(FieldPersonID, TypeString, Literal{Of: TypeString}),
			optional(FieldElementsChain, TypeString, Text("")),
			derived(FieldSet, TypeJSON, Property{Object: properties, Path: []string{"$set"}, Raw: true}),
			derived(FieldSetOnce, TypeJSON, Property{Object: properties, Path: []string{"$set_once"}, Raw: true}),
			derived(FieldIP, TypeString, Property{Object: properties, Path: []string{"$ip"}}),
			derived(FieldSiteURL, TypeString, Text("")),
			derived(FieldElements, TypeString, Ref{Field: FieldElementsChain, Of: TypeString}),
		},
	}
}

// The fields of persons and sessions that have a meaning to the service. Ingested is when a row arrived.
const (
	fieldIngested   Field = "_inserted_at"
	fieldSessionEnd Field = "end_timestamp"
)

func personsModel() Model {
	return Model{
		Name: batch.ModelPersons, Table: []string{"persons"}, Tenant: FieldTeamID, Ingested: fieldIngested,
		Key:     []Field{FieldTeamID, FieldDistinctID},
		Version: []Field{"person_version", "person_distinct_id_version"},
		Fields: []FieldSpec{
			required(FieldTeamID, TypeInteger),
			column(FieldDistinctID, TypeString),
			column(FieldPersonID, TypeString),
			optional(FieldProperties, TypeJSON, Literal{Value: "{}", Of: TypeJSON}),
			optional("person_distinct_id_version", TypeInteger, Integer(0)),
			optional("person_version", TypeInteger, Integer(0)),
			optional(FieldCreatedAt, TypeInstant, Literal{Of: TypeInstant}),
			required(fieldIngested, TypeInstant),
			optional("is_deleted", TypeBoolean, Truth(false)),
		},
	}
}

// sessionFields are the fields of sessions, in order, by type; what is not named is text.
var sessionFields = []Field{
	"session_id", "session_id_v7", "team_id", "distinct_id", "start_timestamp", "end_timestamp", "urls", "num_uniq_urls",
	"entry_current_url", "entry_pathname", "entry_hostname", "end_current_url", "end_pathname", "end_hostname",
	"entry_utm_source", "entry_utm_campaign", "entry_utm_medium", "entry_utm_term", "entry_utm_content",
	"entry_referring_domain", "entry_gclid", "entry_fbclid", "entry_gad_source", "pageview_count", "autocapture_count",
	"screen_count", "channel_type", "session_duration", "duration", "is_bounce", "last_external_click_url",
	"page_screen_autocapture_count_up_to", "exit_current_url", "exit_pathname", "vitals_lcp", "_inserted_at",
	"entry_gclsrc", "entry_dclid", "entry_gbraid", "entry_wbraid", "entry_msclkid", "entry_twclid", "entry_li_fat_id",
	"entry_mc_cid", "entry_igshid", "entry_ttclid", "entry__kx", "entry_irclid",
}

var sessionTypes = map[Field]Type{
	"team_id": TypeInteger, "start_timestamp": TypeInstant, "end_timestamp": TypeInstant, "urls": TypeStrings,
	"num_uniq_urls": TypeInteger, "pageview_count": TypeInteger, "autocapture_count": TypeInteger,
	"screen_count": TypeInteger, "session_duration": TypeInteger, "duration": TypeInteger, "is_bounce": TypeBoolean,
	"page_screen_autocapture_count_up_to": TypeInteger, "vitals_lcp": TypeFloat, "_inserted_at": TypeInstant,
}

// needed are the fields without which there is no session.
var neededOfSessions = map[Field]bool{
	"session_id": true, "team_id": true, "distinct_id": true, "start_timestamp": true, "end_timestamp": true, "_inserted_at": true,
}

func sessionsModel() Model {
	m := Model{
		Name: batch.ModelSessions, Table: []string{"sessions"}, Tenant: FieldTeamID, Ingested: fieldIngested, Occurred: fieldSessionEnd,
		Key: []Field{FieldTeamID, "session_id"}, Version: []Field{fieldSessionEnd},
	}
	for _, name := range sessionFields {
		kind, ok := sessionTypes[name]
		if !ok {
			kind = TypeString
		}
		spec := optional(name, kind, Literal{Of: kind})
		if neededOfSessions[name] {
			spec = column(name, kind)
		}
		spec.Required = name == FieldTeamID || name == fieldIngested
		m.Fields = append(m.Fields, spec)
	}
	return m
}

// column is a field that the table must have.
func column(name Field, kind Type) FieldSpec {
	return FieldSpec{Name: name, Type: kind, Column: string(name)}
}

// required is a column that is never null.
func required(name Field, kind Type) FieldSpec {
	f := column(name, kind)
	f.Required = true
	return f
}

// optional is a column that a table need not have.
func optional(name Field, kind Type, instead Expr) FieldSpec {
	f := column(name, kind)
	f.Instead = instead
	return f
}

// derived is a field that is computed, unless the operator names a column for it.
func derived(name Field, kind Type, from Expr) FieldSpec {
	return FieldSpec{Name: name, Type: kind, Instead: from, Hidden: true}
}
