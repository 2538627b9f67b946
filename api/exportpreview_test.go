package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/api"
	"tranche/batch"
	"tranche/internal/app"
	"tranche/query"
)

// A sampled source has rows to show, and remembers what it was asked.
type sampled struct {
	mu    sync.Mutex
	asked []query.Query
	err   error
	// waits, if not nil, tells of each count that is asked for, which is answered when the one who was told says so.
	waits chan chan struct{}
}

func (s *sampled) remember(q query.Query) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, q)
	return s.err
}

func (s *sampled) Earliest(context.Context, query.Query) (time.Time, bool, error) {
	return time.Time{}, false, nil
}

func (s *sampled) Count(_ context.Context, q query.Query) (int64, error) {
	if s.waits != nil {
		answer := make(chan struct{})
		s.waits <- answer
		<-answer
	}
	return 42, s.remember(q)
}

func (s *sampled) Sample(_ context.Context, q query.Query, limit, _ int) ([]json.RawMessage, error) {
	if limit != 20 {
		panic("more rows than are shown")
	}
	return []json.RawMessage{json.RawMessage(`{"uuid": "x", "deep": {"a": [1, null]}}`)}, s.remember(q)
}

// previews is a world whose source has rows.
func previews(t *testing.T) (*world, *sampled) {
	t.Helper()
	source := &sampled{}
	return newWorld(t, func(s *api.Server) { s.Exports.Source, s.Exports.Rows = source, source }), source
}

func TestPreviewTellsWhatWouldBeDelivered(t *testing.T) {
	t.Parallel()
	w, source := previews(t)
	body := draft(`"model": "hogql", "hogql_query": "SELECT uuid, toInt(properties.n) AS n, timestamp AS at, properties FROM events WHERE event = 'x'"`,
		`"destination": {"type": "File", "config": {"prefix": "p/{year}", "file_format": "Parquet", "include_events": ["x"]}}`,
		`"data_interval_start": "2026-05-01T00:10:00Z", "data_interval_end": "2026-05-01T01:10:00Z"`)
	for _, path := range []string{exports + "/preview", "/api/environments/1/batch_exports/preview/"} {
		w.call(t, http.MethodPost, path, body).is(http.StatusOK, `{
			"model": "hogql", "data_interval_start": "2026-05-01T00:00:00Z", "data_interval_end": "2026-05-01T02:00:00Z", "intervals": 2,
			"columns": [{"name": "uuid", "type": "string"}, {"name": "n", "type": "integer"}, {"name": "at", "type": "timestamp"}, {"name": "properties", "type": "json"}],
			"total_records_count": 42, "results": [{"uuid": "x", "deep": {"a": [1, null]}}], "table": null, "table_columns": null,
			"files": [
				{"data_interval_start": "2026-05-01T00:00:00Z", "data_interval_end": "2026-05-01T01:00:00Z",
					"key": "p/2026/2026-05-01T00:00:00+00:00-2026-05-01T01:00:00+00:00.parquet", "manifest": "p/2026/2026-05-01T00:00:00+00:00-2026-05-01T01:00:00+00:00_manifest.json"},
				{"data_interval_start": "2026-05-01T01:00:00Z", "data_interval_end": "2026-05-01T02:00:00Z",
					"key": "p/2026/2026-05-01T01:00:00+00:00-2026-05-01T02:00:00+00:00.parquet", "manifest": "p/2026/2026-05-01T01:00:00+00:00-2026-05-01T02:00:00+00:00_manifest.json"}
			]
		}`)
	}
	for _, q := range source.asked {
		require.Equal(t, int64(1), q.TeamID)
		require.Equal(t, batch.ModelEvents, q.Model)
		require.Equal(t, []string{"x"}, q.IncludeEvents)
		require.NotNil(t, q.Where)
		require.Equal(t, 2*time.Hour, q.Interval.Duration())
	}
	require.Len(t, source.asked, 4)
	require.Empty(t, w.call(t, http.MethodGet, exports, "").ids(), "nothing is written")
	require.Empty(t, w.temporal.take())
}

func TestOnlySomePreviewsAskTheSourceAtOnce(t *testing.T) {
	t.Parallel()
	source := &sampled{waits: make(chan chan struct{})}
	shared := &app.Previews{}
	w := newWorld(t, func(s *api.Server) {
		s.Exports.Source, s.Exports.Rows, s.Exports.Previews = source, source, shared
		s.Backfills.Source, s.Backfills.Previews = source, shared
	})
	body := draft(`"model": "events"`)
	ask := func() int { return w.call(t, http.MethodPost, exports+"/preview", body).Code }
	codes := make(chan int, 2)
	var answers []chan struct{}
	for range 2 {
		go func() { codes <- ask() }()
		answers = append(answers, <-source.waits)
	}
	w.call(t, http.MethodPost, exports+"/preview", body).is(http.StatusTooManyRequests, `{
		"type": "server_error", "code": "too_many_concurrent_previews", "attr": null,
		"detail": "Previews of this project are already running. Wait for them to finish."}`)
	for _, answer := range answers {
		close(answer)
		require.Equal(t, http.StatusOK, <-codes)
	}
	go func() { codes <- ask() }()
	close(<-source.waits)
	require.Equal(t, http.StatusOK, <-codes, "there is room again")
}

