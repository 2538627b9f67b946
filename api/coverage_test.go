package api_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/sources"
)

func coverageOf(id uuid.UUID) string { return exports + "/" + id.String() + "/coverage" }

// theHour is the interval that ended the hours before the tests take place.
func theHour(ago int) batch.Interval {
	end := start.Truncate(time.Hour).Add(-time.Duration(ago) * time.Hour)
	return batch.Interval{Start: end.Add(-time.Hour), End: end}
}

// delivers makes a run that delivered the interval.
func (w *world) delivers(t *testing.T, exportID uuid.UUID, i batch.Interval, rows int64) batch.Run {
	t.Helper()
	r := w.run(t, exportID, func(r *batch.Run) { r.Interval = i })
	require.NoError(t, w.SavePlan(t.Context(), r.ID, 1, []sources.Split{{Range: i}}))
	token, err := w.AcquireLease(t.Context(), exportID, i, r.ID, time.Minute)
	require.NoError(t, err)
	require.NoError(t, w.RecordDelivery(t.Context(), batch.Delivery{
		ExportID: exportID, Interval: i, RunID: r.ID, Generation: 1, Token: token, Rows: rows, Bytes: 8 * rows, CommittedAt: i.End,
	}))
	return w.ends(t, r, batch.RunCompleted)
}

func (w *world) ends(t *testing.T, r batch.Run, status batch.RunStatus) batch.Run {
	t.Helper()
	r, err := w.UpdateRun(t.Context(), r.ID, func(r *batch.Run) error { r.Status = status; return nil })
	require.NoError(t, err)
	return r
}

// statuses are those of a page, by the hours since which the intervals are over.
func (a answer) statuses() map[string]string {
	a.t.Helper()
	require.Equal(a.t, http.StatusOK, a.Code, a.Body.String())
	got := map[string]string{}
	for _, entry := range a.json()["results"].([]any) {
		e := entry.(map[string]any)
		from, _ := e["data_interval_start"].(string)
		got[from] = e["status"].(string)
	}
	return got
}

func TestCoverageShowsWhatBecameOfEveryInterval(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	delivered := w.delivers(t, id, theHour(5), 12)
	w.delivers(t, id, theHour(4), 0)
	failed := w.ends(t, w.run(t, id, func(r *batch.Run) { r.Interval = theHour(3) }), batch.RunFailed)
	w.run(t, id, func(r *batch.Run) { r.Interval = theHour(1) })

	query := fmt.Sprintf("?start=%s&end=%s", theHour(5).Start.Format(time.RFC3339), theHour(0).End.Format(time.RFC3339))
	for _, path := range []string{coverageOf(id), "/api/environments/1/batch_exports/" + id.String() + "/coverage/"} {
		got := w.callAs(t, readKey, http.MethodGet, path+query, "")
		require.Equal(t, http.StatusOK, got.Code, got.Body.String())
		body := got.json()
		require.Equal(t, map[string]any{
			"delivered": 1.0, "empty": 1.0, "failed": 1.0, "running": 2.0, "missing": 1.0, "paused": 0.0,
		}, body["counts"])
		require.Equal(t, "2026-05-06T01:00:00Z", body["start"])
		require.Equal(t, "2026-05-06T07:00:00Z", body["end"])
		require.Nil(t, body["next"])
		require.Equal(t, map[string]string{
			"2026-05-06T01:00:00Z": "delivered", "2026-05-06T02:00:00Z": "empty", "2026-05-06T03:00:00Z": "failed",
			"2026-05-06T04:00:00Z": "missing", "2026-05-06T05:00:00Z": "running",
			"2026-05-06T06:00:00Z": "running", // its schedule fires within its jitter
		}, got.statuses())
		entries := body["results"].([]any)
		first := entries[0].(map[string]any)
		require.Equal(t, delivered.ID.String(), first["delivered_by"])
		require.Equal(t, []any{12.0, 96.0, "2026-05-06T02:00:00Z"}, []any{first["records"], first["bytes"], first["delivered_at"]})
		run := entries[2].(map[string]any)["runs"].([]any)[0].(map[string]any)
		require.Equal(t, []any{failed.ID.String(), "Failed"}, []any{run["id"], run["status"]})
	}

	// What falls due while the export is paused.
	w.call(t, http.MethodPost, exports+"/"+id.String()+"/pause", "")
	w.pass(2 * time.Hour)
	got := w.callAs(t, readKey, http.MethodGet, coverageOf(id)+"?start=-3h", "").statuses()
	require.Equal(t, map[string]string{
		"2026-05-06T06:00:00Z": "missing", "2026-05-06T07:00:00Z": "paused", "2026-05-06T08:00:00Z": "paused",
	}, got)
}

