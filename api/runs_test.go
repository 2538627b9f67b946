package api_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
)

func runsOf(id uuid.UUID) string { return exports + "/" + id.String() + "/runs" }

func TestARunShowsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	backfill := w.call(t, http.MethodPost, exports+"/"+id.String()+"/backfills",
		`{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-02T00:00:00Z"}`).text("backfill_id")
	backfillID := uuid.MustParse(backfill)
	retry := start.Add(time.Minute)
	r := w.run(t, id, func(r *batch.Run) {
		r.BackfillID, r.Status, r.Attempt, r.NextRetryAt = &backfillID, batch.RunRunning, 3, &retry
		r.WaitingFor = "3 of 3 runs of this project work already"
		r.LatestError, r.ErrorCode = "the bucket \"b\" refused our credentials", batch.CodeCredentials
		r.RowsTotal, r.RowsCompleted, r.RowsFailed, r.Bytes = new(int64(1<<53+1)), new(int64(7)), new(int64(0)), new(int64(9))
	})
	body := fmt.Sprintf(`{
		"id": %q, "status": "Running", "records_completed": 7, "records_failed": 0,
		"latest_error": "the bucket \"b\" refused our credentials", "error_code": "invalid_credentials",
		"data_interval_start": "2026-05-06T06:00:00Z", "data_interval_end": "2026-05-06T07:00:00Z", "cursor": null,
		"created_at": "2026-05-06T07:08:09.123456Z", "finished_at": null, "last_updated_at": "2026-05-06T07:08:09.123456Z",
		"records_total_count": 9007199254740993, "bytes_exported": 9,
		"batch_export": %q, "batch_export_on_demand": null, "backfill": %q,
		"attempt": 3, "next_retry_at": "2026-05-06T07:09:09.123456Z", "waiting_for": "3 of 3 runs of this project work already",
		"temporal_url": "http://ui.test/namespaces/default/workflows/%s-2026-05-06T07:00:00Z/temporal-run/history"
	}`, r.ID, id, backfill, id)
	one := w.call(t, http.MethodGet, runsOf(id)+"/"+r.ID.String(), "").is(http.StatusOK, body)
	require.Contains(t, one.Body.String(), "9007199254740993", "counts keep all their digits")
	w.call(t, http.MethodGet, runsOf(id), "").is(http.StatusOK, `{"next": null, "previous": null, "results": [`+body+`]}`)
	latest := w.call(t, http.MethodGet, exports+"/"+id.String(), "")
	require.JSONEq(t, exportJSON(id.String(), "["+body+"]"), latest.Body.String())
}

func TestARunFromTheBeginningHasNoStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	r := w.run(t, id, func(r *batch.Run) { r.Interval.Start, r.TemporalRunID = time.Time{}, "" })
	body := w.call(t, http.MethodGet, runsOf(id)+"/"+r.ID.String(), "").json()
	require.Nil(t, body["data_interval_start"])
	require.Nil(t, body["temporal_url"])
	require.Nil(t, body["latest_error"])
	require.Nil(t, body["backfill"])
	require.Nil(t, body["records_completed"])
}

func TestRunsOfAFreshOrForeignExportAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	none := `{"next": null, "previous": null, "results": []}`
	w.call(t, http.MethodGet, runsOf(id), "").is(http.StatusOK, none)
	w.run(t, id, nil)
	w.call(t, http.MethodGet, strings.Replace(runsOf(id), "/1/", "/2/", 1), "").is(http.StatusOK, none)
	w.call(t, http.MethodGet, runsOf(uuid.New()), "").is(http.StatusOK, none)
}

