package models_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/query"
	"tranche/sources/models"
)

const orders = `
models:
  orders:
    table: shop.orders
    fields:
      - {name: id, type: string, column: Order Id}
      - {name: shop_id, type: integer}
      - {name: total, type: float}
      - {name: tags, type: strings}
      - {name: note, type: json, hidden: true}
      - {name: changed_at, type: timestamp}
      - {name: loaded_at, type: timestamp}
    key: [shop_id, id]
    version: [changed_at]
    tenant: shop_id
    ingested: loaded_at
    occurred: changed_at
`

func TestADeclaredModelIsInTheCatalog(t *testing.T) {
	t.Parallel()
	f, err := models.Read(strings.NewReader(orders), query.PostHog())
	require.NoError(t, err)
	require.Equal(t, []string{"events", "persons", "sessions", "orders"}, f.Catalog.Names())
	require.Equal(t, []batch.Model{"orders"}, f.Named)
	require.NoError(t, f.Catalog.Validate())
	m, _ := f.Catalog.Model("orders")
	require.Equal(t, []string{"shop", "orders"}, m.Table)
	require.True(t, m.Mutable())
	id, _ := m.Spec("id")
	require.Equal(t, query.FieldSpec{Name: "id", Type: query.TypeString, Column: "Order Id"}, id)
	loaded, _ := m.Spec("loaded_at")
	require.True(t, loaded.Required, "rows are chosen by it")
	require.Len(t, m.Columns(), 6, "hidden fields are not exported")
}

func TestAModelOfTheServerIsMoved(t *testing.T) {
	t.Parallel()
	f, err := models.Read(strings.NewReader(`
models:
  events:
    table: [analytics, events.v2]
    columns: {timestamp: occurred at, person_id: ~, set: the_set}
  sessions: false
`), query.PostHog())
	require.NoError(t, err)
	require.Equal(t, []string{"events", "persons"}, f.Catalog.Names())
	require.Equal(t, []batch.Model{"events"}, f.Named)
	m, _ := f.Catalog.Model(batch.ModelEvents)
	require.Equal(t, []string{"analytics", "events.v2"}, m.Table)
	for field, column := range map[query.Field]string{
		query.FieldTimestamp: "occurred at", query.FieldPersonID: "", query.FieldSet: "the_set", query.FieldEvent: "event",
	} {
		spec, _ := m.Spec(field)
		require.Equal(t, column, spec.Column, field)
	}
	untouched, _ := query.PostHog().Model(batch.ModelEvents)
	spec, _ := untouched.Spec(query.FieldTimestamp)
	require.Equal(t, "timestamp", spec.Column)
}

func TestWhatIsWrongIsToldAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing":          {"", []string{"the file is empty"}},
		"another key":      {"tables: {}", []string{"field tables not found"}},
		"no models":        {"models: []", []string{"models must be a mapping"}},
		"no YAML":          {"models: [", []string{"yaml"}},
		"two documents":    {"models: {persons: false}\n---\nmodels: {}", []string{"more than one document"}},
		"a model twice":    {"models:\n  a: {}\n  a: {}", []string{"model a: it is there twice"}},
		"a bad name":       {"models: {Orders: {}}", []string{"model Orders: its name must be"}},
		"hogql":            {"models: {hogql: {}}", []string{"model hogql: its name must be"}},
		"absent":           {"models: {orders: false}", []string{"model orders: it cannot be taken away"}},
		"nothing left":     {"models: {events: false, persons: false, sessions: false}", []string{"no model is left"}},
		"a list":           {"models: {orders: [1]}", []string{"model orders: it must be a mapping"}},
		"an empty table":   {"models: {events: {table: a..b}}", []string{"model events: part 2 of the name of its table is empty"}},
		"fields of events": {"models: {events: {fields: [{name: a, type: string}]}}", []string{"only its table and its columns"}},
		"columns of events": {
			"models: {events: {columns: {nope: a, uuid: ~, team_id: ~, event: ''}}}",
			[]string{`model events: it has no field "nope": it has uuid, team_id`, "the field uuid needs a column", "the field team_id needs a column", "the column of event has a name"},
		},
		"everything": {`
models:
  orders:
    colour: red
    columns: {a: b}
    fields:
      - {name: 1st, type: string}
      - {name: id, type: uuid}
      - {name: id, type: string}
      - {name: total, type: float, nullable: true}
      - {name: at, type: string, column: Tranche_newest}
      - {name: secret, type: string, hidden: true}
    key: [secret, absent]
    version: [secret]
    tenant: total
    occurred: at
  refunds: {}
`, []string{
			`model orders: the key "colour" is unknown: it may have table`, `field 4: the key "nullable" is unknown`,
			"model orders: field 1: its name must be", `model orders: field id: there is no type "uuid"`, "model orders: field id: it is there twice",
			"model orders: field at: its column has a name", "model orders: columns are for models that the server has",
			"model orders: field secret: it is part of the key", `model orders: key: it has no field "absent"`,
			"model orders: version: the field secret is of type string", "model orders: tenant: the field total is of type float, and must be of type integer",
			"model orders: it needs ingested", "model orders: occurred: the field at is of type string",
			"model refunds: it needs fields", "model refunds: it needs tenant",
		}},
		"a version alone": {
			"models: {a: {fields: [{name: t, type: integer}, {name: i, type: timestamp}], tenant: t, ingested: i, version: [i]}}",
			[]string{"a version without a key"},
		},
		"too large": {"models: {}" + strings.Repeat(" ", 1<<20), []string{"larger than 1 MiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := models.Read(strings.NewReader(c.text), query.PostHog())
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

// No file makes the server fall over, and what is accepted is a catalog that sources take.
func FuzzModels(f *testing.F) {
	f.Add(orders)
	f.Add("models: {events: {columns: {event: e}}, persons: false}")
	f.Add("models: {a: &a {fields: *a}}")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := models.Read(strings.NewReader(text), query.PostHog())
		if err == nil {
			require.NoError(t, file.Catalog.Validate())
		}
	})
}
