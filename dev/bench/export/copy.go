package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"tranche/dev/duckdb/engine"
)

// copyOf is DuckDB's own export of the same columns. JSON becomes a value that nests, where the format can nest.
func copyOf(how string) func(context.Context, options, string) (result, error) {
	return func(ctx context.Context, o options, dir string) (result, error) {
		database, err := engine.Open(o.store(), map[string]string{
			"threads": strconv.Itoa(o.threads), "access_mode": "READ_ONLY",
		})
		if err != nil {
			return result{}, err
		}
		defer database.Close()
		c, err := database.Connect()
		if err != nil {
			return result{}, err
		}
		defer c.Close()
		kind := "VARCHAR"
		if strings.HasPrefix(how, "FORMAT json") {
			kind = "JSON"
		}
		rows, err := c.Exec(ctx, fmt.Sprintf(`COPY (SELECT CAST(uuid AS VARCHAR) AS uuid, "timestamp", inserted_at AS _inserted_at, created_at,
			event, CAST(properties AS %s) AS properties, distinct_id, elements_chain, CAST(person_properties AS %s) AS person_properties, person_id
			FROM events WHERE team_id = 1) TO '%s' (%s)`, kind, kind, filepath.Join(dir, "copy"), how))
		if err != nil {
			return result{}, err
		}
		size, err := sizeOf(dir)
		return result{rows: rows, out: size}, err
	}
}
