package uploads_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/destinationtest"
	"tranche/destinations/objects"
	"tranche/destinations/objects/uploads"
	"tranche/query"
)

// settings of a destination on a shelf.
type settings struct {
	objects.Config
}

// checked adds the checks that every destination has.
type checked struct {
	*uploads.Destination
}

var step = destinations.Step{Name: "Write", Description: "Write, read and delete a file."}

// Checks is the Destination's.
func (d checked) Checks() []destinations.Check {
	return []destinations.Check{{Name: step.Name, Description: step.Description, Run: d.Probe}}
}

func openOn(s *shelf, c objects.Config, budget *uploads.Budget, at destinationtest.At) destinations.Destination {
	return checked{&uploads.Destination{
		Bucket: s, Config: c, Budget: budget, At: at,
		Keys: func(run destinations.Run) objects.Keys { return objects.KeysOf(run, c) },
	}}
}

func pluginOn(s *shelf, budget *uploads.Budget, at destinationtest.At) destinations.Plugin {
	return destinations.Define(destinations.Definition[settings]{
		Type: "Shelf", Name: "a shelf", Guarantee: destinations.AtomicObjects, Steps: []destinations.Step{step},
		Validate:  func(c settings) error { return c.Config.Validate() },
		Columns:   func(_ settings, m query.Model) ([]query.Column, error) { return objects.Columns(m) },
		MaxSplits: func(c settings) int { return c.Splits() },
		Open: func(_ context.Context, c settings) (destinations.Destination, error) {
			return openOn(s, c.Config, budget, at), nil
		},
	})
}

//nolint:paralleltest // the suite watches the process's goroutines
func TestConformance(t *testing.T) {
	for name, config := range map[string]map[string]any{ //nolint:paralleltest // see above
		"one file": {}, "numbered": {"compression": "gzip", "max_file_size_mb": 1, "prefix": "a/{year}"},
	} {
		t.Run(name, func(t *testing.T) {
			budget := uploads.NewBudget(uploads.MemoryLimit)
			destinationtest.Run(t, func(*testing.T) destinationtest.Fixture {
				s := newShelf()
				return destinationtest.Fixture{
					Plugin: pluginOn(s, budget, nil), Config: config,
					Rows:   func(context.Context) ([]destinationtest.Row, error) { return destinationtest.ReadObjects(s.visible()) },
					Staged: func(context.Context) ([]string, error) { return s.staged(), nil },
					OpenAt: func(ctx context.Context, config map[string]any, at destinationtest.At) (destinations.Destination, error) {
						return pluginOn(s, budget, at).Open(ctx, config)
					},
				}
			})
		})
	}
}

// quietJournal remembers nothing.
type quietJournal struct{}

// Record is the destinations.Journal's.
func (quietJournal) Record(context.Context, destinations.Ref) error { return nil }

func jobOf(split, splits int) destinations.Job {
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	return destinations.Job{Split: split, Splits: splits, Attempt: 1, Journal: quietJournal{}, Run: destinations.Run{
		ID: uuid.New(), Model: batch.ModelEvents, Interval: batch.Interval{Start: start, End: start.Add(time.Hour)}, Generation: 1,
	}}
}

// mebibytes is a reader of rows of 1 MiB each.
func mebibytes(t *testing.T, n int) array.RecordReader {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "text", Type: arrow.BinaryTypes.String}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for range n {
		b.Field(0).(*array.StringBuilder).Append(strings.Repeat("x", 1<<20))
	}
	reader, err := array.NewRecordReader(schema, []arrow.RecordBatch{b.NewRecordBatch()})
	require.NoError(t, err)
	return reader
}

func TestFilesThatShareASmallBudgetAllGetDone(t *testing.T) {
	t.Parallel()
	s, size := newShelf(), int64(1000)
	d := openOn(s, objects.Config{FileFormat: "JSONLines", MaxFileSize: &size}, uploads.NewBudget(1), nil) // two parts
	const splits = 6
	errs, readers := make([]error, splits), make([]array.RecordReader, splits)
	for i := range splits {
		readers[i] = mebibytes(t, 20)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var staging sync.WaitGroup
	for i := range splits {
		staging.Go(func() { _, errs[i] = d.Stage(ctx, jobOf(i, splits), readers[i]) })
	}
	staging.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, s.staged(), 2*splits)
	files := 0
	for _, u := range s.uploads {
		for number, part := range u.parts {
			if number < len(u.parts) {
				require.Len(t, part, 8<<20, "some stores want all parts but the last to have one size")
			}
		}
		if len(u.parts) > 0 {
			files++
			require.Len(t, u.parts, 3)
		}
	}
	require.Equal(t, splits, files)
}

func TestWhoWaitsForMemoryIsCancelled(t *testing.T) {
	t.Parallel()
	s, budget := newShelf(), uploads.NewBudget(1)
	holding, release := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(holding) })
	holder := openOn(s, objects.Config{FileFormat: "JSONLines"}, budget, func(_ context.Context, point string) error {
		if point == "send part" {
			once()
			<-release
		}
		return nil
	})
	done, reader := make(chan error, 1), mebibytes(t, 3)
	go func() {
		_, err := holder.Stage(t.Context(), jobOf(0, 1), reader)
		done <- err
	}()
	<-holding
	ctx, cancel := context.WithCancel(t.Context())
	waiter := openOn(s, objects.Config{FileFormat: "JSONLines"}, budget, func(_ context.Context, point string) error {
		if !strings.HasSuffix(point, "_manifest.json") {
			cancel() // the next thing that it wants is memory
		}
		return nil
	})
	_, err := waiter.Stage(ctx, jobOf(0, 1), mebibytes(t, 3))
	require.ErrorIs(t, err, context.Canceled)
	close(release)
	require.NoError(t, <-done)
}

func TestRefsThatAreNoUploads(t *testing.T) {
	t.Parallel()
	d := openOn(newShelf(), objects.Config{FileFormat: "JSONLines"}, uploads.NewBudget(1), nil)
	for _, ref := range []destinations.Ref{"", "x", "{}", `{"key": "k"}`} {
		require.Equal(t, batch.CodeInternal, batch.CodeOf(d.Abort(t.Context(), []destinations.Ref{ref})), string(ref))
	}
	require.NoError(t, d.Abort(t.Context(), []destinations.Ref{`{"key": "k", "upload": "gone"}`}))
}
