package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"tranche/batch"
	"tranche/query"
	"tranche/query/sql"
)

// tables are the types of the columns of each model's table. What is known is kept until a statement finds that it is
// wrong.
type tables struct {
	mu    sync.Mutex
	known map[batch.Model]known
}

// known is what is known of a table.
type known struct {
	types map[string]string // by column
	// unique says that no two rows agree in what tells events apart.
	unique bool
}

func (t *tables) get(name batch.Model) (known, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.known[name]
	return k, ok
}

func (t *tables) put(name batch.Model, k known) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		t.known = make(map[batch.Model]known)
	}
	t.known[name] = k
}

func (t *tables) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = nil
}

// readColumns lists the columns of a table with their types. Domains are what they are made of, enums are text.
const readColumns = `SELECT a.attname, CASE WHEN b.typtype = 'e' THEN 'text' ELSE b.typname END
	FROM pg_catalog.pg_attribute a
	JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
	JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
	WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped`

// table finds out how a model is kept, and refuses a table in which a field that is used has no column, or one of the
// wrong type. Used nil = all fields.
func (s *Source) table(ctx context.Context, c *pgx.Conn, m query.Model, used map[query.Field]bool) (sql.Table, error) {
	found, ok := s.tables.get(m.Name)
	if !ok {
		var err error
		if found, err = look(ctx, c, m); err != nil {
			return sql.Table{}, err
		}
		s.tables.put(m.Name, found)
	}
	types := found.types
	table := sql.Table{Model: m, Kinds: make(map[query.Field]string)}
	if m.Name == batch.ModelEvents && !m.Mutable() && !found.unique {
		table.Distinct = identity
	}
	var problems []error
	for _, f := range m.Fields {
		if f.Column == "" || used != nil && !used[f.Name] {
			continue
		}
		kind, ok := types[f.Column]
		if !ok {
			problems = append(problems, batch.Errorf(batch.CodeConfig, nil,
				"the table %s of the PostgreSQL source has no column %q, which the model %s has for %s; it has %s",
				strings.Join(m.Table, "."), f.Column, m.Name, f.Name, query.Listed(types)))
		} else if allowed := typesOf[f.Type]; allowed != nil && !slices.Contains(allowed, kind) {
			problems = append(problems, batch.Errorf(batch.CodeSchema, nil,
				"the column %q of the table %s of the PostgreSQL source has the type %s, and the field %s of the model %s is a %s",
				f.Column, strings.Join(m.Table, "."), kind, f.Name, m.Name, f.Type))
		}
		table.Kinds[f.Name] = kind
	}
	return table, errors.Join(problems...)
}

// identity is what tells events apart: of those that agree in all of it, one is read.
var identity = []query.Field{query.FieldEvent, query.FieldDistinctID, query.FieldUUID}

// readUnique asks for a unique index over nothing but some columns: what it holds for is there once.
const readUnique = `SELECT EXISTS (SELECT FROM pg_catalog.pg_index i
	WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
	AND NOT EXISTS (SELECT FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS key
		JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key WHERE a.attname <> ALL ($2::text[])))`

// look finds out what is to be known of a model's table.
func look(ctx context.Context, c *pgx.Conn, m query.Model) (k known, err error) {
	if k.types, err = columnTypes(ctx, c, m); err != nil {
		return known{}, err
	}
	var columns []string
	for _, f := range append([]query.Field{m.Tenant}, identity...) {
		if spec, ok := m.Spec(f); ok && spec.Column != "" {
			columns = append(columns, spec.Column)
		}
	}
	err = c.QueryRow(ctx, readUnique, pgx.Identifier(m.Table).Sanitize(), columns).Scan(&k.unique)
	return k, err
}

// columnTypes reads the columns of a model's table.
func columnTypes(ctx context.Context, c *pgx.Conn, m query.Model) (map[string]string, error) {
	rows, err := c.Query(ctx, readColumns, pgx.Identifier(m.Table).Sanitize())
	if err != nil {
		return nil, err
	}
	types := make(map[string]string)
	var column, kind string
	if _, err := pgx.ForEachRow(rows, []any{&column, &kind}, func() error {
		types[column] = kind
		return nil
	}); err != nil {
		return nil, err
	}
	if len(types) == 0 {
		return nil, batch.Errorf(batch.CodeNotFound, nil, "the PostgreSQL source has no table %s, which the model %s is in",
			strings.Join(m.Table, "."), m.Name)
	}
	return types, nil
}

// typesOf are the types that columns of a field may have; text may come from any.
var typesOf = map[query.Type][]string{
	query.TypeInteger: {"int2", "int4", "int8", "numeric"},
	query.TypeFloat:   {"float4", "float8", "numeric", "int2", "int4", "int8"},
	query.TypeBoolean: {"bool"},
	query.TypeInstant: {"timestamptz", "timestamp", "date"},
	query.TypeDate:    {"date", "timestamp", "timestamptz"},
	query.TypeJSON:    {"jsonb", "json", "text", "varchar"},
	query.TypeStrings: {"_text", "_varchar"},
}

// Check compares models with the tables of the database, and says all that is wrong with each.
func (s *Source) Check(ctx context.Context, models query.Catalog) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer hangUp(ctx, c)
	s.tables.forget()
	var problems []error
	for _, m := range models {
		if _, err := s.table(ctx, c, m, nil); err != nil {
			if err = classify(ctx, err); batch.CodeOf(err).Retryable() {
				return err
			}
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
