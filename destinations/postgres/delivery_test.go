package postgres_test

import (
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/tables"
)

const byUUID = ` FROM shop.events ORDER BY uuid`

func TestTheTableIsMadeAsTheContractHasIt(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	published, err := p.deliver(p.run(batch.ModelEvents, 0), reader(t, event{
		properties: `{"$ip":"203.0.113.7","$set":{"plan":"pro"},"$set_once":{"first":true}}`, elements: `a:nth-child="1"`, person: `{"x":1}`,
	}))
	require.NoError(t, err)
	require.Equal(t, int64(1), published.Rows)
	require.Empty(t, published.Warnings)
	require.Equal(t, []string{
		"uuid character varying(200)", "event character varying(200)", "properties jsonb", "elements jsonb", "set jsonb", "set_once jsonb",
		"distinct_id character varying(200)", "team_id integer", "ip character varying(200)", "site_url character varying(200)",
		"timestamp timestamp with time zone", "person_properties jsonb",
	}, p.texts(`SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute
		WHERE attrelid = 'shop.events'::regclass AND attnum > 0 ORDER BY attnum`))
	require.Equal(t, []string{
		`(00000000-0000-4000-8000-000000000001,$pageview,"{""$ip"": ""203.0.113.7"", ""$set"": {""plan"": ""pro""}, ""$set_once"": {""first"": true}}",` +
			`"""a:nth-child=\\""1\\""""","{""plan"": ""pro""}","{""first"": true}",someone,1,203.0.113.7,"","2026-08-01 00:00:00+00","{""x"": 1}")`,
	}, p.texts(`SELECT e::text FROM shop.events e`))
}

func TestAnIntervalThatIsDeliveredAgainIsReplacedByKey(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	deliver := func(hour int, events ...event) destinations.Published {
		published, err := p.deliver(p.run(batch.ModelEvents, hour), reader(t, events...))
		require.NoError(t, err)
		return published
	}
	deliver(0, event{uuid: number(1), event: "a"}, event{uuid: number(2), event: "b"}, event{uuid: number(3), event: "c", at: time.Hour})
	deliver(1, event{uuid: number(4), event: "d"})
	// The second event now has other content, the third another time, far from where it was, and the first is gone.
	again := deliver(0, event{uuid: number(2), event: "B"}, event{uuid: number(3), event: "C", at: -48 * time.Hour})
	require.Equal(t, []string{"a", "B", "C", "d"}, p.texts(`SELECT event`+byUUID))
	require.Len(t, again.Warnings, 1)
	require.Contains(t, again.Warnings[0], "1 rows that earlier runs")
	require.Equal(t, []string{"2 1", "1 0"}, p.texts(`SELECT rows || ' ' || rows_kept FROM shop.tranche_deliveries ORDER BY data_interval_start`))
	require.Empty(t, p.staged())
}

func TestAnIntervalOfAnotherLengthReplacesWhatItOverlaps(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for hour := range 3 {
		_, err := p.deliver(p.run(batch.ModelEvents, hour), reader(t, event{uuid: number(hour)}))
		require.NoError(t, err)
	}
	day := p.run(batch.ModelEvents, 0)
	day.Interval = batch.Interval{End: midnight.Add(24 * time.Hour)} // from the beginning
	_, err := p.deliver(day, reader(t, event{uuid: number(0)}, event{uuid: number(1)}, event{uuid: number(2)}, event{uuid: number(3)}))
	require.NoError(t, err)
	require.Equal(t, []string{number(0), number(1), number(2), number(3)}, p.texts(`SELECT uuid`+byUUID))
}

