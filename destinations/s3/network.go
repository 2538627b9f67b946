package s3

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/aws/smithy-go"

	"tranche/batch"
	"tranche/internal/safenet"
)

// classifyConnection is for stores that did not answer, or not as S3 does.
func classifyConnection(err error, what string) error {
	if code, message := tlsMeaning(err); code != "" {
		return batch.Errorf(code, err, "%s: %s", what, message)
	}
	code, message := networkMeaning(err)
	return batch.Errorf(code, err, "%s: %s", what, message)
}

// unknownHost says that the name of a host means nothing.
func unknownHost(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound
}

func networkMeaning(err error) (batch.Code, string) {
	var lookup *net.DNSError
	var unreadable *smithy.DeserializationError
	var network net.Error
	switch {
	case errors.Is(err, safenet.ErrForbidden):
		return batch.CodeConfig, "could not reach its host. Check that the hostname is correct and reachable from the internet"
	case unknownHost(err):
		return batch.CodeConfig, "the host of its endpoint does not exist"
	case errors.As(err, &lookup):
		return batch.CodeUnavailable, "the host of its endpoint could not be looked up: the name service does not answer"
	case errors.Is(err, syscall.ECONNREFUSED):
		return batch.CodeUnavailable, "its endpoint refuses connections: is it up, and is the port right?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return batch.CodeUnavailable, "there is no way through the network to its endpoint"
	case errors.As(err, &network) && network.Timeout():
		return batch.CodeTimeout, "it does not answer in time: is it up, and does a firewall let us in?"
	case errors.As(err, &unreadable) && network == nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return batch.CodeConfig, "its endpoint does not answer as S3 does"
	}
	return batch.CodeUnavailable, "it could not be reached, or broke off"
}

// tlsMeaning is of an endpoint with which we could not agree on TLS; no code = that is not it.
func tlsMeaning(err error) (batch.Code, string) {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return batch.CodeConfig, "its endpoint does not speak TLS: use http://"
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return batch.CodeConfig, "its endpoint refuses our side of TLS"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		return "", ""
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return batch.CodeConfig, "the certificate of its endpoint is for another host"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return batch.CodeConfig, "the certificate of its endpoint is signed by an authority that this server does not know"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return batch.CodeConfig, "the certificate of its endpoint has expired, or is not valid yet"
	}
	return batch.CodeConfig, "the certificate of its endpoint is not valid"
}
