// Package postgres is a source that reads events from a table in PostgreSQL.
package postgres

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5"

	"tranche/batch"
	"tranche/query"
)

// Options say where the events are. The names of the table and its columns are the operator's and are quoted.
type Options struct {
	// DSN is a URL or a list of keywords, as libpq has it, TLS included. It may hold a password and is never shown.
	DSN string
	// Schema of the table; "" = the search path decides.
	Schema string
	// Table of events; "" = events.
	Table string
	// Columns are the names of the columns that differ from PostHog's. Of those that are Optional, "" says that the
	// table has none. Timestamps may have a zone, without one they are taken for UTC. JSON columns may be jsonb, which
	// rewrites its values, json or text.
	Columns map[query.Field]string
	// StatementTimeout ends a statement on the server, reading a split included, should we be gone and the
	// connection not. 0 = 6 hours.
	StatementTimeout time.Duration
	// SplitRows is the number of rows below which it is not worth to cut a split off; 0 = 50,000.
	SplitRows int64
	// Allocator of the record batches; nil = Go's memory.
	Allocator memory.Allocator
}

const (
	defaultTable            = "events"
	defaultStatementTimeout = 6 * time.Hour
	defaultSplitRows        = 50_000
)

// a kind is how a field travels and what it becomes.
type kind int

const (
	kindText kind = iota
	kindInteger
	kindInstant
)

// eventFields are the fields of events, and all that a query may name.
var eventFields = map[query.Field]kind{
	query.FieldUUID:             kindText,
	query.FieldTeamID:           kindInteger,
	query.FieldEvent:            kindText,
	query.FieldDistinctID:       kindText,
	query.FieldTimestamp:        kindInstant,
	query.FieldInsertedAt:       kindInstant,
	query.FieldCreatedAt:        kindInstant,
	query.FieldProperties:       kindText,
	query.FieldPersonProperties: kindText,
	query.FieldPersonID:         kindText,
	query.FieldElementsChain:    kindText,
}

// substitutes are what a query gets for an optional column that the table does not have.
func substitutes(columns map[query.Field]string) map[query.Field]string {
	return map[query.Field]string{
		query.FieldCreatedAt:        quoted(columns[query.FieldInsertedAt]),
		query.FieldProperties:       `'{}'`,
		query.FieldPersonProperties: `NULL`,
		query.FieldPersonID:         `NULL`,
		query.FieldElementsChain:    `''`,
	}
}

// names completes and checks the names of the columns.
func (o Options) names() (map[query.Field]string, error) {
	columns := make(map[query.Field]string, len(eventFields))
	for field := range eventFields {
		columns[field] = string(field)
	}
	for field, name := range o.Columns {
		if _, ok := eventFields[field]; !ok {
			return nil, batch.Errorf(batch.CodeConfig, nil, "events have no field %q", field)
		}
		if _, optional := substitutes(columns)[field]; name == "" && !optional {
			return nil, batch.Errorf(batch.CodeConfig, nil, "the source's table needs a column for %s", field)
		}
		columns[field] = name
	}
	return columns, nil
}

// quoted is a name as SQL has it.
func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }
