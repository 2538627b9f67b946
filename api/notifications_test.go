package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/webhook"
)

// notices are the notifications of all exports of project 1.
const notices = exports + "/notifications"

// noticesOf is where a path of the document has its notifications.
func noticesOf(path, exportID string) string {
	if strings.Contains(path, "{id}/notifications") {
		return "/batch_exports/" + exportID + "/notifications"
	}
	return "/batch_exports/notifications"
}

// notification makes a notification that nobody receives, below the path, and returns its id. There may be three: those
// that are there make room.
func (w *world) notification(t *testing.T, path string) string {
	t.Helper()
	for _, id := range w.call(t, http.MethodGet, project+path, "").ids() {
		require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, project+path+"/"+id, "").Code)
	}
	answer := w.call(t, http.MethodPost, project+path, `{"name": "nobody", "kind": "webhook", "url": "http://127.0.0.1:1/"}`)
	require.Equal(t, http.StatusCreated, answer.Code, answer.Body.String())
	return answer.text("id")
}

func TestTheLifeOfANotification(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	export := w.export(t)
	for name, path := range map[string]string{"of all exports": notices, "of one": exports + "/" + export.String() + "/notifications"} {
		made := w.call(t, http.MethodPost, path, `{"name": " On call ", "kind": "webhook", "url": "https://example.com/hooks/4711?token=s3cr3t", "events": ["late", "failed", "late"]}`)
		require.Equal(t, http.StatusCreated, made.Code, name)
		require.NoError(t, webhook.CheckSecret(made.text("secret")))
		require.Equal(t, "https://example.com/***", made.text("url"))
		require.Equal(t, "On call", made.text("name"))
		require.Equal(t, []any{"failed", "late"}, made.json()["events"])
		one := path + "/" + made.text("id")

		read := w.callAs(t, readKey, http.MethodGet, one, "")
		require.Equal(t, http.StatusOK, read.Code)
		require.Nil(t, read.json()["secret"])
		require.NotContains(t, read.Body.String(), "4711")
		require.Equal(t, []string{made.text("id")}, w.call(t, http.MethodGet, path, "").ids())

		changed := w.call(t, http.MethodPatch, one, `{"enabled": false, "events": null, "name": "Others"}`)
		require.Equal(t, false, changed.json()["enabled"])
		require.Len(t, changed.json()["events"], len(batch.Events))
		require.Nil(t, changed.json()["secret"])
		rotated := w.call(t, http.MethodPatch, one, `{"rotate_secret": true}`)
		require.NotEqual(t, made.text("secret"), rotated.text("secret"))
		require.NoError(t, webhook.CheckSecret(rotated.text("secret")))
		require.Nil(t, changed.json()["old_secret_until"])
		until, err := time.Parse(time.RFC3339, rotated.text("old_secret_until"))
		require.NoError(t, err)
		require.WithinDuration(t, w.clock().Add(batch.SecretOverlap), until, time.Minute)
		require.Nil(t, w.call(t, http.MethodPatch, one, `{"revoke_old_secret": true}`).json()["old_secret_until"])
		require.Nil(t, made.json()["late_after_minutes"])
		require.EqualValues(t, 90, w.call(t, http.MethodPatch, one, `{"late_after_minutes": 90}`).json()["late_after_minutes"])
		require.Nil(t, w.call(t, http.MethodPatch, one, `{"late_after_minutes": null}`).json()["late_after_minutes"])

		require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, one, "").Code)
		require.Equal(t, http.StatusNotFound, w.call(t, http.MethodGet, one, "").Code)
		require.Equal(t, http.StatusNotFound, w.call(t, http.MethodDelete, one, "").Code)
	}
	log := w.call(t, http.MethodGet, exports+"/activity", "").Body.String()
	for _, secret := range []string{"s3cr3t", "4711", "whsec_"} {
		require.NotContains(t, log, secret)
	}
	require.Contains(t, log, `"notification.updated"`)
}

