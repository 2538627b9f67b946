package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"tranche/api"
	"tranche/batch"
	"tranche/internal/auth"
)

func TestRequestsThatAreNotServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	backfill := backfillsOf(id) + "/" + uuid.NewString()
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete} {
		for _, slash := range []string{"", "/"} {
			w.call(t, method, backfill+slash, "{}").
				fails(http.StatusMethodNotAllowed, "invalid_request", "method_not_allowed", fmt.Sprintf("Method \"%s\" not allowed.", method), "")
		}
	}
	w.call(t, http.MethodPost, runsOf(id), "").fails(http.StatusMethodNotAllowed, "invalid_request", "method_not_allowed", `Method "POST" not allowed.`, "")
	w.call(t, http.MethodGet, exports+"/"+id.String()+"/pause", "").fails(http.StatusMethodNotAllowed, "invalid_request", "method_not_allowed", `Method "GET" not allowed.`, "")
	require.Equal(t, "POST", w.call(t, http.MethodGet, exports+"/"+id.String()+"/pause", "").Header().Get("Allow"))
	for _, path := range []string{"/", "/api", "/api/", project, exports + "//", exports + "/" + id.String() + "/wat", "//api/projects/1/batch_exports", "/API/projects/1/batch_exports", "/healthz/x"} {
		w.call(t, http.MethodGet, path, "").fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
	}
}

func TestBodiesThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.call(t, http.MethodPost, exports, `{"name": `).
		fails(http.StatusBadRequest, "invalid_request", "parse_error", "JSON parse error - unexpected end of the text", "")
	w.call(t, http.MethodPost, exports, `{"name": "`+strings.Repeat("x", 1<<20)+`"}`).
		fails(http.StatusRequestEntityTooLarge, "invalid_request", "request_too_large", "The request is larger than 1048576 bytes.", "")

	post := func(media, body string) answer {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, exports, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+writeKey)
		if media != "" {
			r.Header.Set("Content-Type", media)
		}
		return w.send(t, r)
	}
	for _, media := range []string{"text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/jsonx", ";", "é"} {
		post(media, draft()).fails(http.StatusUnsupportedMediaType, "invalid_request", "unsupported_media_type",
			fmt.Sprintf("Unsupported media type \"%s\" in request.", media), "")
	}
	for _, media := range []string{"", "application/json", "Application/JSON; charset=UTF-8"} {
		require.Equal(t, http.StatusCreated, post(media, draft()).Code, media)
	}
	post("text/plain", "").invalid("required", "This field is required.", "name")
}

// broken is a key store whose every answer is err.
type broken struct {
	api.KeyStore
	err error
}

func (b broken) KeyByHash(context.Context, string) (auth.Key, error) {
	if b.err == nil {
		panic("s3cr3t")
	}
	return auth.Key{}, b.err
}

func TestWhatGoesWrongInsideStaysInside(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err    error
		status int
		code   string
		detail string
	}{
		"a defect":              {errors.New("s3cr3t"), 500, "error", "A server error occurred."},
		"a panic":               {nil, 500, "error", "A server error occurred."},
		"the database is away":  {batch.Errorf(batch.CodeUnavailable, errors.New("s3cr3t"), "s3cr3t"), 503, "service_unavailable", "The service is busy or restarting. Please try again."},
		"the request timed out": {fmt.Errorf("s3cr3t: %w", context.DeadlineExceeded), 503, "service_unavailable", "The service is busy or restarting. Please try again."},
		"the client went away":  {fmt.Errorf("s3cr3t: %w", context.Canceled), 503, "service_unavailable", "The service is busy or restarting. Please try again."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core, logs := observer.New(zapcore.DebugLevel)
			w := newWorld(t, func(s *api.Server) { s.Keys, s.Log = broken{err: tt.err}, zap.New(core) })
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, exports, nil)
			r.Header.Set("Authorization", "Bearer "+writeKey)
			r.Header.Set("X-Request-Id", "abc-1")
			answer := w.send(t, r)
			answer.fails(tt.status, "server_error", tt.code, tt.detail, "")
			require.Equal(t, "abc-1", answer.Header().Get("X-Request-Id"))
			told := logs.FilterMessage("A request could not be answered.").All()
			require.Len(t, told, 1)
			require.Equal(t, "abc-1", told[0].ContextMap()["request_id"])
			if tt.err == nil {
				require.Equal(t, 1, logs.FilterMessage("A request panicked.").Len())
			}
		})
	}
}

