package sources_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/file"
	"tranche/dev/clickhouse/clickhousetest"
	"tranche/internal/pgtest"
	"tranche/query"
	"tranche/sources"
	"tranche/sources/clickhouse"
	"tranche/sources/postgres"
)

var (
	columnar clickhousetest.Server
	rowwise  pgtest.Server
)

func TestMain(m *testing.M) {
	if os.Getenv("BENCH_APART") == "true" && !clickhousetest.Serving() {
		if err := keepApart(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := columnar.Run(m)
	rowwise.Stop()
	os.Exit(code)
}

// rows is how many events are read: BENCH_ROWS, or a million.
func rows(b *testing.B) int64 {
	b.Helper()
	text := os.Getenv("BENCH_ROWS")
	if text == "" {
		return 1_000_000
	}
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(b, err)
	return n
}

// apart are the processors of the servers and those of the reader, when each gets its own, as if it were on a machine of
// its own: with BENCH_APART=true the servers get the first.
var apart *struct{ servers, reader unix.CPUSet }

// keepApart divides the processors.
func keepApart() error {
	apart = new(struct{ servers, reader unix.CPUSet })
	if err := unix.SchedGetaffinity(0, &apart.reader); err != nil {
		return err
	}
	if apart.reader.Count() < 2 {
		return errors.New("BENCH_APART needs two processors")
	}
	first := 0
	for !apart.reader.IsSet(first) {
		first++
	}
	apart.servers.Set(first)
	apart.reader.Clear(first)
	runtime.GOMAXPROCS(apart.reader.Count())
	return nil
}

// started starts a server, on its processor.
func started(b *testing.B, start func(testing.TB) string) string {
	b.Helper()
	if apart == nil {
		return start(b)
	}
	keepTo(b, &apart.servers)
	defer keepTo(b, &apart.reader)
	return start(b)
}

// keepTo has this process, and those that it starts from now on, run on these processors alone.
func keepTo(b *testing.B, processors *unix.CPUSet) {
	b.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	require.NoError(b, err)
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		require.NoError(b, err)
		if err := unix.SchedSetaffinity(id, processors); !errors.Is(err, unix.ESRCH) { // it ended
			require.NoError(b, err)
		}
	}
}

// year is the interval in which all events arrived.
var year = batch.Interval{Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}

// Events like those of a product, about 500 bytes each, made by the servers themselves.
const (
	inPostgres = `CREATE TABLE events (uuid uuid NOT NULL, team_id bigint, event text, distinct_id text, timestamp timestamptz, inserted_at timestamptz,
	created_at timestamptz, properties text, person_properties text, person_id text, elements_chain text);
INSERT INTO events SELECT md5(i::text)::uuid, 1, (ARRAY['$pageview','$autocapture','sign up','purchase'])[1 + i %% 4], 'user-' || i %% 50000, at, at, at,
	'{"$current_url":"https://example.com/' || md5((i * 7)::text) || '","$browser":"Chrome","$ip":"10.0.' || i %% 256 || '.7","n":' || i || ',"text":"' || repeat(md5(i::text), 6) || '"}',
	'{"email":"user' || i %% 50000 || '@example.com"}', md5((i %% 50000)::text), ''
FROM (SELECT i, '2026-01-01Z'::timestamptz + i * interval '20 milliseconds' AS at FROM generate_series(1, %d) i) g;
ALTER TABLE events ADD PRIMARY KEY (uuid); CREATE INDEX ON events (team_id, inserted_at); ANALYZE events`
	inClickHouse = `CREATE TABLE events (uuid UUID, team_id Int64, event String, distinct_id String, timestamp DateTime64(6, 'UTC'), inserted_at DateTime64(6, 'UTC'),
	created_at DateTime64(6, 'UTC'), properties String, person_properties Nullable(String), person_id Nullable(String), elements_chain String)
	ENGINE = MergeTree ORDER BY (team_id, inserted_at)`
	filled = `INSERT INTO events SELECT reinterpretAsUUID(MD5(toString(number))), 1, ['$pageview','$autocapture','sign up','purchase'][1 + number %% 4],
	concat('user-', toString(number %% 50000)), at, at, at,
	concat('{"$current_url":"https://example.com/', lower(hex(MD5(toString(number * 7)))), '","$browser":"Chrome","$ip":"10.0.', toString(number %% 256), '.7","n":', toString(number),
		',"text":"', repeat(lower(hex(MD5(toString(number)))), 6), '"}'),
	concat('{"email":"user', toString(number %% 50000), '@example.com"}'), lower(hex(MD5(toString(number %% 50000)))), ''
FROM (SELECT number, toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + toIntervalMillisecond(number * 20) AS at FROM numbers(%d))`
	exported = `uuid, timestamp, inserted_at, created_at, event, properties, distinct_id, elements_chain, person_properties, person_id`
)

func BenchmarkPostgreSQL(b *testing.B) {
	n, address := rows(b), started(b, rowwise.Database)
	c, err := pgx.Connect(b.Context(), address)
	require.NoError(b, err)
	defer c.Close(context.Background())
	_, err = c.PgConn().Exec(b.Context(), fmt.Sprintf(inPostgres, n)).ReadAll()
	require.NoError(b, err)
	s, err := postgres.New(postgres.Options{DSN: address})
	require.NoError(b, err)
	measureAll(b, s, func(b *testing.B) int64 {
		b.Helper()
		tag, err := c.PgConn().CopyTo(b.Context(), io.Discard, "COPY (SELECT "+exported+" FROM events WHERE team_id = 1) TO STDOUT (FORMAT binary)")
		require.NoError(b, err)
		return tag.RowsAffected()
	})
	_, err = c.Exec(b.Context(), "ALTER TABLE events DROP CONSTRAINT events_pkey")
	require.NoError(b, err)
	searching, err := postgres.New(postgres.Options{DSN: address})
	require.NoError(b, err)
	b.Run("source without a unique index", func(b *testing.B) { measure(b, func(b *testing.B) int64 { return readAll(b, searching) }) }) //nolint:thelper // it is measured
}

func BenchmarkClickHouse(b *testing.B) {
	n, address := rows(b), started(b, columnar.Database)
	columnar.Execute(b, address, inClickHouse)
	columnar.Execute(b, address, fmt.Sprintf(filled, n))
	s, err := clickhouse.New(clickhouse.Options{DSN: address})
	require.NoError(b, err)
	defer s.Close()
	measureAll(b, s, func(b *testing.B) int64 {
		b.Helper()
		u, err := url.Parse(address)
		require.NoError(b, err)
		secret, _ := u.User.Password()
		target := url.URL{Scheme: "http", Host: u.Host, RawQuery: url.Values{
			"database": {strings.Trim(u.Path, "/")}, "output_format_arrow_string_as_string": {"1"}, "output_format_arrow_compression_method": {"lz4_frame"},
		}.Encode()}
		request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, target.String(),
			strings.NewReader("SELECT "+exported+" FROM events WHERE team_id = 1 FORMAT ArrowStream"))
		require.NoError(b, err)
		request.SetBasicAuth(u.User.Username(), secret)
		response, err := http.DefaultClient.Do(request)
		require.NoError(b, err)
		defer response.Body.Close()
		require.Equal(b, http.StatusOK, response.StatusCode)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(b, err)
		return n
	})
}

