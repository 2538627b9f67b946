package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tranche/batch"
	"tranche/destinations"
)

// An entry is the ledger's row of an interval.
type entry struct {
	run        uuid.UUID
	generation int
	token      int64
	rows       int64
	// kept counts rows that earlier runs of the interval delivered and this one did not replace.
	kept     int64
	min, max *time.Time
}

// createLedger makes the ledger when it is missing.
func (d *destination) createLedger(ctx context.Context, s *session) error {
	var there bool
	err := s.row(ctx, []any{&there}, `SELECT to_regclass($1) IS NOT NULL`, d.ledger())
	if err != nil || there {
		return classify(ctx, err)
	}
	return s.transact(ctx, func(tx *session) error {
		if err := tx.lock(ctx, "make "+d.ledger()); err != nil {
			return err
		}
		if err := d.createSchema(ctx, tx); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `CREATE TABLE IF NOT EXISTS `+d.ledger()+` (
			batch_export_id uuid NOT NULL, table_name text NOT NULL,
			data_interval_start timestamptz NOT NULL, data_interval_end timestamptz NOT NULL,
			run_id uuid NOT NULL, generation integer NOT NULL, token bigint NOT NULL,
			rows bigint NOT NULL, rows_kept bigint NOT NULL,
			min_timestamp timestamptz, max_timestamp timestamptz, committed_at timestamptz NOT NULL DEFAULT now(),
			PRIMARY KEY (batch_export_id, table_name, data_interval_start, data_interval_end))`)
		return err
	})
}

// ofInterval is the condition of the ledger's row of a run's interval; key are its arguments.
const ofInterval = `batch_export_id = $1 AND table_name = $2 AND data_interval_start = $3 AND data_interval_end = $4`

func (d *destination) key(run destinations.Run) []any {
	return []any{run.ExportID, d.config.TableName, run.Interval.Start.UTC(), run.Interval.End.UTC()}
}

// recorded returns what the ledger says of the interval; nil = nothing, or there is no ledger.
func (d *destination) recorded(ctx context.Context, s *session, run destinations.Run) (*entry, error) {
	var e entry
	err := s.row(ctx, []any{&e.run, &e.generation, &e.token, &e.rows, &e.kept, &e.min, &e.max},
		`SELECT run_id, generation, token, rows, rows_kept, min_timestamp, max_timestamp FROM `+d.ledger()+` WHERE `+ofInterval,
		d.key(run)...)
	if known, ok := errors.AsType[*pgconn.PgError](err); ok && (known.Code == "42P01" || known.Code == "3F000") {
		return nil, nil //nolint:nilnil // nothing is recorded where there is no ledger
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // as said
	}
	return &e, classify(ctx, err)
}

// of says whether the entry is the run's, or of one that came later, which is an error with batch.CodeSuperseded.
func (e *entry) of(run destinations.Run) (bool, error) {
	if e == nil {
		return false, nil
	}
	if e.run == run.ID && e.generation == run.Generation {
		return true, nil
	}
	if e.token > run.Token {
		return false, batch.Errorf(batch.CodeSuperseded, nil, "a newer run has delivered the interval")
	}
	return false, nil
}

// An overlap is what the ledger knows of deliveries that share time with an interval.
type overlap struct {
	intervals int64
	min, max  *time.Time
}

func (d *destination) overlap(ctx context.Context, s *session, run destinations.Run) (overlap, error) {
	var o overlap
	err := s.row(ctx, []any{&o.intervals, &o.min, &o.max}, `SELECT count(*), min(min_timestamp), max(max_timestamp) FROM `+d.ledger()+
		` WHERE batch_export_id = $1 AND table_name = $2 AND data_interval_end > $3 AND data_interval_start < $4`, d.key(run)...)
	return o, err
}

// record writes the interval's row, unless a newer run has, which is an error with batch.CodeSuperseded. Called again by
// the same run, it writes the same.
func (d *destination) record(ctx context.Context, s *session, run destinations.Run, e entry) error {
	written, err := s.exec(ctx, `INSERT INTO `+d.ledger()+` AS old (batch_export_id, table_name, data_interval_start, data_interval_end,
			run_id, generation, token, rows, rows_kept, min_timestamp, max_timestamp)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (batch_export_id, table_name, data_interval_start, data_interval_end) DO UPDATE SET
			run_id = excluded.run_id, generation = excluded.generation, token = excluded.token, rows = excluded.rows,
			rows_kept = excluded.rows_kept, min_timestamp = least(old.min_timestamp, excluded.min_timestamp),
			max_timestamp = greatest(old.max_timestamp, excluded.max_timestamp), committed_at = now()
		WHERE old.token <= excluded.token`,
		append(d.key(run), run.ID, run.Generation, run.Token, e.rows, e.kept, e.min, e.max)...)
	if err == nil && written == 0 {
		return batch.Errorf(batch.CodeSuperseded, nil, "a newer run has delivered the interval")
	}
	return err
}
