package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/internal/client"
	"tranche/internal/secret"
)

const key = "a-key-that-nobody-may-see"

// A script answers requests one by one and keeps them.
type script struct {
	mu       sync.Mutex
	answers  []func(w http.ResponseWriter, r *http.Request)
	requests []*http.Request
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	next := s.answers[min(len(s.requests), len(s.answers))-1]
	next(w, r)
}

func (s *script) seen() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// says answers with a status, a body and headers in pairs.
func says(status int, body string, headers ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // the client may be gone
	}
}

// cutsOff closes the connection without an answer.
func cutsOff(w http.ResponseWriter, _ *http.Request) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = connection.Close() // that is the point
	}
}

// quick retries do not make tests wait.
var quick = client.Retries{Attempts: 4, First: time.Millisecond, Longest: time.Millisecond, Patience: 2 * time.Second}

func playing(t *testing.T, answers ...func(http.ResponseWriter, *http.Request)) (*client.Client, *script) {
	t.Helper()
	s := &script{answers: answers}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	base, err := client.ParseBase(server.URL)
	require.NoError(t, err)
	return &client.Client{Base: base, Project: 1, Key: secret.New(key), Retries: quick}, s
}

const (
	export    = `{"id": "01a20528-3733-7462-a502-cf07fa3fcd6d", "name": "n", "last_updated_at": "2026-01-01T00:00:00Z", "created_at": "2026-01-01T00:00:00Z"}`
	busy      = `{"type": "server_error", "code": "service_unavailable", "detail": "The service is busy.", "attr": null}`
	throttled = `{"type": "throttled_error", "code": "throttled", "detail": "Request was throttled.", "attr": null}`
	inUse     = `{"type": "invalid_request", "code": "idempotency_key_in_use", "detail": "still being served", "attr": null}`
	tooMany   = `{"type": "server_error", "code": "too_many_concurrent_backfills", "detail": "5 run already.", "attr": null}`
)

var exportID = uuid.MustParse("01a20528-3733-7462-a502-cf07fa3fcd6d")

func TestWhatIsSentAgain(t *testing.T) {
	t.Parallel()
	read := func(c *client.Client) error { _, err := c.Export(context.Background(), exportID); return err }
	make1 := func(c *client.Client) error {
		_, err := c.CreateExport(context.Background(), map[string]any{})
		return err
	}
	change := func(c *client.Client) error {
		_, err := c.ChangeExport(context.Background(), exportID, `"x"`, map[string]any{})
		return err
	}
	stop := func(c *client.Client) error {
		_, err := c.CancelRun(context.Background(), exportID, exportID)
		return err
	}
	done := says(http.StatusOK, export)
	for name, c := range map[string]struct {
		do       func(*client.Client) error
		first    func(http.ResponseWriter, *http.Request)
		requests int
	}{
		"a read that is cut off":                                {read, cutsOff, 2},
		"a read when the server is busy":                        {read, says(http.StatusServiceUnavailable, busy), 2},
		"a read through a gateway that lost its server":         {read, says(http.StatusBadGateway, "<html>"), 2},
		"a read that broke the server":                          {read, says(http.StatusInternalServerError, `{}`), 1},
		"a read that is throttled":                              {read, says(http.StatusTooManyRequests, throttled, "Retry-After", "1"), 2},
		"a read that is throttled for longer than we wait":      {read, says(http.StatusTooManyRequests, throttled, "Retry-After", "3"), 1},
		"a creation that is cut off":                            {make1, cutsOff, 2},
		"a creation when the server is busy":                    {make1, says(http.StatusServiceUnavailable, busy), 2},
		"a creation whose first attempt is still served":        {make1, says(http.StatusConflict, inUse), 2},
		"a creation that is throttled":                          {make1, says(http.StatusTooManyRequests, throttled, "Retry-After", "1"), 2},
		"a creation that exceeds a limit":                       {make1, says(http.StatusTooManyRequests, tooMany), 1},
		"a change that is cut off: nobody knows whether it was": {change, cutsOff, 1},
		"a change when the server is busy":                      {change, says(http.StatusServiceUnavailable, busy), 1},
		"a change that is throttled was not made":               {change, says(http.StatusTooManyRequests, throttled, "Retry-After", "1"), 2},
		"a cancel that is cut off":                              {stop, cutsOff, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caller, s := playing(t, c.first, done)
			err := c.do(caller)
			require.Len(t, s.seen(), c.requests)
			require.Equal(t, c.requests > 1, err == nil, err)
		})
	}
}

func TestACreationHasOneIdempotencyKey(t *testing.T) {
	t.Parallel()
	c, s := playing(t, cutsOff, says(http.StatusCreated, export))
	_, err := c.CreateExport(t.Context(), map[string]any{"name": "n"})
	require.NoError(t, err)
	_, err = c.CreateExport(t.Context(), map[string]any{"name": "n"})
	require.NoError(t, err)
	keys := make([]string, 3)
	for i, r := range s.seen() {
		keys[i] = r.Header.Get("Idempotency-Key")
	}
	require.NotEmpty(t, keys[0])
	require.Equal(t, keys[0], keys[1], "the same request")
	require.NotEqual(t, keys[0], keys[2], "another one")
}

