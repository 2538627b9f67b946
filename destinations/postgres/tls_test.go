package postgres_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/postgres"
)

// strict is a server that connects over TLS only.
var strict = postgres.Server{}

func TestTLSIsDemandedAndVerified(t *testing.T) {
	t.Parallel()
	const host = "127.0.0.1"
	authority := newAuthority(t)
	for name, test := range map[string]struct {
		certificate *tls.Certificate // nil = the server has no TLS
		config      map[string]any
		server      postgres.Server
		message     string // of the refusal; empty = connected
	}{
		"a server without TLS is refused":          {nil, nil, strict, "the server does not offer TLS, and this server connects over TLS only"},
		"on a laptop it is not":                    {nil, nil, laptop, ""},
		"a laptop does not look at certificates":   {authority.sign(t, "elsewhere"), nil, laptop, ""},
		"an unknown authority is refused":          {authority.sign(t, host), nil, strict, "is not signed by an authority that we know: set 'has_self_signed_cert'"},
		"unless the flag allows it":                {authority.sign(t, "elsewhere"), map[string]any{"has_self_signed_cert": true}, strict, ""},
		"or the authority is given":                {authority.sign(t, host), map[string]any{"ssl_root_cert": authority.pem}, strict, ""},
		"which does not make up for another host":  {authority.sign(t, "elsewhere"), map[string]any{"ssl_root_cert": authority.pem}, strict, "the certificate of the server is for another host"},
		"unless names are not to be compared":      {authority.sign(t, "elsewhere"), map[string]any{"ssl_root_cert": authority.pem, "ssl_mode": "verify-ca"}, strict, ""},
		"another authority is refused by its mode": {newAuthority(t).sign(t, host), map[string]any{"ssl_root_cert": authority.pem, "ssl_mode": "verify-ca"}, strict, "is not signed by an authority that we know"},
		"the mode require looks at nothing":        {authority.sign(t, "elsewhere"), map[string]any{"ssl_mode": "require"}, strict, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			for key, value := range test.config {
				p.config[key] = value
			}
			if test.certificate != nil {
				frontTLS(t, p.config, test.certificate)
			}
			p.server = test.server
			_, err := p.deliver(p.run(batch.ModelEvents, 0), reader(t, event{}))
			var step error
			for _, check := range p.open(test.server).Checks() {
				if check.Name == "Encrypt the connection" {
					step = check.Run(t.Context())
				}
			}
			if test.message == "" {
				require.NoError(t, err)
				if _, skipped := step.(*destinations.SkippedError); !skipped { //nolint:errorlint // it is not wrapped
					require.NoError(t, step)
				}
				return
			}
			for _, err := range []error{err, step} {
				require.Equal(t, batch.CodeConfig, batch.CodeOf(err), "%v", err)
				require.Contains(t, batch.MessageOf(err), test.message)
			}
		})
	}
}

func TestSettingsThatWouldGiveUpTLSAreRefused(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for setting, value := range map[string]string{"ssl_mode": "disable", "ssl_root_cert": "no certificate"} {
		p.config["ssl_root_cert"], p.config["ssl_mode"] = nil, nil
		p.config[setting] = value
		_, err := postgres.Plugin(strict).Parse(p.config, nil)
		require.ErrorContains(t, err, setting)
	}
}

// An authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         string
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	certificate := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, certificate, key.Public(), key)
	require.NoError(t, err)
	return authority{certificate, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// sign makes a certificate for the host.
func (a authority) sign(t *testing.T, host string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	certificate := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if address := net.ParseIP(host); address != nil {
		certificate.IPAddresses = []net.IP{address}
	} else {
		certificate.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, a.certificate, key.Public(), a.key)
	require.NoError(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// frontTLS puts in front of the database what ends TLS as PostgreSQL does: asked for it, it answers S.
func frontTLS(t *testing.T, config map[string]any, certificate *tls.Certificate) {
	t.Helper()
	upstream := net.JoinHostPort(config["host"].(string), big.NewInt(int64(config["port"].(int))).String())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var open sync.WaitGroup
	t.Cleanup(open.Wait)
	t.Cleanup(func() { _ = listener.Close() }) // which ends accepting
	config["port"] = listener.Addr().(*net.TCPAddr).Port
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() { serveTLS(conn, upstream, certificate) })
		}
	})
}

func serveTLS(conn net.Conn, upstream string, certificate *tls.Certificate) {
	defer conn.Close()
	request := make([]byte, 8)
	if _, err := io.ReadFull(conn, request); err != nil {
		return
	}
	if request[4] != 4 || request[5] != 210 { // cancel requests come without TLS: let them pass to nobody
		return
	}
	if _, err := conn.Write([]byte("S")); err != nil {
		return
	}
	secured := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12})
	if err := secured.Handshake(); err != nil {
		return
	}
	to, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	defer to.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(to, secured) // its end is the connection's
		_ = to.Close()
	}()
	_, _ = io.Copy(secured, to)
	_ = conn.Close()
	<-done
}
