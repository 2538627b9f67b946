package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/dev/stack"
)

// answering is a receiver that answers with whatever status it is told to.
func answering(t *testing.T, status int) (address string, answer *atomic.Int64) {
	t.Helper()
	answer = &atomic.Int64{}
	answer.Store(int64(status))
	r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(answer.Load())) }))
	t.Cleanup(r.Close)
	return r.URL, answer
}

// subscribe wants to be told of events at an address, and returns the path of the subscription.
func (c *caller) subscribe(address string, events ...string) string {
	c.t.Helper()
	var made struct{ ID, Secret string }
	c.do(http.MethodPost, exports+"/notifications", map[string]any{"name": address, "kind": "webhook", "url": address, "events": events}, &made)
	plant(made.Secret)
	return exports + "/notifications/" + made.ID
}

// A run fails, and of those who are to be told one does not answer well and one is there no more.
func TestAlertsOnNotificationsThatNobodyTakes(t *testing.T) {
	t.Parallel()
	s := startStackWith(t, newEventMaker(55).within(epoch, 2*time.Hour, 20), func(*stack.Options) {})
	down, answerOfDown := answering(t, http.StatusServiceUnavailable)
	gone, answerOfGone := answering(t, http.StatusGone)
	w := s.watching()
	w.begin()
	s.subscribe(down, "failed")
	subscription := s.subscribe(gone, "failed")
	export := s.create(fileExport("fails", "hour", "blocked"))
	w.until("all to be well", well)
	w.end(15)

	w.begin()
	blocked := filepath.Join(s.ExportsDir(), "blocked")
	require.NoError(t, os.MkdirAll(s.ExportsDir(), 0o750))
	require.NoError(t, os.WriteFile(blocked, nil, 0o600))
	failing := s.backfill(export, epoch.Format(time.RFC3339), epoch.Add(time.Hour).Format(time.RFC3339))
	until(t, workPatience, "the failure", func() bool { return s.getBackfill(export, failing).over() })
	w.until("both receivers to have been asked", func(sc scrape) bool {
		return has("tranche_notifications_total", 1, `outcome="retried"`)(sc) && has("tranche_notifications_total", 1, `outcome="given_up"`)(sc)
	})
	w.end(14, "TrancheNotificationsFailing", "TrancheNotificationsLost", "TrancheCustomersRunsFailing")

	w.begin()
	answerOfDown.Store(http.StatusOK)
	answerOfGone.Store(http.StatusNoContent)
	var test struct {
		Delivered bool
	}
	s.do(http.MethodPost, subscription+"/test", nil, &test)
	require.True(t, test.Delivered)
	require.NoError(t, os.Remove(blocked))
	s.completed(export, s.backfill(export, epoch.Format(time.RFC3339), epoch.Add(2*time.Hour).Format(time.RFC3339)), workPatience)
	w.until("what waits to be taken", has("tranche_notifications_total", 1, `outcome="delivered"`))
	w.end(100)
	w.requireAlerts()
}
