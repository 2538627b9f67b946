package e2e

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// storedEvents is the plain form of the events' table in PostgreSQL.
const storedEvents = `CREATE TABLE events (uuid uuid, team_id bigint, event text, distinct_id text, timestamp timestamptz, inserted_at timestamptz,
	created_at timestamptz, properties text, person_properties text, person_id text, elements_chain text)`

// eventColumns are those of storedEvents, in its order.
var eventColumns = []string{
	"uuid", "team_id", "event", "distinct_id", "timestamp", "inserted_at", "created_at", "properties", "person_properties", "person_id", "elements_chain",
}

// values are an event's, in the order of eventColumns.
func (e event) values(instant func(time.Time) any) []any {
	null := func(text string) any {
		if text == "" {
			return nil
		}
		return text
	}
	return []any{
		e.UUID, e.Team, e.Name, e.DistinctID, instant(e.Timestamp), instant(e.InsertedAt), instant(e.CreatedAt), e.Properties,
		null(e.PersonProperties), null(e.PersonID), e.Elements,
	}
}

// inPostgres stores the events in a database of their own and returns its address.
func inPostgres(t *testing.T, events []event) string {
	t.Helper()
	address := postgres.Database(t)
	c, err := pgx.Connect(t.Context(), address)
	require.NoError(t, err)
	defer c.Close(t.Context())
	_, err = c.Exec(t.Context(), storedEvents)
	require.NoError(t, err)
	_, err = c.CopyFrom(t.Context(), pgx.Identifier{"events"}, eventColumns, pgx.CopyFromSlice(len(events), func(i int) ([]any, error) {
		return events[i].values(func(at time.Time) any { return at }), nil
	}))
	require.NoError(t, err)
	return address
}

// inClickHouse stores the events in a database of their own and returns its address. Some are stored twice, as a table
// has them that has not merged its duplicates away yet.
func inClickHouse(t *testing.T, events []event) string {
	t.Helper()
	address := clickhouse.Database(t)
	clickhouse.Execute(t, address, `CREATE TABLE events (uuid UUID, team_id Int64, event String, distinct_id String, timestamp DateTime64(6, 'UTC'),
		inserted_at DateTime64(6, 'UTC'), created_at DateTime64(6, 'UTC'), properties String, person_properties Nullable(String),
		person_id Nullable(String), elements_chain String) ENGINE = MergeTree ORDER BY (team_id, toDate(timestamp), event)`)
	var data strings.Builder
	data.WriteString("INSERT INTO events FORMAT JSONEachRow\n")
	encoder := json.NewEncoder(&data)
	for _, e := range slices.Concat(events, events[:len(events)/10]) {
		row := map[string]any{}
		for i, v := range e.values(func(at time.Time) any { return at.UTC().Format("2006-01-02 15:04:05.000000") }) {
			row[eventColumns[i]] = v
		}
		require.NoError(t, encoder.Encode(row))
	}
	clickhouse.Execute(t, address, data.String())
	return address
}

// The same events give the same files, whatever database they are in.
func TestEverySourceDeliversTheSame(t *testing.T) {
	t.Parallel()
	m := newEventMaker(5)
	events := m.within(epoch, 6*time.Hour, 900)
	for i := range events {
		// White space around JSON is not part of a value that is nested in a line.
		events[i].Properties = strings.TrimSpace(events[i].Properties)
	}
	other := m.at(epoch.Add(time.Hour))
	other.Team = 2
	stored := append(slices.Clone(events), other)

	found := map[string]delivered{}
	for name, args := range map[string]func(t *testing.T) []string{
		"embedded":   func(t *testing.T) []string { return []string{"--load", writeJSONLines(t, "events.jsonl", stored)} }, //nolint:thelper // it is a table
		"PostgreSQL": func(t *testing.T) []string { return []string{"--source", inPostgres(t, stored)} },                   //nolint:thelper // it is a table
		"ClickHouse": func(t *testing.T) []string { return []string{"--source", inClickHouse(t, stored)} },                 //nolint:thelper // it is a table
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			dev := startDev(t, dir, args(t)...)
			export := dev.create(fileExport("hourly", "hour", "events"))
			b := dev.completed(export, dev.backfill(export, epoch.Format(time.RFC3339), epoch.Add(6*time.Hour).Format(time.RFC3339)), workPatience)
			require.EqualValues(t, len(events), *b.Records)
			found[name] = readDelivered(t, filepath.Join(dir, "exports"))
			found[name].requireEvents(t, events)
		})
	}
	want := found["embedded"].sorted(t)
	require.Len(t, want, 6)
	for name, d := range found { //nolint:paralleltest // there are no tests in it
		got := d.sorted(t)
		require.Len(t, got, len(want), name)
		for end, lines := range want {
			require.Len(t, got[end], len(lines), "%s until %v", name, end)
			for i, line := range lines {
				require.Equal(t, line, got[end][i], name)
			}
		}
	}
}

// sorted returns the lines of each interval's file, sorted, by the interval's end.
func (d delivered) sorted(t *testing.T) map[time.Time][]string {
	t.Helper()
	all := map[time.Time][]string{}
	for _, m := range d.manifests {
		for _, key := range m.Files {
			all[m.End.UTC()] = append(all[m.End.UTC()], linesIn(t, d.files[key])...)
		}
		slices.Sort(all[m.End.UTC()])
	}
	return all
}
