package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/dev/temporal"
	"tranche/workflows"
)

// An authority signs certificates.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.pem")}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = &template
	var der []byte
	a.key, der = a.sign(&template)
	var err error
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.write(a.file, "CERTIFICATE", der)
	return a
}

// sign makes a key and a certificate for it; the first one is the authority's own.
func (a *authority) sign(template *x509.Certificate) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, signer)
	require.NoError(a.t, err)
	return key, der
}

// issue writes a certificate for a name, and its key.
func (a *authority) issue(name string) (certificate, key string) {
	a.t.Helper()
	private, der := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(a.t, err)
	dir := a.t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	a.write(certificate, "CERTIFICATE", der)
	a.write(key, "PRIVATE KEY", encoded)
	return certificate, key
}

func (a *authority) write(path, kind string, der []byte) {
	a.t.Helper()
	require.NoError(a.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// guardedFront is what stands before Temporal in a cloud: it talks TLS, wants a certificate of clients, and passes on what
// they say. It counts those whom it let in.
func guardedFront(t *testing.T, to, name string, servers, clients *authority) (address string, admitted *atomic.Int64) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(servers.issue(name))
	require.NoError(t, err)
	known := x509.NewCertPool()
	known.AddCert(clients.cert)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: known,
	})
	require.NoError(t, err)
	admitted = &atomic.Int64{}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return // the test is over
			}
			carrying.Go(func() { carry(near.(*tls.Conn), to, admitted) })
		}
	})
	t.Cleanup(func() { require.NoError(t, listener.Close()) }) // clients end before, and with them what is carried
	return listener.Addr().String(), admitted
}

func carry(near *tls.Conn, to string, admitted *atomic.Int64) {
	defer near.Close()
	if near.Handshake() != nil {
		return // it is nobody whom we know
	}
	far, err := new(net.Dialer).Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	admitted.Add(1)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // how a connection ends is the clients' business
			_, _ = way[0].Close(), way[1].Close()
		})
	}
	both.Wait()
}

// All processes reach Temporal over TLS, prove who they are with a certificate, and seal what they store there.
func TestTheServiceWorksWithATemporalThatWantsCertificates(t *testing.T) {
	t.Parallel()
	const name = "temporal.example"
	server := temporal.StartForTest(t, workflows.SearchAttributes())
	servers, ours, others := newAuthority(t), newAuthority(t), newAuthority(t)
	front, admitted := guardedFront(t, server.HostPort(), name, servers, ours)
	events := newEventMaker(21).within(epoch, 2*time.Hour, 40)
	d := deployOn(t, server.HostPort(), events)
	certificate, key := ours.issue("a worker")
	d = d.with("TRANCHE_TEMPORAL_ADDRESS="+front, "TRANCHE_TEMPORAL_TLS_CA_FILE="+servers.file, "TRANCHE_TEMPORAL_TLS_SERVER_NAME="+name,
		"TRANCHE_TEMPORAL_TLS_CERT_FILE="+certificate, "TRANCHE_TEMPORAL_TLS_KEY_FILE="+key,
		"TRANCHE_TEMPORAL_CODEC_KEYS=c1:"+base64.StdEncoding.EncodeToString([]byte(strings.Repeat("c", 32))))
	d.start()
	_, metrics := d.serve("worker")
	d.requireReady(metrics)
	export := d.create(fileExport("over TLS", "hour", "hours"))
	d.completed(export, d.backfill(export, epoch.Format(time.RFC3339), epoch.Add(2*time.Hour).Format(time.RFC3339)), workPatience)
	readDelivered(t, d.files).requireEvents(t, events)
	require.GreaterOrEqual(t, admitted.Load(), int64(2))
	requireWithout(t, "the histories", d.histories(), `"batch_export_id"`, `"team_id"`)

	stranger, strangersKey := others.issue("a worker")
	for why, settings := range map[string][]string{
		"no certificate":                      {"TRANCHE_TEMPORAL_TLS_CERT_FILE=", "TRANCHE_TEMPORAL_TLS_KEY_FILE="},
		"the certificate of others":           {"TRANCHE_TEMPORAL_TLS_CERT_FILE=" + stranger, "TRANCHE_TEMPORAL_TLS_KEY_FILE=" + strangersKey},
		"a server that is not whom we wanted": {"TRANCHE_TEMPORAL_TLS_SERVER_NAME=another.example"},
		"a server of an authority unknown":    {"TRANCHE_TEMPORAL_TLS_CA_FILE=" + others.file},
	} {
		before := admitted.Load()
		p := launch(t, d.with(settings...).environment, programs.service, "worker")
		require.Equal(t, 1, p.wait(), why)
		require.Contains(t, p.stderr.String(), "connect to Temporal at", why)
		require.NotContains(t, p.stderr.String(), "panic", why)
		require.Equal(t, before, admitted.Load(), why)
	}
}