func TestPreviewWithoutARangeIsOfTheLastInterval(t *testing.T) {
	t.Parallel()
	w, _ := previews(t)
	shown := w.call(t, http.MethodPost, exports+"/preview", draft()).json()
	require.Equal(t, "2026-05-06T06:00:00Z", shown["data_interval_start"])
	require.Equal(t, "2026-05-06T07:00:00Z", shown["data_interval_end"])
	require.NotContains(t, shown, "destination", "no settings, and so no secrets")
}

func TestPreviewNamesTheTable(t *testing.T) {
	t.Parallel()
	w, _ := previews(t)
	const toTable = `"destination": {"type": "Postgres", "config": {"user": "u", "password": "s3cr3t", "host": "db.example.com", "database": "d", "schema": "shop", "table_name": "t"}}`
	answer := w.call(t, http.MethodPost, exports+"/preview", draft(toTable, `"hogql_query": "SELECT event AS what, toDate(timestamp) AS day, properties FROM events"`))
	require.NotContains(t, answer.Body.String(), "s3cr3t")
	shown := answer.json()
	require.Equal(t, "shop.t", shown["table"])
	require.Equal(t, []any{
		map[string]any{"name": "what", "type": "TEXT"}, map[string]any{"name": "day", "type": "DATE"}, map[string]any{"name": "properties", "type": "JSONB"},
	}, shown["table_columns"])
	require.Empty(t, shown["files"])
	require.Contains(t, w.call(t, http.MethodPost, exports+"/preview", draft(toTable)).json()["table_columns"], map[string]any{"name": "ip", "type": "VARCHAR(200)"})
	w.call(t, http.MethodPost, exports+"/preview", draft(toTable, `"hogql_query": "SELECT event AS a123456789b123456789c123456789d123456789e123456789f123456789g123 FROM events"`)).
		invalid("invalid_input", "The name of a column is longer than the 63 bytes that the destination allows: give it an alias. It begins with 'a123456789b123456789c123456789d123456789e123456789f123456789g12'", "hogql_query")
}

func TestPreviewsThatAreRefused(t *testing.T) {
	t.Parallel()
	w, source := previews(t)
	for name, tt := range map[string]struct{ fields, code, detail, attr string }{
		"as when it is created": {`"filters": "x"`, "invalid_input", "'filters' should be an array of filters", "filters"},
		"no end":                {`"data_interval_start": "2026-05-01T00:00:00Z"`, "required", "This field is required.", "data_interval_end"},
		"no start":              {`"data_interval_end": "2026-05-01T00:00:00Z"`, "required", "This field is required.", "data_interval_start"},
		"an empty range":        {`"data_interval_start": "2026-05-01T00:00:00Z", "data_interval_end": "2026-05-01T00:00:00Z"`, "invalid_input", "'data_interval_end' must be after 'data_interval_start'", "data_interval_end"},
		"a range too long":      {`"data_interval_start": "2020-05-01T00:00:00Z", "data_interval_end": "2026-05-01T00:00:00Z"`, "invalid_input", "The range is longer than 366 days", "data_interval_end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.call(t, http.MethodPost, exports+"/preview", draft(tt.fields)).invalid(tt.code, tt.detail, tt.attr)
		})
	}
	source.err = batch.Errorf(batch.CodeSchema, nil, "the table holds other values")
	w.call(t, http.MethodPost, exports+"/preview", draft()).invalid("invalid_input", "The table holds other values.", "")
	source.err = batch.Errorf(batch.CodeUnavailable, nil, "the host of the source is down")
	require.Equal(t, http.StatusServiceUnavailable, w.call(t, http.MethodPost, exports+"/preview", draft()).Code)
}

func TestPreviewOfRowsThatDependOnEachInterval(t *testing.T) {
	t.Parallel()
	w, _ := previews(t)
	const bounded = `"hogql_query": "SELECT event FROM events WHERE timestamp >= {data_interval_start}"`
	require.InDelta(t, 42, w.call(t, http.MethodPost, exports+"/preview", draft(bounded)).json()["total_records_count"], 0)
	require.Nil(t, w.call(t, http.MethodPost, exports+"/preview",
		draft(bounded, `"data_interval_start": "2026-05-01T00:00:00Z", "data_interval_end": "2026-05-01T02:00:00Z"`)).json()["total_records_count"])
}
