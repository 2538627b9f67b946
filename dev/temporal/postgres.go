package temporal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/schema"
	v12 "go.temporal.io/server/schema/postgresql/v12"
)

const (
	postgresConnections = 20
	// oldestSchema is what Temporal's own tool writes beside a version.
	oldestSchema = "0.1"
)

// Stores are two databases of PostgreSQL, as URLs, in which the server keeps its state in place of SQLite: as it is run in
// production.
type Stores struct {
	Main, Visibility string
}

// stores is where a server keeps what.
type stores struct {
	main, visibility *config.SQL
}

// openStores makes the tables in two databases of PostgreSQL, unless they are there, with the namespace in them.
func openStores(ctx context.Context, s Stores, attributes map[string]enumspb.IndexedValueType) (stores, error) {
	opened := stores{}
	for _, store := range []struct {
		into              **config.SQL
		url, dir, version string
	}{
		{&opened.main, s.Main, "temporal", v12.Version},
		{&opened.visibility, s.Visibility, "visibility", v12.VisibilityVersion},
	} {
		c, err := postgresConfig(store.url)
		if err != nil {
			return stores{}, err
		}
		if err := createTables(ctx, c, store.url, store.dir, store.version); err != nil {
			return stores{}, fmt.Errorf("make Temporal's tables of %s: %w", store.dir, err)
		}
		*store.into = c
	}
	return opened, createNamespace(opened.main, attributes)
}

// postgresConfig is the server's configuration for a database.
func postgresConfig(address string) (*config.SQL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, errors.New("the address of Temporal's database must be a URL")
	}
	password, _ := u.User.Password()
	return &config.SQL{
		PluginName: postgresql.PluginNamePGX, DatabaseName: strings.TrimPrefix(u.Path, "/"), ConnectProtocol: "tcp", ConnectAddr: u.Host,
		User: u.User.Username(), Password: password, MaxConns: postgresConnections, MaxIdleConns: postgresConnections,
		MaxConnLifetime: time.Hour,
	}, nil
}

// createTables runs the schema that comes with the server, in an empty database only.
func createTables(ctx context.Context, c *config.SQL, address, dir, version string) error {
	admin, err := sql.NewSQLAdminDB(sqlplugin.DbKindUnknown, c, resolver.NewNoopResolver(), log.NewNoopLogger(), metrics.NoopMetricsHandler)
	if err != nil {
		return err
	}
	defer admin.Close()
	tables, err := admin.ListTables(c.DatabaseName)
	if err != nil || len(tables) > 0 {
		return err
	}
	text, err := fs.ReadFile(schema.Assets(), "postgresql/v12/"+dir+"/schema.sql")
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, string(text)); err != nil {
		return err
	}
	if err := admin.CreateSchemaVersionTables(); err != nil {
		return err
	}
	return admin.UpdateSchemaVersion(c.DatabaseName, version, oldestSchema)
}
