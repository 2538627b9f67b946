package temporal

import (
	"context"

	enumspb "go.temporal.io/api/enums/v1"
)

// A TestingTB is the part of testing.TB that StartForTest needs; the binary does not link package testing for it.
type TestingTB interface {
	Helper()
	TempDir() string
	Context() context.Context
	Cleanup(cleanup func())
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// StartForTest starts a server without UI on a directory of the test's and stops it when the test ends. It takes half
// a second: share one among the tests of a package where they can.
func StartForTest(tb TestingTB, attributes map[string]enumspb.IndexedValueType) *Server {
	tb.Helper()
	s, err := Start(tb.Context(), Options{Dir: tb.TempDir(), SearchAttributes: attributes})
	if err != nil {
		tb.Fatalf("start Temporal: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Stop(); err != nil {
			tb.Errorf("stop Temporal: %v", err)
		}
	})
	return s
}

// StartOnStoresForTest is StartForTest with the state in PostgreSQL, on a port of the test's choice; 0 = any free one.
func StartOnStoresForTest(tb TestingTB, s Stores, port int, attributes map[string]enumspb.IndexedValueType) *Server {
	tb.Helper()
	server, err := Start(tb.Context(), Options{Stores: &s, Port: port, SearchAttributes: attributes})
	if err != nil {
		tb.Fatalf("start Temporal on PostgreSQL: %v", err)
	}
	tb.Cleanup(func() {
		if err := server.Stop(); err != nil {
			tb.Errorf("stop Temporal: %v", err)
		}
	})
	return server
}
