package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"tranche/batch"
	"tranche/internal/safenet"
)

// A fault is what an SQLSTATE, or all that begin so, means for a delivery.
type fault struct {
	state   string
	code    batch.Code
	message string
	// quote adds the server's own words. They are left out where they may hold values of rows.
	quote bool
}

// faults are ordered so that the longest match comes first.
var faults = []fault{
	{"22001", batch.CodeSchema, "a value is longer than its column allows", true},
	{"22003", batch.CodeSchema, "a number is out of the range of its column", false},
	{"22008", batch.CodeSchema, "a time is out of the range of its column", false},
	{"22P05", batch.CodeSchema, "a text holds a character that the database's encoding has no place for", false},
	{"23502", batch.CodeSchema, "a column of the table does not take the null that a row has there", true},
	{"23503", batch.CodeSchema, "a row violates a foreign key of the table", true},
	{"23505", batch.CodeSchema, "a row violates a unique index of the table", true},
	{"23514", batch.CodeSchema, "a row violates a check of the table", true},
	{"25006", batch.CodeConfig, "the server only allows to read: it is a replica, or the user may not write", false},
	{"28000", batch.CodeCredentials, "the server refuses the user, or connections from us", true},
	{"28P01", batch.CodeCredentials, "the server refused the user or the password", false},
	{"3D000", batch.CodeNotFound, "the database does not exist", true},
	{"3F000", batch.CodeNotFound, "the schema does not exist", true},
	{"40001", batch.CodeUnavailable, "the server asked to repeat the transaction", false},
	{"40P01", batch.CodeUnavailable, "the transaction waited for another one that waited for it", false},
	{"42501", batch.CodePermission, "the user lacks a right on the database", true},
	{"42P01", batch.CodeNotFound, "a table does not exist", true},
	{"42703", batch.CodeSchema, "the table lacks a column", true},
	{"42804", batch.CodeSchema, "a column of the table has a type that cannot hold what is exported", true},
	{"42P10", batch.CodeSchema, "the table lacks the primary key or unique index that rows are merged by", true},
	{"53100", batch.CodeNoSpace, "the disk of the server is full", false},
	{"53300", batch.CodeThrottled, "the server has too many connections", false},
	{"53400", batch.CodeThrottled, "the server is at a limit of its configuration", true},
	{"55P03", batch.CodeBusy, "somebody holds a lock on the table for too long", false},
	{"57014", batch.CodeTimeout, "the server stopped the statement: it took too long, or somebody cancelled it", false},
	{"57P04", batch.CodeNotFound, "the database was dropped", false},
	{"0A", batch.CodeSchema, "the server cannot do that with this table", true},
	{"08", batch.CodeUnavailable, "the connection to the server broke off", false},
	{"22", batch.CodeSchema, "a value does not fit its column", false},
	{"23", batch.CodeSchema, "a row violates a constraint of the table", true},
	{"28", batch.CodeCredentials, "the server refuses the user", true},
	{"40", batch.CodeUnavailable, "the server undid the transaction", false},
	{"42", batch.CodeSchema, "the table is not as the export needs it", true},
	{"44", batch.CodeSchema, "a row is not one that the view takes", false},
	{"53", batch.CodeUnavailable, "the server is short of memory or other resources", false},
	{"54", batch.CodeSchema, "a row exceeds a limit of the server", true},
	{"55", batch.CodeUnavailable, "an object of the database is in use", false},
	{"57", batch.CodeUnavailable, "the server is shutting down or starting up, or somebody ended our session", false},
	{"58", batch.CodeUnavailable, "the server has trouble with its system", false},
	{"P0", batch.CodeSchema, "a trigger or a rule of the table refused a row", false},
	{"XX", batch.CodeUnavailable, "the server has an internal error", false},
}

// classify turns an error of the driver's into one of ours. The end of ctx stays as it is, whatever it made fail.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, ok := errors.AsType[*batch.Error](err); ok {
		return err
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return ofServer(e, err)
	}
	if known := ofTLS(err); known != nil {
		return known
	}
	return ofNetwork(err)
}

func ofServer(e *pgconn.PgError, cause error) error {
	for _, f := range faults {
		if !strings.HasPrefix(e.Code, f.state) {
			continue
		}
		if f.quote {
			return batch.Errorf(f.code, cause, "%s (%s)", f.message, e.Message)
		}
		return batch.Errorf(f.code, cause, "%s (SQLSTATE %s)", f.message, e.Code)
	}
	return batch.Errorf(batch.CodeInternal, cause, "the server gave an error that we do not know (SQLSTATE %s)", e.Code)
}

// refusedTLS is the driver's text for a server without TLS; it has no type.
const refusedTLS = "server refused TLS connection"

func ofTLS(err error) error {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return batch.Errorf(batch.CodeConfig, err, "the certificate of the server is for another host; 'ssl_mode' verify-ca does not compare names")
	}
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	if unknown {
		return batch.Errorf(batch.CodeConfig, err,
			"the certificate of the server is not signed by an authority that we know: set 'has_self_signed_cert', or give the authority's certificate in 'ssl_root_cert'")
	}
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	if invalid || unverified {
		return batch.Errorf(batch.CodeConfig, err, "the certificate of the server is not valid, or expired")
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return batch.Errorf(batch.CodeConfig, err, "the server refused our side of TLS")
	}
	if strings.HasSuffix(err.Error(), refusedTLS) { // otherwise it was tried without TLS, and failed for another reason
		return batch.Errorf(batch.CodeConfig, err, "the server does not offer TLS, and this server connects over TLS only")
	}
	return nil
}

// ofConnection is for connections that were not made.
func ofConnection(err error) error {
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	dial, dialling := errors.AsType[*net.OpError](err)
	dialling = dialling && dial.Op == "dial"
	switch {
	case !connecting && !dialling:
		return nil
	case errors.Is(err, syscall.ECONNREFUSED):
		return batch.Errorf(batch.CodeUnavailable, err, "the host refuses connections at the port: is the server up, and is the port right?")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return batch.Errorf(batch.CodeUnavailable, err, "there is no way through the network to the host")
	case overdue(err):
		return batch.Errorf(batch.CodeTimeout, err, "the server did not answer in time: is it up, and does a firewall or a list of allowed addresses let us in?")
	}
	return batch.Errorf(batch.CodeUnavailable, err, "the server does not accept connections, or is no PostgreSQL")
}

func overdue(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

func ofNetwork(err error) error {
	if errors.Is(err, safenet.ErrForbidden) {
		return batch.Errorf(batch.CodeConfig, err, "the host is not one that this server may connect to")
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return batch.Errorf(batch.CodeNotFound, err, "the host does not exist")
		}
		return batch.Errorf(batch.CodeUnavailable, err, "the host could not be looked up: the name service does not answer")
	}
	if known := ofConnection(err); known != nil {
		return known
	}
	if overdue(err) {
		return batch.Errorf(batch.CodeTimeout, err, "the server did not answer in time")
	}
	_, network := errors.AsType[net.Error](err)
	// A connection that breaks off gives an end of file, wrapped or not; the driver closes it.
	if network || pgconn.SafeToRetry(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return batch.Errorf(batch.CodeUnavailable, err, "the connection to the server broke off")
	}
	return err
}
