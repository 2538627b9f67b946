package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"tranche/batch"
)

// SQLSTATEs that we know.
const (
	stateForeignKey      = "23503"
	stateSerialization   = "40001"
	stateDeadlock        = "40P01"
	classConnection      = "08"
	classResources       = "53"
	classOperatorActions = "57P"
)

// Result codes of SQLite that we know. The low byte is the primary code.
const (
	sqliteBusy       = 5
	sqliteLocked     = 6
	sqlitePrimary    = 0xff
	sqliteForeignKey = 787
)

// classify turns an error of the database into one of ours. What our own code returned inside a transaction stays.
func classify(operation string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*batch.Error](err); ok {
		return err
	}
	switch {
	case errors.Is(err, gorm.ErrRecordNotFound), references(err):
		return fmt.Errorf("%s: %w", operation, batch.ErrNotFound)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded) && !connecting(err):
		return fmt.Errorf("%s: %w", operation, err)
	case unavailable(err):
		return batch.Errorf(batch.CodeUnavailable, fmt.Errorf("%s: %w", operation, err),
			"the service's database does not answer")
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// unavailable says whether the database cannot be reached or has no room for us at the moment.
func unavailable(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return strings.HasPrefix(e.Code, classConnection) || strings.HasPrefix(e.Code, classResources) ||
			strings.HasPrefix(e.Code, classOperatorActions)
	}
	if connecting(err) {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if brokenOff(err) {
		return true
	}
	primary := sqliteCode(err) & sqlitePrimary
	return primary == sqliteBusy || primary == sqliteLocked
}

// connecting says whether a connection could not be made, be it that there was no answer in time.
func connecting(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// brokenOff says whether the connection ended in the middle of something, or was found to be over.
func brokenOff(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, driver.ErrBadConn, sql.ErrConnDone} {
		if errors.Is(err, end) {
			return true
		}
	}
	return pgconn.SafeToRetry(err)
}

// conflicted says whether running the transaction again can help.
func conflicted(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == stateDeadlock || e.Code == stateSerialization)
}

// references says whether a row was written that points to a row that does not exist.
func references(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == stateForeignKey
	}
	return sqliteCode(err) == sqliteForeignKey
}

// sqliteCode returns SQLite's extended result code, or 0. The driver's error type is known by its method, because the
// service does not link the driver.
func sqliteCode(err error) int {
	var e interface {
		error
		Code() int
	}
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// notFound is the answer when an update matched no row.
func notFound(operation string) error {
	return fmt.Errorf("%s: %w", operation, batch.ErrNotFound)
}

// superseded tells a run that a newer one has taken its place.
func superseded(format string, args ...any) error {
	return batch.Errorf(batch.CodeSuperseded, nil, format, args...)
}

// clean makes text storable: PostgreSQL refuses NUL and what is not UTF-8. Texts of other systems' errors and logs are
// not worth losing for it.
func clean(text string) string {
	if utf8.ValidString(text) && !strings.Contains(text, "\x00") {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")
}
