package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"tranche/batch"
	"tranche/dev/stack"
	"tranche/workflows"
)

// A notified is what a receiver was sent.
type notified struct {
	id, event, path string
	genuine         bool // its signature is right
	status          int  // what the receiver answered
}

// A receiver is a customer's program that is told of events. It answers the first post with a failure.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	secret string
	got    []notified
}

func startReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		n := notified{id: request.Header.Get("Webhook-Id"), path: request.URL.String(), status: http.StatusOK, genuine: r.verify(request.Header, body)}
		var sent struct{ ID, Event string }
		_ = json.Unmarshal(body, &sent)
		n.event = sent.Event
		if len(r.got) == 0 {
			n.status = http.StatusServiceUnavailable
		}
		r.got = append(r.got, n)
		w.WriteHeader(n.status)
	}))
	t.Cleanup(r.Close)
	return r
}

// verify checks a signature as the docs tell customers to.
func (r *receiver) verify(header http.Header, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(header.Get("Webhook-Id") + "." + header.Get("Webhook-Timestamp") + "."))
	mac.Write(body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return hmac.Equal([]byte(want), []byte(header.Get("Webhook-Signature")))
}

func (r *receiver) posts() []notified {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]notified{}, r.got...)
}

// TestAFailureAndItsRecoveryAreToldOnce lets a run fail and the next one deliver, with a receiver that is down at first.
func TestAFailureAndItsRecoveryAreToldOnce(t *testing.T) {
	t.Parallel()
	hour := time.Date(2026, 5, 6, 7, 0, 0, 0, time.UTC)
	s := startStackWith(t, newEventMaker(60).within(hour, 2*time.Hour, 20), func(*stack.Options) {})
	r := startReceiver(t)
	var made struct {
		ID     uuid.UUID
		Secret string
	}
	s.do(http.MethodPost, exports+"/notifications", map[string]any{
		"name": "On call", "kind": "webhook", "url": r.URL + "/hook?token=secret-in-the-url", "events": []string{"failed", "recovered"},
	}, &made)
	r.mu.Lock()
	r.secret = made.Secret
	r.mu.Unlock()

	for _, address := range []string{"http://10.0.0.1/", "https://169.254.169.254/latest", "http://93.184.216.34/", "file:///etc/passwd"} {
		s.refused(http.StatusBadRequest, http.MethodPost, exports+"/notifications", map[string]any{"name": "inside", "kind": "webhook", "url": address})
	}

	export := s.create(fileExport("name-of-the-export", "hour", "blocked"))
	blocked := filepath.Join(s.ExportsDir(), "blocked")
	require.NoError(t, os.MkdirAll(s.ExportsDir(), 0o750))
	require.NoError(t, os.WriteFile(blocked, nil, 0o600))
	first := s.backfill(export, "2026-05-06T07:00:00Z", "2026-05-06T08:00:00Z")
	until(t, time.Minute, "the failure", func() bool { return s.getBackfill(export, first).over() })
	require.NoError(t, os.Remove(blocked))
	s.completed(export, s.backfill(export, "2026-05-06T08:00:00Z", "2026-05-06T09:00:00Z"), time.Minute)

	until(t, time.Minute, "both notifications", func() bool {
		taken := map[string]bool{}
		for _, p := range r.posts() {
			if p.status == http.StatusOK {
				taken[p.event] = true
			}
		}
		return taken["failed"] && taken["recovered"]
	})
	ids := map[string]string{}
	for _, p := range r.posts() {
		require.True(t, p.genuine, "%s is not signed", p.event)
		require.Equal(t, "/hook?token=secret-in-the-url", p.path)
		if id, repeated := ids[p.event]; repeated {
			require.Equal(t, id, p.id, "a repeat has the id of what it repeats")
		}
		ids[p.event] = p.id
	}
	require.Len(t, ids, 2)

	var log []struct {
		NotificationID string `json:"notification_id"`
		Event, Status  string
		Attempts       []struct {
			StatusCode int `json:"status_code"`
		}
	}
	until(t, time.Minute, "the log of what was sent", func() bool {
		log = pages[struct {
			NotificationID string `json:"notification_id"`
			Event, Status  string
			Attempts       []struct {
				StatusCode int `json:"status_code"`
			}
		}](s.caller, exports+"/notifications/"+made.ID.String()+"/deliveries")
		return len(log) == 2 && log[0].Status == "delivered" && log[1].Status == "delivered"
	})
	for _, entry := range log {
		s.requireNoSecrets(uuid.MustParse(entry.NotificationID), made.Secret, "secret-in-the-url", "name-of-the-export", r.URL)
	}
}

