package safenet_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"tranche/internal/safenet"
)

// rebinding is a name server that answers first with a public address and then with the machine's own.
func rebinding(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	var asked atomic.Int64
	served := make(chan struct{})
	go func() {
		defer close(served)
		packet := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return // the test is over
			}
			var m dnsmessage.Message
			if m.Unpack(packet[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				address := [4]byte{127, 0, 0, 1}
				if asked.Add(1) == 1 {
					address = [4]byte{93, 184, 216, 34}
				}
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: address},
				}}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(answer, from) // a lost answer is asked for again
			}
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		<-served
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// visited is a server on this machine, and how often it was reached.
func visited(t *testing.T, handler http.HandlerFunc) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var visits atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visits.Add(1)
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	return server, &visits
}

func TestANameThatChangesItsMeaningDoesNotReachOurNetwork(t *testing.T) {
	t.Parallel()
	ours, visits := visited(t, func(http.ResponseWriter, *http.Request) {})
	u, err := url.Parse(ours.URL)
	require.NoError(t, err)
	resolver := rebinding(t)
	guard := safenet.Guard{Lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
		return resolver.LookupNetIP(ctx, "ip4", host)
	}}
	const name = "rebind.example.com"
	require.NoError(t, guard.Check(t.Context(), name), "it is public when the settings are saved")
	dialer := net.Dialer{Resolver: resolver, Control: guard.Control}
	_, err = dialer.DialContext(t.Context(), "tcp4", net.JoinHostPort(name, u.Port()))
	require.ErrorIs(t, err, safenet.ErrForbidden, "it is ours when the connection is made")
	require.ErrorIs(t, guard.Check(t.Context(), name), safenet.ErrForbidden)
	require.Zero(t, visits.Load())
}

func TestARedirectDoesNotReachOurNetwork(t *testing.T) {
	t.Parallel()
	ours, visits := visited(t, func(http.ResponseWriter, *http.Request) {})
	// The customer's server is on 127.0.0.2, which the guard allows; ours is on 127.0.0.1, which it does not.
	theirs := httptest.NewUnstartedServer(http.RedirectHandler(ours.URL, http.StatusFound))
	var err error
	theirs.Listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.2:0")
	require.NoError(t, err)
	theirs.Start()
	t.Cleanup(theirs.Close)
	guard := safenet.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}
	client := http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{Control: guard.Control}).DialContext}}
	t.Cleanup(client.CloseIdleConnections)
	_, err = client.Get(theirs.URL)
	require.ErrorIs(t, err, safenet.ErrForbidden)
	require.Zero(t, visits.Load())
}
