package s3_test

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/s3"
	"tranche/internal/miniotest"
)

// A line is the network between us and the store.
type line struct {
	*testing.T
	proxy *toxiproxy.Proxy
}

func newLine(t *testing.T, endpoint string) *line {
	t.Helper()
	u, err := url.Parse(endpoint)
	require.NoError(t, err)
	l := &line{T: t, proxy: toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "store", "127.0.0.1:0", u.Host)}
	require.NoError(t, l.proxy.Start())
	t.Cleanup(l.proxy.Stop)
	return l
}

func (l *line) url() string { return "http://" + l.proxy.Listen }

// breaks puts a toxic on the line.
func (l *line) breaks(toxic string) {
	l.Helper()
	_, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic))
	require.NoError(l, err)
}

// heals takes all toxics away.
func (l *line) heals() { l.proxy.Toxics.ResetToxics(context.Background()) }

// A scene is one export to one bucket.
type scene struct {
	*testing.T
	bucket  miniotest.Bucket
	plugin  destinations.Plugin
	config  map[string]any
	run     destinations.Run
	journal *journal
	begun   *keys

	mu sync.Mutex
	at func(point string) // what happens before a step
}

// A journal is our database.
type journal struct {
	mu   sync.Mutex
	refs []destinations.Ref
}

// Record is the destinations.Journal's.
func (j *journal) Record(_ context.Context, ref destinations.Ref) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.refs = append(j.refs, ref)
	return nil
}

// interval is what scenes deliver.
var interval = batch.Interval{Start: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC), End: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)}

const base = "exports/2026-03-01T10:00:00+00:00-2026-03-01T11:00:00+00:00"

func newScene(t *testing.T, bucket miniotest.Bucket, config map[string]any, server s3.Server, fake s3.Fake) *scene {
	t.Helper()
	s := &scene{T: t, bucket: bucket, begun: &keys{}, journal: &journal{}}
	fake.At = s.begun.watch(func(_ context.Context, point string) error {
		s.mu.Lock()
		at := s.at
		s.mu.Unlock()
		if at != nil {
			at(point)
		}
		return nil
	})
	s.plugin = s3.Plugin(server.With(t, fake))
	var err error
	s.config, err = s.plugin.Parse(config, nil)
	require.NoError(t, err)
	s.run = s.newRun()
	return s
}

func (s *scene) newRun() destinations.Run {
	return destinations.Run{ID: uuid.New(), ExportID: uuid.New(), TeamID: 1, Model: batch.ModelEvents, Interval: interval, Generation: 1}
}

// when sets what happens before a step.
func (s *scene) when(at func(point string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = at
}

func (s *scene) open() destinations.Destination {
	s.Helper()
	d, err := s.plugin.OpenFor(s.Context(), destinations.Owner{TeamID: 1, ExportID: s.run.ExportID}, s.config)
	require.NoError(s, err)
	s.Cleanup(func() { require.NoError(s, d.Close()) })
	return d
}

// stage stages some MiB, in one split.
func (s *scene) stage(d destinations.Destination, mib, attempt int) (destinations.Receipt, error) {
	s.Helper()
	return d.Stage(s.Context(), destinations.Job{Run: s.run, Splits: 1, Attempt: attempt, Journal: s.journal}, s.records(mib))
}

// records are rows of 64 KiB.
func (s *scene) records(mib int) array.RecordReader {
	s.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "timestamp", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true}, {Name: "text", Type: arrow.BinaryTypes.String},
	}, nil)
	text := strings.Repeat("x", 64<<10)
	var batches []arrow.RecordBatch
	for range max(1, mib) {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for i := range 16 {
			b.Field(0).(*array.TimestampBuilder).AppendTime(interval.Start.Add(time.Duration(i) * time.Second))
			b.Field(1).(*array.StringBuilder).Append(text)
		}
		batches = append(batches, b.NewRecordBatch())
		b.Release()
	}
	reader, err := array.NewRecordReader(schema, batches)
	require.NoError(s, err)
	return reader
}

// commit commits what was staged, in the place of nothing.
func (s *scene) commit(d destinations.Destination, receipts ...destinations.Receipt) (destinations.Published, error) {
	s.Helper()
	return d.Commit(s.Context(), s.run, receipts, nil)
}

// sees requires that these keys are visible, and no others.
func (s *scene) sees(keys ...string) {
	s.Helper()
	objects, err := s.bucket.Objects(s.Context())
	require.NoError(s, err)
	var got []string
	for key := range objects {
		got = append(got, key)
	}
	require.ElementsMatch(s, keys, got)
}

// sweeps does what the sweep does, and requires that nothing is left.
func (s *scene) sweeps(d destinations.Destination) {
	s.Helper()
	require.NoError(s, d.Abort(s.Context(), s.journal.refs))
	left, err := s.bucket.Uploads(s.Context(), s.begun.list()...)
	require.NoError(s, err)
	require.Empty(s, left)
}