func TestCoverageKnowsEveryPause(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	for range 2 { // an hour passes, the next one falls due in a pause
		w.pass(time.Hour)
		w.call(t, http.MethodPost, exports+"/"+id.String()+"/pause", "")
		w.pass(time.Hour)
		w.call(t, http.MethodPost, exports+"/"+id.String()+"/unpause", "")
	}
	w.pass(time.Hour)
	require.Equal(t, map[string]string{
		"2026-05-06T07:00:00Z": "missing", "2026-05-06T08:00:00Z": "paused", "2026-05-06T09:00:00Z": "missing",
		"2026-05-06T10:00:00Z": "paused", "2026-05-06T11:00:00Z": "running",
	}, w.call(t, http.MethodGet, coverageOf(id), "").statuses())
}

func TestCoverageIsReadInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t, `"interval": "every 5 minutes"`)
	seen := map[string]bool{}
	next := coverageOf(id) + "?start=-4d&end=" + start.Add(-time.Hour).Format(time.RFC3339)
	for pages := 0; next != ""; pages++ {
		require.Less(t, pages, 4)
		got := w.call(t, http.MethodGet, next, "")
		for from := range got.statuses() {
			require.False(t, seen[from], from)
			seen[from] = true
		}
		next, _ = got.json()["next"].(string)
	}
	require.Len(t, seen, 4*24*12-11)
}

func TestWhatCoverageRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	tests := map[string]struct{ query, code, detail, attr string }{
		"an end before the start": {"?start=2026-05-02&end=2026-05-01", "invalid_input", "'start' must be before 'end'", "start"},
		"an empty range":          {"?start=2026-05-01&end=2026-05-01", "invalid_input", "'start' must be before 'end'", "start"},
		"rubbish": {
			"?start=rubbish", "invalid_input", "'rubbish' is not a valid datetime: give ISO 8601, or a time before now like -7d or -3h.", "start",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.call(t, http.MethodGet, coverageOf(id)+tt.query, "").invalid(tt.code, tt.detail, tt.attr)
		})
	}
	w.call(t, http.MethodGet, coverageOf(uuid.New()), "").fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
	w.call(t, http.MethodPost, coverageOf(uuid.New())+"/fill", "{}").fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
	require.Equal(t, http.StatusForbidden, w.callAs(t, readKey, http.MethodPost, coverageOf(id)+"/fill", "{}").Code)
	require.Equal(t, http.StatusForbidden, w.callAs(t, noScopeKey, http.MethodGet, coverageOf(id), "").Code)
	w.call(t, http.MethodPost, coverageOf(id)+"/fill", `{"start": "2026-05-02", "end": "2026-05-01"}`).
		invalid("invalid_input", "'start' must be before 'end'", "start")
	minutes := w.export(t, `"interval": "every 5 minutes"`)
	w.call(t, http.MethodPost, coverageOf(minutes)+"/fill", `{"start": "2020-01-01T00:00:00Z"}`).invalid("invalid_input",
		"The range has more than 120000 intervals. Fill its gaps in parts: the first could end at 2021-02-20T16:00:00Z.", "start")
}

func TestFillStartsBackfillsOfExactlyTheGaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	w.delivers(t, id, theHour(6), 1)
	w.ends(t, w.run(t, id, func(r *batch.Run) { r.Interval = theHour(4) }), batch.RunFailed)
	w.delivers(t, id, theHour(3), 1)
	w.run(t, id, func(r *batch.Run) { r.Interval = theHour(2) })
	w.temporal.take()

	body := fmt.Sprintf(`{"start": %q, "end": %q}`, theHour(6).Start.Format(time.RFC3339), theHour(1).End.Format(time.RFC3339))
	request := func() *http.Request {
		r := w.request(t, http.MethodPost, coverageOf(id)+"/fill", body)
		r.Header.Set("Idempotency-Key", "once")
		return r
	}
	filled := w.send(t, request())
	require.Equal(t, http.StatusOK, filled.Code, filled.Body.String())
	require.Equal(t, "Backfills started: 2, for 3 intervals.", filled.text("detail"))
	backfills := filled.json()["backfills"].([]any)
	bounds := [][]any{{"2026-05-06T01:00:00Z", "2026-05-06T03:00:00Z", 2.0}, {"2026-05-06T05:00:00Z", "2026-05-06T06:00:00Z", 1.0}}
	var started []string
	for n, b := range backfills {
		b := b.(map[string]any)
		got := []any{b["start_at"], b["end_at"], b["intervals"]}
		require.Equal(t, bounds[n], got)
		started = append(started, "start backfill "+b["backfill_id"].(string))
	}
	require.Equal(t, started, w.temporal.take())

	require.Equal(t, filled.json(), w.send(t, request()).json(), "the same request under the same key is served once")
	w.call(t, http.MethodPost, coverageOf(id)+"/fill", body).is(http.StatusOK, `{"intervals": 0, "remaining_ranges": 0, "overlapping_ranges": 0, "backfills": [],
		"detail": "There is nothing to fill: every interval is delivered, under way or was paused."}`)
	require.Empty(t, w.temporal.take())
	got := w.call(t, http.MethodGet, coverageOf(id)+"?start="+theHour(6).Start.Format(time.RFC3339), "").json()["results"].([]any)
	require.Equal(t, backfills[0].(map[string]any)["backfill_id"], got[1].(map[string]any)["backfill"])
}

