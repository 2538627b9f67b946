package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"tranche/destinations"
	"tranche/destinations/destinationtest"
	"tranche/destinations/postgres"
	"tranche/internal/pgtest"
)

var database pgtest.Server

func TestMain(m *testing.M) { os.Exit(database.Run(m)) }

//nolint:paralleltest // the suite watches the process's goroutines
func TestConformance(t *testing.T) {
	database.Database(t) // before the suite counts goroutines: those of the server stay
	destinationtest.Run(t, func(t *testing.T) destinationtest.Fixture {
		t.Helper()
		return fixture(t, database.Database(t), nil)
	})
}

// laptop is a server that allows any host, and connections without TLS.
var laptop = postgres.Server{Plaintext: true}

// configOf is what a customer sends for the database.
func configOf(tb testing.TB, databaseURL string, more map[string]any) map[string]any {
	tb.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(tb, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(tb, err)
	config := map[string]any{
		"user": u.User.Username(), "password": "planted-secret-password", "host": u.Hostname(), "port": port,
		"database": u.Path[1:], "schema": `it's "quoted"`, "table_name": `All "Events"`,
	}
	for key, value := range more {
		config[key] = value
	}
	return config
}

// fixture is an empty database with a reader of its own.
func fixture(t *testing.T, databaseURL string, more map[string]any) destinationtest.Fixture {
	t.Helper()
	config := configOf(t, databaseURL, more)
	table := pgx.Identifier{config["schema"].(string), config["table_name"].(string)}.Sanitize()
	return destinationtest.Fixture{
		Plugin: postgres.Plugin(laptop),
		Config: config,
		Rows: func(ctx context.Context) ([]destinationtest.Row, error) {
			rows, err := collect[destinationtest.Row](ctx, databaseURL, `SELECT uuid, event, timestamp, properties::text FROM `+table)
			if known, ok := errors.AsType[*pgconn.PgError](err); ok && known.Code == "42P01" {
				return nil, nil
			}
			return rows, err
		},
		Staged: func(ctx context.Context) ([]string, error) {
			type name struct{ Name string }
			names, err := collect[name](ctx, databaseURL, `SELECT relname::text FROM pg_class WHERE relname ~ '^tranche_(stage|probe)'`)
			var staged []string
			for _, n := range names {
				staged = append(staged, n.Name)
			}
			return staged, err
		},
		OpenAt: func(ctx context.Context, config map[string]any, at destinationtest.At) (destinations.Destination, error) {
			return postgres.Plugin(laptop.WithFaults(t, at)).Open(ctx, config)
		},
	}
}

// collect reads rows by a connection of its own.
func collect[T any](ctx context.Context, databaseURL, sql string, args ...any) ([]T, error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }() // a reader's goodbye matters to nobody
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}