func TestAnEmptyIntervalKeepsAndSaysWhatWasDelivered(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	_, err := p.deliver(p.run(batch.ModelEvents, 0), reader(t, event{uuid: number(1)}, event{uuid: number(2)}))
	require.NoError(t, err)
	d, empty := p.open(laptop), p.run(batch.ModelEvents, 0)
	for range 2 {
		published, err := d.Commit(t.Context(), empty, nil, &batch.Delivery{Rows: 2})
		require.NoError(t, err)
		require.Len(t, published.Warnings, 1)
		require.Contains(t, published.Warnings[0], "2 rows that earlier runs")
	}
	require.Equal(t, []string{"0 2"}, p.texts(`SELECT rows || ' ' || rows_kept FROM shop.tranche_deliveries`))
}

func TestAnIntervalWithoutRowsOnlyConnects(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	published, err := p.deliver(p.run(batch.ModelEvents, 0), reader(t))
	require.NoError(t, err)
	require.Zero(t, published)
	require.Empty(t, p.texts(`SELECT nspname::text FROM pg_namespace WHERE nspname = 'shop'`))
	p.config["port"] = 1
	_, err = p.deliver(p.run(batch.ModelEvents, 0), reader(t))
	require.Equal(t, batch.CodeUnavailable, batch.CodeOf(err), "%v", err)
}

func TestAReceiptTellsOfItsTable(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	d, run := p.open(laptop), p.run(batch.ModelEvents, 0)
	var sums []string
	for attempt := range 2 {
		receipt, err := d.Stage(t.Context(), job(run, attempt+1, &journal{}), reader(t, event{at: time.Minute}, event{at: time.Hour}))
		require.NoError(t, err)
		require.Equal(t, int64(2), receipt.Rows)
		require.Positive(t, receipt.Bytes)
		require.Contains(t, receipt.Schema, destinations.Column{Name: "timestamp", Type: "timestamp with time zone"})
		var table struct {
			Name         string    `json:"name"`
			SHA256       string    `json:"sha256"`
			MinTimestamp time.Time `json:"min_timestamp"`
			MaxTimestamp time.Time `json:"max_timestamp"`
		}
		require.NoError(t, json.Unmarshal(receipt.Table, &table))
		require.Equal(t, []string{table.Name}, p.staged(), "an attempt takes the place of the one before")
		require.Equal(t, midnight.Add(time.Minute), table.MinTimestamp)
		require.Equal(t, midnight.Add(time.Hour), table.MaxTimestamp)
		sum, err := hex.DecodeString(table.SHA256)
		require.NoError(t, err)
		require.Len(t, sum, 32)
		sums = append(sums, table.SHA256)
	}
	require.Equal(t, sums[0], sums[1])
}

func TestRowsThatVanishFromStagingFailTheCommit(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	d, run := p.open(laptop), p.run(batch.ModelEvents, 0)
	receipt, err := d.Stage(t.Context(), job(run, 1, &journal{}), reader(t, event{}, event{}))
	require.NoError(t, err)
	p.sql(`DELETE FROM shop.` + p.staged()[0] + ` WHERE ctid = '(0,1)'`)
	_, err = d.Commit(t.Context(), run, []destinations.Receipt{receipt}, nil)
	require.Equal(t, batch.CodeVerification, batch.CodeOf(err), "%v", err)
	require.Equal(t, "2 rows were staged, but the server inserted 1", batch.MessageOf(err))
	require.Empty(t, p.texts(`SELECT uuid`+byUUID))
}

