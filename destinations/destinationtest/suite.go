// Package destinationtest is the conformance suite of destinations: what every kind must do, whatever fails, on its
// real server. It has no switches: what a kind cannot do is said by its plugin, where the product sees it too.
package destinationtest

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tranche/destinations"
)

// A Fixture is a destination with a place of its own, where nothing has been delivered yet.
type Fixture struct {
	Plugin destinations.Plugin
	// Config is valid, as a customer sends it.
	Config map[string]any
	// Rows reads all that a reader of the destination sees, without the destination's code.
	Rows func(ctx context.Context) ([]Row, error)
	// Staged lists what is there and not visible: files, uploads, tables. After an abort there is none.
	Staged func(ctx context.Context) ([]string, error)
	// OpenAt opens the destination with faults: at is called before each step that changes something, with the step's
	// name. When it returns an error, the destination must stop there and return it, as if the process had died.
	OpenAt func(ctx context.Context, config map[string]any, at At) (destinations.Destination, error)
}

// At is a fault point: see Fixture.
type At func(ctx context.Context, step string) error

// A Row is what the suite reads back of one row.
type Row struct {
	UUID       string
	Event      string
	Timestamp  time.Time
	Properties string // JSON
}

// Run runs the suite; make gives each case a fixture of its own. The calling test must not be parallel, since it
// watches the process's goroutines.
func Run(t *testing.T, make func(t *testing.T) Fixture) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	for name, test := range cases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newWorld(t, make(t)))
		})
	}
}

// cases returns every case under a sentence that says what is promised.
func cases() map[string]func(*world) {
	return map[string]func(*world){
		"rows are visible after the commit and not before": visibleAfterCommit,
		"one row is enough":                                           oneRow,
		"an interval without rows makes nothing":                      noRows,
		"an interval without rows removes what was delivered":         noRowsRemovesPrevious,
		"a split that is staged twice counts once":                    stageTwice,
		"many splits are delivered in their order":                    manySplits,
		"a commit that is called twice changes nothing":               commitTwice,
		"a commit whose answer was lost is found done":                lostAnswer,
		"a run with fewer rows and files replaces one with more":      fewerRows,
		"a run with more rows and files replaces one with fewer":      moreRows,
		"a crash at any step of staging costs an attempt":             crashInStage,
		"a crash at any step of a commit is made good by the next":    crashInCommit,
		"a crash at any step of a removal is made good by the next":   crashInRemoval,
		"a source that breaks off fails the split":                    sourceBreaks,
		"a cancelled stage ends within a second":                      cancelStage,
		"after an abort nothing can be staged or committed":           abortBeforeStage,
		"an abort while a split is staged fences it":                  abortDuringStage,
		"an abort at any step of staging leaves nothing":              abortAtEachStep,
		"an abort after staging fences the commit":                    abortAfterStage,
		"an abort after the commit changes nothing that is visible":   abortAfterCommit,
		"a stale run that wakes at any step changes nothing":          staleRun,
		"a stale run with the same rows changes nothing":              staleTwin,
		"a stale run without rows that wakes at any step is harmless": staleRemoval,
		"each required setting is needed":                             requiredSettings,
		"unknown settings and wrong types are refused":                wrongSettings,
		"secrets are neither shown nor part of errors":                secretsStaySecret,
		"a config survives storage and an empty change":               configRoundTrip,
		"the checks are the steps that were announced, and pass":      checksPass,
	}
}
