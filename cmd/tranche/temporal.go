package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.uber.org/zap"

	"tranche/internal/service"
	"tranche/internal/telemetry"
	"tranche/workflows"
)

// When the connection to Temporal is encrypted.
const (
	tlsAuto = "auto"
	tlsOn   = "on"
	tlsOff  = "off"
)

// Whether runs stay on the version that began them.
const (
	autoUpgrade = "auto-upgrade"
	pinned      = "pinned"
)

// temporalTLS is how the connection to Temporal is encrypted: names of files.
type temporalTLS struct {
	mode, authorities, certificate, key, serverName string
}

// asked says whether a setting needs encryption.
func (t temporalTLS) asked() bool {
	return t.authorities != "" || t.certificate != "" || t.key != "" || t.serverName != ""
}

func (c config) temporalContradictions() (problems []error) {
	if (c.TemporalTLS.certificate == "") != (c.TemporalTLS.key == "") {
		problems = append(problems, errors.New("TRANCHE_TEMPORAL_TLS_CERT_FILE: goes together with TRANCHE_TEMPORAL_TLS_KEY_FILE"))
	}
	if c.TemporalTLS.mode == tlsOff && (c.TemporalTLS.asked() || c.TemporalAPIKey != "") {
		problems = append(problems, errors.New("TRANCHE_TEMPORAL_TLS: is off, but an API key or certificates are set"))
	}
	return problems
}

// temporalOptions are how Temporal is dialled.
func (c config) temporalOptions(log *zap.Logger) (client.Options, error) {
	o := client.Options{
		HostPort: c.TemporalAddress, Namespace: c.TemporalNamespace, Logger: telemetry.NewTemporalLogger(log),
		DataConverter: converter.GetDefaultDataConverter(),
	}
	if c.TemporalTLS.mode == tlsOn || c.TemporalTLS.mode == tlsAuto && (c.TemporalTLS.asked() || c.TemporalAPIKey != "") {
		encryption, err := c.TemporalTLS.config()
		if err != nil {
			return o, err
		}
		o.ConnectionOptions.TLS = encryption
	}
	if c.TemporalAPIKey != "" {
		o.Credentials = client.NewAPIKeyStaticCredentials(c.TemporalAPIKey)
	}
	if len(c.TemporalCodecKeys) > 0 {
		codec, err := service.NewCodec(c.TemporalCodecKeys)
		if err != nil {
			return o, fmt.Errorf("TRANCHE_TEMPORAL_CODEC_KEYS: %w", err)
		}
		// Another codec is one more argument here.
		o.DataConverter = converter.NewCodecDataConverter(o.DataConverter, codec)
	}
	return o, nil
}

// config reads the files, all of them once: one that is missing or malformed stops the process at its start. Our own
// certificate is read anew for each connection, since such certificates live for days.
func (t temporalTLS) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.serverName}
	if t.authorities != "" {
		pem, err := readBounded(t.authorities)
		if err != nil {
			return nil, fmt.Errorf("TRANCHE_TEMPORAL_TLS_CA_FILE: the file %s: %w", t.authorities, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("TRANCHE_TEMPORAL_TLS_CA_FILE: the file %s holds no certificate in PEM", t.authorities)
		}
	}
	if t.certificate == "" {
		return c, nil
	}
	ours := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(t.certificate, t.key)
		return &pair, err
	}
	if _, err := ours(nil); err != nil {
		return nil, fmt.Errorf("TRANCHE_TEMPORAL_TLS_CERT_FILE: %w", err)
	}
	c.GetClientCertificate = ours
	return c, nil
}

// taskQueues reads which queues a worker serves.
func taskQueues(v string) ([]string, error) {
	known := map[string]string{
		"exports": workflows.QueueExports, "backfills": workflows.QueueBackfills, "notifications": workflows.QueueNotifications,
	}
	var queues []string
	for _, word := range strings.Split(v, ",") {
		queue, ok := known[strings.TrimSpace(word)]
		if !ok {
			return nil, errors.New("must be some of exports, backfills and notifications, with commas between them")
		}
		queues = append(queues, queue)
	}
	return queues, nil
}

// version is what this worker is of its deployment.
func (c config) version() service.Version {
	return service.Version{Deployment: c.Deployment, BuildID: c.BuildID, Pinned: c.Versioning == pinned}
}