func TestRunsAreFiltered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	hour := start.Truncate(time.Hour)
	// One run a day, the newest today; the older the run, the newer its interval.
	var runs []string
	for day, status := range []batch.RunStatus{batch.RunFailed, batch.RunCompleted, batch.RunCancelled, batch.RunFailed} {
		r := w.run(t, id, func(r *batch.Run) {
			r.Status, r.CreatedAt = status, start.AddDate(0, 0, -10*day)
			r.Interval = batch.Interval{Start: hour.AddDate(0, 0, day-10), End: hour.AddDate(0, 0, day-10).Add(time.Hour)}
		})
		runs = append(runs, r.ID.String())
	}
	day := func(n int) string { return url.QueryEscape(start.AddDate(0, 0, n).Format(time.RFC3339Nano)) }
	bound := func(n int) string { return url.QueryEscape(hour.AddDate(0, 0, n).Format(time.RFC3339)) }
	tests := map[string]struct {
		query string
		want  []int
	}{
		"all, newest first, however old":         {"", []int{0, 1, 2, 3}},
		"oldest first":                           {"ordering=created_at", []int{3, 2, 1, 0}},
		"by interval":                            {"ordering=data_interval_start", []int{0, 1, 2, 3}},
		"by interval, newest first":              {"ordering=-data_interval_start", []int{3, 2, 1, 0}},
		"one status":                             {"status=Failed", []int{0, 3}},
		"two statuses":                           {"status=Failed&status=Completed", []int{0, 1, 3}},
		"a status, by interval":                  {"status=Failed&ordering=-data_interval_start", []int{3, 0}},
		"after, inclusive":                       {"after=" + day(-10), []int{0, 1}},
		"before, inclusive":                      {"before=" + day(-20), []int{2, 3}},
		"after, relative":                        {"after=-11d", []int{0, 1}},
		"after, with a plus that is not escaped": {"after=" + start.AddDate(0, 0, -10).Format("2006-01-02T15:04:05.999999") + "+00:00", []int{0, 1}},
		"after and before":                       {"after=-25d&before=-5d", []int{1, 2}},
		"start and end are for the other order":  {"start=" + bound(-9) + "&end=" + bound(-9), []int{0, 1, 2, 3}},
		"start, inclusive":                       {"ordering=data_interval_start&start=" + bound(-9), []int{1, 2, 3}},
		"end, inclusive":                         {"ordering=data_interval_start&end=" + url.QueryEscape(hour.AddDate(0, 0, -9).Add(time.Hour).Format(time.RFC3339)), []int{0, 1}},
		"after and before are for the other one": {"ordering=data_interval_start&after=-1d&before=-300d", []int{0, 1, 2, 3}},
		"empty parameters are none":              {"after=&before=&ordering=&cursor=", []int{0, 1, 2, 3}},
		"unknown parameters are ignored":         {"x=y&limit=1", []int{0, 1, 2, 3}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := []string{}
			for _, i := range tt.want {
				want = append(want, runs[i])
			}
			require.Equal(t, want, w.call(t, http.MethodGet, runsOf(id)+"?"+tt.query, "").ids())
		})
	}
	hint := "' is not a valid datetime: give ISO 8601, or a time before now like -7d or -3h."
	for query, want := range map[string][3]string{
		"status=Nope":               {"invalid_choice", `"Nope" is not a valid choice.`, "status"},
		"status=":                   {"invalid_choice", `"" is not a valid choice.`, "status"},
		"ordering=id":               {"invalid_choice", `"id" is not a valid choice.`, "ordering"},
		"ordering=--created_at":     {"invalid_choice", `"--created_at" is not a valid choice.`, "ordering"},
		"after=tomorrow":            {"invalid_input", "'tomorrow" + hint, "after"},
		"after=2026-05-06+x":        {"invalid_input", "'2026-05-06 x" + hint, "after"},
		"before=-7":                 {"invalid_input", "'-7" + hint, "before"},
		"start=x":                   {"invalid_input", "'x" + hint, "start"},
		"end=-99999999d":            {"invalid_input", "'-99999999d" + hint, "end"},
		"after=0001-01-01":          {"invalid_input", "'0001-01-01" + hint, "after"},
		"status=Failed%00":          {"null_characters_not_allowed", "Null characters are not allowed.", "status"},
		"status=%ff":                {"invalid_input", "The query string is not valid UTF-8.", ""},
		"cursor=x":                  {"invalid_input", "Invalid cursor", "cursor"},
		"ordering=x&status=y&end=z": {"invalid_choice", `"x" is not a valid choice.`, "ordering"},
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			w.call(t, http.MethodGet, runsOf(id)+"?"+query, "").invalid(want[0], want[1], want[2])
		})
	}
}

// walk reads all pages behind an address, and calls between after each.
func walk(t *testing.T, w *world, address, direction string, between func()) (ids []string) {
	t.Helper()
	for range 100 {
		page := w.call(t, http.MethodGet, address, "")
		if direction == "previous" {
			ids = append(page.ids(), ids...)
		} else {
			ids = append(ids, page.ids()...)
		}
		next := page.json()[direction]
		if next == nil {
			return ids
		}
		address = next.(string)
		between()
	}
	t.Fatal("the pages do not end")
	return nil
}

func TestEveryRunIsOnOnePage(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"-created_at", "created_at", "data_interval_start", "-data_interval_start"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.export(t)
			hour := start.Truncate(time.Hour)
			made := map[string]bool{}
			add := func(n int) {
				for i := range n {
					r := w.run(t, id, func(r *batch.Run) {
						// Few distinct values, so that pages end between rows that tie; some intervals have no start.
						r.CreatedAt = start.Add(time.Duration(i%3) * time.Microsecond)
						r.Interval.Start = hour.Add(time.Duration(i%2) * time.Hour)
						if i%5 == 0 {
							r.Interval.Start = time.Time{}
						}
						r.Interval.End = hour.Add(10 * time.Hour)
					})
					made[r.ID.String()] = true
				}
			}
			add(250)
			address := runsOf(id) + "?ordering=" + order
			before := walk(t, w, address, "next", func() {})
			require.Len(t, before, 250)
			require.Len(t, unique(before), 250)

			seen := walk(t, w, address, "next", func() { add(10) })
			require.Len(t, unique(seen), len(seen), "no run is on two pages, whatever is added")
			for _, id := range before {
				require.Contains(t, seen, id)
			}

			last := lastPage(t, w, address)
			require.Equal(t, walk(t, w, address, "next", func() {}), walk(t, w, last, "previous", func() {}),
				"the way back shows the same as the way there")
			require.Len(t, walk(t, w, address, "next", func() {}), len(made))
		})
	}
}

