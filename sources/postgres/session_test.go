package postgres_test

import (
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tranche/query"
	"tranche/sources"
	"tranche/sources/postgres"
)

// What a database or a role has for its sessions changes no row: how it writes dates and floats, how it reads texts, and in
// which encoding it keeps and sends them.
func TestSettingsOfADatabaseChangeNothing(t *testing.T) {
	t.Parallel()
	dsn := server.Database(t)
	admin := connect(t, dsn)
	_, err := admin.Exec(t.Context(), "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
	require.NoError(t, err)
	address, err := url.Parse(dsn)
	require.NoError(t, err)
	address.Path = "/latin"
	c, err := pgx.Connect(t.Context(), address.String())
	require.NoError(t, err)
	for _, statement := range []string{
		"SET client_encoding = 'UTF8'",
		"ALTER DATABASE latin SET DateStyle = 'German, DMY'", "ALTER DATABASE latin SET extra_float_digits = 0", "ALTER DATABASE latin SET standard_conforming_strings = off",
		"ALTER DATABASE latin SET IntervalStyle = 'sql_standard'", "ALTER DATABASE latin SET bytea_output = 'escape'", "ALTER DATABASE latin SET TimeZone = 'Asia/Tokyo'", "ALTER DATABASE latin SET client_encoding = 'LATIN1'",
		"CREATE TABLE events (uuid uuid, team_id bigint, event text, distinct_id text, timestamp timestamptz, inserted_at timestamptz, properties text)",
		`INSERT INTO events VALUES ('00000000-0000-0000-0000-00000000000a', 1, 'née', 'd', '2026-03-01 11:00Z', '2026-03-01 12:00Z', '{"n":"0.30000000000000004","at":"2026-02-03T04:05:06Z"}')`,
	} {
		_, err := c.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	require.NoError(t, c.Close(t.Context()))
	events := renamed(map[query.Field]string{query.FieldCreatedAt: "", query.FieldPersonProperties: "", query.FieldPersonID: "", query.FieldElementsChain: "", query.FieldDistinctID: "timestamp"})
	s, err := postgres.New(postgres.Options{DSN: address.String(), Models: query.Catalog{events}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	parsed, err := query.ParseSelect(`SELECT event, distinct_id, toString(toFloat(properties.n)) AS f, toString(toDateTime(properties.at)) AS d, toInt('12') AS i, event = 'née' AS e, length(event) AS l FROM events WHERE match(event, '^n.e$')`, query.PostHog())
	require.NoError(t, err)
	q := someQuery
	q.Columns, q.Where = parsed.Columns, parsed.Where
	r, err := s.Open(t.Context(), q, sources.Split{Range: day})
	require.NoError(t, err)
	defer r.Release()
	require.True(t, r.Next(), "%v", r.Err())
	var values []string
	for _, column := range r.RecordBatch().Columns() {
		values = append(values, column.ValueStr(0))
	}
	require.Equal(t, []string{"née", "2026-03-01 11:00:00+00", "0.30000000000000004", "2026-02-03 04:05:06.000000", "12", "true", "3"}, values)
}
