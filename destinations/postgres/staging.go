package postgres

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/jackc/pgx/v5/pgconn"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/tables"
)

// A staged is what the receipt says of a staging table.
type staged struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	// SHA256 is of the rows as they were sent, in hex.
	SHA256 string `json:"sha256"`
	// Changed counts the values that had to be changed to be stored.
	Changed      int64      `json:"changed,omitempty"`
	MinTimestamp *time.Time `json:"min_timestamp,omitempty"`
	MaxTimestamp *time.Time `json:"max_timestamp,omitempty"`
	Columns      []string   `json:"columns"`
}

// Stage copies the records of one split into a table of its own, whose columns have the types of the customer's table.
func (d *destination) Stage(ctx context.Context, job destinations.Job, records array.RecordReader) (destinations.Receipt, error) {
	if !records.Next() {
		return destinations.Receipt{Split: job.Split}, records.Err()
	}
	s, err := d.session(ctx)
	if err != nil {
		return destinations.Receipt{}, err
	}
	defer s.end(ctx)
	m, err := modelOf(job.Run, records.Schema())
	if err != nil {
		return destinations.Receipt{}, err
	}
	t, err := d.prepare(ctx, s, m)
	if err != nil {
		return destinations.Receipt{}, err
	}
	cleaner := &tables.Cleaner{}
	columns, err := columnsFor(m, t, cleaner)
	if err != nil {
		return destinations.Receipt{}, err
	}
	clock := -1
	if m.Clock != "" {
		if found := records.Schema().FieldIndices(m.Clock); len(found) == 1 {
			clock = found[0]
		}
	}
	from := newStream(records, columns, clock)
	from.wrote = job.Wrote
	if err := d.fill(ctx, s, job, from); err != nil {
		return destinations.Receipt{}, err
	}
	return d.receipt(job, from, cleaner)
}

// fill makes the staging table and copies into it. The journal must know of the table before and after it is made: a
// fence may have come between.
func (d *destination) fill(ctx context.Context, s *session, job destinations.Job, from *stream) error {
	name := tables.StagingName(job)
	ref := tables.RefOf(d.config.Schema, name)
	if err := job.Journal.Record(ctx, ref); err != nil {
		return err
	}
	if err := d.reach(ctx, "create "+name); err != nil {
		return err
	}
	if err := d.dropEarlier(ctx, s, job); err != nil {
		return classify(ctx, err)
	}
	if _, err := s.exec(ctx, "CREATE TABLE "+d.quoted(name)+" ("+definitions(from.columns)+
		") WITH (autovacuum_enabled = false)"); err != nil {
		return classify(ctx, err)
	}
	if err := job.Journal.Record(ctx, ref); err != nil {
		return errors.Join(err, d.drop(context.WithoutCancel(ctx), s, d.config.Schema, []string{name}))
	}
	if err := d.reach(ctx, "copy "+name); err != nil {
		return err
	}
	err := d.copy(ctx, s, d.quoted(name), from)
	if err == nil || !ended(err) {
		return err
	}
	// Somebody ended our session or dropped the table: the journal knows whether it was the fence.
	if fenced := job.Journal.Record(ctx, ref); fenced != nil {
		return fenced
	}
	if batch.CodeOf(err) == batch.CodeNotFound {
		return batch.Errorf(batch.CodeUnavailable, err, "somebody dropped a table that was being filled")
	}
	return err
}

// ended says whether an error may come from a fence, which ends sessions and drops tables.
func ended(err error) bool {
	code := batch.CodeOf(err)
	return code == batch.CodeUnavailable || code == batch.CodeNotFound
}

// definitions are the columns of a staging table: without constraints, which are the customer's table's own.
func definitions(columns []*column) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = quote(c.target.name) + " " + c.target.kind
	}
	return strings.Join(parts, ", ")
}

