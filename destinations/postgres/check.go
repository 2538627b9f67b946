package postgres

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/tables"
)

// The steps of the connection test. Each proves one thing more than the one before.
var (
	reachStep  = destinations.Step{Name: "Reach the server", Description: "Find the host and connect to its port."}
	tlsStep    = destinations.Step{Name: "Encrypt the connection", Description: "Agree on TLS, and verify the server's certificate."}
	loginStep  = destinations.Step{Name: "Open the database", Description: "Log in with the user and the password, and open the database."}
	schemaStep = destinations.Step{Name: "Check the schema", Description: "See that the schema is there and may be used, or can be made."}
	writeStep  = destinations.Step{Name: "Write a table", Description: "Create a table in the schema, write a row, read it back and drop the table."}
	tableStep  = destinations.Step{Name: "Check the table", Description: "See that the table, if it is there, can hold what is exported, and that the ledger tranche_deliveries can be written."}
)

func steps() []destinations.Step {
	return []destinations.Step{reachStep, tlsStep, loginStep, schemaStep, writeStep, tableStep}
}

// Checks is the Destination's.
func (d *destination) Checks() []destinations.Check {
	runs := []func(context.Context) error{
		d.checkReach, d.checkTLS, d.checkLogin,
		d.inSession(d.checkSchema), d.inSession(d.checkWrite), d.inSession(d.checkTable),
	}
	checks := make([]destinations.Check, len(runs))
	for i, step := range steps() {
		checks[i] = destinations.Check{Name: step.Name, Description: step.Description, Run: runs[i]}
	}
	return checks
}

func (d *destination) inSession(check func(context.Context, *session) error) func(context.Context) error {
	return func(ctx context.Context) error {
		s, err := d.session(ctx)
		if err != nil {
			return err
		}
		defer s.end(ctx)
		return check(ctx, s)
	}
}

// knock connects to the port.
func (d *destination) knock(ctx context.Context) (net.Conn, error) {
	conn, err := d.server.dial(ctx, "tcp", net.JoinHostPort(d.connect.Host, strconv.Itoa(d.config.Port)))
	if err != nil {
		return nil, ofNetwork(err) // also when the time for it is over: that is what it says
	}
	return conn, nil
}

func (d *destination) checkReach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.dial)
	defer cancel()
	conn, err := d.knock(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// requestTLS is what a client says first that wants TLS.
const requestTLS = 80877103

// checkTLS speaks just enough of the protocol to agree on TLS, so that a failure is not confused with one to log in.
func (d *destination) checkTLS(ctx context.Context) error {
	config := d.connect.TLSConfig
	if config == nil {
		return &destinations.SkippedError{Reason: "The settings say that the connection is not encrypted."}
	}
	ctx, cancel := context.WithTimeout(ctx, d.dial)
	defer cancel()
	conn, err := d.knock(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return classify(ctx, err)
		}
	}
	answer := make([]byte, 1)
	if _, err = conn.Write(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, requestTLS)); err == nil {
		_, err = io.ReadFull(conn, answer)
	}
	if err != nil || answer[0] != 'S' && answer[0] != 'N' {
		return batch.Errorf(batch.CodeUnavailable, err, "what answers at the port does not speak as PostgreSQL does")
	}
	if answer[0] == 'S' {
		return classify(ctx, tls.Client(conn, config).HandshakeContext(ctx))
	}
	if len(d.connect.Fallbacks) > 0 {
		return &destinations.SkippedError{Reason: "The server does not offer TLS, and this server does not insist on it."}
	}
	return classify(ctx, errors.New(refusedTLS))
}

func (d *destination) checkLogin(ctx context.Context) error {
	s, err := d.session(ctx)
	if err != nil {
		return err
	}
	defer s.end(ctx)
	var readOnly bool
	if err := s.row(ctx, []any{&readOnly}, `SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool`); err != nil {
		return classify(ctx, err)
	}
	if readOnly {
		return batch.Errorf(batch.CodeConfig, nil, "the server only allows to read: it is a replica, or the user may not write")
	}
	return nil
}

