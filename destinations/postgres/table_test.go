package postgres_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/batch"
)

// fullTable is a table that somebody made for events.
const fullTable = `CREATE TABLE shop.events (uuid uuid, team_id bigint, event text, timestamp timestamptz, properties jsonb)`

// TestTablesThatCustomersMadeAreTakenAsTheyAre delivers one event twice, and reads the row.
func TestTablesThatCustomersMadeAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sql  []string
		want string
	}{
		"columns that it lacks are left out": {
			[]string{`CREATE TABLE shop.events (uuid text, team_id int)`}, `(00000000-0000-4000-8000-000000000001,1)`,
		},
		"in another order and with other types": {
			[]string{`CREATE TABLE shop.events (properties json, timestamp timestamp, team_id smallint, uuid uuid, event char(12), person_properties text, elements text)`},
			`("{""a"":1}","2026-08-01 00:00:00",1,00000000-0000-4000-8000-000000000001,"$pageview   ","{""p"": 1}","""el""")`,
		},
		"columns of its own have their defaults": {
			[]string{`CREATE TABLE shop.events (id bigint GENERATED ALWAYS AS IDENTITY, source text NOT NULL DEFAULT 'x', uuid text, team_id float8,
				length int GENERATED ALWAYS AS (length(uuid)) STORED)`},
			`(3,x,00000000-0000-4000-8000-000000000001,1,36)`,
		},
		"domains, a unique index and a partition": {
			[]string{
				`CREATE DOMAIN shop.inner AS varchar(50) CHECK (VALUE <> '')`, `CREATE DOMAIN shop.name AS shop.inner`,
				`CREATE TABLE shop.events (event shop.name, uuid uuid, team_id int, timestamp timestamptz, UNIQUE (uuid, team_id, timestamp)) PARTITION BY RANGE (timestamp)`,
				`CREATE TABLE shop.part PARTITION OF shop.events DEFAULT`,
			},
			`($pageview,00000000-0000-4000-8000-000000000001,1,"2026-08-01 00:00:00+00")`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.sql(append([]string{`CREATE SCHEMA shop`}, test.sql...)...)
			for range 2 {
				_, err := p.deliver(p.run(batch.ModelEvents, 0), reader(t, event{person: `{"p": 1}`, elements: "el"}))
				require.NoError(t, err)
			}
			// An identity counts on; what it has given does not matter.
			got := p.texts(`SELECT e::text FROM shop.events e`)
			require.Len(t, got, 1)
			require.Equal(t, strings.Replace(test.want, "(3,x", "(2,x", 1), got[0])
		})
	}
}

// A hopeless delivery fails, and says why.
type hopeless struct {
	sql     []string
	config  map[string]any
	event   event
	model   batch.Model
	code    batch.Code
	message string // is part of it
}

// fails provokes the failure on the server, and reads what the customer is told.
func (h hopeless) fails(t *testing.T) {
	t.Helper()
	p := newPlace(t)
	p.sql(append([]string{`CREATE SCHEMA shop`}, h.sql...)...)
	for key, value := range h.config {
		p.config[key] = value
	}
	var err error
	if h.model == batch.ModelPersons {
		_, err = p.deliver(p.run(batch.ModelPersons, 0), table(t, personFields, `[{"team_id":1,"distinct_id":"a","person_version":1,"person_distinct_id_version":1}]`))
	} else {
		_, err = p.deliver(p.run(batch.ModelEvents, 0), reader(t, h.event))
	}
	require.Equal(t, h.code, batch.CodeOf(err), "%v", err)
	require.Contains(t, batch.MessageOf(err), h.message)
	require.NotContains(t, batch.MessageOf(err), "planted", "no value of a row is told")
}

