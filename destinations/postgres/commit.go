package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/tables"
)

// commitTries is how often a commit begins anew when the connection breaks off or the server wants it repeated. Whether
// a transaction whose answer was lost was committed, the ledger says.
const commitTries = 3

// Commit moves what is staged into the customer's table, in one transaction with the ledger.
func (d *destination) Commit(
	ctx context.Context, run destinations.Run, receipts []destinations.Receipt, previous *batch.Delivery,
) (destinations.Published, error) {
	c, err := d.commitOf(run, receipts)
	if err != nil {
		return destinations.Published{}, err
	}
	for try := 1; ; try++ {
		published, err := c.try(ctx, previous)
		again := batch.CodeOf(err) == batch.CodeUnavailable && ctx.Err() == nil
		if err == nil || !again || try == commitTries {
			return published, err
		}
	}
}

// A commit is one run's.
type commit struct {
	*destination
	run    destinations.Run
	model  tables.Model
	tables []stagedRows // which have rows
	rows   int64
	bytes  int64
	// changed counts the values that had to be changed to be stored.
	changed  int64
	min, max *time.Time
}

type stagedRows struct {
	staged
	rows int64
}

func (d *destination) commitOf(run destinations.Run, receipts []destinations.Receipt) (*commit, error) {
	c := &commit{destination: d, run: run, model: tables.Of(run)}
	for _, r := range receipts {
		if r.Rows == 0 {
			continue
		}
		table := stagedRows{rows: r.Rows}
		if err := json.Unmarshal(r.Table, &table.staged); err != nil {
			return nil, batch.Errorf(batch.CodeInternal, err, "the receipt of split %d names no table", r.Split)
		}
		c.tables = append(c.tables, table)
		c.rows, c.bytes, c.changed = c.rows+r.Rows, c.bytes+r.Bytes, c.changed+table.Changed
		c.min, c.max = earlier(c.min, table.MinTimestamp), later(c.max, table.MaxTimestamp)
	}
	// Locks are taken in one order, whatever that of the receipts.
	slices.SortFunc(c.tables, func(a, b stagedRows) int { return strings.Compare(a.Name, b.Name) })
	return c, nil
}

// try finds the commit done, or does it.
func (c *commit) try(ctx context.Context, previous *batch.Delivery) (destinations.Published, error) {
	s, err := c.session(ctx)
	if err != nil {
		return destinations.Published{}, err
	}
	defer s.end(ctx)
	if len(c.tables) == 0 {
		return c.deliverNothing(ctx, s, previous)
	}
	if done, err := c.find(ctx, s); err != nil || done != nil {
		return c.published(done), err
	}
	if err := c.createLedger(ctx, s); err != nil {
		return destinations.Published{}, err
	}
	// An earlier try of ours may be frozen, or its connection dead, with its transaction open.
	for _, t := range c.tables {
		if err := s.evict(ctx, t.Schema, []string{t.Name}); err != nil {
			return destinations.Published{}, classify(ctx, err)
		}
	}
	done, err := c.transaction(ctx, s)
	if known, ok := errors.AsType[*pgconn.PgError](err); ok && known.Code == "42P01" {
		return c.gone(ctx, s, err)
	}
	return c.published(done), err
}

// gone says what it means that a table is not there: another try of ours was faster, or a newer run dropped it.
func (c *commit) gone(ctx context.Context, s *session, cause error) (destinations.Published, error) {
	if done, err := c.find(ctx, s); err != nil || done != nil {
		return c.published(done), err
	}
	for _, t := range c.tables {
		var there bool
		err := s.row(ctx, []any{&there}, `SELECT to_regclass($1) IS NOT NULL`, quote(t.Schema)+"."+quote(t.Name))
		if err != nil {
			return destinations.Published{}, classify(ctx, err)
		}
		if !there {
			return destinations.Published{}, batch.Errorf(batch.CodeSuperseded, cause, "what was staged for the interval is gone")
		}
	}
	return destinations.Published{}, cause
}