func (d *destination) checkSchema(ctx context.Context, s *session) error {
	var there, usage, create, makes bool
	err := s.row(ctx, []any{&there, &usage, &create, &makes}, `SELECT n.oid IS NOT NULL, coalesce(has_schema_privilege(n.oid, 'USAGE'), false),
		coalesce(has_schema_privilege(n.oid, 'CREATE'), false), has_database_privilege(current_database(), 'CREATE')
		FROM (SELECT) one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = $1`, d.config.Schema)
	switch {
	case err != nil:
		return classify(ctx, err)
	case !there && !makes:
		return batch.Errorf(batch.CodeNotFound, nil, "the schema %q does not exist, and the user may not create it: create it, or grant CREATE on the database", d.config.Schema)
	case there && !usage:
		return batch.Errorf(batch.CodePermission, nil, "the user may not use the schema %q: grant USAGE on it", d.config.Schema)
	case there && !create:
		return batch.Errorf(batch.CodePermission, nil, "the user may not create tables in the schema %q, in which rows are staged: grant CREATE on it", d.config.Schema)
	}
	return nil
}

// checkWrite works in one transaction that is undone: a schema that it had to make is gone after it, too.
func (d *destination) checkWrite(ctx context.Context, s *session) error {
	probe := d.quoted("tranche_probe_" + strings.ReplaceAll(uuid.NewString(), "-", ""))
	undo := errors.New("undo")
	err := s.transact(ctx, func(tx *session) error {
		if err := d.createSchema(ctx, tx); err != nil {
			return err
		}
		for _, sql := range []string{
			"CREATE TABLE " + probe + " (written timestamptz, properties jsonb)",
			"INSERT INTO " + probe + " VALUES (now(), '{}')",
		} {
			if _, err := tx.exec(ctx, sql); err != nil {
				return err
			}
		}
		var at time.Time
		if err := tx.row(ctx, []any{&at}, "SELECT written FROM "+probe); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, "DROP TABLE "+probe); err != nil {
			return err
		}
		return undo
	})
	if errors.Is(err, undo) {
		return nil
	}
	return err
}

// checkTable looks at the tables that are there already; the step before proved that the others can be made. A table whose
// model is not known is taken for one of events.
func (d *destination) checkTable(ctx context.Context, s *session) error {
	m := model{Model: tables.Of(destinations.Run{Model: batch.ModelEvents})}
	if d.model.Name != "" {
		m.Model = tables.For(d.model)
	}
	err := d.checkExisting(ctx, s, m)
	if err != nil && !errors.Is(err, errNoTable) {
		return err
	}
	return d.checkRights(ctx, s, tables.LedgerName, "INSERT, SELECT, UPDATE")
}

func (d *destination) checkExisting(ctx context.Context, s *session, m model) error {
	t, err := d.describe(ctx, s, m)
	if err != nil {
		return err
	}
	rights := "INSERT, SELECT, DELETE"
	if m.Mutable() {
		rights = "INSERT, SELECT, UPDATE"
	}
	if err := d.checkRights(ctx, s, d.config.TableName, rights); err != nil {
		return err
	}
	if err := t.check(m); err != nil {
		return err
	}
	for _, c := range m.Columns {
		if to, ok := t.column(c.Name); ok {
			if _, err := m.form(c, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkRights asks for each right that a delivery needs of a table, if it is there.
func (d *destination) checkRights(ctx context.Context, s *session, table, rights string) error {
	for right := range strings.SplitSeq(rights, ", ") {
		var has bool
		err := s.row(ctx, []any{&has}, `SELECT has_table_privilege(c.oid, $3) FROM pg_catalog.pg_class c
			JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`, d.config.Schema, table, right)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return classify(ctx, err)
		}
		if !has {
			return batch.Errorf(batch.CodePermission, nil, "the user lacks the right to %s on the table %q: grant it", right, table)
		}
	}
	return nil
}