func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	c, s := playing(t, says(http.StatusServiceUnavailable, busy, "X-Request-Id", "r1"))
	_, err := c.Export(t.Context(), exportID)
	require.Len(t, s.seen(), quick.Attempts)
	require.EqualError(t, err, "The service is busy. (request r1)")
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := "http://" + listener.Addr().String()
	require.NoError(t, listener.Close())
	base, err := client.ParseBase(address)
	require.NoError(t, err)
	c := &client.Client{Base: base, Project: 1, Key: secret.New(key), Retries: quick}
	_, err = c.ChangeExport(t.Context(), exportID, "", map[string]any{})
	unreachable, ok := errors.AsType[*client.UnreachableError](err)
	require.True(t, ok, err)
	require.Equal(t, address, unreachable.Base)
	require.NotContains(t, err.Error(), key)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		text   string
	}{
		"about a field": {
			says(http.StatusBadRequest, `{"type":"validation_error","code":"invalid_input","detail":"Configuration missing required field: 'x'","attr":"destination"}`),
			"destination: Configuration missing required field: 'x'",
		},
		"about a field below another": {says(http.StatusBadRequest, `{"detail":"A valid integer is required.","attr":"destination__port"}`), "destination.port: A valid integer is required."},
		"a proxy's page":              {says(http.StatusForbidden, "<html>\x1b[2J"), "the server answered 403 Forbidden, and not as the API does"},
		"a redirect":                  {says(http.StatusFound, "", "Location", "http://elsewhere.test/"), "the server answered 302 Found, and not as the API does"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caller, s := playing(t, c.answer)
			_, err := caller.Export(t.Context(), exportID)
			require.EqualError(t, err, c.text)
			require.Len(t, s.seen(), 1)
		})
	}
	caller, _ := playing(t, says(http.StatusOK, "<html>Welcome</html>"))
	_, err := caller.Export(t.Context(), exportID)
	require.ErrorContains(t, err, "is the URL right?")
}

func TestListsTurnTheirPages(t *testing.T) {
	t.Parallel()
	page := func(next, name string) func(http.ResponseWriter, *http.Request) {
		return says(http.StatusOK, fmt.Sprintf(`{"next": %s, "results": [{"id": %q, "status": "Completed", "later": %q}]}`, next, exportID, name))
	}
	// The next page is at an address that a proxy invented: only its query counts.
	c, s := playing(t, page(`"http://inside.test:9/api/projects/1/x?cursor=c%2B1"`, "one"), page("null", "two"))
	runs, more, err := client.Collect(c.Runs(t.Context(), exportID, client.RunQuery{Statuses: []string{"Failed", "Running"}}), 0)
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, runs, 2)
	require.Contains(t, string(runs[1].Raw), `"later": "two"`, "what we do not know of is kept")
	require.Equal(t, []string{"Failed", "Running"}, s.seen()[0].URL.Query()["status"])
	require.Equal(t, "c+1", s.seen()[1].URL.Query().Get("cursor"))
	require.Equal(t, s.seen()[0].URL.Path, s.seen()[1].URL.Path)

	c, s = playing(t, page(`"http://x/?cursor=again"`, "one"))
	_, more, err = client.Collect(c.Runs(t.Context(), exportID, client.RunQuery{}), 2)
	require.NoError(t, err)
	require.True(t, more)
	require.Len(t, s.seen(), 3)
}

// logs serves entries as the API does: newest first, with exclusive bounds.
type logs struct {
	mu      sync.Mutex
	entries []client.LogEntry
}

func (l *logs) add(entries ...client.LogEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entries...)
}

func (l *logs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	after, _ := time.Parse(time.RFC3339Nano, q.Get("after"))
	before, err := time.Parse(time.RFC3339Nano, q.Get("before"))
	if err != nil {
		before = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	page := []client.LogEntry{}
	for i := len(l.entries) - 1; i >= 0 && len(page) < limit; i-- {
		if e := l.entries[i]; e.Timestamp.After(after) && e.Timestamp.Before(before) {
			page = append(page, e)
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"count": len(page), "next": nil, "results": page}) // the client may be gone
}

func TestATailTellsEveryEntryOnce(t *testing.T) {
	t.Parallel()
	l := &logs{}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	base, err := client.ParseBase(server.URL)
	require.NoError(t, err)
	c := &client.Client{Base: base, Project: 1, Key: secret.New(key), Retries: quick}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	line := func(text string, d time.Duration) client.LogEntry {
		return client.LogEntry{Message: text, Timestamp: at.Add(d), Level: "INFO"}
	}
	next := func(tail *client.Tail, limit int) []string {
		t.Helper()
		entries, err := tail.Next(t.Context(), limit)
		require.NoError(t, err)
		var texts []string
		for _, e := range entries {
			texts = append(texts, e.Value.Message)
		}
		return texts
	}
	l.add(line("old", 0), line("a", time.Second), line("b", time.Second))
	tail := c.Follow(client.LogQuery{Export: exportID})
	require.Equal(t, []string{"a", "b"}, next(tail, 2))
	require.Empty(t, next(tail, 2), "nothing is told twice, and what was cut off at the beginning stays so")
	l.add(line("c", time.Second), line("d", 2*time.Second))
	require.Equal(t, []string{"c", "d"}, next(tail, 2), "one more of an instant that was told already")
	many := make([]client.LogEntry, 1700)
	for i := range many {
		many[i] = line(fmt.Sprint("m", i), 3*time.Second+time.Duration(i/7)*time.Microsecond)
	}
	l.add(many...)
	require.Len(t, next(tail, 2), len(many), "more than a page between two looks")
	require.Empty(t, next(tail, 2))
}

func TestParseBase(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"http://127.0.0.1:8000": true, "https://x.test/tranche/": true, "ftp://x": false, "x.test": false, "": false,
		"http://user:secret@x.test": false, "http://x.test?a=b": false,
	} {
		_, err := client.ParseBase(text)
		require.Equal(t, ok, err == nil, text)
	}
}
