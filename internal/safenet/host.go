// Package safenet keeps connections to hosts that customers name away from our own network: a check of the name, a
// check of what it resolves to, and one more when a connection is made, since names may change their meaning between.
package safenet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/idna"
)

// What a customer reads of a host that is refused. One text for all that cannot be reached: it must not tell which names
// and addresses our network has.
var (
	ErrShape     = errors.New("Invalid host. Enter a hostname or IP address without credentials, scheme, or path.")             //nolint:staticcheck // a sentence for customers
	ErrForbidden = errors.New("Could not reach this host. Check that the hostname is correct and reachable from the internet.") //nolint:staticcheck // as above
)

const (
	// resolveTimeout bounds the look-up of a name.
	resolveTimeout = 2 * time.Second
	maxHost        = 253 // characters of a name, by DNS
)

// A Guard checks hosts. The zero value uses the machine's resolver.
type Guard struct {
	// Lookup resolves a name; nil = the machine's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Allow are networks of ours that customers may reach all the same, as are names all of whose addresses are in them.
	Allow []netip.Prefix
}

// Loopback are the networks of the machine itself.
func Loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// Check says whether a customer may name the host: nil, ErrShape or ErrForbidden.
func (g Guard) Check(ctx context.Context, host string) error {
	name, err := Normalize(host)
	if err != nil {
		return err
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		return g.checkAddr(addr)
	}
	forbidden := forbiddenName(name)
	if forbidden && len(g.Allow) == 0 {
		return ErrForbidden // without a look-up, which our network would see
	}
	addrs, err := g.resolve(ctx, name)
	if err != nil {
		return err
	}
	for _, addr := range addrs {
		if forbidden && !g.allows(addr) {
			return ErrForbidden
		}
		if err := g.checkAddr(addr); err != nil {
			return err
		}
	}
	return nil
}

// resolve returns the addresses of a name; none is ErrForbidden.
func (g Guard) resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	lookup := g.Lookup
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	addrs, err := lookup(ctx, name)
	if err != nil || len(addrs) == 0 {
		return nil, ErrForbidden
	}
	return addrs, nil
}

// CheckAllowed says whether the host is in the networks of ours that are allowed, with all of its addresses: nil, ErrShape
// or ErrForbidden.
func (g Guard) CheckAllowed(ctx context.Context, host string) error {
	name, err := Normalize(host)
	if err != nil {
		return err
	}
	addrs := []netip.Addr{}
	if addr, err := netip.ParseAddr(name); err == nil {
		addrs = append(addrs, addr)
	} else if len(g.Allow) == 0 {
		return ErrForbidden
	} else if addrs, err = g.resolve(ctx, name); err != nil {
		return err
	}
	if slices.ContainsFunc(addrs, func(addr netip.Addr) bool { return !g.allows(addr) }) {
		return ErrForbidden
	}
	return nil
}

// ControlAllowed is Control for what may only go to the networks of ours that are allowed.
func (g Guard) ControlAllowed(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !g.allows(to.Addr()) {
		return fmt.Errorf("dial %s: %w", address, ErrForbidden)
	}
	return nil
}

// Control is for net.Dialer: it refuses to connect to an address of our network, whatever the name was.
func (g Guard) Control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial %s: %w", address, ErrForbidden)
	}
	return g.checkAddr(to.Addr())
}

// Normalize returns a host name as DNS has it, in lower case and without a trailing dot, or an address. Whatever else it
// is, is ErrShape.
func Normalize(host string) (string, error) {
	if addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err == nil {
		if addr.Zone() != "" {
			return "", ErrShape
		}
		return addr.Unmap().String(), nil
	}
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(host, "."))
	if err != nil || name == "" || len(name) > maxHost {
		return "", ErrShape
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notInName) {
			return "", ErrShape
		}
	}
	// Some resolvers read such names as addresses: 2130706433, 0x7f.1, 127.1.
	if last := labels[len(labels)-1]; last[0] >= '0' && last[0] <= '9' {
		return "", ErrShape
	}
	return strings.ToLower(name), nil
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// forbiddenNames and forbiddenSuffixes are names that only mean something inside of a network.
var (
	forbiddenNames    = []string{"localhost", "metadata", "metadata.google.internal"}
	forbiddenSuffixes = []string{
		".localhost", ".local", ".internal", ".svc.cluster.local", ".cluster.local", ".consul", ".lan", ".home", ".corp",
		".localdomain", ".home.arpa", ".intranet", ".priv",
	}
)

func forbiddenName(name string) bool {
	return slices.Contains(forbiddenNames, name) ||
		slices.ContainsFunc(forbiddenSuffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

// reserved are networks that are not the public internet, beside those that netip knows.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("168.63.129.16/32"), // the platform's own address inside of Azure
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
}

// publicIPv6 is all of IPv6 that is routed. What lies outside embeds IPv4 addresses, or is nobody's.
var publicIPv6 = netip.MustParsePrefix("2000::/3")

// checkAddr refuses addresses that are not public. An IPv4 address in an IPv6 one is judged as itself.
func (g Guard) checkAddr(addr netip.Addr) error {
	addr = addr.Unmap()
	if g.allows(addr) {
		return nil
	}
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.IsLoopback() || addr.Zone() != "" ||
		addr.Is6() && !publicIPv6.Contains(addr) || within(reserved, addr) {
		return ErrForbidden
	}
	return nil
}

func (g Guard) allows(addr netip.Addr) bool { return within(g.Allow, addr.Unmap()) }

func within(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
}
