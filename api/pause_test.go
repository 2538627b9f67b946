package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/api"
	"tranche/batch"
	"tranche/internal/app"
)

func TestPauseAndUnpause(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	path := exports + "/" + id.String()
	w.temporal.take()

	w.pass(time.Minute)
	w.call(t, http.MethodPost, path+"/pause", "ignored").is(http.StatusOK, `{"paused": true}`)
	require.Equal(t, []string{"put " + id.String()}, w.temporal.take())
	paused := w.call(t, http.MethodGet, path, "").json()
	require.Equal(t, true, paused["paused"])
	require.Equal(t, "2026-05-06T07:09:09.123456Z", paused["last_paused_at"])

	w.pass(3 * time.Hour)
	w.call(t, http.MethodPost, path+"/pause", "").is(http.StatusOK, `{"paused": true}`)
	require.Empty(t, w.temporal.take())
	require.Equal(t, paused, w.call(t, http.MethodGet, path, "").json(), "pausing again changes nothing")

	w.call(t, http.MethodPost, path+"/unpause", `{"backfill": true}`).is(http.StatusOK, `{"paused": false}`)
	require.Len(t, w.temporal.take(), 2)
	backfills := w.call(t, http.MethodGet, path+"/backfills", "").json()["results"].([]any)
	require.Len(t, backfills, 1)
	require.Equal(t, "2026-05-06T07:00:00Z", backfills[0].(map[string]any)["start_at"])
	require.Equal(t, "2026-05-06T10:00:00Z", backfills[0].(map[string]any)["end_at"])

	w.call(t, http.MethodPost, path+"/unpause", "").is(http.StatusOK, `{"paused": false}`)
	require.Empty(t, w.temporal.take())
	w.call(t, http.MethodPost, path+"/unpause", `{"backfill": 1}`).invalid("invalid_input", "Must be a valid boolean.", "backfill")
}

func TestAnExportStaysPausedWhenWhatWasMissedCannotBeBackfilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t, `"paused": true`)
	path := exports + "/" + id.String()
	w.pass(3 * time.Hour)
	end := start.Truncate(time.Hour).Add(2 * time.Hour)
	w.delivers(t, id, batch.Interval{Start: end.Add(-10 * time.Minute), End: end}, 5) // by an older calendar
	answer := w.call(t, http.MethodPost, path+"/unpause", `{"backfill": true}`)
	require.Equal(t, http.StatusConflict, answer.Code, answer.Body.String())
	require.Equal(t, "overlapping_deliveries", answer.text("code"))
	require.Equal(t, true, w.call(t, http.MethodGet, path, "").json()["paused"], "or it would be missed for good")
	require.Empty(t, w.call(t, http.MethodGet, path+"/backfills", "").ids())
}

// slow is a database whose next change of an export is preceded by something.
type slow struct {
	app.ExportStore
	first func() error
}

func (s *slow) UpdateExport(ctx context.Context, teamID int64, id uuid.UUID, change func(*batch.Export) error) (batch.Export, error) {
	if first := s.first; first != nil {
		if s.first = nil; first() != nil {
			return batch.Export{}, errors.New("the process died")
		}
	}
	return s.ExportStore.UpdateExport(ctx, teamID, id, change)
}

func TestWhatWasMissedIsBackfilledWhateverBecomesOfTheRequest(t *testing.T) {
	t.Parallel()
	store := &slow{}
	w := newWorld(t, func(s *api.Server) { store.ExportStore, s.Exports.Store = s.Exports.Store, store })
	path := exports + "/" + w.export(t, `"paused": true`).String()
	ranges := func() (all []string) {
		for _, b := range w.call(t, http.MethodGet, path+"/backfills?ordering=start_at", "").json()["results"].([]any) {
			all = append(all, fmt.Sprint(b.(map[string]any)["start_at"], " ", b.(map[string]any)["end_at"]))
		}
		return all
	}
	w.pass(3 * time.Hour)
	store.first = func() error { return errors.New("the process died") }
	require.Equal(t, http.StatusInternalServerError, w.call(t, http.MethodPost, path+"/unpause", `{"backfill": true}`).Code)
	missed := "2026-05-06T07:00:00Z 2026-05-06T10:00:00Z"
	require.Equal(t, []string{missed}, ranges())
	require.Equal(t, true, w.call(t, http.MethodGet, path, "").json()["paused"])

	store.first = func() error { w.pass(time.Hour); return nil }
	w.call(t, http.MethodPost, path+"/unpause", `{"backfill": true}`).is(http.StatusOK, `{"paused": false}`)
	require.Equal(t, []string{missed, "2026-05-06T10:00:00Z 2026-05-06T11:00:00Z"}, ranges(), "an interval ended in between")
}

func TestUnpausingLeavesTheRoomOfOthersAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	missed := exports + "/" + w.export(t, `"paused": true`).String()
	w.pass(3 * time.Hour)
	paused := exports + "/" + w.export(t, `"paused": true`).String()
	w.pass(time.Minute)
	made := w.call(t, http.MethodPost, missed+"/backfills", `{"start_at": "2026-05-06T07:00:00Z", "end_at": "2026-05-06T10:00:00Z"}`)
	require.Equal(t, http.StatusCreated, made.Code, made.Body.String())
	w.call(t, http.MethodPost, missed+"/unpause", `{"backfill": true}`).is(http.StatusOK, `{"paused": false}`)
	require.Equal(t, []string{made.text("backfill_id")}, w.call(t, http.MethodGet, missed+"/backfills", "").ids(), "it is being backfilled already")

	w.pass(time.Minute)
	for i := range 4 {
		body := fmt.Sprintf(`{"start_at": "2026-05-0%dT00:00:00Z", "end_at": "2026-05-05T12:00:00Z"}`, i+1)
		require.Equal(t, http.StatusCreated, w.call(t, http.MethodPost, missed+"/backfills", body).Code)
	}
	w.call(t, http.MethodPost, paused+"/unpause", `{"backfill": true}`).is(http.StatusOK, `{"paused": false}`)
	require.Empty(t, w.call(t, http.MethodGet, paused+"/backfills", "").ids(), "no interval has ended since")
}