// find returns the ledger's row if this run wrote it.
func (c *commit) find(ctx context.Context, s *session) (*entry, error) {
	e, err := c.recorded(ctx, s, c.run)
	if err != nil {
		return nil, err
	}
	if ours, err := e.of(c.run); err != nil || !ours {
		return nil, err
	}
	return e, nil
}

// transaction delivers in one transaction, and undoes it when something fails.
func (c *commit) transaction(ctx context.Context, s *session) (*entry, error) {
	if err := s.relax(ctx); err != nil {
		return nil, classify(ctx, err)
	}
	if _, err := s.exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED"); err != nil {
		return nil, classify(ctx, err)
	}
	done, err := c.deliver(ctx, s)
	if err != nil && !s.IsClosed() {
		s.rollback(ctx)
	}
	return done, err
}

// deliver does it all: staging tables first, since whoever fences this run takes them away.
func (c *commit) deliver(ctx context.Context, s *session) (*entry, error) {
	if err := c.reach(ctx, "lock"); err != nil {
		return nil, err
	}
	if err := c.lockAll(ctx, s); err != nil {
		return nil, classify(ctx, err)
	}
	before, err := c.recorded(ctx, s, c.run)
	if err != nil {
		return nil, err
	}
	if ours, err := before.of(c.run); err != nil || ours {
		return before, err // a try whose connection had died was faster after all
	}
	if err := c.reach(ctx, "publish"); err != nil {
		return nil, err
	}
	kept, err := c.publish(ctx, s, before)
	if err != nil {
		return nil, classify(ctx, err)
	}
	if err := c.reach(ctx, "record"); err != nil {
		return nil, err
	}
	done := entry{run: c.run.ID, generation: c.run.Generation, token: c.run.Token, rows: c.rows, kept: kept, min: c.min, max: c.max}
	if err := c.record(ctx, s, c.run, done); err != nil {
		return nil, classify(ctx, err)
	}
	if _, err := s.exec(ctx, "DROP TABLE "+c.names()); err != nil {
		return nil, classify(ctx, err)
	}
	if err := c.reach(ctx, "commit"); err != nil {
		return nil, err
	}
	return &done, classify(ctx, c.watch(ctx, s, func(ctx context.Context) error {
		tag, err := s.Exec(ctx, "COMMIT")
		if err == nil && tag.String() != "COMMIT" {
			return batch.Errorf(batch.CodeInternal, nil, "the server undid the transaction without saying why")
		}
		return err
	}))
}

func (c *commit) names() string {
	names := make([]string, len(c.tables))
	for i, t := range c.tables {
		names[i] = quote(t.Schema) + "." + quote(t.Name)
	}
	return strings.Join(names, ", ")
}

// lockAll locks what is staged, and then the export's deliveries into the table: intervals of another length may overlap,
// and must see what was delivered.
func (c *commit) lockAll(ctx context.Context, s *session) error {
	if _, err := s.exec(ctx, "LOCK TABLE "+c.names()+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		return err
	}
	return s.lock(ctx, "deliver "+c.run.ExportID.String()+" to "+c.table())
}

// publish moves the rows. It returns how many rows that the interval had before were not replaced.
func (c *commit) publish(ctx context.Context, s *session, before *entry) (kept int64, err error) {
	if c.model.Mutable() {
		return 0, c.merge(ctx, s)
	}
	o, err := c.overlap(ctx, s, c.run)
	if err != nil {
		return 0, err
	}
	var replaced int64
	for _, t := range c.tables {
		if o.intervals > 0 && len(c.model.Key) > 0 {
			n, err := c.remove(ctx, s, t, o)
			if err != nil {
				return 0, err
			}
			replaced += n
		}
	}
	for _, t := range c.tables {
		list := quoteAll(t.Columns)
		n, err := c.move(ctx, s, "INSERT INTO "+c.table()+" ("+list+") SELECT "+list+" FROM "+quote(t.Schema)+"."+quote(t.Name))
		if err != nil {
			return 0, err
		}
		if n != t.rows {
			return 0, batch.Errorf(batch.CodeVerification, nil, "%d rows were staged, but the server inserted %d", t.rows, n)
		}
	}
	// Only of this very interval is known how many rows it had.
	if before != nil && o.intervals == 1 {
		kept = max(0, before.rows+before.kept-replaced)
	}
	return kept, nil
}

