package postgres

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"tranche/batch"
	"tranche/destinations/tables"
)

// A target is the customer's table as it is.
type target struct {
	columns []targetColumn
	// keyed says whether it has an index on the model's key that makes it unique.
	keyed bool
}

// A targetColumn is a column that can be inserted into.
type targetColumn struct {
	name string
	kind string // as SQL has it, varchar(200)
	oid  uint32 // of the type below domains
	// demanded says that rows must bring a value: it takes no null and has no default.
	demanded bool
}

func (t target) column(name string) (targetColumn, bool) {
	i := slices.IndexFunc(t.columns, func(c targetColumn) bool { return c.name == name })
	if i < 0 {
		return targetColumn{}, false
	}
	return t.columns[i], true
}

// prepare makes sure that the table is there, and reads how it is.
func (d *destination) prepare(ctx context.Context, s *session, m model) (target, error) {
	t, err := d.describe(ctx, s, m)
	if !errors.Is(err, errNoTable) {
		return t, err
	}
	if err := d.createTable(ctx, s, m); err != nil {
		return target{}, err
	}
	return d.describe(ctx, s, m)
}

var errNoTable = errors.New("there is no such table")

// describe reads how the table is; errNoTable says that there is none.
func (d *destination) describe(ctx context.Context, s *session, m model) (target, error) {
	var oid uint32
	var kind string
	err := s.row(ctx, []any{&oid, &kind}, `SELECT c.oid, c.relkind::text FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`,
		d.config.Schema, d.config.TableName)
	if errors.Is(err, pgx.ErrNoRows) {
		return target{}, errNoTable
	}
	if err != nil {
		return target{}, classify(ctx, err)
	}
	if kind != "r" && kind != "p" {
		return target{}, batch.Errorf(batch.CodeSchema, nil, "%q is no table: a view or another thing has its name", d.config.TableName)
	}
	t := target{}
	if t.columns, err = columnsOf(ctx, s, oid); err != nil {
		return target{}, classify(ctx, err)
	}
	// The columns of an index, in any order, are those of the key; it holds for all rows, and at once.
	err = s.row(ctx, []any{&t.keyed}, `SELECT EXISTS (SELECT FROM pg_catalog.pg_index i
		WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
		AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C") FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])) = $2)`,
		oid, slices.Sorted(slices.Values(m.Key)))
	return t, classify(ctx, err)
}

// columnsOf lists the columns that can be inserted into.
func columnsOf(ctx context.Context, s *session, table uint32) ([]targetColumn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.short)
	defer cancel()
	rows, err := s.Query(ctx, `WITH RECURSIVE types AS (
			SELECT a.attnum, t.oid, t.typtype, t.typbasetype, t.typnotnull FROM pg_catalog.pg_attribute a
			JOIN pg_catalog.pg_type t ON t.oid = a.atttypid WHERE a.attrelid = $1
			UNION ALL SELECT types.attnum, t.oid, t.typtype, t.typbasetype, t.typnotnull FROM types
			JOIN pg_catalog.pg_type t ON t.oid = types.typbasetype WHERE types.typtype = 'd')
		SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), types.oid,
			a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
		FROM pg_catalog.pg_attribute a JOIN types ON types.attnum = a.attnum AND types.typtype <> 'd'
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a'
		ORDER BY a.attnum`, table)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c targetColumn, err error) {
		err = row.Scan(&c.name, &c.kind, &c.oid, &c.demanded)
		return c, err
	})
}

// createTable makes the schema and the table. Splits of one run, and runs of several exports, may come at once.
func (d *destination) createTable(ctx context.Context, s *session, m model) error {
	return s.transact(ctx, func(tx *session) error {
		if err := tx.lock(ctx, "make "+d.table()); err != nil {
			return err
		}
		if err := d.createSchema(ctx, tx); err != nil {
			return err
		}
		var columns []string
		for _, c := range m.Columns {
			columns = append(columns, quote(c.Name)+" "+m.typeName(c))
		}
		if m.Mutable() {
			columns = append(columns, "PRIMARY KEY ("+quoteAll(m.Key)+")")
		}
		if _, err := tx.exec(ctx, "CREATE TABLE IF NOT EXISTS "+d.table()+" ("+strings.Join(columns, ", ")+")"); err != nil {
			return err
		}
		if m.Mutable() || len(m.Key) == 0 {
			return nil
		}
		// Rows are found by it when their interval is delivered again. It is not unique: what the source has twice is two rows.
		_, err := tx.exec(ctx, "CREATE INDEX IF NOT EXISTS "+quote(indexName(d.config.TableName, m.Key))+
			" ON "+d.table()+" ("+quoteAll(m.Key)+")")
		return err
	})
}

// createSchema makes the schema when it is missing. Only then the right to make one is needed.
func (d *destination) createSchema(ctx context.Context, s *session) error {
	var there bool
	err := s.row(ctx, []any{&there}, `SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)`, d.config.Schema)
	if err != nil || there {
		return err
	}
	_, err = s.exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+quote(d.config.Schema))
	return err
}

// indexName is within the limit of names.
func indexName(table string, key []string) string {
	suffix := "_" + strings.Join(key, "_") + "_idx"
	table = table[:min(len(table), maxIdentifier-len(suffix))]
	return strings.ToValidUTF8(table, "") + suffix
}

// check says whether rows can be told apart in the table, and whether it takes rows at all.
func (t target) check(m model) error {
	for _, name := range m.Key {
		if _, ok := t.column(name); !ok {
			return batch.Errorf(batch.CodeSchema, nil, "the table has no column %q, by which rows are told apart", name)
		}
	}
	if m.Mutable() && !t.keyed {
		return batch.Errorf(batch.CodeSchema, nil,
			"the table needs a primary key or a unique index on (%s): rows are merged by it", strings.Join(m.Key, ", "))
	}
	for _, c := range t.columns {
		if c.demanded && !slices.ContainsFunc(m.Columns, func(have tables.Column) bool { return have.Name == c.name }) {
			return batch.Errorf(batch.CodeSchema, nil, "the column %q of the table must have a value, but is not exported: give it a default", c.name)
		}
	}
	return nil
}

// transact runs a transaction that touches few rows.
func (s *session) transact(ctx context.Context, do func(tx *session) error) error {
	if _, err := s.exec(ctx, "BEGIN"); err != nil {
		return classify(ctx, err)
	}
	err := do(s)
	if err == nil {
		_, err = s.exec(ctx, "COMMIT")
	} else if !s.IsClosed() {
		s.rollback(ctx)
	}
	return classify(ctx, err)
}

// rollback undoes a transaction that failed, for another one to begin. The server does it too when the session ends.
func (s *session) rollback(ctx context.Context) {
	_, _ = s.exec(ctx, "ROLLBACK") // the first error says more
}

// lock waits until nobody else does the same thing, until the end of the transaction.
func (s *session) lock(ctx context.Context, what string) error {
	h := fnv.New64a()
	_, _ = h.Write([]byte("tranche: " + what))                                             // never fails
	_, err := s.exec(ctx, "SELECT pg_catalog.pg_advisory_xact_lock($1)", int64(h.Sum64())) //nolint:gosec // any number will do
	return err
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// quoteAll lists names.
func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	return strings.Join(quoted, ", ")
}