// measureAll measures the floor, the source alone, and the source with a File destination behind it.
func measureAll(b *testing.B, s sources.Source, floor func(b *testing.B) int64) {
	b.Helper()
	b.Run("floor", func(b *testing.B) { measure(b, floor) })
	b.Run("source", func(b *testing.B) {
		measure(b, func(b *testing.B) int64 { return readAll(b, s) }) //nolint:thelper // it is measured
	})
	b.Run("to Parquet zstd", func(b *testing.B) {
		measure(b, func(b *testing.B) int64 {
			b.Helper()
			r := open(b, s)
			defer r.Release()
			return toParquet(b, r)
		})
	})
	b.Run("encoder alone", func(b *testing.B) {
		r := repeat(b, s, rows(b))
		defer r.Release()
		measure(b, func(b *testing.B) int64 { return toParquet(b, r) }) //nolint:thelper // it is measured
	})
}

// readAll reads all events and counts them.
func readAll(b *testing.B, s sources.Source) (n int64) {
	b.Helper()
	r := open(b, s)
	defer r.Release()
	for r.Next() {
		n += r.RecordBatch().NumRows()
	}
	require.NoError(b, r.Err())
	return n
}

// toParquet stages a reader's rows as a run would.
func toParquet(b *testing.B, r array.RecordReader) int64 {
	b.Helper()
	plugin := file.Plugin(file.Server{Root: b.TempDir()})
	config, err := plugin.Parse(map[string]any{"file_format": "Parquet", "compression": "zstd"}, nil)
	require.NoError(b, err)
	d, err := plugin.Open(b.Context(), config)
	require.NoError(b, err)
	defer d.Close()
	run := destinations.Run{ID: uuid.New(), ExportID: uuid.New(), TeamID: 1, Model: batch.ModelEvents, Interval: year, Generation: 1}
	receipt, err := d.Stage(b.Context(), destinations.Job{Run: run, Splits: 1, Attempt: 1, Journal: forgetful{}, Written: func(int64) {}}, r)
	require.NoError(b, err)
	return receipt.Rows
}

