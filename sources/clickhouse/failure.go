package clickhouse

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"

	"tranche/batch"
)

// maxShownBytes of what the server says are kept in an error.
const maxShownBytes = 1 << 10

// codes say what an error of ClickHouse's means. The numbers are of its ErrorCodes.cpp, where they never change.
var codes = map[int]batch.Code{
	16:   batch.CodeConfig, // no such column in table
	36:   batch.CodeConfig, // bad arguments
	41:   batch.CodeSchema, // cannot parse datetime
	43:   batch.CodeSchema, // illegal type of argument
	47:   batch.CodeConfig, // unknown identifier
	53:   batch.CodeSchema, // type mismatch
	60:   batch.CodeNotFound,
	69:   batch.CodeSchema, // out of bounds
	70:   batch.CodeSchema, // cannot convert type
	72:   batch.CodeSchema, // cannot parse number
	81:   batch.CodeNotFound,
	115:  batch.CodeConfig, // unknown setting
	153:  batch.CodeSchema, // no division
	158:  batch.CodeConfig, // too many rows, by the operator's limit
	159:  batch.CodeTimeout,
	160:  batch.CodeTimeout, // too slow
	164:  batch.CodePermission,
	167:  batch.CodeConfig,      // too deep
	168:  batch.CodeConfig,      // too large
	192:  batch.CodeCredentials, // unknown user
	193:  batch.CodeCredentials,
	194:  batch.CodeCredentials,
	195:  batch.CodePermission, // address not allowed
	201:  batch.CodeThrottled,  // quota
	202:  batch.CodeThrottled,  // too many queries at once
	209:  batch.CodeUnavailable,
	210:  batch.CodeUnavailable,
	236:  batch.CodeUnavailable, // aborted
	241:  batch.CodeThrottled,   // memory limit
	242:  batch.CodeUnavailable, // table is read-only, its keeper is away
	279:  batch.CodeUnavailable,
	291:  batch.CodePermission, // database access denied
	306:  batch.CodeConfig,     // too deep
	307:  batch.CodeConfig,     // too many bytes, by the operator's limit
	349:  batch.CodeSchema,     // null in a column that has none
	372:  batch.CodeUnavailable,
	386:  batch.CodeSchema,      // no common type
	394:  batch.CodeUnavailable, // somebody killed the query
	396:  batch.CodeConfig,      // too many rows or bytes in the result
	407:  batch.CodeSchema,      // a decimal or a time that does not fit
	427:  batch.CodeConfig,      // a regular expression
	452:  batch.CodePermission,  // setting constraint
	473:  batch.CodeUnavailable, // a lock
	497:  batch.CodePermission,
	516:  batch.CodeCredentials,
	519:  batch.CodeUnavailable, // replicas lag
	999:  batch.CodeUnavailable, // its keeper is away
	1000: batch.CodeUnavailable, // in its network library
}

// sentences are what the customer sees of a code.
var sentences = map[batch.Code]string{
	batch.CodeUnavailable: "the ClickHouse source does not answer or broke off",
	batch.CodeThrottled:   "the ClickHouse source is at its limit of queries, quota or memory",
	batch.CodeTimeout:     "the ClickHouse source took longer than its time limit",
	batch.CodeCredentials: "the ClickHouse source refused our user or password",
	batch.CodePermission:  "the user of the ClickHouse source may not read the table, or may not change settings (readonly must be 0 or 2)",
	batch.CodeNotFound:    "the database or table of the ClickHouse source does not exist",
	batch.CodeConfig:      "the ClickHouse source has other columns or settings than it is configured for",
	batch.CodeSchema:      "the table of the ClickHouse source holds values of another type than it is configured for",
	batch.CodeInternal:    "the ClickHouse source failed",
}

// exceptionCode finds the number of an error in the server's text.
var exceptionCode = regexp.MustCompile(`Code: (\d+)\. DB::`)

// refused is what the server answered in place of rows.
func refused(response *http.Response, text []byte) error {
	number, err := strconv.Atoi(response.Header.Get("X-ClickHouse-Exception-Code"))
	if err != nil {
		if found := exceptionCode.FindSubmatch(text); found != nil {
			number, err = strconv.Atoi(string(found[1]))
		}
	}
	cause := fmt.Errorf("HTTP status %d: %s", response.StatusCode, shown(text))
	if err != nil {
		// A gateway in between, or no ClickHouse at all.
		return batch.Errorf(gatewayCode(response.StatusCode), cause, "%s", sentences[gatewayCode(response.StatusCode)])
	}
	return exception(number, cause)
}

func gatewayCode(status int) batch.Code {
	switch {
	case status == http.StatusUnauthorized:
		return batch.CodeCredentials
	case status == http.StatusForbidden:
		return batch.CodePermission
	case status == http.StatusTooManyRequests:
		return batch.CodeThrottled
	case status == http.StatusNotFound:
		return batch.CodeNotFound
	case status < http.StatusInternalServerError:
		return batch.CodeConfig
	}
	return batch.CodeUnavailable
}

// exception is an error of the server's, by its number.
func exception(number int, cause error) error {
	code, ok := codes[number]
	if !ok {
		code = batch.CodeInternal
	}
	return batch.Errorf(code, cause, "%s", sentences[code])
}

// midway is an answer that broke off: with the server's word on it in text, or without.
func midway(text []byte, cause error) error {
	if found := exceptionCode.FindSubmatch(text); found != nil {
		if number, err := strconv.Atoi(string(found[1])); err == nil {
			return exception(number, errors.New(shown(text)))
		}
	}
	return batch.Errorf(batch.CodeUnavailable, cause, "%s", sentences[batch.CodeUnavailable])
}

// shown is a text that is short enough for an error.
func shown(text []byte) string {
	if len(text) > maxShownBytes {
		return string(text[:maxShownBytes]) + "…"
	}
	return string(text)
}

// certificate says whether the error is about the server's certificate.
func certificate(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.HostnameError](err)
	return ok
}