// remove takes the rows away that are delivered again. That their times lie within those of all deliveries of the
// interval helps tables that are partitioned by time, or have no index of ours.
func (c *commit) remove(ctx context.Context, s *session, t stagedRows, o overlap) (int64, error) {
	if _, err := s.exec(ctx, "ANALYZE "+quote(t.Schema)+"."+quote(t.Name)); err != nil {
		return 0, err
	}
	var same []string
	for _, name := range c.model.Key {
		same = append(same, "old."+quote(name)+" = new."+quote(name))
	}
	var bounds []any
	from, to := earlier(c.min, o.min), later(c.max, o.max)
	if from != nil && to != nil && slices.Contains(t.Columns, c.model.Clock) {
		same = append(same, "old."+quote(c.model.Clock)+" BETWEEN $1 AND $2")
		bounds = append(bounds, *from, *to)
	}
	return c.move(ctx, s, "DELETE FROM "+c.table()+" old USING "+quote(t.Schema)+"."+quote(t.Name)+" new WHERE "+
		strings.Join(same, " AND "), bounds...)
}

// move runs a statement that moves rows.
func (c *commit) move(ctx context.Context, s *session, sql string, args ...any) (rows int64, err error) {
	err = c.watch(ctx, s, func(ctx context.Context) error {
		tag, err := s.Exec(ctx, sql, args...)
		rows = tag.RowsAffected()
		return err
	})
	return rows, err
}

// deliverNothing is the commit of an interval without rows: what was delivered before stays, and the ledger says so.
func (c *commit) deliverNothing(ctx context.Context, s *session, previous *batch.Delivery) (destinations.Published, error) {
	if previous == nil {
		_, err := s.exec(ctx, "SELECT 1")
		return destinations.Published{}, classify(ctx, err)
	}
	before, err := c.recorded(ctx, s, c.run)
	if err != nil {
		return destinations.Published{}, err
	}
	ours, err := before.of(c.run)
	if err != nil {
		return destinations.Published{}, err
	}
	if ours {
		return c.published(before), nil
	}
	if err := c.createLedger(ctx, s); err != nil {
		return destinations.Published{}, err
	}
	if err := c.reach(ctx, "record"); err != nil {
		return destinations.Published{}, err
	}
	done := entry{}
	if before != nil {
		done.kept = before.rows + before.kept
	}
	// One statement, which is a transaction of its own: nobody can be frozen in the middle of it.
	if err := c.record(ctx, s, c.run, done); err != nil {
		return destinations.Published{}, classify(ctx, err)
	}
	return c.published(&done), nil
}

// published is what the run made visible, as the ledger has it.
func (c *commit) published(done *entry) destinations.Published {
	if done == nil {
		return destinations.Published{}
	}
	p := destinations.Published{Rows: c.rows, Bytes: c.bytes}
	if c.changed > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf(
			"%d values held characters or forms that PostgreSQL cannot store (such as \\u0000); those were removed or replaced.", c.changed))
	}
	switch {
	case done.kept == 0:
	case len(c.model.Key) == 0:
		p.Warnings = append(p.Warnings, fmt.Sprintf("The interval was delivered before, and nothing tells its rows apart: %d rows of earlier "+
			"deliveries stay in the table beside the new ones. Add uuid to the query, or merge by a primary key.", done.kept))
	default:
		p.Warnings = append(p.Warnings, fmt.Sprintf(
			"%d rows that earlier runs of the interval delivered are gone from the source, but stay in the table.", done.kept))
	}
	return p
}

func earlier(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.Before(*a) {
		return b
	}
	return a
}

func later(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.After(*a) {
		return b
	}
	return a
}