// requireNoSecrets reads the history of a notification's workflow: it holds ids and what is said of tries.
func (s *inProcess) requireNoSecrets(notification uuid.UUID, secrets ...string) {
	s.t.Helper()
	id := workflows.NotifyWorkflowID(notification)
	require.NoError(s.t, s.Temporal().GetWorkflow(s.t.Context(), id, "").Get(s.t.Context(), nil))
	history := s.Temporal().GetWorkflowHistory(s.t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	events := 0
	for history.HasNext() {
		event, err := history.Next()
		require.NoError(s.t, err)
		events++
		text, err := protojson.Marshal(event)
		require.NoError(s.t, err)
		for _, secret := range secrets {
			require.NotContains(s.t, string(text), secret)
			require.NotContains(s.t, string(text), base64.StdEncoding.EncodeToString([]byte(secret))[:8])
		}
	}
	require.Greater(s.t, events, 5)
}

// TestANotificationWhoseWorkflowWasNotStartedIsSent writes one into the database, as a worker does that dies right after.
func TestANotificationWhoseWorkflowWasNotStartedIsSent(t *testing.T) {
	t.Parallel()
	s := startStack(t, nil)
	r := startReceiver(t)
	export := s.create(fileExport("e", "hour", "out"))
	s.do(http.MethodPost, at(export)+"/notifications", map[string]any{"name": "n", "kind": "slack", "url": r.URL}, nil)
	e, err := s.DB().ExportByID(t.Context(), export)
	require.NoError(t, err)
	s.tellLate(e)
	until(t, time.Minute, "the notification", func() bool {
		posts := r.posts()
		return len(posts) > 1 && posts[1].status == http.StatusOK
	})
}

// tellLate writes a notification into the database, and does not start its workflow.
func (s *inProcess) tellLate(e batch.Export) {
	s.t.Helper()
	end := time.Date(2026, 5, 6, 7, 0, 0, 0, time.UTC)
	late := batch.Lateness{Interval: batch.Interval{Start: end.Add(-time.Hour), End: end}, Frequency: e.Frequency, By: 24 * time.Hour}
	require.NoError(s.t, s.DB().TellLate(s.t.Context(), e, late))
}

// TestANotificationWhoseWorkflowIsTerminatedIsSent takes away, in Temporal, the workflow that waits for its next try.
func TestANotificationWhoseWorkflowIsTerminatedIsSent(t *testing.T) {
	t.Parallel()
	s := startStack(t, nil)
	address, answer := answering(t, http.StatusServiceUnavailable)
	subscription := s.subscribe(address, "late")
	e, err := s.DB().ExportByID(t.Context(), s.create(fileExport("e", "hour", "out")))
	require.NoError(t, err)
	s.tellLate(e)
	type message struct {
		NotificationID uuid.UUID `json:"notification_id"`
		Status         string
		Attempts       []struct{ Delivered bool }
	}
	sent := func(tries int, status string) (m message) {
		until(t, workPatience, "the message to be "+status, func() bool {
			list := pages[message](s.caller, subscription+"/deliveries")
			if len(list) == 1 {
				m = list[0]
			}
			return len(m.Attempts) >= tries && m.Status == status
		})
		return m
	}
	id := workflows.NotifyWorkflowID(sent(2, "pending").NotificationID) // the next try is ten seconds away
	first, err := s.Temporal().DescribeWorkflowExecution(t.Context(), id, "")
	require.NoError(t, err)
	answer.Store(http.StatusOK)
	require.NoError(t, s.Temporal().TerminateWorkflow(t.Context(), id, "", "by mistake"))
	sent(3, "delivered")
	second, err := s.Temporal().DescribeWorkflowExecution(t.Context(), id, "")
	require.NoError(t, err)
	require.NotEqual(t, first.GetWorkflowExecutionInfo().GetExecution().GetRunId(), second.GetWorkflowExecutionInfo().GetExecution().GetRunId())
}