func (d *destination) receipt(job destinations.Job, from *stream, cleaner *tables.Cleaner) (destinations.Receipt, error) {
	min, max := from.times()
	table := staged{
		Schema: d.config.Schema, Name: tables.StagingName(job), SHA256: hex.EncodeToString(from.checksum.Sum(nil)),
		Changed: cleaner.Changed, MinTimestamp: min, MaxTimestamp: max,
	}
	receipt := destinations.Receipt{Split: job.Split, Rows: from.rows, Bytes: from.bytes}
	for _, c := range from.columns {
		table.Columns = append(table.Columns, c.target.name)
		receipt.Schema = append(receipt.Schema, destinations.Column{Name: c.target.name, Type: c.target.kind})
	}
	var err error
	receipt.Table, err = json.Marshal(table)
	return receipt, err
}

// dropEarlier drops what other attempts of the split have staged. Their names begin alike.
func (d *destination) dropEarlier(ctx context.Context, s *session, job destinations.Job) error {
	var names []string
	err := s.row(ctx, []any{&names}, `SELECT coalesce(array_agg(c.relname::text), '{}') FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind = 'r' AND starts_with(c.relname, $2)`, d.config.Schema, tables.SplitName(job))
	if err != nil || len(names) == 0 {
		return err
	}
	return d.drop(ctx, s, d.config.Schema, names)
}

// Abort drops staging tables, and ends the sessions of ours that still use them: whoever fills one, or is in the middle
// of a commit that reads it, cannot go on.
func (d *destination) Abort(ctx context.Context, refs []destinations.Ref) error {
	if len(refs) == 0 {
		return nil
	}
	bySchema := map[string][]string{}
	for _, ref := range refs {
		schema, name, err := tables.SplitRef(ref)
		if err != nil {
			return err
		}
		bySchema[schema] = append(bySchema[schema], name)
	}
	s, err := d.session(ctx)
	if err != nil {
		return err
	}
	defer s.end(ctx)
	for schema, names := range bySchema {
		if err := d.drop(ctx, s, schema, names); err != nil {
			return classify(ctx, err)
		}
	}
	return nil
}

const (
	// dropTries is how often we try to get hold of a table that somebody else uses.
	dropTries = 5
	// dropWait is how long we wait for it each time.
	dropWait = time.Second
	// dropAtOnce is how many tables one statement drops: each is a lock, of which a server has a limited number.
	dropAtOnce = 50
)

// drop drops staging tables, whoever of ours uses them.
func (d *destination) drop(ctx context.Context, s *session, schema string, names []string) error {
	for len(names) > dropAtOnce {
		if err := d.drop(ctx, s, schema, names[:dropAtOnce]); err != nil {
			return err
		}
		names = names[dropAtOnce:]
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(schema) + "." + quote(name)
	}
	var err error
	for range dropTries {
		if err = s.evict(ctx, schema, names); err != nil {
			return err
		}
		err = s.transact(ctx, func(tx *session) error {
			if _, err := tx.exec(ctx, "SELECT set_config('lock_timeout', $1, true)", millis(dropWait)); err != nil {
				return err
			}
			_, err := tx.exec(ctx, "DROP TABLE IF EXISTS "+strings.Join(quoted, ", "))
			return err
		})
		if batch.CodeOf(err) != batch.CodeBusy {
			break
		}
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "3F000" {
		return nil // without the schema there is no table either
	}
	return err
}

// evict ends the sessions of ours that hold locks on the tables. The server undoes what they had not committed. It needs
// no more rights than they had: they are of the same user.
func (s *session) evict(ctx context.Context, schema string, names []string) error {
	_, err := s.exec(ctx, `SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a WHERE a.pid IN (
			SELECT l.pid FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
			JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			JOIN pg_catalog.pg_database b ON b.oid = l.database AND b.datname = current_database()
			WHERE l.granted AND n.nspname = $1 AND c.relname = ANY ($2))
		AND a.pid <> pg_backend_pid() AND a.usename = current_user AND a.application_name = $3`, schema, names, application)
	return err
}