// impatient is how long a line may be dead in these tests.
const impatient = time.Second

func newBrokenScene(t *testing.T) (*scene, *line) {
	t.Helper()
	b := server.Bucket(t)
	l := newLine(t, b.Endpoint)
	return newScene(t, b, with(settings(b), map[string]any{"endpoint_url": l.url()}), s3.Server{}, s3.Fake{Idle: impatient}), l
}

func TestASlowLineOnlyTakesLonger(t *testing.T) {
	t.Parallel()
	for name, toxics := range map[string][]string{
		"latency": {
			`{"type": "latency", "stream": "upstream", "attributes": {"latency": 60, "jitter": 40}}`,
			`{"type": "latency", "stream": "downstream", "attributes": {"latency": 60, "jitter": 40}}`,
		},
		// A part takes longer than a dead line may; it moves all the while.
		"little bandwidth": {`{"type": "bandwidth", "stream": "upstream", "attributes": {"rate": 6000}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, l := newBrokenScene(t)
			for _, toxic := range toxics {
				l.breaks(toxic)
			}
			d := s.open()
			receipt, err := s.stage(d, 17, 1)
			require.NoError(t, err)
			s.sees()
			_, err = s.commit(d, receipt)
			require.NoError(t, err)
			s.sees(base+".jsonl", base+"_manifest.json")
			s.sweeps(d)
		})
	}
}

func TestALineThatBreaksInAPartCostsAnAttempt(t *testing.T) {
	t.Parallel()
	for name, toxic := range map[string]string{
		"cut in the middle of every part": `{"type": "limit_data", "stream": "upstream", "attributes": {"bytes": 1000000}}`,
		"reset":                           `{"type": "reset_peer", "stream": "upstream", "attributes": {"timeout": 0}}`,
		"half-open":                       `{"type": "timeout", "stream": "upstream", "attributes": {"timeout": 0}}`,
		"answers are lost":                `{"type": "timeout", "stream": "downstream", "attributes": {"timeout": 0}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, l := newBrokenScene(t)
			d := s.open()
			var once sync.Once
			s.when(func(point string) {
				if point == "send part" {
					once.Do(func() { l.breaks(toxic) })
				}
			})
			_, err := s.stage(d, 17, 1)
			require.Error(t, err)
			require.True(t, batch.CodeOf(err).Retryable(), "%v", err)
			require.Contains(t, []batch.Code{batch.CodeUnavailable, batch.CodeTimeout}, batch.CodeOf(err), "%v", err)
			s.sees()

			l.heals()
			receipt, err := s.stage(d, 17, 2)
			require.NoError(t, err)
			_, err = s.commit(d, receipt)
			require.NoError(t, err)
			s.sees(base+".jsonl", base+"_manifest.json")
			s.sweeps(d)
		})
	}
}

func TestALineThatBreaksInACommitIsMadeGoodByTheNext(t *testing.T) {
	t.Parallel()
	for name, toxic := range map[string]string{
		"the request is lost": `{"type": "limit_data", "stream": "upstream", "attributes": {"bytes": 0}}`,
		"the answer is lost":  `{"type": "limit_data", "stream": "downstream", "attributes": {"bytes": 0}}`,
		"half-open":           `{"type": "timeout", "stream": "downstream", "attributes": {"timeout": 0}}`,
	} {
		for _, step := range []string{"publish " + base + ".jsonl", "write manifest"} {
			t.Run(name+" at "+strings.Fields(step)[0], func(t *testing.T) {
				t.Parallel()
				s, l := newBrokenScene(t)
				d := s.open()
				receipt, err := s.stage(d, 1, 1)
				require.NoError(t, err)
				var once sync.Once
				s.when(func(point string) {
					if point == step {
						once.Do(func() { l.breaks(toxic) })
					}
				})
				_, err = s.commit(d, receipt)
				require.Error(t, err)
				require.Contains(t, []batch.Code{batch.CodeUnavailable, batch.CodeTimeout}, batch.CodeOf(err), "%v", err)

				l.heals()
				published, err := s.commit(d, receipt)
				require.NoError(t, err)
				require.Equal(t, int64(16), published.Rows)
				s.sees(base+".jsonl", base+"_manifest.json")
				s.sweeps(d)
				s.sees(base+".jsonl", base+"_manifest.json")
			})
		}
	}
}

func TestACutThatPassesIsNotNoticed(t *testing.T) {
	t.Parallel()
	s, l := newBrokenScene(t)
	d := s.open()
	receipt, err := s.stage(d, 1, 1)
	require.NoError(t, err)
	l.proxy.Stop() // cuts all connections
	require.NoError(t, l.proxy.Start())
	_, err = s.commit(d, receipt)
	require.NoError(t, err)
	s.sees(base+".jsonl", base+"_manifest.json")
}
