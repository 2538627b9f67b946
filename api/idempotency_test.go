package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/api"
)

// callOnce is a POST with an idempotency key.
func (w *world) callOnce(t *testing.T, key, path, body string) answer {
	t.Helper()
	r := w.request(t, http.MethodPost, path, body)
	r.Header.Set("Idempotency-Key", key)
	return w.send(t, r)
}

func TestTheSameRequestIsServedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.callOnce(t, "one", exports, draft())
	require.Equal(t, http.StatusCreated, first.Code, first.Body.String())
	require.Empty(t, first.Header().Get("Idempotency-Replayed"))
	again := w.callOnce(t, "one", exports, draft())
	again.is(http.StatusCreated, first.Body.String())
	require.Equal(t, "true", again.Header().Get("Idempotency-Replayed"))
	require.Equal(t, first.Header().Get("ETag"), again.Header().Get("ETag"))
	require.Len(t, w.call(t, http.MethodGet, exports, "").ids(), 1)

	const reused = "This idempotency key was used for another request."
	w.callOnce(t, "one", exports, draft(`"name": "other"`)).fails(http.StatusUnprocessableEntity, "invalid_request", "idempotency_key_reused", reused, "")
	id := mustID(first.text("id"))
	bounds := `{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-02T00:00:00Z"}`
	w.callOnce(t, "one", backfillsOf(id), bounds).fails(http.StatusUnprocessableEntity, "invalid_request", "idempotency_key_reused", reused, "")
	backfill := w.callOnce(t, "two", backfillsOf(id), bounds)
	w.callOnce(t, "two", backfillsOf(id), bounds).is(http.StatusCreated, backfill.Body.String())
	run := runsOf(id) + "/" + w.run(t, id, nil).ID.String() + "/retry"
	retry := w.callOnce(t, "three", run, "")
	w.callOnce(t, "three", run, "").is(http.StatusCreated, retry.Body.String())
	require.Len(t, w.call(t, http.MethodGet, backfillsOf(id), "").ids(), 2)

	w.pass(25 * time.Hour)
	require.NotEqual(t, first.text("id"), w.callOnce(t, "one", exports, draft()).text("id"), "after a day the key is free")
}

func TestARefusedRequestDoesNotUseUpItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.callOnce(t, "one", exports, `{}`).invalid("required", "This field is required.", "name")
	require.Equal(t, http.StatusCreated, w.callOnce(t, "one", exports, draft()).Code)
	for _, key := range []string{"", "ä", strings.Repeat("x", 256), "a\x00"} {
		w.callOnce(t, key, exports, draft()).fails(http.StatusBadRequest, "invalid_request", "invalid_input",
			"The header Idempotency-Key must be 1 to 255 printable ASCII characters.", "")
	}
}

func TestTheSameRequestAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			answer := w.callOnce(t, "one", exports, draft())
			if answer.Code != http.StatusCreated && answer.Code != http.StatusConflict {
				t.Errorf("%d %s", answer.Code, answer.Body)
			}
		})
	}
	group.Wait()
	require.Len(t, w.call(t, http.MethodGet, exports, "").ids(), 1)
}

func TestAKeyThatAsksTooOftenWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *api.Server) { s.RateLimit = api.RateLimit{PerMinute: 6, Burst: 2} })
	status := func(key string) int { return w.callAs(t, key, http.MethodGet, exports, "").Code }
	require.Equal(t, []int{200, 200}, []int{status(writeKey), status(writeKey)})
	w.pass(500 * time.Millisecond)
	late := w.call(t, http.MethodGet, exports, "")
	late.fails(http.StatusTooManyRequests, "throttled_error", "throttled", "Request was throttled. Expected available in 10 seconds.", "")
	require.Equal(t, "10", late.Header().Get("Retry-After"))
	require.Equal(t, 200, status(readKey), "others are not concerned")
	w.pass(10 * time.Second)
	require.Equal(t, []int{200, 429}, []int{status(writeKey), status(writeKey)})
	w.pass(time.Hour)
	require.Equal(t, []int{200, 200, 429}, []int{status(writeKey), status(writeKey), status(writeKey)})
}
