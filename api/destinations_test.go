package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"tranche/destinations"
	"tranche/destinations/postgres"
	"tranche/destinations/s3"
	"tranche/internal/safenet"
)

// stores are the kinds of destination whose settings are known, but that nothing is delivered to.
func stores() []destinations.Plugin {
	guard := safenet.Guard{Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "db.example.com" || host == "s3.example.com" {
			return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
		}
		return nil, errors.New("no such host")
	}}
	return []destinations.Plugin{
		s3.AWS(s3.Server{Guard: guard}), s3.Compatible(s3.Server{Guard: guard}), s3.Plugin(s3.Server{Guard: guard}),
		postgres.Plugin(postgres.Server{Guard: guard}),
	}
}

// to is a destination of a draft; settings are `"name": value`.
func to(kind string, settings ...string) string {
	return fmt.Sprintf(`"destination": {"type": %q, "config": {%s}}`, kind, strings.Join(settings, ","))
}