func TestNotificationsOfOneExportAreNotThoseOfAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.export(t).String(), w.export(t).String()
	id := w.notification(t, "/batch_exports/"+a+"/notifications")
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, exports+"/"+a+"/notifications/"+id, "").Code)
	for _, path := range []string{exports + "/" + b + "/notifications/", notices + "/", exports + "/" + uuid.NewString() + "/notifications/"} {
		for method, suffix := range map[string]string{http.MethodGet: "", http.MethodPatch: "", http.MethodDelete: "", http.MethodPost: "/test"} {
			w.call(t, method, path+id+suffix, "").fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
		}
		w.call(t, http.MethodGet, path+id+"/deliveries", "").fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
	}
	require.Empty(t, w.call(t, http.MethodGet, notices, "").ids())
}

func TestNotificationsThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const (
		unreachable = "Could not reach this host. Check that the hostname is correct and reachable from the internet."
		malformed   = "Enter a URL that begins with https://, without credentials and fragment."
		insecure    = "Only https:// is allowed, except to hosts in the networks that the operator of this server names."
		unsigned    = `a secret is "whsec_" and 24 to 64 bytes in base64`
	)
	for name, c := range map[string]struct{ body, code, detail, attr string }{
		"no name":                        {`{"kind": "slack", "url": "https://example.com"}`, "required", "This field is required.", "name"},
		"no kind":                        {`{"name": "n", "url": "https://example.com"}`, "required", "This field is required.", "kind"},
		"an unknown kind":                {`{"name": "n", "kind": "fax", "url": "https://example.com"}`, "invalid_choice", `"fax" is not a valid choice.`, "kind"},
		"no URL":                         {`{"name": "n", "kind": "slack"}`, "required", "This field is required.", "url"},
		"an unknown event":               {`{"name": "n", "kind": "slack", "url": "https://example.com", "events": ["test"]}`, "invalid_choice", `"test" is not a valid choice.`, "events"},
		"events that are no list":        {`{"name": "n", "kind": "slack", "url": "https://example.com", "events": "late"}`, "invalid_input", `Expected a list of items but got type "str".`, "events"},
		"late before the end":            {`{"name": "n", "kind": "slack", "url": "https://example.com", "late_after_minutes": 0}`, "invalid_input", "Ensure this value is from 1 to 43200.", "late_after_minutes"},
		"late after years":               {`{"name": "n", "kind": "slack", "url": "https://example.com", "late_after_minutes": 43201}`, "invalid_input", "Ensure this value is from 1 to 43200.", "late_after_minutes"},
		"late after a word":              {`{"name": "n", "kind": "slack", "url": "https://example.com", "late_after_minutes": "soon"}`, "invalid_input", "A valid integer is required.", "late_after_minutes"},
		"another scheme":                 {`{"name": "n", "kind": "slack", "url": "ftp://example.com"}`, "invalid_input", malformed, "url"},
		"no scheme":                      {`{"name": "n", "kind": "slack", "url": "example.com/x"}`, "invalid_input", malformed, "url"},
		"credentials":                    {`{"name": "n", "kind": "slack", "url": "https://u:p@example.com"}`, "invalid_input", malformed, "url"},
		"a backslash":                    {`{"name": "n", "kind": "slack", "url": "https://example.com\\@10.0.0.1/"}`, "invalid_input", malformed, "url"},
		"without TLS":                    {`{"name": "n", "kind": "slack", "url": "http://example.com"}`, "invalid_input", insecure, "url"},
		"a private address":              {`{"name": "n", "kind": "slack", "url": "https://10.0.0.1/"}`, "invalid_input", unreachable, "url"},
		"a name of a private address":    {`{"name": "n", "kind": "slack", "url": "https://ours.example.com/"}`, "invalid_input", unreachable, "url"},
		"the cloud's metadata":           {`{"name": "n", "kind": "slack", "url": "http://169.254.169.254/latest/meta-data/"}`, "invalid_input", unreachable, "url"},
		"its name":                       {`{"name": "n", "kind": "slack", "url": "https://metadata.google.internal/"}`, "invalid_input", unreachable, "url"},
		"a private address within IPv6":  {`{"name": "n", "kind": "slack", "url": "https://[::ffff:10.0.0.1]/"}`, "invalid_input", unreachable, "url"},
		"an address that is a number":    {`{"name": "n", "kind": "slack", "url": "https://167772161/"}`, "invalid_input", "Invalid host. Enter a hostname or IP address without credentials, scheme, or path.", "url"},
		"a name that there is not":       {`{"name": "n", "kind": "slack", "url": "https://nowhere.example.com/"}`, "invalid_input", unreachable, "url"},
		"a secret that is too short":     {`{"name": "n", "kind": "webhook", "url": "https://example.com", "secret": "whsec_c2hvcnQ="}`, "invalid_input", unsigned, "secret"},
		"a secret that is none":          {`{"name": "n", "kind": "webhook", "url": "https://example.com", "secret": "password"}`, "invalid_input", unsigned, "secret"},
		"a secret for what has no place": {`{"name": "n", "kind": "slack", "url": "https://example.com", "secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}`, "invalid_input", "Only notifications of kind 'webhook' are signed.", "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.call(t, http.MethodPost, notices, c.body).invalid(c.code, c.detail, c.attr)
		})
	}
}

