package clickhouse_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/query"
	"tranche/sources"
	"tranche/sources/clickhouse"
)

const secret = "s3cret-of-the-source"

var (
	hour = batch.Interval{Start: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), End: time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)}
	ids  = query.Query{TeamID: 1, Model: batch.ModelEvents, Interval: hour, Columns: []query.Column{{Name: "id", Field: query.FieldUUID}}}
)

// address is a DSN of the servers, as replicas of each other.
func address(servers ...*httptest.Server) string {
	hosts := make([]string, len(servers))
	for i, s := range servers {
		hosts[i] = strings.TrimPrefix(s.URL, "http://")
	}
	return "clickhouse://exporter:" + secret + "@" + strings.Join(hosts, ",") + "/events"
}

func newSource(t *testing.T, o clickhouse.Options) *clickhouse.Source {
	t.Helper()
	s, err := clickhouse.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// stream is what ClickHouse sends for ids: batches of two rows each.
func stream(t *testing.T, batches int) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "0", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema), ipc.WithLZ4())
	builder := array.NewRecordBuilder(memory.NewGoAllocator(), schema)
	defer builder.Release()
	for range batches {
		builder.Field(0).(*array.StringBuilder).AppendValues([]string{"a", "b"}, nil)
		records := builder.NewRecordBatch()
		require.NoError(t, w.Write(records))
		records.Release()
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// read reads all rows of ids.
func read(ctx context.Context, s *clickhouse.Source) (rows int64, err error) {
	r, err := s.Open(ctx, ids, sources.Split{Range: hour})
	if err != nil {
		return 0, err
	}
	defer r.Release()
	for r.Next() {
		rows += r.RecordBatch().NumRows()
	}
	return rows, r.Err()
}

func TestAShortStreamIsNeverASuccess(t *testing.T) {
	t.Parallel()
	whole := stream(t, 3)
	const exception = "Code: 241. DB::Exception: Memory limit (for query) exceeded. (MEMORY_LIMIT_EXCEEDED)\n"
	marker := whole[len(whole)-8:]
	body := whole[:len(whole)-8]
	for name, test := range map[string]struct {
		body  []byte
		abort bool
		want  batch.Code
	}{
		"nothing at all":                          {nil, false, batch.CodeUnavailable},
		"an end without its mark":                 {body, false, batch.CodeUnavailable},
		"an end within a message":                 {body[:len(body)-30], false, batch.CodeUnavailable},
		"a connection that breaks off":            {body, true, batch.CodeUnavailable},
		"a connection that breaks off at the end": {whole, true, batch.CodeUnavailable},
		"an error in place of a message":          {append(bytes.Clone(body), exception...), false, batch.CodeThrottled},
		"an error and then an end":                {append(bytes.Clone(body), exception...), true, batch.CodeThrottled},
		"an error after the mark":                 {append(append(bytes.Clone(body), marker...), exception...), false, batch.CodeThrottled},
		"an error before the first message":       {[]byte(exception), false, batch.CodeThrottled},
		"something else":                          {[]byte("<html>Welcome to the gateway</html>"), false, batch.CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write(test.body)
				if test.abort {
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}
			})
			_, err := read(t.Context(), newSource(t, clickhouse.Options{DSN: address(server)}))
			require.Error(t, err)
			require.Equal(t, test.want, batch.CodeOf(err), "%v", err)
			require.True(t, test.want.Retryable())
		})
	}
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(whole) })
	rows, err := read(t.Context(), newSource(t, clickhouse.Options{DSN: address(server)}))
	require.NoError(t, err)
	require.Equal(t, int64(6), rows)
}

func TestAStreamOfOtherTypesIsRefused(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(stream(t, 1)) })
	q := ids
	q.Columns = []query.Column{{Name: "at", Field: query.FieldTimestamp}}
	_, err := newSource(t, clickhouse.Options{DSN: address(server)}).Open(t.Context(), q, sources.Split{Range: hour})
	require.Equal(t, batch.CodeSchema, batch.CodeOf(err), "%v", err)
}

func TestAnswersThatSayWhoMustAct(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		code   string
		text   string
		want   batch.Code
	}{
		"no such user":         {http.StatusForbidden, "516", "Authentication failed", batch.CodeCredentials},
		"no such table":        {http.StatusNotFound, "60", "Table events.events does not exist", batch.CodeNotFound},
		"no such column":       {http.StatusNotFound, "47", "Unknown expression identifier", batch.CodeConfig},
		"no grant":             {http.StatusForbidden, "497", "Not enough privileges", batch.CodePermission},
		"settings are fixed":   {http.StatusInternalServerError, "164", "Cannot modify setting in readonly mode", batch.CodePermission},
		"a time limit":         {http.StatusInternalServerError, "159", "Timeout exceeded", batch.CodeTimeout},
		"many queries":         {http.StatusInternalServerError, "202", "Too many simultaneous queries", batch.CodeThrottled},
		"an unheard-of number": {http.StatusInternalServerError, "99999", "Something new", batch.CodeInternal},
		"a number in the text": {http.StatusInternalServerError, "", "Code: 81. DB::Exception: Database x does not exist. (UNKNOWN_DATABASE)", batch.CodeNotFound},
		"a gateway is down":    {http.StatusBadGateway, "", "<html>", batch.CodeUnavailable},
		"a gateway throttles":  {http.StatusTooManyRequests, "", "", batch.CodeThrottled},
		"not a ClickHouse":     {http.StatusMethodNotAllowed, "", "", batch.CodeConfig},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if test.code != "" {
					w.Header().Set("X-ClickHouse-Exception-Code", test.code)
				}
				http.Error(w, test.text, test.status)
			})
			s := newSource(t, clickhouse.Options{DSN: address(server)})
			_, opening := read(t.Context(), s)
			_, counting := s.Count(t.Context(), ids)
			for _, err := range []error{opening, counting} {
				require.Equal(t, test.want, batch.CodeOf(err), "%v", err)
				require.NotContains(t, fmt.Sprintf("%+v", err), secret)
			}
		})
	}
}