func TestRequestsAreLoggedWithoutSecrets(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	w := newWorld(t, func(s *api.Server) { s.Log = zap.New(core) })
	w.call(t, http.MethodPost, exports+"?x=s3cr3t", draft())
	w.call(t, http.MethodGet, "/healthz", "")
	w.call(t, "S3CR3T", "/s3cr3t", "")
	answered := logs.FilterMessage("Answered a request.").All()
	require.Len(t, answered, 3)
	fields := answered[0].ContextMap()
	require.Equal(t, "/api/projects/:project_id/batch_exports", fields["route"])
	require.EqualValues(t, 201, fields["status"])
	require.NotEmpty(t, fields["request_id"])
	require.EqualValues(t, 1, fields["team_id"])
	require.NotContains(t, fields, "batch_export_id")
	require.Equal(t, zapcore.InfoLevel, answered[0].Level)
	require.Equal(t, zapcore.DebugLevel, answered[1].Level)
	require.Equal(t, "unmatched", answered[2].ContextMap()["route"])
	w.call(t, http.MethodGet, exports+"/01a20528-3733-7462-a502-cf07fa3fcd6d/runs/s3cr3t", "")
	fields = logs.FilterMessage("Answered a request.").All()[3].ContextMap()
	require.Equal(t, "01a20528-3733-7462-a502-cf07fa3fcd6d", fields["batch_export_id"])
	require.NotContains(t, fields, "run_id", "what is no id may be anything")
	for _, entry := range logs.All() {
		text := strings.ToLower(fmt.Sprint(entry.Message, entry.ContextMap()))
		require.NotContains(t, text, "s3cr3t")
		require.NotContains(t, text, writeKey)
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := func(sent string) string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil)
		r.Header.Set("X-Request-Id", sent)
		return w.send(t, r).Header().Get("X-Request-Id")
	}
	for _, good := range []string{"a", "0af7-651_9.Z", strings.Repeat("x", 128)} {
		require.Equal(t, good, id(good))
	}
	for _, bad := range []string{"", "a b", "é", "x\r\nSet-Cookie: y", strings.Repeat("x", 129), `"`} {
		_, err := uuid.Parse(id(bad))
		require.NoError(t, err, "instead of %q one is made", bad)
	}
}

