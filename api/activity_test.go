package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/api"
	"tranche/batch"
)

// An entry is a line of the audit log as clients see it.
type entry struct {
	ID            string
	Action        string
	BatchExportID *string `json:"batch_export_id"`
	SubjectID     *string `json:"subject_id"`
	Actor         struct {
		Kind      string
		UserID    *int64  `json:"user_id"`
		KeyPrefix *string `json:"key_prefix"`
		Address   *string
	}
	RequestID *string `json:"request_id"`
	Note      *string
	Changes   []struct {
		Field         string
		Before, After any
	}
}

// activity returns a page of the audit log, and where the next one is.
func (w *world) activity(t *testing.T, path string) (entries []entry, next string) {
	t.Helper()
	answer := w.callAs(t, readKey, http.MethodGet, path, "")
	require.Equal(t, http.StatusOK, answer.Code, answer.Body.String())
	var page struct {
		Results []entry
		Next    *string
	}
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &page))
	if page.Next != nil {
		next = strings.TrimPrefix(*page.Next, "http://example.com")
	}
	return page.Results, next
}

func TestActivityTellsWhoDidWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	r := w.request(t, http.MethodPatch, exports+"/"+id.String(), `{"name": "renamed", "destination": {"type": "Vault", "config": {"secret": "another s3cr3t"}}}`)
	r.Header.Set("X-Request-Id", "my-request")
	r.RemoteAddr = "198.51.100.20:4711"
	require.Equal(t, http.StatusOK, w.send(t, r).Code)
	run := w.run(t, id, nil)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPost, runsOf(id)+"/"+run.ID.String()+"/cancel", "").Code)
	require.Equal(t, http.StatusCreated, w.call(t, http.MethodPost, runsOf(id)+"/"+run.ID.String()+"/retry", "").Code)
	require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, exports+"/"+id.String(), "").Code)

	list, next := w.activity(t, exports+"/activity?batch_export_id="+id.String())
	require.Empty(t, next)
	var actions []string
	for _, e := range list {
		actions = append(actions, e.Action)
		require.Equal(t, "user", e.Actor.Kind)
		require.EqualValues(t, 11, *e.Actor.UserID)
		require.NotEmpty(t, *e.RequestID)
	}
	require.Equal(t, []string{"backfill.cancelled", "export.deleted", "run.retried", "run.cancelled", "export.updated", "export.created"}, actions)
	updated := list[4]
	require.Equal(t, "my-request", *updated.RequestID)
	require.Equal(t, "198.51.100.20", *updated.Actor.Address)
	require.Len(t, updated.Changes, 2)
	require.Equal(t, "destination.config.secret", updated.Changes[0].Field)
	require.Contains(t, updated.Changes[0].Before, "fingerprint:test:")
	require.NotEqual(t, updated.Changes[0].Before, updated.Changes[0].After)
	require.Equal(t, "name", updated.Changes[1].Field)
	require.Equal(t, []any{"my export", "renamed"}, []any{updated.Changes[1].Before, updated.Changes[1].After})
	require.Equal(t, run.ID.String(), *list[3].SubjectID)
	require.NotContains(t, w.callAs(t, readKey, http.MethodGet, exports+"/activity", "").Body.String(), "s3cr3t")
}

func TestActivityIsPagedAndFiltered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, other := w.export(t), w.export(t)
	const toggles = 130
	for n := range toggles {
		require.Equal(t, http.StatusOK, w.call(t, http.MethodPost, exports+"/"+id.String()+map[bool]string{true: "/pause", false: "/unpause"}[n%2 == 0], "").Code)
	}
	seen := map[string]bool{}
	path, pages := exports+"/"+id.String()+"/activity", 0
	for path != "" {
		var list []entry
		list, path = w.activity(t, path)
		for _, e := range list {
			require.False(t, seen[e.ID], "it repeats")
			seen[e.ID] = true
		}
		pages++
	}
	require.Len(t, seen, toggles+1)
	require.Equal(t, 2, pages)

	for query, want := range map[string]int{
		"action=export.created": 2,
		"action=export.created,key.created&batch_export_id=" + other.String(): 1,
		"actor=user&action=export.created":                                    2,
		"actor=temporal":                                                      0,
		"actor=11&action=export.created":                                      2,
		"actor=12":                                                            0,
		"actor=nokey":                                                         0,
		"after=2026-05-06T07:08:10Z":                                          0,
		"before=2026-05-06T07:08:09Z":                                         0,
		"action=key.created":                                                  6, // the organization's keys, not those of others
		"batch_export_id=" + uuid.NewString():                                 0,
	} {
		list, _ := w.activity(t, exports+"/activity?"+query)
		require.Len(t, list, want, query)
	}
	w.call(t, http.MethodGet, exports+"/activity?action=export.exploded", "").invalid("invalid_choice", `"export.exploded" is not a valid choice.`, "action")
	w.call(t, http.MethodGet, exports+"/activity?after=soon", "").invalid("invalid_input", "'soon' is not a valid datetime: give ISO 8601, or a time before now like -7d or -3h.", "after")
	w.call(t, http.MethodGet, exports+"/activity?cursor=forged", "").invalid("invalid_input", "Invalid cursor", "cursor")

	foreign := w.callAs(t, foreignKey, http.MethodGet, "/api/projects/3/batch_exports/activity", "")
	require.NotContains(t, foreign.Body.String(), id.String())
	require.Equal(t, http.StatusNotFound, w.callAs(t, foreignKey, http.MethodGet, "/api/projects/3/batch_exports/"+id.String()+"/activity", "").Code)
}

func TestTheAddressBehindProxies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *api.Server) {
		s.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")}
	})
	id := w.export(t)
	for name, c := range map[string]struct {
		peer, forwarded, want string
	}{
		"nobody in between":                      {"192.0.2.1:1", "", "192.0.2.1"},
		"somebody who says so, not trusted":      {"192.0.2.1:1", "198.51.100.1", "192.0.2.1"},
		"a trusted proxy":                        {"10.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		"a client that invents more before it":   {"10.0.0.1:1", "1.1.1.1, 198.51.100.1", "198.51.100.1"},
		"two trusted proxies":                    {"10.0.0.1:1", "198.51.100.1, 10.2.3.4", "198.51.100.1"},
		"a trusted proxy that speaks IPv6":       {"[2001:db8:1::1]:1", "2001:db8:2::9", "2001:db8:2::9"},
		"a trusted proxy that says nothing":      {"10.0.0.1:1", "", "10.0.0.1"},
		"a trusted proxy that says nonsense":     {"10.0.0.1:1", "unknown", "10.0.0.1"},
		"an IPv4 address that is written as v6":  {"[::ffff:10.0.0.1]:1", "::ffff:198.51.100.1", "198.51.100.1"},
		"nothing but trusted proxies":            {"10.0.0.1:1", "10.0.0.2, 10.0.0.3", "10.0.0.2"},
		"a peer that is no address, like a pipe": {"@", "198.51.100.1", ""},
	} {
		r := w.request(t, http.MethodPatch, exports+"/"+id.String(), `{"name": "`+name+`"}`)
		r.RemoteAddr = c.peer
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		recorder := httptest.NewRecorder()
		w.handler.ServeHTTP(recorder, r)
		require.Equal(t, http.StatusOK, recorder.Code)
		entries, err := w.ListAudit(t.Context(), batch.AuditFilter{TeamID: 1, Desc: true, Limit: 1})
		require.NoError(t, err)
		require.Equal(t, c.want, entries[0].Actor.Address, name)
	}
}