func TestAReplicaThatIsDownIsPassedOver(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := map[string]int{}
	count := func(name string, status int) *httptest.Server {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			mu.Lock()
			asked[name]++
			mu.Unlock()
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "42\n")
		})
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	s := newSource(t, clickhouse.Options{DSN: address(gone, count("starting", http.StatusServiceUnavailable), count("up", http.StatusOK), count("spare", http.StatusOK))})
	for range 3 {
		n, err := s.Count(t.Context(), ids)
		require.NoError(t, err)
		require.Equal(t, int64(42), n)
	}
	mu.Lock()
	defer mu.Unlock()
	// Once found, the replica is kept to.
	require.Equal(t, map[string]int{"starting": 1, "up": 3}, asked)

	_, err := newSource(t, clickhouse.Options{DSN: address(gone, gone)}).Count(t.Context(), ids)
	require.Equal(t, batch.CodeUnavailable, batch.CodeOf(err), "%v", err)
	require.NotContains(t, fmt.Sprintf("%+v", err), secret)
}

func TestTheEndOfTheContextEndsTheQueryOnTheServer(t *testing.T) {
	t.Parallel()
	whole := stream(t, 1)
	started, ended := make(chan string, 1), make(chan string, 1)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		if strings.HasPrefix(string(text), "KILL QUERY") {
			ended <- r.URL.Query().Get("param_p0")
			return
		}
		_, _ = w.Write(whole[:len(whole)-8])
		_ = http.NewResponseController(w).Flush()
		started <- r.URL.Query().Get("query_id")
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := newSource(t, clickhouse.Options{DSN: address(server)}).Open(ctx, ids, sources.Split{Range: hour})
	require.NoError(t, err)
	defer r.Release()
	id := <-started
	require.NotEmpty(t, id)
	cancel()
	for r.Next() {
	}
	require.ErrorIs(t, r.Err(), context.Canceled)
	require.Equal(t, id, <-ended)
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	var got url.Values
	var sql string
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got, sql = r.URL.Query(), string(text)
		if user, key := r.Header.Get("X-Clickhouse-User"), r.Header.Get("X-Clickhouse-Key"); user != "exporter" || key != secret {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, "1\n")
	})
	s := newSource(t, clickhouse.Options{DSN: address(server) + "?max_memory_usage=1000000&max_threads=2", QueryTimeout: time.Minute})
	q := ids
	q.IncludeEvents = []string{`it's\a`}
	_, err := s.Count(t.Context(), q)
	require.NoError(t, err)
	for name, want := range map[string]string{
		"database": "events", "max_memory_usage": "1000000", "max_threads": "2", "max_execution_time": "60",
		"param_p0": "1", "param_p1": "2026-03-01 12:00:00.000000", "param_p2": "2026-03-01 13:00:00.000000", "param_p3": `['it\'s\\a']`,
	} {
		require.Equal(t, want, got.Get(name), name)
	}
	require.NotContains(t, sql, "it's")
	require.NotContains(t, got.Encode()+sql, secret)
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]string{
		"not a URL":        "clickhouse://user:" + secret + "@host:port/",
		"another database": "mysql://user:" + secret + "@host/x",
		"no host":          "clickhouse:///x",
		"our parameter":    "clickhouse://user:" + secret + "@host/x?query=SELECT",
		"a value of ours":  "clickhouse://user:" + secret + "@host/x?param_p0=1",
		"no authority":     "https://user:" + secret + "@host/x?ca_file=/nowhere/ca.pem",
		"no certificate":   "https://user:" + secret + "@host/x?ca_file=client_test.go",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := clickhouse.New(clickhouse.Options{DSN: dsn})
			require.Equal(t, batch.CodeConfig, batch.CodeOf(err), "%v", err)
			require.NotContains(t, fmt.Sprintf("%+v", err), secret)
		})
	}
	events, _ := query.PostHog().Model(batch.ModelEvents)
	_, err := clickhouse.New(clickhouse.Options{
		DSN: "clickhouse://host/x", Models: query.Catalog{events.At(nil, map[query.Field]string{query.FieldInsertedAt: ""})},
	})
	require.Equal(t, batch.CodeConfig, batch.CodeOf(err), "%v", err)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "7\n") }))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "https://")
	_, err := newSource(t, clickhouse.Options{DSN: "clickhouse://" + host + "/x?secure=true"}).Count(t.Context(), ids)
	require.Equal(t, batch.CodeConfig, batch.CodeOf(err), "an unknown authority: %v", err)
	for _, dsn := range []string{"clickhouse://" + host + "/x?secure=true", "https://" + host + "/x"} {
		n, err := newSource(t, clickhouse.Options{DSN: dsn, Transport: server.Client().Transport}).Count(t.Context(), ids)
		require.NoError(t, err)
		require.Equal(t, int64(7), n)
	}

	authority := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	n, err := newSource(t, clickhouse.Options{DSN: "https://" + host + "/x?ca_file=" + url.QueryEscape(authority)}).Count(t.Context(), ids)
	require.NoError(t, err, "an authority that the address names")
	require.Equal(t, int64(7), n)
	_, port, err := net.SplitHostPort(host)
	require.NoError(t, err)
	_, err = newSource(t, clickhouse.Options{DSN: "https://localhost:" + port + "/x?ca_file=" + url.QueryEscape(authority)}).Count(t.Context(), ids)
	require.Equal(t, batch.CodeConfig, batch.CodeOf(err), "a host that the certificate is not of: %v", err)
}