func unique(ids []string) []string { return slices.Compact(slices.Sorted(slices.Values(ids))) }

func lastPage(t *testing.T, w *world, address string) string {
	t.Helper()
	for {
		next := w.call(t, http.MethodGet, address, "").json()["next"]
		if next == nil {
			return address
		}
		address = next.(string)
	}
}

func TestCursorsOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, other := w.export(t), w.export(t)
	for _, export := range []uuid.UUID{id, other} {
		for range 101 {
			w.run(t, export, nil)
		}
	}
	cursorOf := func(address string) string {
		next, err := url.Parse(w.call(t, http.MethodGet, address, "").text("next"))
		require.NoError(t, err)
		return next.Query().Get("cursor")
	}
	good := cursorOf(runsOf(id))
	require.Len(t, w.call(t, http.MethodGet, runsOf(id)+"?cursor="+good, "").ids(), 1)

	raw, err := base64.RawURLEncoding.DecodeString(good)
	require.NoError(t, err)
	bad := map[string]string{
		"another export's":        cursorOf(runsOf(other)),
		"another ordering's":      cursorOf(runsOf(id) + "?ordering=created_at"),
		"another filter's":        cursorOf(runsOf(id) + "?status=Running"),
		"another window's":        cursorOf(runsOf(id) + "?after=-7d"),
		"one that is cut":         good[:len(good)-1],
		"one that is cut short":   good[:10],
		"one with a tail":         good + "A",
		"one with padding":        good + "==",
		"rubbish":                 "!",
		"a payload without a MAC": base64.RawURLEncoding.EncodeToString(raw[:len(raw)-16]),
		"another key's":           otherKeysCursor(t, w, id),
	}
	for i := range good {
		forged := []byte(good)
		forged[i] ^= 1
		bad[fmt.Sprint("one with a changed character ", i)] = string(forged)
	}
	for name, cursor := range bad {
		w.call(t, http.MethodGet, runsOf(id)+"?cursor="+url.QueryEscape(cursor), "").invalid("invalid_input", "Invalid cursor", "cursor")
		require.NotEqual(t, good, cursor, name)
	}
}

// otherKeysCursor is what a server with another cursor key gives out.
func otherKeysCursor(t *testing.T, w *world, id uuid.UUID) string {
	t.Helper()
	server := *w.server
	server.CursorKey = []byte("another key of sixteen bytes")
	other := &world{DB: w.DB, handler: server.Handler(), contract: w.contract}
	next, err := url.Parse(other.call(t, http.MethodGet, runsOf(id), "").text("next"))
	require.NoError(t, err)
	return next.Query().Get("cursor")
}

func TestCancelARun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	r := w.run(t, id, nil)
	path := runsOf(id) + "/" + r.ID.String()
	w.temporal.take()
	w.temporal.broken = errors.New("Temporal does not answer")

	w.call(t, http.MethodPost, path+"/cancel/", "{}").is(http.StatusOK, `{"cancelled": true}`)
	require.Equal(t, []string{"cancel run " + r.ID.String()}, w.temporal.take())
	body := w.call(t, http.MethodGet, path, "").json()
	require.Equal(t, "Cancelled", body["status"])
	require.Equal(t, "2026-05-06T07:08:09.123456Z", body["finished_at"])
	require.Len(t, w.logs.entries, 1)

	w.call(t, http.MethodPost, path+"/cancel", "").invalid("invalid_input", "Cannot cancel a run that is in 'Cancelled' status", "")
	committing := w.run(t, id, func(r *batch.Run) { r.CommitStartedAt = &start })
	w.call(t, http.MethodPost, runsOf(id)+"/"+committing.ID.String()+"/cancel", "").
		invalid("invalid_input", "Cannot cancel a run that is in 'Running' status: its rows are being published", "")
}

func TestRetryARun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	r := w.run(t, id, func(r *batch.Run) { r.Status = batch.RunFailed })
	w.temporal.take()
	retried := w.call(t, http.MethodPost, runsOf(id)+"/"+r.ID.String()+"/retry", "not even JSON")
	backfill := retried.text("backfill_id")
	retried.is(http.StatusCreated, fmt.Sprintf(`{"backfill_id": %q}`, backfill))
	require.Equal(t, []string{"start backfill " + backfill}, w.temporal.take())
	b, err := w.Backfill(t.Context(), 1, id, uuid.MustParse(backfill))
	require.NoError(t, err)
	require.True(t, b.Retry)
	require.Equal(t, []time.Time{r.Interval.Start, r.Interval.End}, []time.Time{*b.StartAt, *b.EndAt})
	w.call(t, http.MethodPost, runsOf(id)+"/"+r.ID.String()+"/retry", "").
		fails(http.StatusConflict, "invalid_request", "duplicate_backfill", "A backfill of exactly this range is running already.", "")
}
