package service

import (
	"strings"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
	"tranche/sources/clickhouse"
	"tranche/sources/postgres"
)

// OpenSource opens the database with the rows, by its URL. It does not connect: a source that is down makes runs wait,
// not workers fail.
func OpenSource(url string, models query.Catalog) (sources.Source, error) {
	scheme, _, _ := strings.Cut(url, "://")
	switch scheme {
	case "postgres", "postgresql":
		s, err := postgres.New(postgres.Options{DSN: url, Models: models})
		if err != nil {
			return nil, err
		}
		return s, nil
	case "clickhouse", "http", "https":
		s, err := clickhouse.New(clickhouse.Options{DSN: url, Models: models})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, batch.Errorf(batch.CodeConfig, nil, "the address of the source must begin with postgres://, clickhouse://, http:// or https://")
}
