package postgres_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/pgtest"
	"tranche/query"
	"tranche/sources/postgres"
)

// certificate makes one for a server at 127.0.0.1 that vouches for itself, and its key.
func certificate(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "events"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// encrypted is a database on a server of its own that has TLS, and the file of its authority.
func encrypted(t *testing.T) (dsn, authority string) {
	t.Helper()
	server := &pgtest.Server{}
	t.Cleanup(server.Stop)
	dsn = server.Database(t)
	c, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer c.Close(t.Context())
	public, secret := certificate(t)
	for name, content := range map[string][]byte{"server.crt": public, "server.key": secret} {
		_, err = c.Exec(t.Context(), "COPY (SELECT '"+base64.StdEncoding.EncodeToString(content)+"') TO PROGRAM 'umask 077; base64 -d > "+name+"'")
		require.NoError(t, err)
	}
	_, err = c.Exec(t.Context(), "ALTER SYSTEM SET ssl = on")
	require.NoError(t, err)
	_, err = c.Exec(t.Context(), "SELECT pg_reload_conf()")
	require.NoError(t, err)
	authority = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(authority, public, 0o600))
	dsn = strings.Replace(dsn, "sslmode=disable", "", 1)
	require.Eventually(t, func() bool { // until the server has read it
		c, err := pgx.Connect(t.Context(), dsn+"sslmode=require")
		return err == nil && c.Close(t.Context()) == nil
	}, 30*time.Second, 50*time.Millisecond)
	return dsn, authority
}

func TestRowsOverTLS(t *testing.T) {
	t.Parallel()
	dsn, authority := encrypted(t)
	c := connect(t, dsn+"sslmode=disable")
	// Each row says how it was sent.
	_, err := c.Exec(t.Context(), `CREATE VIEW events AS SELECT i::text uuid, 1 team_id, 'e' event, 'd' distinct_id,
		TIMESTAMPTZ '2026-03-01 12:00:00Z' "timestamp", TIMESTAMPTZ '2026-03-01 12:00:00Z' inserted_at, now() created_at, '{}' properties, '' person_properties,
		'' person_id, (SELECT CASE WHEN ssl THEN version ELSE 'plain' END FROM pg_stat_ssl WHERE pid = pg_backend_pid()) elements_chain FROM generate_series(1, 100) i`)
	require.NoError(t, err)
	public, _ := certificate(t)
	stranger := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(stranger, public, 0o600))
	trusted, untrusted := "sslrootcert="+url.QueryEscape(authority), "sslrootcert="+url.QueryEscape(stranger)
	for name, test := range map[string]struct { //nolint:paralleltest // the server ends with the test
		dsn  string
		how  string
		code batch.Code
	}{
		"whoever it is":                         {dsn: dsn + "sslmode=require", how: "TLSv1.3"},
		"an authority that is trusted":          {dsn: dsn + "sslmode=verify-ca&" + trusted, how: "TLSv1.3"},
		"the host of the certificate":           {dsn: dsn + "sslmode=verify-full&" + trusted, how: "TLSv1.3"},
		"an authority that is not":              {dsn: dsn + "sslmode=verify-full&" + untrusted, code: batch.CodeConfig},
		"an authority that is not, of any host": {dsn: dsn + "sslmode=verify-ca&" + untrusted, code: batch.CodeConfig},
		"nobody's authority":                    {dsn: dsn + "sslmode=verify-full", code: batch.CodeConfig},
		"another host":                          {dsn: strings.Replace(dsn, "127.0.0.1", "localhost", 1) + "sslmode=verify-full&" + trusted, code: batch.CodeConfig},
		"an authority without a file":           {dsn: dsn + "sslmode=verify-full&sslrootcert=/nowhere/ca.pem", code: batch.CodeConfig},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := postgres.New(postgres.Options{DSN: test.dsn})
			var rows []string
			if err == nil {
				rows, err = read(t.Context(), s)
			}
			if test.code != "" {
				require.Equal(t, test.code, batch.CodeOf(err), "%v", err)
				return
			}
			require.NoError(t, err)
			require.Len(t, rows, 100)
			require.True(t, strings.HasSuffix(rows[0], test.how), rows[0])
		})
	}
}

// A role that may read the table and nothing else is enough for all that a source does.
func TestARoleThatMayOnlyRead(t *testing.T) {
	t.Parallel()
	ctx := context.Background() // also for clean-up
	dsn := server.Database(t)
	c := connect(t, dsn)
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	role := "reader_of_" + strings.Trim(u.Path, "/")
	t.Cleanup(func() {
		_, err := c.Exec(ctx, "DROP OWNED BY "+role+"; DROP ROLE "+role)
		require.NoError(t, err)
	})
	_, err = c.Exec(ctx, `CREATE TABLE events (uuid uuid, team_id int, event text, distinct_id text, "timestamp" timestamptz,
			inserted_at timestamptz, created_at timestamptz, properties jsonb, person_properties jsonb, person_id text, elements_chain text);
		INSERT INTO events SELECT gen_random_uuid(), 1, 'e', 'd', now(), '2026-03-01T00:00:00Z'::timestamptz + i * interval '1 second', now(), '{}', NULL, NULL, '' FROM generate_series(1, 1000) i;
		CREATE ROLE `+role+` LOGIN PASSWORD 'x'; GRANT SELECT ON events TO `+role)
	require.NoError(t, err)
	u.User = url.UserPassword(role, "x")
	s, err := postgres.New(postgres.Options{DSN: u.String(), SplitRows: 100})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	events, _ := query.PostHog().Model(batch.ModelEvents)

	require.NoError(t, s.Check(ctx, query.Catalog{events}))
	_, any, err := s.Earliest(ctx, someQuery)
	require.NoError(t, err)
	require.True(t, any)
	n, err := s.Count(ctx, someQuery)
	require.NoError(t, err)
	require.EqualValues(t, 1000, n)
	splits, err := s.Plan(ctx, someQuery, 4)
	require.NoError(t, err)
	require.Len(t, splits, 4)
	snapshot, err := s.Hold(ctx)
	require.NoError(t, err)
	_, err = c.Exec(ctx, "DELETE FROM events")
	require.NoError(t, err)
	rows := 0
	for _, split := range splits {
		split.Snapshot = snapshot
		r, err := s.Open(ctx, someQuery, split)
		require.NoError(t, err)
		for r.Next() {
			rows += int(r.RecordBatch().NumRows())
		}
		require.NoError(t, r.Err())
		r.Release()
	}
	require.Equal(t, 1000, rows)

	_, err = c.Exec(ctx, "REVOKE SELECT ON events FROM "+role)
	require.NoError(t, err)
	_, err = s.Count(ctx, someQuery)
	require.Equal(t, batch.CodePermission, batch.CodeOf(err), "%v", err)
}
