package postgres_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/postgres"
	"tranche/internal/nettest"
)

// attended is within what a person waits for the answer of a connection test.
const attended = 8 * time.Second

// banner returns an address that greets whoever connects.
func banner(t *testing.T, text string) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var open sync.WaitGroup
	t.Cleanup(open.Wait)
	t.Cleanup(func() { _ = listener.Close() }) // which ends accepting
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, text)
				_, _ = io.Copy(io.Discard, conn) // until the other side has enough
			})
		}
	})
	return listener.Addr().String()
}

func TestAConnectionTestSaysWithinSecondsWhyNothingAnswers(t *testing.T) {
	t.Parallel()
	mail := banner(t, "220 mail.example.com ready\r\n")
	for name, c := range map[string]struct {
		address string
		step    string
		code    batch.Code
		message string
	}{
		"refused":                     {nettest.Refusing(t), "Reach the server", batch.CodeUnavailable, "the host refuses connections at the port"},
		"refused, to whoever logs in": {nettest.Refusing(t), "Open the database", batch.CodeUnavailable, "the host refuses connections at the port"},
		"no such host":                {"no-such-host.invalid:5432", "Reach the server", batch.CodeNotFound, "the host does not exist"},
		"a firewall":                  {nettest.Unanswering(t), "Reach the server", batch.CodeTimeout, "the server did not answer in time"},
		"a firewall, to whoever logs in": {
			nettest.Unanswering(t), "Open the database", batch.CodeTimeout, "the server did not answer in time",
		},
		"silence":                        {nettest.Silent(t), "Open the database", batch.CodeTimeout, "the server did not answer in time"},
		"the port of something else":     {mail, "Encrypt the connection", batch.CodeUnavailable, "what answers at the port does not speak as PostgreSQL does"},
		"something else, to who logs in": {mail, "Open the database", batch.CodeTimeout, "the server did not answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plugin := postgres.Plugin(laptop)
			config, err := plugin.Parse(configOf(t, "postgres://somebody@"+c.address+"/shop", nil), nil)
			require.NoError(t, err)
			d, err := plugin.OpenFor(t.Context(), destinations.Owner{TeamID: 1, Attended: true}, config)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, d.Close()) })
			began := time.Now()
			for _, check := range d.Checks() {
				if check.Name == c.step {
					err = check.Run(t.Context())
				}
			}
			require.Equal(t, c.code, batch.CodeOf(err), "%v", err)
			require.Contains(t, batch.MessageOf(err), c.message)
			require.Less(t, time.Since(began), attended)
		})
	}
}
