package main

import (
	"context"
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
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"tranche/workflows"
)

// An authority signs certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	path string // of its certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.path = written(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return a
}

// issue writes a certificate for a name, and its key.
func (a *authority) issue(t *testing.T, name, certPath, keyPath string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600))
}

// A cloud is a Temporal frontend that wants certificates, and tells who called.
type cloud struct {
	workflowservice.UnimplementedWorkflowServiceServer
	authorization, namespace []string
}

// GetSystemInfo is what a client calls first.
func (c *cloud) GetSystemInfo(ctx context.Context, _ *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	c.authorization, c.namespace = headers.Get("authorization"), headers.Get("temporal-namespace")
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

func startCloud(t *testing.T, server, clients *authority) (*cloud, string) {
	t.Helper()
	dir := t.TempDir()
	certPath, keyPath := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	server.issue(t, "cloud.example", certPath, keyPath)
	pair, err := tls.LoadX509KeyPair(certPath, keyPath)
	require.NoError(t, err)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	if clients != nil {
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		config.ClientCAs.AddCert(clients.cert)
	}
	c := &cloud{}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	workflowservice.RegisterWorkflowServiceServer(s, c)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(listener) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return c, listener.Addr().String()
}

// dial connects with settings, once.
func dial(t *testing.T, settings map[string]string) error {
	t.Helper()
	c, err := readConfig(from(settings))
	require.NoError(t, err)
	o, err := c.temporalOptions(zap.NewNop())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	o.ConnectionOptions.GetSystemInfoTimeout = 10 * time.Second
	temporal, err := client.DialContext(ctx, o)
	if err == nil {
		temporal.Close()
	}
	return err
}

func TestTheConnectionToTemporalIsEncryptedAndProvesWhoWeAre(t *testing.T) {
	t.Parallel()
	servers, ours := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	certPath, keyPath := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	ours.issue(t, "a worker", certPath, keyPath)
	mutual, address := startCloud(t, servers, ours)
	settings := map[string]string{
		"TRANCHE_TEMPORAL_ADDRESS": address, "TRANCHE_TEMPORAL_NAMESPACE": "prod.a1b2c", "TRANCHE_TEMPORAL_TLS_CA_FILE": servers.path,
		"TRANCHE_TEMPORAL_TLS_SERVER_NAME": "cloud.example",
		"TRANCHE_TEMPORAL_TLS_CERT_FILE":   certPath, "TRANCHE_TEMPORAL_TLS_KEY_FILE": keyPath,
	}
	require.NoError(t, dial(t, settings))
	require.Empty(t, mutual.authorization)

	other := newAuthority(t)
	other.issue(t, "a stranger", certPath, keyPath)
	require.Error(t, dial(t, settings), "the files are read anew, and these are of another authority")

	byKey, address := startCloud(t, servers, nil)
	settings = map[string]string{
		"TRANCHE_TEMPORAL_ADDRESS": address, "TRANCHE_TEMPORAL_TLS_CA_FILE": servers.path,
		"TRANCHE_TEMPORAL_TLS_SERVER_NAME": "cloud.example", "TRANCHE_TEMPORAL_API_KEY_FILE": written(t, planted+"\n"),
	}
	require.NoError(t, dial(t, settings))
	require.Equal(t, []string{"Bearer " + planted}, byKey.authorization)

	settings["TRANCHE_TEMPORAL_TLS_SERVER_NAME"] = "another.example"
	err := dial(t, settings)
	require.Error(t, err)
	require.NotContains(t, err.Error(), planted)
}

func TestCertificatesThatCannotBeUsedStopTheStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings map[string]string
		words    string
	}{
		"no such authorities": {map[string]string{"TRANCHE_TEMPORAL_TLS_CA_FILE": "/nowhere/ca.pem"}, "TRANCHE_TEMPORAL_TLS_CA_FILE: the file /nowhere/ca.pem"},
		"authorities that are none": {
			map[string]string{"TRANCHE_TEMPORAL_TLS_CA_FILE": written(t, "no PEM")}, "holds no certificate",
		},
		"no such certificate": {
			map[string]string{"TRANCHE_TEMPORAL_TLS_CERT_FILE": "/nowhere/c.pem", "TRANCHE_TEMPORAL_TLS_KEY_FILE": "/nowhere/k.pem"},
			"TRANCHE_TEMPORAL_TLS_CERT_FILE",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.ErrorContains(t, dial(t, c.settings), c.words)
		})
	}
	for name, settings := range map[string]map[string]string{
		"TRANCHE_TEMPORAL_TLS_CERT_FILE: goes together": {"TRANCHE_TEMPORAL_TLS_CERT_FILE": "/x"},
		"TRANCHE_TEMPORAL_TLS: is off":                  {"TRANCHE_TEMPORAL_TLS": "off", "TRANCHE_TEMPORAL_API_KEY": planted},
	} {
		_, err := readConfig(from(settings))
		require.ErrorContains(t, err, name)
	}
}

func TestFlagsOfAWorkerGoBeforeTheEnvironment(t *testing.T) {
	t.Parallel()
	cmd := &cobra.Command{Use: "worker"}
	getenv := withFlags(cmd, from(map[string]string{"TRANCHE_WORKER_SLOTS": "9", "TRANCHE_MEMORY_MB": "64"}),
		map[string]string{"slots": "TRANCHE_WORKER_SLOTS", "task-queues": "TRANCHE_TASK_QUEUES", "memory-mb": "TRANCHE_MEMORY_MB"})
	require.NoError(t, cmd.ParseFlags([]string{"--slots", "3", "--task-queues", " backfills"}))
	c, err := readConfig(getenv)
	require.NoError(t, err)
	require.Equal(t, 3, c.WorkerSlots)
	require.Equal(t, 64, c.MemoryMB)
	require.Equal(t, []string{workflows.QueueBackfills}, c.Queues)

	err = run(t.Context(), []string{"worker", "--slots", "none", "--task-queues", "all"}, from(nil), io.Discard)
	require.ErrorContains(t, err, "TRANCHE_WORKER_SLOTS: must be")
	require.ErrorContains(t, err, "TRANCHE_TASK_QUEUES: must be")
}