func TestThereAreNotTooManyNotifications(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const body = `{"name": "n", "kind": "slack", "url": "https://example.com/x"}`
	for range 3 {
		require.Equal(t, http.StatusCreated, w.call(t, http.MethodPost, notices, body).Code)
	}
	w.call(t, http.MethodPost, notices, body).invalid("max_value", "There may be 3 notifications at most. Delete one to make another.", "")
	id := w.call(t, http.MethodGet, notices, "").ids()[0]
	w.call(t, http.MethodPatch, notices+"/"+id, `{"url": "https://10.0.0.1/"}`).
		invalid("invalid_input", "Could not reach this host. Check that the hostname is correct and reachable from the internet.", "url")
}

func TestTheTestOfANotificationTellsHowItWent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	answers := make(chan int, 3)
	got := make(chan *http.Request, 3)
	bodies := make(chan []byte, 3)
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r
		bodies <- body
		rw.WriteHeader(<-answers)
		_, _ = rw.Write([]byte("an answer that nobody may read"))
	}))
	defer receiver.Close()
	made := w.call(t, http.MethodPost, notices, `{"name": "n", "kind": "webhook", "url": "`+receiver.URL+`/hook"}`)
	one := notices + "/" + made.text("id")

	answers <- http.StatusNoContent
	answer := w.call(t, http.MethodPost, one+"/test", "")
	require.Equal(t, []any{true, 204.0, nil}, []any{answer.json()["delivered"], answer.json()["status_code"], answer.json()["error"]})
	r, body := <-got, <-bodies
	signature, err := webhook.Sign(made.text("secret"), r.Header.Get(webhook.HeaderID), r.Header.Get(webhook.HeaderTimestamp), body)
	require.NoError(t, err)
	require.Equal(t, signature, r.Header.Get(webhook.HeaderSignature))
	var sent map[string]any
	require.NoError(t, json.Unmarshal(body, &sent))
	require.Equal(t, "test", sent["event"])

	answers <- http.StatusInternalServerError
	w.pass(1)
	answer = w.call(t, http.MethodPost, one+"/test", "")
	require.Equal(t, "the receiver answered 500", answer.text("error"))

	log := w.call(t, http.MethodGet, one+"/deliveries", "")
	require.NotContains(t, log.Body.String(), "nobody may read")
	var page struct {
		Results []struct {
			Event, Status string
			Attempts      []struct {
				StatusCode int `json:"status_code"`
			}
		}
	}
	require.NoError(t, json.Unmarshal(log.Body.Bytes(), &page))
	require.Len(t, page.Results, 2)
	require.Equal(t, "failed", page.Results[0].Status)
	require.Equal(t, "delivered", page.Results[1].Status)
	require.Equal(t, 204, page.Results[1].Attempts[0].StatusCode)
}
