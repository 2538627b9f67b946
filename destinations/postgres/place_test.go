package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/postgres"
	"tranche/query"
)

// A place is a database of a test's own, with an export to its table shop.events.
type place struct {
	*testing.T
	url    string // for looking, past whatever stands between
	config map[string]any
	server postgres.Server
	export uuid.UUID
	token  int64
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{T: t, url: database.Database(t), server: laptop, export: uuid.New()}
	p.config = configOf(t, p.url, map[string]any{"schema": "shop", "table_name": "events"})
	return p
}

func (p *place) open(server postgres.Server) destinations.Destination {
	p.Helper()
	plugin := postgres.Plugin(server)
	config, err := plugin.Parse(p.config, nil)
	require.NoError(p, err)
	d, err := plugin.Open(p.Context(), config)
	require.NoError(p, err)
	p.Cleanup(func() { require.NoError(p, d.Close()) })
	return d
}

// sql runs statements past the destination.
func (p *place) sql(statements ...string) {
	p.Helper()
	for _, sql := range statements {
		execute(p, p.url, sql)
	}
}

// texts reads a column of text.
func (p *place) texts(sql string, args ...any) []string {
	p.Helper()
	type one struct{ Text *string }
	rows, err := collect[one](p.Context(), p.url, sql, args...)
	require.NoError(p, err)
	texts := []string{}
	for _, r := range rows {
		if r.Text == nil {
			texts = append(texts, "NULL")
			continue
		}
		texts = append(texts, *r.Text)
	}
	return texts
}

// staged lists staging tables.
func (p *place) staged() []string {
	p.Helper()
	return p.texts(`SELECT relname::text FROM pg_class WHERE relname ~ '^tranche_stage'`)
}

// midnight is when the first interval of the tests begins; an interval is an hour.
var midnight = time.Date(2026, time.August, 1, 0, 0, 0, 0, time.UTC)

func (p *place) run(model batch.Model, hour int) destinations.Run {
	p.token++
	start := midnight.Add(time.Duration(hour) * time.Hour)
	return destinations.Run{
		ID: uuid.New(), ExportID: p.export, TeamID: 1, Model: model, Generation: 1, Token: p.token,
		Interval: batch.Interval{Start: start, End: start.Add(time.Hour)},
	}
}

// deliver stages and commits a run of one split.
func (p *place) deliver(run destinations.Run, records array.RecordReader) (destinations.Published, error) {
	p.Helper()
	d := p.open(p.server)
	receipt, err := d.Stage(p.Context(), job(run, 1, &journal{}), records)
	if err != nil {
		return destinations.Published{}, err
	}
	return d.Commit(p.Context(), run, []destinations.Receipt{receipt}, nil)
}

func job(run destinations.Run, attempt int, j *journal) destinations.Job {
	return destinations.Job{Run: run, Splits: 1, Attempt: attempt, Journal: j}
}

// fields are what a source delivers of events.
var fields = arrow.NewSchema([]arrow.Field{
	{Name: "uuid", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "event", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "properties", Type: arrow.BinaryTypes.String, Nullable: true, Metadata: isJSON},
	{Name: "elements_chain", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "distinct_id", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "team_id", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "timestamp", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true},
	{Name: "person_properties", Type: arrow.BinaryTypes.String, Nullable: true, Metadata: isJSON},
}, nil)

var isJSON = arrow.NewMetadata([]string{query.JSONMetadata}, []string{"true"})

// An event is a row of the tests; what is empty gets a value.
type event struct {
	uuid, event, properties, elements, person string
	team                                      int64
	at                                        time.Duration // after midnight
}

// number is the uuid of the nth event.
func number(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// reader streams events in batches of three.
func reader(tb testing.TB, events ...event) array.RecordReader {
	tb.Helper()
	var batches []arrow.RecordBatch
	for start := 0; start < len(events); start += 3 {
		b := array.NewRecordBuilder(memory.NewGoAllocator(), fields)
		for _, e := range events[start:min(start+3, len(events))] {
			for i, text := range []string{or(e.uuid, number(1)), or(e.event, "$pageview"), or(e.properties, `{"a":1}`), e.elements, "someone"} {
				b.Field(i).(*array.StringBuilder).Append(text)
			}
			b.Field(5).(*array.Int64Builder).Append(max(e.team, 1))
			b.Field(6).(*array.TimestampBuilder).Append(arrow.Timestamp(midnight.Add(e.at).UnixMicro()))
			if person := b.Field(7).(*array.StringBuilder); e.person == "" {
				person.AppendNull()
			} else {
				person.Append(e.person)
			}
		}
		batches = append(batches, b.NewRecordBatch())
	}
	r, err := array.NewRecordReader(fields, batches)
	require.NoError(tb, err)
	return r
}

// table streams the rows of a JSON text with a schema.
func table(tb testing.TB, schema *arrow.Schema, rows string) array.RecordReader {
	tb.Helper()
	record, _, err := array.RecordFromJSON(memory.NewGoAllocator(), schema, strings.NewReader(rows))
	require.NoError(tb, err)
	r, err := array.NewRecordReader(schema, []arrow.RecordBatch{record})
	require.NoError(tb, err)
	return r
}

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

// numbered are n events, numbered from first, with enough in them to fill the buffers of a network.
func numbered(first, n int) []event { //nolint:unparam // it reads better with where the numbers begin
	events := make([]event, n)
	for i := range events {
		events[i] = event{uuid: number(first + i), properties: fmt.Sprintf(`{"n":%d,"bulk":%q}`, first+i, strings.Repeat("x", 8<<10))}
	}
	return events
}