// Tables that cannot hold what is exported.
func TestWhatATableCannotHoldIsSaidPlainly(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]hopeless{
		"no column to tell rows apart": {
			sql:  []string{`CREATE TABLE shop.events (event text, team_id int)`},
			code: batch.CodeSchema, message: `the table has no column "uuid", by which rows are told apart`,
		},
		"a column of the wrong type": {
			sql:  []string{`CREATE TABLE shop.events (uuid text, team_id int, timestamp text)`},
			code: batch.CodeSchema, message: `the column "timestamp" of the table has the type text, but must be able to hold TIMESTAMPTZ`,
		},
		"a column that must have a value": {
			sql:  []string{`CREATE TABLE shop.events (uuid text, team_id int, tenant text NOT NULL)`},
			code: batch.CodeSchema, message: `the column "tenant" of the table must have a value, but is not exported: give it a default`,
		},
		"a view": {
			sql:  []string{`CREATE VIEW shop.events AS SELECT 1 AS uuid`},
			code: batch.CodeSchema, message: `"events" is no table`,
		},
		"a null where none may be": {
			sql:  []string{`CREATE TABLE shop.events (uuid text, team_id int, person_properties jsonb NOT NULL)`},
			code: batch.CodeSchema, message: `null value in column "person_properties"`,
		},
		"a unique index that a row violates": {
			sql:  []string{`CREATE TABLE shop.events (uuid text, team_id int, event text UNIQUE)`, `INSERT INTO shop.events VALUES ('x', 1, '$pageview')`},
			code: batch.CodeSchema, message: `violates unique constraint "events_event_key"`,
		},
		"a check that a row violates": {
			sql:  []string{`CREATE TABLE shop.events (uuid text, team_id int CHECK (team_id > 9))`},
			code: batch.CodeSchema, message: `violates check constraint "events_team_id_check"`,
		},
		"a text that is too long": {
			event: event{event: strings.Repeat("planted", 30)},
			code:  batch.CodeSchema, message: `value too long for type character varying(200)`,
		},
		"a number that is too large": {
			event: event{team: 1 << 40},
			code:  batch.CodeSchema, message: `a number is out of the range of the column "team_id", which is integer`,
		},
		"a text that is no UUID": {
			sql: []string{fullTable}, event: event{uuid: "planted"},
			code: batch.CodeSchema, message: `the column "uuid" of the table holds UUIDs, but a row has another text there`,
		},
		"a trigger that refuses": {
			sql: []string{
				fullTable, `CREATE FUNCTION shop.no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''planted %'', NEW.event; END'`,
				`CREATE TRIGGER no BEFORE INSERT ON shop.events FOR EACH ROW EXECUTE FUNCTION shop.no()`,
			},
			code: batch.CodeSchema, message: `a trigger or a rule of the table refused a row (SQLSTATE P0001)`,
		},
		"persons without a key": {
			sql: []string{`CREATE TABLE shop.events (team_id int, distinct_id text, person_version bigint)`}, model: batch.ModelPersons,
			code: batch.CodeSchema, message: `the table needs a primary key or a unique index on (team_id, distinct_id)`,
		},
		"persons with a key that holds for some rows": {
			sql: []string{
				`CREATE TABLE shop.events (team_id int, distinct_id text, person_version bigint)`,
				`CREATE UNIQUE INDEX ON shop.events (team_id, distinct_id) WHERE person_version > 0`,
			}, model: batch.ModelPersons,
			code: batch.CodeSchema, message: `the table needs a primary key or a unique index`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.fails(t)
		})
	}
}

// Servers that do not let us in, or not let us write.
func TestWhatAServerRefusesIsSaidPlainly(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]hopeless{
		"a database that does not exist": {
			config: map[string]any{"database": "nowhere"},
			code:   batch.CodeNotFound, message: `the database does not exist (database "nowhere" does not exist)`,
		},
		"a user that does not exist": {
			config: map[string]any{"user": "nobody_at_all"},
			code:   batch.CodeCredentials, message: `the server refuses the user`,
		},
		"a user who may not write": {
			sql: []string{`CREATE ROLE writes_nothing LOGIN`}, config: map[string]any{"user": "writes_nothing"},
			code: batch.CodePermission, message: `the user lacks a right on the database (permission denied for schema shop)`,
		},
		"a user with too many connections": {
			sql: []string{`CREATE ROLE connects_never LOGIN CONNECTION LIMIT 0`}, config: map[string]any{"user": "connects_never"},
			code: batch.CodeThrottled, message: `the server has too many connections`,
		},
		"a replica": {
			sql:  []string{`DO 'BEGIN EXECUTE format(''ALTER DATABASE %I SET default_transaction_read_only = on'', current_database()); END'`},
			code: batch.CodeConfig, message: `the server only allows to read`,
		},
		"a port where nobody listens": {
			config: map[string]any{"port": 1},
			code:   batch.CodeUnavailable, message: `the host refuses connections at the port`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.fails(t)
		})
	}
}
