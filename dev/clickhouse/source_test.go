package clickhouse_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/dev/clickhouse/clickhousetest"
	"tranche/query"
	"tranche/sources/clickhouse"
	"tranche/sources/sourcetest"
)

var server clickhousetest.Server

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

// A layout is a way in which an operator may keep events.
type layout struct {
	uuid, text, json, zone, integer string
	model                           query.Model
}

func layouts() map[string]layout {
	posthog, _ := query.PostHog().Model(batch.ModelEvents)
	return map[string]layout{
		"PostHog's columns": {"UUID", "String", "String", "UTC", "Int64", posthog},
		"other names and types": {"String", "LowCardinality(String)", "Nullable(String)", "Asia/Tokyo", "UInt32", posthog.At([]string{"the `events`; --"}, map[query.Field]string{
			query.FieldUUID: "id", query.FieldTeamID: "tenant", query.FieldTimestamp: "Occurred At",
			query.FieldInsertedAt: "ingested", query.FieldProperties: "the \"props\"", query.FieldEvent: "select",
		})},
	}
}

// column is the name that the options give the field.
func (l layout) column(f query.Field) string {
	spec, _ := l.model.Spec(f)
	return spec.Column
}

func quoted(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

func (l layout) table() string { return quoted(l.model.Table[0]) }

// fields are in the order of seed.
var fields = []query.Field{
	query.FieldUUID, query.FieldTeamID, query.FieldEvent, query.FieldDistinctID, query.FieldTimestamp,
	query.FieldInsertedAt, query.FieldCreatedAt, query.FieldProperties, query.FieldPersonProperties,
	query.FieldPersonID, query.FieldElementsChain,
}

// create makes the table.
func (l layout) create(t *testing.T, address string) {
	t.Helper()
	instant := "DateTime64(6, '" + l.zone + "')"
	kinds := map[query.Field]string{
		query.FieldUUID: l.uuid, query.FieldTeamID: l.integer, query.FieldTimestamp: instant, query.FieldInsertedAt: instant,
		query.FieldCreatedAt: instant, query.FieldProperties: l.json, query.FieldPersonProperties: "Nullable(String)",
		query.FieldPersonID: "Nullable(String)",
	}
	var columns []string
	for _, f := range fields {
		kind, ok := kinds[f]
		if !ok {
			kind = l.text
		}
		columns = append(columns, quoted(l.column(f))+" "+kind)
	}
	server.Execute(t, address, fmt.Sprintf("CREATE TABLE %s (%s) ENGINE = MergeTree ORDER BY (%s, %s)",
		l.table(), strings.Join(columns, ", "), quoted(l.column(query.FieldTeamID)), quoted(l.column(query.FieldEvent))))
}

// seed loads rows as JSON, which can say all instants that the type can hold.
func (l layout) seed(t *testing.T, address string, rows []sourcetest.Row) {
	t.Helper()
	// Text without a zone is in the column's.
	zone, err := time.LoadLocation(l.zone)
	require.NoError(t, err)
	instant := func(at time.Time) string { return at.In(zone).Format("2006-01-02 15:04:05.000000") }
	var data strings.Builder
	data.WriteString("INSERT INTO " + l.table() + " FORMAT JSONEachRow\n")
	encoder := json.NewEncoder(&data)
	for _, r := range rows {
		values := []any{
			r.UUID, r.TeamID, r.Event, r.DistinctID, instant(r.Timestamp), instant(r.InsertedAt),
			instant(r.CreatedAt), r.Properties, null(r.PersonProperties), null(r.PersonID), r.ElementsChain,
		}
		row := make(map[string]any, len(fields))
		for i, f := range fields {
			row[l.column(f)] = values[i]
		}
		require.NoError(t, encoder.Encode(row))
	}
	server.Execute(t, address, data.String())
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

//nolint:paralleltest // the suite counts goroutines
func TestATableIsASource(t *testing.T) {
	for name, l := range layouts() {
		t.Run(name, func(t *testing.T) { sourcetest.Run(t, l.fixture) })
	}
}

//nolint:paralleltest // the tests of a layout share a database
func TestATableComputesAsEverySource(t *testing.T) {
	for name, l := range layouts() {
		t.Run(name, func(t *testing.T) { sourcetest.Agree(t, l.fixture) })
	}
}

// fixture is an empty table.
func (l layout) fixture(t *testing.T) sourcetest.Fixture {
	t.Helper()
	address := server.Database(t)
	l.create(t, address)
	allocator := memory.NewCheckedAllocator(memory.NewGoAllocator())
	s, err := clickhouse.New(clickhouse.Options{
		DSN: address, Models: query.Catalog{l.model}, Allocator: allocator, SplitRows: sourcetest.SplitRows,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return sourcetest.Fixture{
		Source: s, Allocator: allocator,
		Oldest: time.Date(1900, 1, 1, 0, 0, 0, 1000, time.UTC), // of DateTime64
		Seed: func(t *testing.T, rows []sourcetest.Row) {
			t.Helper()
			l.seed(t, address, rows)
		},
	}
}

// ClickHouse's own client is the judge of whether what the tests talk to speaks ClickHouse's interface.
func TestClickHousesOwnClientLoadsWhatIsRead(t *testing.T) {
	t.Parallel()
	address := server.Database(t)
	layouts()["PostHog's columns"].create(t, address)
	u, err := url.Parse(address)
	require.NoError(t, err)
	name, secret := server.Credentials()
	c, err := clickhousego.Open(&clickhousego.Options{
		Addr: []string{u.Host}, Protocol: clickhousego.HTTP,
		Auth: clickhousego.Auth{Database: strings.Trim(u.Path, "/"), Username: name, Password: secret},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	const rows = 5000
	records, err := c.PrepareBatch(t.Context(), "INSERT INTO events (uuid, team_id, event, distinct_id, timestamp, inserted_at, created_at, properties)")
	require.NoError(t, err)
	for i := range rows {
		at := day.Start.Add(time.Duration(i) * time.Second)
		require.NoError(t, records.Append(uuid.NewString(), int64(1), "signed up", "d", at, at, at, fmt.Sprintf(`{"n":%d}`, i)))
	}
	require.NoError(t, records.Send())
	var n uint64
	require.NoError(t, c.QueryRow(t.Context(), "SELECT count() FROM events WHERE event = 'signed up'").Scan(&n))
	require.Equal(t, uint64(rows), n)

	s, err := clickhouse.New(clickhouse.Options{DSN: address})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	read, err := read(t.Context(), s, asked, day)
	require.NoError(t, err)
	require.Len(t, read, rows)
}
