package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tranche/batch"
)

const (
	// connectTimeout is for addresses that name none.
	connectTimeout = 10 * time.Second
	// hangUpTimeout bounds the farewell to the server.
	hangUpTimeout = 5 * time.Second
)

// connect opens a connection in a read-only transaction that sees one snapshot.
func (s *Source) connect(ctx context.Context) (*pgx.Conn, error) {
	c, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return nil, classify(ctx, err)
	}
	if _, err := c.PgConn().Exec(ctx, s.begin).ReadAll(); err != nil {
		hangUp(ctx, c)
		return nil, classify(ctx, err)
	}
	return c, nil
}

// hangUp closes the connection, also when ctx has ended, and returns when nothing of it is left. The transaction only
// read: there is nothing to commit, and nobody to tell when the farewell fails.
func hangUp(ctx context.Context, c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangUpTimeout)
	defer cancel()
	_ = c.Close(ctx)
	select {
	case <-c.PgConn().CleanupDone():
	case <-ctx.Done():
	}
}

// codes say what an error of the server's means, by the longest prefix of its SQLSTATE.
var codes = map[string]batch.Code{
	"08":    batch.CodeUnavailable, // connection
	"22":    batch.CodeSchema,      // a value that a cast refuses
	"28":    batch.CodeCredentials,
	"3D":    batch.CodeNotFound, // database
	"3F":    batch.CodeNotFound, // schema
	"40":    batch.CodeUnavailable,
	"42":    batch.CodeConfig,
	"42501": batch.CodePermission,
	"42703": batch.CodeConfig,   // column
	"42P01": batch.CodeNotFound, // table
	"53":    batch.CodeUnavailable,
	"53300": batch.CodeThrottled, // too many connections
	"53400": batch.CodeThrottled,
	"55P03": batch.CodeUnavailable, // a lock
	"57":    batch.CodeUnavailable, // shutting down, starting up
	"57014": batch.CodeTimeout,     // the statement timeout
	"58":    batch.CodeUnavailable,
}

// sentences are what the customer sees of a code.
var sentences = map[batch.Code]string{
	batch.CodeUnavailable: "the PostgreSQL source does not answer or broke off",
	batch.CodeThrottled:   "the PostgreSQL source has too many connections",
	batch.CodeTimeout:     "the PostgreSQL source took longer than its statement timeout",
	batch.CodeCredentials: "the PostgreSQL source refused our user or password",
	batch.CodePermission:  "the user of the PostgreSQL source may not read the table",
	batch.CodeNotFound:    "the database, schema or table of the PostgreSQL source does not exist",
	batch.CodeConfig:      "the table of the PostgreSQL source has other columns than it is configured for",
	batch.CodeSchema:      "the table of the PostgreSQL source holds values of another type than it is configured for",
}

// classify turns an error of the driver's into one of ours. The end of ctx stays as it is, whatever it made fail.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if untrusted(err) {
		return batch.Errorf(batch.CodeConfig, err, "the certificate of the PostgreSQL source is not one that we trust")
	}
	code, ok := codeOf(err)
	if !ok {
		return err
	}
	return batch.Errorf(code, err, "%s", sentences[code])
}

// untrusted says whether the error is about the server's certificate.
func untrusted(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.UnknownAuthorityError](err)
	return ok
}

func codeOf(err error) (batch.Code, bool) {
	if e, ok := errors.AsType[*batch.Error](err); ok {
		return e.Code, false // it is one of ours already
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		code, longest := batch.CodeInternal, 0
		for prefix, c := range codes {
			if len(prefix) > longest && strings.HasPrefix(e.Code, prefix) {
				code, longest = c, len(prefix)
			}
		}
		return code, longest > 0
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return batch.CodeUnavailable, true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return batch.CodeUnavailable, true
	}
	// A connection that breaks off gives an end of file, wrapped or not.
	if pgconn.SafeToRetry(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return batch.CodeUnavailable, true
	}
	return "", false
}
