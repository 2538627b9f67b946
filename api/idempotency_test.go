package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/api"
	"tranche/batch"
	"tranche/destinations"
	"tranche/internal/app"
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

func TestStepsOnceDoneAreNotRefusedWhenSentAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	export := exports + "/" + id.String()
	bounds := `{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-02T00:00:00Z"}`
	backfill := backfillsOf(id) + "/" + w.call(t, http.MethodPost, backfillsOf(id), bounds).text("backfill_id")
	other := backfillsOf(id) + "/" + w.call(t, http.MethodPost, backfillsOf(id), strings.Replace(bounds, "05-01", "04-01", 1)).text("backfill_id")
	run := runsOf(id) + "/" + w.run(t, id, nil).ID.String()
	for _, path := range []string{export + "/pause", export + "/unpause", backfill + "/pause", backfill + "/resume", backfill + "/cancel", run + "/cancel"} {
		first := w.callOnce(t, path, path, "{}")
		require.Equal(t, http.StatusOK, first.Code, first.Body.String())
		again := w.callOnce(t, path, path, "{}")
		again.is(http.StatusOK, first.Body.String())
		require.Equal(t, "true", again.Header().Get("Idempotency-Replayed"), path)
	}
	w.callOnce(t, backfill+"/cancel", other+"/cancel", "{}").fails(http.StatusUnprocessableEntity, "invalid_request", "idempotency_key_reused",
		"This idempotency key was used for another request.", "")
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

// cutOff loses the answers to requests that have had their effect, as a process does that dies in between.
type cutOff struct {
	api.AnswerStore
	after int // answers that are still kept
}

func (s *cutOff) SaveAnswer(ctx context.Context, c batch.Claim, a batch.Answer) error {
	if s.after--; s.after >= 0 {
		return s.AnswerStore.SaveAnswer(ctx, c, a)
	}
	return errors.New("the process died")
}

func TestARequestThatIsCutOffMakesNothingTwice(t *testing.T) {
	t.Parallel()
	answers := &cutOff{}
	w := newWorld(t, func(s *api.Server) { answers.AnswerStore, s.Answers = s.Answers, answers })
	id := w.export(t)
	run := runsOf(id) + "/" + w.run(t, id, nil).ID.String() + "/retry"
	bounds := `{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-02T00:00:00Z"}`
	for path, body := range map[string]string{
		exports: draft(), backfillsOf(id): bounds, exports + "/" + id.String() + "/backfill": strings.ReplaceAll(bounds, "-05-", "-04-"), run: "",
	} {
		answers.after = 0
		first := w.callOnce(t, path, path, body)
		require.Less(t, first.Code, 300, first.Body.String())
		w.callOnce(t, path, path, body).fails(http.StatusConflict, "invalid_request", "idempotency_key_in_use",
			"The first request with this idempotency key is still being served. Please try again.", "")
		w.pass(61 * time.Second)
		answers.after = 1
		again := w.callOnce(t, path, path, body)
		again.is(first.Code, first.Body.String())
		require.Equal(t, first.Header().Get("ETag"), again.Header().Get("ETag"))
		require.Empty(t, again.Header().Get("Idempotency-Replayed"))
		require.Equal(t, "true", w.callOnce(t, path, path, body).Header().Get("Idempotency-Replayed"))
	}
	require.Len(t, w.call(t, http.MethodGet, exports, "").ids(), 2)
	require.Len(t, w.call(t, http.MethodGet, backfillsOf(id), "").ids(), 3)
}

func TestWhatWasMadeIsFoundWhateverItsHostIsMeanwhile(t *testing.T) {
	t.Parallel()
	answers, down := &cutOff{}, false
	w := newWorld(t, func(s *api.Server) {
		answers.AnswerStore, s.Answers = s.Answers, answers
		s.Exports.Plugins = destinations.NewRegistry(destinations.Define(destinations.Definition[vaultConfig]{
			Type: "Vault", Validate: func(vaultConfig) error {
				if down {
					return destinations.ConfigErrorf("Could not reach this host.")
				}
				return nil
			},
		}))
	})
	first := w.callOnce(t, "one", exports, draft())
	require.Equal(t, http.StatusCreated, first.Code, first.Body.String())
	w.pass(61 * time.Second)
	answers.after, down = 1, true
	w.callOnce(t, "one", exports, draft()).is(http.StatusCreated, first.Body.String())
	require.Len(t, w.call(t, http.MethodGet, exports, "").ids(), 1)
}

// lost is a database that stores exports and then does not answer.
type lost struct {
	app.ExportStore
	broken bool
}

func (s *lost) CreateExport(ctx context.Context, e batch.Export) error {
	err := s.ExportStore.CreateExport(ctx, e)
	if s.broken {
		return errors.New("the connection broke off")
	}
	return err
}

func TestARequestOfUnknownFateCanBeSentAgainAtOnce(t *testing.T) {
	t.Parallel()
	store := &lost{broken: true}
	w := newWorld(t, func(s *api.Server) { store.ExportStore, s.Exports.Store = s.Exports.Store, store })
	require.Equal(t, http.StatusInternalServerError, w.callOnce(t, "one", exports, draft()).Code)
	store.broken = false
	again := w.callOnce(t, "one", exports, draft())
	require.Equal(t, http.StatusCreated, again.Code, again.Body.String())
	require.Equal(t, []string{again.text("id")}, w.call(t, http.MethodGet, exports, "").ids())
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
