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
	known map[batch.Model]map[string]string
}

func (t *tables) get(name batch.Model) (map[string]string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	types, ok := t.known[name]
	return types, ok
}

func (t *tables) put(name batch.Model, types map[string]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		t.known = make(map[batch.Model]map[string]string)
	}
	t.known[name] = types
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
	types, ok := s.tables.get(m.Name)
	if !ok {
		var err error
		if types, err = columnTypes(ctx, c, m); err != nil {
			return sql.Table{}, err
		}
		s.tables.put(m.Name, types)
	}
	table := sql.Table{Model: m, Kinds: make(map[query.Field]string)}
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