func TestLinksLeadWhereTheClientCameFrom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *api.Server) { s.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	w.export(t)
	w.export(t)
	for name, tt := range map[string]struct {
		peer    string
		headers map[string]string
		want    string
	}{
		"direct":                 {"192.0.2.1:5", nil, "http://api.test:8000"},
		"by a trusted proxy":     {"10.1.2.3:5", map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "public.test"}, "https://public.test"},
		"by several":             {"10.1.2.3:5", map[string]string{"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "public.test:8443, inner"}, "https://public.test:8443"},
		"in IPv6 notation":       {"[::ffff:10.1.2.3]:5", map[string]string{"X-Forwarded-Host": "[2001:db8::1]:80"}, "http://[2001:db8::1]:80"},
		"by somebody else":       {"192.0.2.1:5", map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.test"}, "http://api.test:8000"},
		"with a broken host":     {"10.1.2.3:5", map[string]string{"X-Forwarded-Host": "evil.test/path?"}, "http://api.test:8000"},
		"with a broken protocol": {"10.1.2.3:5", map[string]string{"X-Forwarded-Proto": "javascript"}, "http://api.test:8000"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, exports+"?limit=1", nil)
		r.Host, r.RemoteAddr = "api.test:8000", tt.peer
		r.Header.Set("Authorization", "Bearer "+writeKey)
		for header, value := range tt.headers {
			r.Header.Set(header, value)
		}
		require.Equal(t, tt.want+exports+"?limit=1&offset=1", w.send(t, r).text("next"), name)
	}
}

func TestProbes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.callAs(t, "", http.MethodGet, "/healthz", "").is(http.StatusOK, `{"status": "ok"}`)
	w.callAs(t, "", http.MethodGet, "/readyz/", "").is(http.StatusOK, `{"status": "ok"}`)
	for name, tt := range map[string]struct {
		err  error
		down string
	}{
		"one":            {&api.Outage{Service: "temporal", Err: errors.New("s3cr3t")}, `["temporal"]`},
		"both":           {errors.Join(&api.Outage{Service: "temporal", Err: errors.New("x")}, &api.Outage{Service: "database", Err: errors.New("x")}), `["database", "temporal"]`},
		"several causes": {errors.Join(nil, &api.Outage{Service: "database", Err: errors.Join(errors.New("x"), errors.New("y"))}), `["database"]`},
		"wrapped":        {fmt.Errorf("probe: %w", &api.Outage{Service: "database", Err: errors.New("x")}), `["database"]`},
		"unknown":        {errors.New("s3cr3t"), `["unknown"]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *api.Server) { s.Ready = func(context.Context) error { return tt.err } })
			w.callAs(t, "", http.MethodGet, "/readyz", "").is(http.StatusServiceUnavailable, `{"status": "unavailable", "down": `+tt.down+`}`)
			w.callAs(t, "", http.MethodGet, "/healthz", "").is(http.StatusOK, `{"status": "ok"}`)
		})
	}
}

func TestReadinessDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *api.Server) {
		s.Ready = func(ctx context.Context) error {
			deadline, ok := ctx.Deadline()
			if !ok || time.Until(deadline) > 2*time.Second {
				return nil
			}
			return &api.Outage{Service: "database", Err: context.DeadlineExceeded}
		}
	})
	w.callAs(t, "", http.MethodGet, "/readyz", "").is(http.StatusServiceUnavailable, `{"status": "unavailable", "down": ["database"]}`)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	w.call(t, http.MethodGet, exports+"/"+id.String(), "")
	w.call(t, "FROBNICATE", "/x/"+id.String(), "")
	answer := w.callAs(t, "", http.MethodGet, "/metrics", "")
	require.Equal(t, http.StatusOK, answer.Code)
	for _, line := range []string{
		`tranche_api_request_duration_seconds_count{method="POST",route="/api/projects/:project_id/batch_exports",status="201"} 1`,
		`tranche_api_request_duration_seconds_count{method="GET",route="/api/projects/:project_id/batch_exports/:id",status="200"} 1`,
		`tranche_api_request_duration_seconds_count{method="other",route="unmatched",status="404"} 1`,
		"go_goroutines ",
	} {
		require.Contains(t, answer.Body.String(), line)
	}
	require.NotContains(t, answer.Body.String(), id.String())
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	for path, status := range map[string]int{
		"/healthz": http.StatusOK, exports: http.StatusOK, exports + "/" + w.export(t).String(): http.StatusOK,
		exports + "/" + uuid.NewString(): http.StatusNotFound, exports + "/run_test_step_new/x": http.StatusNotFound,
	} {
		r := w.request(t, http.MethodHead, server.URL+path, "")
		r.RequestURI = "" // that of a server
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, status, response.StatusCode, path)
		require.Positive(t, response.ContentLength, path)
	}
}

func TestAServerNeedsACursorKey(t *testing.T) {
	t.Parallel()
	require.Panics(t, func() { (&api.Server{CursorKey: []byte("short")}).Handler() })
}

func TestTheHTTPServerServesAndGivesUpOnSlowClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := api.NewHTTPServer(w.handler)
	require.NotZero(t, server.ReadHeaderTimeout)
	require.NotZero(t, server.ReadTimeout)
	require.NotZero(t, server.WriteTimeout)
	require.NotZero(t, server.IdleTimeout)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	response, err := http.Get("http://" + listener.Addr().String() + exports + "/")
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusUnauthorized, response.StatusCode, string(body))
	require.Equal(t, "nosniff", response.Header.Get("X-Content-Type-Options"))
	require.NoError(t, server.Shutdown(t.Context()))
	require.ErrorIs(t, <-served, http.ErrServerClosed)
}

// Whatever is sent, the answer is never a 5xx, and it is JSON.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, draft(), `{"name":"\u0000"}`, `[]`, `{"a":1,"a":2}`, strings.Repeat("[", 1000), "\xff", `{"backfill": 1e999}`,
		`{"start_at":"9999-12-31T23:59:59-14:00","end_at":null}`, draft(`"destination": {"type": "File", "config": {"prefix": "../x", "max_file_size_mb": 1e300}}`),
		draft(`"interval": "week", "offset_day": 3, "offset_hour": -1, "timezone": "America/Nowhere"`),
	} {
		f.Add([]byte(seed), "limit=1&cursor=x")
	}
	f.Add([]byte(`{}`), "after=-99999d&before=2026-01-01T00:00:00%2B99:99&status=Failed&status=%00&level=,&search=%ff;x")
	f.Fuzz(func(t *testing.T, body []byte, query string) {
		w := newWorld(t)
		id := w.export(t)
		send := func(method, path string, body []byte) {
			r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(string(body)))
			r.URL.RawQuery = query
			r.Header.Set("Authorization", "Bearer "+writeKey)
			r.Header.Set("Content-Type", "application/json")
			answer := w.send(t, r)
			require.Less(t, answer.Code, 500, "%s %s", method, path)
			answer.json()
		}
		for _, path := range []string{exports, exports + "/" + id.String() + "/unpause", backfillsOf(id)} {
			send(http.MethodPost, path, body)
		}
		for _, path := range []string{exports, runsOf(id), backfillsOf(id), exports + "/" + id.String() + "/logs"} {
			send(http.MethodGet, path, nil)
		}
	})
}
