package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/internal/auth"
)

// A place is a route with the ids of things that exist.
type place struct {
	method, path string
	write        bool
	body         string
	status       int  // for whoever may
	list         bool // of an export that is not the project's, it is empty
}

// places lists every route below a project, on things made for it.
func places(t *testing.T, w *world) []place {
	t.Helper()
	id := w.export(t)
	r := w.run(t, id, nil)
	bounds := `{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-02T00:00:00Z"}`
	backfill := w.call(t, http.MethodPost, backfillsOf(id), bounds).text("backfill_id")
	e, runs, backfills := "/batch_exports/"+id.String(), "/batch_exports/"+id.String()+"/runs", "/batch_exports/"+id.String()+"/backfills"
	ofProject, ofExport := w.notification(t, "/batch_exports/notifications"), w.notification(t, e+"/notifications")
	const (
		notice = `{"name": "n", "kind": "slack", "url": "https://example.com/hook", "events": ["failed"]}`
		toFile = `"destination": {"type": "File", "config": {}}`
		get    = http.MethodGet
		post   = http.MethodPost
	)
	return []place{
		{get, "/batch_exports", false, "", 200, true},
		{post, "/batch_exports", true, draft(), 201, true},
		{get, e, false, "", 200, false},
		{get, "/batch_exports/test?destination=File", false, "", 200, true},
		{post, "/batch_exports/preview", true, draft(), 200, true},
		{post, "/batch_exports/run_test_step_new", true, draft(toFile), 200, true},
		{post, e + "/run_test_step", true, "{}", 400, false}, // its destination has no steps
		{http.MethodPatch, e, true, "{}", 200, false},
		{http.MethodPut, e, true, draft(), 200, false},
		{post, e + "/pause", true, "", 200, false},
		{post, e + "/unpause", true, "{}", 200, false},
		{get, e + "/logs", false, "", 200, false},
		{get, runs, false, "", 200, true},
		{get, runs + "/" + r.ID.String(), false, "", 200, false},
		{get, runs + "/" + r.ID.String() + "/logs", false, "", 200, false},
		{post, runs + "/" + r.ID.String() + "/retry", true, "", 201, false},
		{post, runs + "/" + r.ID.String() + "/cancel", true, "", 200, false},
		{get, backfills, false, "", 200, true},
		{post, backfills, true, strings.Replace(bounds, "05-01", "05-02", 1) /* an empty range */, 400, false},
		{get, e + "/coverage", false, "", 200, false},
		{post, e + "/coverage/fill", true, "{}", 200, false},
		{get, "/batch_exports/activity", false, "", 200, true},
		{get, e + "/activity", false, "", 200, false},
		{get, "/batch_exports/notifications", false, "", 200, true},
		{post, "/batch_exports/notifications", true, notice, 201, true},
		{get, "/batch_exports/notifications/" + ofProject, false, "", 200, false},
		{http.MethodPatch, "/batch_exports/notifications/" + ofProject, true, "{}", 200, false},
		{get, "/batch_exports/notifications/" + ofProject + "/deliveries", false, "", 200, false},
		{post, "/batch_exports/notifications/" + ofProject + "/test", true, "", 200, false},
		{http.MethodDelete, "/batch_exports/notifications/" + ofProject, true, "", 204, false},
		{get, e + "/notifications", false, "", 200, false},
		{post, e + "/notifications", true, notice, 201, false},
		{get, e + "/notifications/" + ofExport, false, "", 200, false},
		{http.MethodPatch, e + "/notifications/" + ofExport, true, "{}", 200, false},
		{get, e + "/notifications/" + ofExport + "/deliveries", false, "", 200, false},
		{post, e + "/notifications/" + ofExport + "/test", true, "", 200, false},
		{http.MethodDelete, e + "/notifications/" + ofExport, true, "", 204, false},
		{post, e + "/backfill", true, strings.Replace(bounds, "05-01", "05-02", 1) /* an empty range */, 400, false},
		{get, backfills + "/" + backfill, false, "", 200, false},
		{post, backfills + "/" + backfill + "/pause", true, "", 200, false},
		{post, backfills + "/" + backfill + "/resume", true, "", 200, false},
		{post, backfills + "/" + backfill + "/cancel", true, "", 200, false},
		{http.MethodDelete, e, true, "", 204, false},
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, prefix := range []string{"/api/projects/", "/api/environments/"} {
		places := places(t, w)
		for _, p := range places {
			t.Run(p.method+" "+prefix+p.path, func(t *testing.T) {
				t.Parallel() // none of it depends on whether the thing is still there
				as := func(key, project string) answer {
					return w.callAs(t, key, p.method, prefix+project+p.path, p.body)
				}
				refused := func(a answer, code, detail string) {
					t.Helper()
					a.fails(http.StatusUnauthorized, "authentication_error", code, detail, "")
					require.Equal(t, "Bearer", a.Header().Get("WWW-Authenticate"))
				}
				refused(as("", "1"), "not_authenticated", "Authentication credentials were not provided.")
				for _, key := range []string{"a-key-that-nobody-made", "short", revokedKey, expiredKey, "two words in one key", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
					refused(as(key, "1"), "authentication_failed", "Incorrect authentication credentials.")
				}
				scope := "batch_export:read"
				if p.write {
					scope = "batch_export:write"
					as(readKey, "1").fails(http.StatusForbidden, "authentication_error", "permission_denied",
						"API key missing required scope 'batch_export:write'", "")
				}
				as(noScopeKey, "1").fails(http.StatusForbidden, "authentication_error", "permission_denied",
					fmt.Sprintf("API key missing required scope '%s'", scope), "")
				as(foreignKey, "1").fails(http.StatusForbidden, "authentication_error", "permission_denied",
					"You do not have permission to perform this action.", "")
				for _, project := range []string{"99", "x", "0x1", "01", "+1", "1.0", "99999999999999999999", "%20", "@current"} {
					as(writeKey, project).fails(http.StatusNotFound, "invalid_request", "not_found", "Project not found.", "")
				}
				other := as(writeKey, "2")
				if p.list {
					require.Less(t, other.Code, 300)
				} else {
					require.Equal(t, http.StatusNotFound, other.Code)
				}
			})
		}
		for i, p := range places {
			key := writeKey
			if !p.write {
				key = readKey
			} else if i%2 == 0 {
				key = allKey
			}
			answer := w.callAs(t, key, p.method, prefix+"1"+slashed(p.path), p.body)
			require.Equal(t, p.status, answer.Code, "%s %s: %s", p.method, p.path, answer.Body)
		}
	}
}

// slashed adds a slash to a path, before its query.
func slashed(path string) string {
	path, query, ok := strings.Cut(path, "?")
	if !ok {
		return path + "/"
	}
	return path + "/?" + query
}

func TestCredentialsThatAreNotAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for header, code := range map[string]string{
		"":                         "not_authenticated",
		writeKey:                   "not_authenticated",
		"Basic " + writeKey:        "not_authenticated",
		"Bearer":                   "authentication_failed",
		"Bearer ":                  "authentication_failed",
		"Bearer " + writeKey + "x": "authentication_failed",
		"bearer   " + writeKey:     "",
		"Bearer " + writeKey:       "",
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, exports, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", header)
		answer := w.send(t, r)
		if code == "" {
			require.Equal(t, http.StatusOK, answer.Code, header)
			continue
		}
		require.Equal(t, http.StatusUnauthorized, answer.Code, header)
		require.Equal(t, code, answer.text("code"), header)
	}
}

func TestTheLastUseOfAKeyIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	used := func() *time.Time {
		key, err := w.KeyByHash(t.Context(), auth.Hash(readKey))
		require.NoError(t, err)
		return key.LastUsedAt
	}
	require.Nil(t, used())
	w.callAs(t, readKey, http.MethodGet, exports, "")
	require.Equal(t, start, *used())
	w.pass(59 * time.Second)
	w.callAs(t, readKey, http.MethodGet, exports, "")
	require.Equal(t, start, *used(), "once a minute is enough")
	w.pass(time.Second)
	w.callAs(t, readKey, http.MethodGet, exports, "")
	require.Equal(t, start.Add(time.Minute), *used())
}

func TestIDsThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, some := w.export(t).String(), uuid.NewString()
	for _, bad := range []string{"x", "1", "tests", "%00", "{" + some + "}", "urn:uuid:" + some, strings.ReplaceAll(some, "-", ""), some + "x", some} {
		for _, path := range []string{
			bad, bad + "/logs", id + "/runs/" + bad, id + "/runs/" + bad + "/logs", id + "/backfills/" + bad,
		} {
			w.call(t, http.MethodGet, exports+"/"+path, "").fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
		}
		for _, path := range []string{
			id + "/runs/" + bad + "/retry", id + "/runs/" + bad + "/cancel", id + "/backfills/" + bad + "/cancel",
		} {
			w.call(t, http.MethodPost, exports+"/"+path, "").fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
		}
		w.call(t, http.MethodDelete, exports+"/"+bad, "").fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
	}
	for _, action := range []string{"/pause", "/unpause"} {
		w.call(t, http.MethodPost, exports+"/x"+action, "").fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
		for _, body := range []string{"", `{"backfill": true}`} {
			w.call(t, http.MethodPost, exports+"/"+some+action, body).
				fails(http.StatusNotFound, "invalid_request", "not_found", "BatchExport ID '"+some+"' not found.", "")
		}
	}
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, exports+"/"+strings.ToUpper(id), "").Code)
}
