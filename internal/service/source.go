package service

import (
	"strings"

	"tranche/batch"
	"tranche/sources"
	"tranche/sources/clickhouse"
	"tranche/sources/postgres"
)

// OpenSource opens the database with the events, by its URL; table is its table of events, optionally with its schema.
// It does not connect: a source that is down makes runs wait, not workers fail.
func OpenSource(url, table string) (sources.Source, error) {
	scheme, _, _ := strings.Cut(url, "://")
	switch scheme {
	case "postgres", "postgresql":
		o := postgres.Options{DSN: url, Table: table}
		if schema, name, ok := strings.Cut(table, "."); ok {
			o.Schema, o.Table = schema, name
		}
		s, err := postgres.New(o)
		if err != nil {
			return nil, err
		}
		return s, nil
	case "clickhouse", "http", "https":
		s, err := clickhouse.New(clickhouse.Options{DSN: url, Table: table})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, batch.Errorf(batch.CodeConfig, nil, "the address of the source must begin with postgres://, clickhouse://, http:// or https://")
}
