package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
)

func backfillsOf(id uuid.UUID) string { return exports + "/" + id.String() + "/backfills" }

func TestABackfillShowsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	w.temporal.take()
	created := w.call(t, http.MethodPost, backfillsOf(id), `{"start_at": "2026-05-01T02:00:00+02:00", "end_at": "2026-05-01T10:00:00Z"}`)
	backfill := created.text("backfill_id")
	created.is(http.StatusCreated, fmt.Sprintf(`{"backfill_id": %q}`, backfill))
	require.Equal(t, []string{"start backfill " + backfill}, w.temporal.take())

	body := func(status, progress, runs, more string) string {
		return fmt.Sprintf(`{"order": "oldest", "concurrency": 2, "skip_delivered": false, "replace": false, "by": "inserted_at", "retry": false,
			"paused": false, "paused_at": null, "latest_error": null, "runs": %s, "id": %q, "progress": %s, "team": 1, "batch_export": %q,
			"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-01T10:00:00Z", "status": %q,
			"created_at": "2026-05-06T07:08:09.123456Z", "last_updated_at": "2026-05-06T07:08:09.123456Z",
			"temporal_url": "http://ui.test/namespaces/default/workflows/%s-Backfill-%s", %s}`,
			runs, backfill, progress, id, status, id, backfill, more)
	}
	unknown := `"finished_at": null, "total_records_count": null, "adjusted_start_at": null`
	none := `{"total": null, "running": 0, "completed": 0, "failed": 0, "cancelled": 0}, "records_completed": 0, "bytes_exported": 0`
	fresh := body("Starting", `{"total_runs": 10, "finished_runs": 0, "progress": 0}`, none, unknown)
	w.call(t, http.MethodGet, backfillsOf(id)+"/"+backfill, "").is(http.StatusOK, fresh)
	w.call(t, http.MethodGet, backfillsOf(id), "").is(http.StatusOK, `{"next": null, "previous": null, "results": [`+fresh+`]}`)

	backfillID := uuid.MustParse(backfill)
	for i, status := range []batch.RunStatus{batch.RunCompleted, batch.RunFailed, batch.RunCompleted, batch.RunRunning, batch.RunCancelled} {
		w.run(t, id, func(r *batch.Run) {
			r.BackfillID, r.Status, r.Interval.End = &backfillID, status, r.Interval.End.Add(time.Duration(i)*time.Hour)
			if r.RowsCompleted, r.Bytes = new(int64(i+1)), new(int64(100)); status != batch.RunCompleted {
				r.RowsCompleted, r.Bytes = nil, nil
			}
		})
	}
	w.change(t, backfillID, func(b *batch.Backfill) { b.Status = batch.BackfillRunning })
	w.call(t, http.MethodGet, backfillsOf(id)+"/"+backfill, "").
		is(http.StatusOK, body("Running", `{"total_runs": 10, "finished_runs": 3, "progress": 0.3}`,
			`{"total": null, "running": 1, "completed": 2, "failed": 1, "cancelled": 1}, "records_completed": 4, "bytes_exported": 200`, unknown))

	w.change(t, backfillID, func(b *batch.Backfill) {
		b.Status, b.FinishedAt, b.TotalRecords, b.AdjustedStartAt = batch.BackfillCompleted, &start, new(int64(5)), new(start.Truncate(time.Hour))
		b.TotalRuns = new(int64(4))
	})
	w.call(t, http.MethodGet, backfillsOf(id)+"/"+backfill, "").
		is(http.StatusOK, body("Completed", `{"total_runs": 4, "finished_runs": 4, "progress": 1}`,
			`{"total": 4, "running": 1, "completed": 2, "failed": 1, "cancelled": 1}, "records_completed": 4, "bytes_exported": 200`,
			`"finished_at": "2026-05-06T07:08:09.123456Z", "total_records_count": 5, "adjusted_start_at": "2026-05-06T07:00:00Z"`))
}

func (w *world) change(t *testing.T, id uuid.UUID, change func(*batch.Backfill)) {
	t.Helper()
	_, err := w.UpdateBackfill(t.Context(), id, func(b *batch.Backfill) error { change(b); return nil })
	require.NoError(t, err)
}