// repeated gives out rows that were read before, again and again, n in all.
type repeated struct {
	array.RecordReader
	batches []arrow.RecordBatch
	left    int64
	next    int
	current arrow.RecordBatch
}

// repeat reads some batches of a source, for a reader that costs nothing.
func repeat(b *testing.B, s sources.Source, n int64) *repeated {
	b.Helper()
	const kept = 25
	r := &repeated{RecordReader: open(b, s), left: n}
	for len(r.batches) < kept && r.RecordReader.Next() {
		r.RecordReader.RecordBatch().Retain()
		r.batches = append(r.batches, r.RecordReader.RecordBatch())
	}
	require.NoError(b, r.RecordReader.Err())
	return r
}

// Next is the RecordReader's.
func (r *repeated) Next() bool {
	if r.current != nil {
		r.current.Release()
		r.current = nil
	}
	if r.left <= 0 {
		return false
	}
	of := r.batches[r.next%len(r.batches)]
	r.current = of.NewSlice(0, min(of.NumRows(), r.left))
	r.left -= r.current.NumRows()
	r.next++
	return true
}

// RecordBatch is the RecordReader's.
func (r *repeated) RecordBatch() arrow.RecordBatch { return r.current }

// Err is the RecordReader's.
func (r *repeated) Err() error { return nil }

// forgetful is a journal of what goes with the benchmark's folder.
type forgetful struct{}

func (forgetful) Record(context.Context, destinations.Ref) error { return nil }

// open reads all events, as an activity does.
func open(b *testing.B, s sources.Source) array.RecordReader {
	b.Helper()
	q := query.Query{TeamID: 1, Model: batch.ModelEvents, Interval: year, Columns: query.ObjectStoreEvents()}
	r, err := sources.ReadAhead(b.Context(), sources.ReadAheadBytes, func(ctx context.Context) (array.RecordReader, error) {
		return s.Open(ctx, q, sources.Split{Range: year})
	})
	require.NoError(b, err)
	return r
}

// measure reports rows a second, the CPU and the memory of this process, and the CPU of the servers that it started.
func measure(b *testing.B, read func(b *testing.B) int64) {
	b.Helper()
	for b.Loop() {
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // begins the most memory anew, where the kernel lets us
		before, servers, begun := used(b), usedBelow(b, os.Getpid()), time.Now()
		n := read(b)
		require.Equal(b, rows(b), n)
		b.ReportMetric(float64(n)/time.Since(begun).Seconds(), "rows/s")
		b.ReportMetric((used(b)-before).Seconds()*1e6/float64(n), "cpu-s/Mrow")
		b.ReportMetric((usedBelow(b, os.Getpid())-servers).Seconds()*1e6/float64(n), "server-cpu-s/Mrow")
		b.ReportMetric(float64(peak(b))/(1<<20), "peak-MiB")
	}
}

// used is the CPU time of this process so far.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// usedBelow is the CPU time so far of the processes that one has started, and of those below them.
func usedBelow(b *testing.B, pid int) (sum time.Duration) {
	b.Helper()
	const clock = time.Second / 100 // USER_HZ, which every Linux has
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	require.NoError(b, err)
	for _, list := range children {
		text, _ := os.ReadFile(list) // a thread may have ended
		for _, child := range strings.Fields(string(text)) {
			id, err := strconv.Atoi(child)
			require.NoError(b, err)
			stat, _ := os.ReadFile("/proc/" + child + "/stat") // as may a process, whose time is its parent's then
			var ticks [4]int64                                 // its own, and of children that ended: in user mode, in the kernel
			if _, after, ok := strings.Cut(string(stat), ") "); ok {
				fields := strings.Fields(after)
				for i := range ticks {
					ticks[i], err = strconv.ParseInt(fields[11+i], 10, 64)
					require.NoError(b, err)
				}
			}
			sum += time.Duration(ticks[0]+ticks[1]+ticks[2]+ticks[3])*clock + usedBelow(b, id)
		}
	}
	return sum
}

// peak is the most memory of this process.
func peak(b *testing.B) int64 {
	b.Helper()
	body, err := os.ReadFile("/proc/self/status")
	require.NoError(b, err)
	for line := range strings.Lines(string(body)) {
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10
		}
	}
	return 0
}