func TestFillSaysWhatItLeftAloneBecauseItWasDeliveredWithAnotherLength(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	half := batch.Interval{Start: theHour(6).Start, End: theHour(6).Start.Add(30 * time.Minute)}
	w.delivers(t, id, half, 1)
	w.delivers(t, id, theHour(5), 1)
	w.temporal.take()
	fill := func(until batch.Interval) answer {
		return w.call(t, http.MethodPost, coverageOf(id)+"/fill",
			fmt.Sprintf(`{"start": %q, "end": %q}`, theHour(6).Start.Format(time.RFC3339), until.End.Format(time.RFC3339)))
	}
	const leftAlone = "Ranges left alone because a part of them was delivered with another length: 1. A backfill with 'replace' delivers them."
	fill(theHour(6)).is(http.StatusOK, fmt.Sprintf(`{"intervals": 0, "remaining_ranges": 0, "overlapping_ranges": 1, "backfills": [], "detail": %q}`, leftAlone))
	filled := fill(theHour(4))
	require.Equal(t, "Backfills started: 1, for 1 intervals. "+leftAlone, filled.text("detail"))
	require.Len(t, filled.json()["backfills"], 1, "the gap behind it is filled all the same")
}

func TestFillLeavesOutWhatWasPausedUnlessItIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t, `"paused": true`)
	w.pass(3 * time.Hour)
	fill := func(body string) answer { return w.call(t, http.MethodPost, coverageOf(id)+"/fill", body) }
	require.Empty(t, fill("").json()["backfills"])
	filled := fill(`{"include_paused": true}`)
	require.Equal(t, "Backfills started: 1, for 3 intervals.", filled.text("detail"))
	range0 := filled.json()["backfills"].([]any)[0].(map[string]any)
	require.Equal(t, []any{"2026-05-06T07:00:00Z", "2026-05-06T10:00:00Z"}, []any{range0["start_at"], range0["end_at"]})
}

func TestGapsOfAnEarlierCalendarAreFilledWithTheirOwnBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	w.pass(3 * time.Hour) // 10:08: hours until 10, then up to midnight, then days
	w.call(t, http.MethodPatch, exports+"/"+id.String(), `{"interval": "day"}`)
	w.pass(3 * 24 * time.Hour)
	midnight := time.Date(2026, 5, 8, 0, 0, 0, 0, time.UTC)
	w.delivers(t, id, batch.Interval{Start: midnight, End: midnight.Add(24 * time.Hour)}, 4)
	require.Equal(t, map[string]string{
		"2026-05-06T07:00:00Z": "missing", "2026-05-06T08:00:00Z": "missing", "2026-05-06T09:00:00Z": "missing",
		"2026-05-06T10:00:00Z": "missing", "2026-05-07T00:00:00Z": "missing", "2026-05-08T00:00:00Z": "delivered",
	}, w.call(t, http.MethodGet, coverageOf(id), "").statuses())
	filled := w.call(t, http.MethodPost, coverageOf(id)+"/fill", "{}")
	var got []string
	for _, b := range filled.json()["backfills"].([]any) {
		b := b.(map[string]any)
		got = append(got, fmt.Sprint(b["start_at"], " ", b["end_at"]))
	}
	require.Equal(t, []string{
		"2026-05-06T07:00:00Z 2026-05-06T08:00:00Z", "2026-05-06T08:00:00Z 2026-05-06T09:00:00Z",
		"2026-05-06T09:00:00Z 2026-05-06T10:00:00Z", "2026-05-06T10:00:00Z 2026-05-07T00:00:00Z",
		"2026-05-07T00:00:00Z 2026-05-08T00:00:00Z",
	}, got)
}