func TestBackfillBounds(t *testing.T) {
	t.Parallel()
	const hint = " Daily and weekly batch exports are backfilled by date: leave out the time and give only YYYY-MM-DD."
	tests := map[string]struct {
		export, body       string
		code, detail, attr string // empty = accepted
	}{
		"hours":                  {``, `{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-01T05:00:00Z"}`, "", "", ""},
		"from the beginning":     {``, `{"start_at": null, "end_at": "2026-05-01T05:00:00Z"}`, "", "", ""},
		"days":                   {`"interval": "day"`, `{"start_at": "2026-05-01", "end_at": "2026-05-03"}`, "", "", ""},
		"weeks":                  {`"interval": "week", "offset_day": 1`, `{"start_at": "2026-04-27", "end_at": "2026-05-04"}`, "", "", ""},
		"days as datetimes":      {`"interval": "day"`, `{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-03"}`, "invalid_input", "Input '2026-05-01T00:00:00Z' is not a valid ISO formatted date." + hint, "start_at"},
		"days as rubbish":        {`"interval": "day"`, `{"start_at": "not-a-date", "end_at": "2026-05-03"}`, "invalid_input", "Input 'not-a-date' is not a valid ISO formatted date.", "start_at"},
		"weeks on a wrong day":   {`"interval": "week", "offset_day": 1`, `{"start_at": "2026-04-26", "end_at": "2026-05-04"}`, "invalid_input", "Input 2026-04-26 is not on the correct day of the week for this batch export. It is a Sunday, but intervals start on Monday.", "start_at"},
		"hours without offset":   {``, `{"start_at": "2026-05-01T00:00:00", "end_at": "2026-05-01T05:00:00Z"}`, "invalid_input", "Input 2026-05-01T00:00:00 is naive.", "start_at"},
		"hours as rubbish":       {``, `{"start_at": "2026-05-01T00:00:00Z", "end_at": "x"}`, "invalid_input", "Input x is not a valid ISO formatted datetime.", "end_at"},
		"start is end":           {``, `{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-01T00:00:00Z"}`, "invalid_input", "The initial backfill datetime 'start_at' must be before 'end_at'", ""},
		"end in the future":      {``, `{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-06-01T00:00:00Z"}`, "invalid_input", "The provided 'end_at' (2026-06-01T00:00:00Z) is in the future", ""},
		"no end":                 {``, `{"start_at": "2026-05-01T00:00:00Z"}`, "invalid_input", "Backfilling a BatchExport with no end date is not allowed", "end_at"},
		"no bounds, and no body": {``, ``, "invalid_input", "Backfilling a BatchExport with no end date is not allowed", "end_at"},
		"start is a number":      {``, `{"start_at": 5, "end_at": null}`, "invalid_input", "Not a valid string.", "start_at"},
		"start is empty":         {``, `{"start_at": "", "end_at": null}`, "invalid_input", "Input  is not a valid ISO formatted datetime.", "start_at"},
		"years without end":      {``, `{"start_at": "0001-01-01T00:00:00Z", "end_at": "2026-05-01T05:00:00Z"}`, "invalid_input", "Input 0001-01-01T00:00:00Z is out of range: the year must be between 1970 and 9999.", "start_at"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var fields []string
			if tt.export != "" {
				fields = []string{tt.export}
			}
			id := w.export(t, fields...)
			answer := w.call(t, http.MethodPost, backfillsOf(id), tt.body)
			if tt.code != "" {
				answer.invalid(tt.code, tt.detail, tt.attr)
				require.Empty(t, w.call(t, http.MethodGet, backfillsOf(id), "").ids())
				return
			}
			require.Equal(t, http.StatusCreated, answer.Code, answer.Body.String())
			require.Equal(t, []string{answer.text("backfill_id")}, w.call(t, http.MethodGet, backfillsOf(id), "").ids())
		})
	}
}

func TestBackfillsOfUnknownExports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	body := `{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-01T05:00:00Z"}`
	none := `{"next": null, "previous": null, "results": []}`
	for _, path := range []string{backfillsOf(uuid.New()), strings.Replace(backfillsOf(id), "/1/", "/2/", 1)} {
		for _, body := range []string{body, `{"start_at": 5}`, `{`} { // whatever it says
			w.call(t, http.MethodPost, path, body).fails(http.StatusNotFound, "invalid_request", "not_found", "BatchExport not found.", "")
		}
		w.call(t, http.MethodGet, path, "").is(http.StatusOK, none)
	}
	w.call(t, http.MethodPost, exports+"/x/backfills", body).fails(http.StatusNotFound, "invalid_request", "not_found", "BatchExport not found.", "")
}

