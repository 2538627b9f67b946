package safenet_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/internal/safenet"
)

// guard resolves names from a table.
func guard() safenet.Guard {
	return safenet.Guard{Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		table := map[string]string{
			"db.example.com": "93.184.216.34", "two.example.com": "93.184.216.34 10.0.0.1", "v6.example.com": "2606:2800:220:1::1",
			"rebind.example.com": "127.0.0.1", "mapped.example.com": "::ffff:10.0.0.1", "xn--bcher-kva.example": "93.184.216.34",
		}
		var addrs []netip.Addr
		for text := range strings.FieldsSeq(table[host]) {
			addrs = append(addrs, netip.MustParseAddr(text))
		}
		if len(addrs) == 0 {
			return nil, errors.New("no such host")
		}
		return addrs, nil
	}}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]error{
		"db.example.com": nil, "DB.Example.COM.": nil, "v6.example.com": nil, "bücher.example": nil, "8.8.8.8": nil, "[2606:2800:220:1::1]": nil,

		"": safenet.ErrShape, ".": safenet.ErrShape, "a b": safenet.ErrShape, "http://db.example.com": safenet.ErrShape,
		"user@db.example.com": safenet.ErrShape, "db.example.com/x": safenet.ErrShape, "db.example.com:5432": safenet.ErrShape,
		"2130706433": safenet.ErrShape, "0x7f.1": safenet.ErrShape, "127.1": safenet.ErrShape, "a..b": safenet.ErrShape,
		"0177.0.0.1": safenet.ErrShape, "017700000001": safenet.ErrShape, "0x7f000001": safenet.ErrShape, "127.0.0.1.": safenet.ErrShape, "1２7.0.0.1": safenet.ErrShape,
		"127。0。0。1": safenet.ErrShape, "0": safenet.ErrShape, "127.0.0.0x1": safenet.ErrShape, "[::1": safenet.ErrForbidden,
		"db.example.com\x00": safenet.ErrShape, "fe80::1%eth0": safenet.ErrShape, "x?y": safenet.ErrShape, strings.Repeat("a.", 200) + "b": safenet.ErrShape,

		"127.0.0.1": safenet.ErrForbidden, "10.0.0.1": safenet.ErrForbidden, "192.168.1.1": safenet.ErrForbidden, "172.16.0.1": safenet.ErrForbidden,
		"169.254.169.254": safenet.ErrForbidden, "100.64.0.1": safenet.ErrForbidden, "0.0.0.0": safenet.ErrForbidden, "255.255.255.255": safenet.ErrForbidden,
		"224.0.0.1": safenet.ErrForbidden, "::1": safenet.ErrForbidden, "::": safenet.ErrForbidden, "fe80::1": safenet.ErrForbidden, "fd00::1": safenet.ErrForbidden,
		"::ffff:127.0.0.1": safenet.ErrForbidden, "::ffff:7f00:1": safenet.ErrForbidden, "[::ffff:a9fe:a9fe]": safenet.ErrForbidden, "::127.0.0.1": safenet.ErrForbidden,
		"::ffff:0:127.0.0.1": safenet.ErrForbidden, "fd00:ec2::254": safenet.ErrForbidden, "168.63.129.16": safenet.ErrForbidden, "5f00::1": safenet.ErrForbidden,
		"metadata": safenet.ErrForbidden, "consul.service.consul": safenet.ErrForbidden, "x.corp": safenet.ErrForbidden, "x.home.arpa": safenet.ErrForbidden, "64:ff9b::a00:1": safenet.ErrForbidden, "2002:a00:1::": safenet.ErrForbidden, "ff02::1": safenet.ErrForbidden,
		"localhost": safenet.ErrForbidden, "x.localhost": safenet.ErrForbidden, "LOCALHOST.": safenet.ErrForbidden, "metadata.google.internal": safenet.ErrForbidden,
		"db.svc.cluster.local": safenet.ErrForbidden, "printer.lan": safenet.ErrForbidden, "no.such.host.example": safenet.ErrForbidden,
		"two.example.com": safenet.ErrForbidden, "rebind.example.com": safenet.ErrForbidden, "mapped.example.com": safenet.ErrForbidden,
	} {
		require.Equal(t, want, guard().Check(t.Context(), host), host)
	}
}

func TestADialerDoesNotReachOurNetwork(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, listener.Close()) })
	dialer := net.Dialer{Control: safenet.Guard{}.Control}
	_, err = dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
	require.ErrorIs(t, err, safenet.ErrForbidden)
	require.NoError(t, safenet.Guard{}.Control("tcp", "8.8.8.8:443", nil))
	require.ErrorIs(t, safenet.Guard{}.Control("tcp", "localhost:443", nil), safenet.ErrForbidden)
}

func TestNetworksThatAreAllowed(t *testing.T) {
	t.Parallel()
	table := map[string]string{
		"localhost": "127.0.0.1 ::1", "minio.internal": "10.1.2.3", "half.internal": "10.1.2.3 93.184.216.34", "two.example.com": "10.1.2.3 10.9.9.9",
		"db.example.com": "93.184.216.34",
	}
	guard := safenet.Guard{
		Allow: append(safenet.Loopback(), netip.MustParsePrefix("10.1.0.0/16")),
		Lookup: func(_ context.Context, host string) (addrs []netip.Addr, err error) {
			for text := range strings.FieldsSeq(table[host]) {
				addrs = append(addrs, netip.MustParseAddr(text))
			}
			return addrs, nil
		},
	}
	for host, want := range map[string]error{
		"127.0.0.1": nil, "::1": nil, "::ffff:10.1.0.1": nil, "localhost": nil, "minio.internal": nil, "db.example.com": nil,
		"10.2.0.1": safenet.ErrForbidden, "169.254.169.254": safenet.ErrForbidden, "half.internal": safenet.ErrForbidden,
		"two.example.com": safenet.ErrForbidden, "2130706433": safenet.ErrShape,
	} {
		require.Equal(t, want, guard.Check(t.Context(), host), host)
	}
	require.NoError(t, guard.Control("tcp", "127.0.0.1:443", nil))
	require.NoError(t, guard.Control("tcp", "[::ffff:10.1.0.1]:443", nil))
	require.ErrorIs(t, guard.Control("tcp", "10.2.0.1:443", nil), safenet.ErrForbidden)
}