// personFields are what a source delivers of persons.
var personFields = arrow.NewSchema([]arrow.Field{
	{Name: "team_id", Type: arrow.PrimitiveTypes.Int64},
	{Name: "distinct_id", Type: arrow.BinaryTypes.String},
	{Name: "person_id", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "properties", Type: arrow.BinaryTypes.String, Nullable: true, Metadata: isJSON},
	{Name: "person_distinct_id_version", Type: arrow.PrimitiveTypes.Int64},
	{Name: "person_version", Type: arrow.PrimitiveTypes.Int64},
	{Name: "created_at", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true},
	{Name: "is_deleted", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
}, nil)

func TestPersonsAreMergedByKeyAndVersion(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	deliver := func(hour int, rows string) {
		published, err := p.deliver(p.run(batch.ModelPersons, hour), table(t, personFields, rows))
		require.NoError(t, err)
		require.Positive(t, published.Rows)
	}
	deliver(0, `[{"team_id":1,"distinct_id":"a","person_id":"p1","properties":"{\"v\":1}","person_version":1,"person_distinct_id_version":1},
		{"team_id":1,"distinct_id":"b","person_id":"p1","properties":"{}","person_version":1,"person_distinct_id_version":5},
		{"team_id":1,"distinct_id":"b","person_id":"p2","properties":"{}","person_version":3,"person_distinct_id_version":5},
		{"team_id":2,"distinct_id":"a","person_id":"p9","properties":"{}","person_version":1,"person_distinct_id_version":1,"is_deleted":true}]`)
	deliver(1, `[{"team_id":1,"distinct_id":"a","person_id":"p3","properties":"{\"v\":2}","person_version":1,"person_distinct_id_version":2},
		{"team_id":1,"distinct_id":"b","person_id":"old","properties":"{}","person_version":2,"person_distinct_id_version":5}]`)
	deliver(0, `[{"team_id":1,"distinct_id":"a","person_id":"stale","properties":"{}","person_version":1,"person_distinct_id_version":1}]`)
	require.Equal(t, []string{"1 a p3 2", "1 b p2 -", "2 a p9 -"},
		p.texts(`SELECT team_id || ' ' || distinct_id || ' ' || person_id || ' ' || coalesce(properties ->> 'v', '-') FROM shop.events ORDER BY 1`))
}

func TestSessionsAreMergedByTheirEnd(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.sql(`CREATE SCHEMA shop`, `CREATE TABLE shop.events (session_id text, team_id bigint, end_timestamp timestamptz, urls text[],
		UNIQUE (session_id, team_id))`)
	schema, first, second := sessionFields(t), `"x"`, `"y",null`
	_, err := p.deliver(p.run(batch.ModelSessions, 0), table(t, schema, sessionRow("2026-08-01T10:00:00Z", first)))
	require.NoError(t, err)
	_, err = p.deliver(p.run(batch.ModelSessions, 1), table(t, schema, sessionRow("2026-08-01T09:00:00Z", second)))
	require.NoError(t, err)
	require.Equal(t, []string{`{x}`}, p.texts(`SELECT urls::text FROM shop.events`))
	_, err = p.deliver(p.run(batch.ModelSessions, 2), table(t, schema, sessionRow("2026-08-01T11:00:00Z", second)))
	require.NoError(t, err)
	require.Equal(t, []string{`{y,NULL}`}, p.texts(`SELECT urls::text FROM shop.events`))
}

// sessionFields are what a source delivers of sessions.
func sessionFields(t *testing.T) *arrow.Schema {
	t.Helper()
	m := tables.Of(destinations.Run{Model: batch.ModelSessions})
	var fields []arrow.Field
	for _, c := range m.Columns {
		f := arrow.Field{Name: string(c.Field), Type: arrow.BinaryTypes.String, Nullable: true}
		switch c.Name {
		case "team_id", "pageview_count", "duration":
			f.Type = arrow.PrimitiveTypes.Int64
		case "start_timestamp", "end_timestamp":
			f.Type = arrow.FixedWidthTypes.Timestamp_us
		case "urls":
			f.Type = arrow.ListOf(arrow.BinaryTypes.String)
		case "is_bounce":
			f.Type = arrow.FixedWidthTypes.Boolean
		case "vitals_lcp":
			f.Type = arrow.PrimitiveTypes.Float64
		}
		fields = append(fields, f)
	}
	return arrow.NewSchema(fields, nil)
}

func sessionRow(end, urls string) string {
	return `[{"team_id":1,"session_id":"s","end_timestamp":"` + end + `","urls":[` + urls + `],"vitals_lcp":1.5,"is_bounce":true}]`
}