func TestTooManyBackfills(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	for i := range 5 {
		body := fmt.Sprintf(`{"start_at": "2026-05-0%dT00:00:00Z", "end_at": "2026-05-05T12:00:00Z"}`, i+1)
		require.Equal(t, http.StatusCreated, w.call(t, http.MethodPost, backfillsOf(id), body).Code)
		w.call(t, http.MethodPost, backfillsOf(id), body) // the same range again is refused, or one too many
	}
	paused := exports + "/" + w.export(t, `"paused": true`).String()
	w.pass(3 * time.Hour)
	for _, c := range [][2]string{
		{backfillsOf(id), `{"start_at": "2026-04-01T00:00:00Z", "end_at": "2026-05-05T12:00:00Z"}`},
		{backfillsOf(id), `{"start_at": "told before the bounds are judged"}`},
		{paused + "/unpause", `{"backfill": true}`},
	} {
		w.call(t, http.MethodPost, c[0], c[1]).fails(http.StatusTooManyRequests, "server_error", "too_many_concurrent_backfills",
			"This team already has 5 batch export backfills running. Wait for one to finish, or cancel one.", "")
	}
	require.True(t, w.stored(t, paused).Paused, "what was missed cannot be backfilled: nothing was changed")
	require.Len(t, w.call(t, http.MethodGet, backfillsOf(id), "").ids(), 5)
}

func TestTheSameRangeTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	body := `{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-01T05:00:00Z"}`
	w.call(t, http.MethodPost, backfillsOf(id), body)
	w.call(t, http.MethodPost, backfillsOf(id), body).
		fails(http.StatusConflict, "invalid_request", "duplicate_backfill", "A backfill of exactly this range is running already.", "")
}

func TestCancelABackfill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	backfill := w.call(t, http.MethodPost, backfillsOf(id), `{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-01T05:00:00Z"}`).text("backfill_id")
	backfillID := uuid.MustParse(backfill)
	mine := w.run(t, id, func(r *batch.Run) { r.BackfillID = &backfillID })
	other := w.run(t, id, nil)
	w.temporal.take()
	w.call(t, http.MethodPost, backfillsOf(id)+"/"+backfill+"/cancel", "{}").is(http.StatusOK, `{"cancelled": true}`)
	require.Equal(t, []string{"cancel backfill " + backfill, "cancel run " + mine.ID.String()}, w.temporal.take())
	body := w.call(t, http.MethodGet, backfillsOf(id)+"/"+backfill, "").json()
	require.Equal(t, "Cancelled", body["status"])
	require.Nil(t, body["progress"])
	require.NotNil(t, body["finished_at"])
	require.Equal(t, "Cancelled", w.call(t, http.MethodGet, runsOf(id)+"/"+mine.ID.String(), "").text("status"))
	require.Equal(t, "Running", w.call(t, http.MethodGet, runsOf(id)+"/"+other.ID.String(), "").text("status"))
	w.call(t, http.MethodPost, backfillsOf(id)+"/"+backfill+"/cancel", "").
		invalid("invalid_input", "Cannot cancel a backfill that is in 'Cancelled' status", "")
}

func TestEveryBackfillIsOnOnePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	made := map[string]batch.Backfill{}
	for i := range 120 {
		b := batch.Backfill{
			ID: uuid.New(), ExportID: id, TeamID: 1, Status: batch.BackfillCompleted, Retry: true,
			EndAt: &start, CreatedAt: start.Add(time.Duration(i%3) * time.Second), LastUpdatedAt: start,
		}
		if i%4 > 0 { // a quarter starts at the beginning of time
			b.StartAt = new(start.Add(time.Duration(-i%4) * time.Hour))
		}
		require.NoError(t, w.CreateBackfill(t.Context(), b, 5))
		made[b.ID.String()] = b
	}
	for _, order := range []string{"", "created_at", "-created_at", "start_at", "-start_at"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			address := backfillsOf(id) + "?ordering=" + order
			there := walk(t, w, address, "next", func() {})
			require.Len(t, there, 120)
			require.Len(t, unique(there), 120)
			require.Equal(t, there, walk(t, w, lastPage(t, w, address), "previous", func() {}))
			require.Len(t, w.call(t, http.MethodGet, address, "").ids(), 50)
			key := func(id string) int64 {
				b := made[id]
				if !strings.HasSuffix(order, "start_at") {
					return b.CreatedAt.Unix()
				}
				if b.StartAt == nil {
					return 0
				}
				return b.StartAt.Unix()
			}
			sorted := slices.IsSortedFunc(there, func(a, b string) int {
				byKey, byID := int(key(a)-key(b)), strings.Compare(a, b)
				if byKey == 0 {
					byKey = byID
				}
				if order == "" || strings.HasPrefix(order, "-") {
					return -byKey
				}
				return byKey
			})
			require.True(t, sorted, "by %s, then by id in the same direction", order)
		})
	}
}
