// Package sourcetest is the conformance suite of sources: one that passes it can be used for exports.
package sourcetest

import (
	"context"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"tranche/sources"
)

// SplitRows is the number of rows from which a fixture's source must find a split worth having. In production it is
// far higher; here it keeps the data small.
const SplitRows = 100

// A Fixture is a source without rows.
type Fixture struct {
	Source sources.Source
	// Allocator is what the source makes its record batches with.
	Allocator *memory.CheckedAllocator
	// Oldest is the oldest instant that the source's type for timestamps can hold; zero = the year 1583 is no trouble.
	Oldest time.Time
	// Parsed says that the source keeps JSON in a form of its own, which cannot hold every text that is JSON.
	Parsed bool
	// Seed adds rows to what the source reads. It may be called more than once.
	Seed func(t *testing.T, rows []Row)
}

// A Row is an event as the source is to give it out.
type Row struct {
	UUID             string
	TeamID           int64
	Event            string
	DistinctID       string
	Timestamp        time.Time
	InsertedAt       time.Time
	CreatedAt        time.Time
	Properties       string // JSON
	PersonProperties string // JSON; "" = null
	PersonID         string // "" = null
	ElementsChain    string
}

// Run runs the suite. Start is called for each test and makes a fixture of its own; what it needs to clean up, it gives
// to t.Cleanup.
//
// One test looks for goroutines that were left behind. So Run must not be called from a test that is parallel to others.
func Run(t *testing.T, start func(t *testing.T) Fixture) {
	t.Helper()
	// First and alone, for the sake of what it counts.
	t.Run("the end of the context leaves nothing running", func(t *testing.T) { testCancel(t, start) })

	for name, test := range map[string]func(context.Context, *testing.T, Fixture){
		"rows come out as they are":                             testFidelity,
		"the schema is known beforehand":                        testSchema,
		"columns come in the order and by the name asked for":   testColumns,
		"splits cover the interval and never overlap":           testSplits,
		"many rows of one instant are not torn apart":           testOneInstant,
		"an interval without rows has no splits":                testEmpty,
		"an interval with one row has one split":                testOneRow,
		"bounds are half-open to the microsecond":               testBounds,
		"an interval without a start begins with the first row": testOpenStart,
		"events are included and excluded by name":              testFilters,
		"teams do not see each other's rows":                    testTeams,
		"reading again gives the same rows":                     testRepeat,
		"several readers read at once":                          testConcurrent,
		"memory does not grow with the rows":                    testMemory,
		"a reader that is released early leaves nothing":        testEarlyRelease,
		"a context that has ended is refused":                   testEndedContext,
		"what the source does not have is a customer's error":   testUnknown,
		"the earliest row of a team":                            testEarliest,
		"rows are chosen by either of their times":              testClocks,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			test(t.Context(), t, f)
			f.Allocator.AssertSize(t, 0)
		})
	}
}
