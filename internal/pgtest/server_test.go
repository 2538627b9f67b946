package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tranche/internal/pgtest"
)

func TestDatabasesAreSeparate(t *testing.T) {
	t.Parallel()
	var server pgtest.Server
	t.Cleanup(server.Stop)
	for range 2 {
		conn, err := pgx.Connect(t.Context(), server.Database(t))
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "CREATE TABLE only_once (id int)")
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
	}
}

func TestAServerThatNobodyNeededStops(t *testing.T) {
	t.Parallel()
	var server pgtest.Server
	server.Stop()
}
