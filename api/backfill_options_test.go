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
	"tranche/query"
)

func TestTheOptionsOfABackfill(t *testing.T) {
	t.Parallel()
	const bounds = `"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-01T05:00:00Z"`
	const stream = `"destination": {"type": "Stream", "config": {"bucket": "b", "secret": "s"}}`
	tests := map[string]struct {
		export, body       string
		code, detail, attr string         // empty = accepted
		want               map[string]any // of the backfill
	}{
		"none": {``, bounds, "", "", "", map[string]any{
			"order": "oldest", "concurrency": 2.0, "skip_delivered": false, "replace": false, "retry": false, "paused": false,
		}},
		"all": {``, bounds + `, "order": "newest", "concurrency": 20, "skip_delivered": true, "replace": true, "dry_run": false`, "", "", "", map[string]any{
			"order": "newest", "concurrency": 20.0, "skip_delivered": true, "replace": true,
		}},
		"by arrival":      {``, bounds + `, "by": "inserted_at"`, "", "", "", map[string]any{"by": "inserted_at"}},
		"by timestamp":    {``, bounds + `, "by": "timestamp"`, "", "", "", map[string]any{"by": "timestamp"}},
		"by another time": {``, bounds + `, "by": "created_at"`, "invalid_choice", `"created_at" is not a valid choice.`, "by", nil},
		"persons by timestamp": {
			`"model": "persons"`, bounds + `, "by": "timestamp"`,
			"invalid_input", "Rows of the model 'persons' have no time of their own: they can only be backfilled by 'inserted_at'.", "by", nil,
		},
		"another order":          {``, bounds + `, "order": "random"`, "invalid_choice", `"random" is not a valid choice.`, "order", nil},
		"no order":               {``, bounds + `, "order": null`, "null", "This field may not be null.", "order", nil},
		"too few at once":        {``, bounds + `, "concurrency": 0`, "min_value", "Ensure this value is greater than or equal to 1.", "concurrency", nil},
		"too many at once":       {``, bounds + `, "concurrency": 21`, "max_value", "Ensure this value is less than or equal to 20.", "concurrency", nil},
		"half at once":           {``, bounds + `, "concurrency": 1.5`, "invalid_input", "A valid integer is required.", "concurrency", nil},
		"skip as a word":         {``, bounds + `, "skip_delivered": "yes"`, "invalid_input", "Must be a valid boolean.", "skip_delivered", nil},
		"endless":                {stream, `"start_at": "2026-05-01T00:00:00Z", "end_at": null`, "", "", "", map[string]any{"end_at": nil, "progress": nil}},
		"endless from the start": {stream, `"start_at": null`, "", "", "", map[string]any{"start_at": nil, "end_at": nil}},
		"endless, newest first": {
			stream, `"start_at": "2026-05-01T00:00:00Z", "order": "newest"`,
			"invalid_input", "A backfill without an end cannot run the newest intervals first.", "order", nil,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.exportWith(t, tt.export)
			answer := w.call(t, http.MethodPost, backfillsOf(id), "{"+tt.body+"}")
			if tt.code != "" {
				answer.invalid(tt.code, tt.detail, tt.attr)
				return
			}
			require.Equal(t, http.StatusCreated, answer.Code, answer.Body.String())
			got := w.call(t, http.MethodGet, backfillsOf(id)+"/"+answer.text("backfill_id"), "").json()
			for field, want := range tt.want {
				require.Equal(t, want, got[field], field)
			}
		})
	}
}

// exportWith is export with one more field, or none.
func (w *world) exportWith(t *testing.T, field string) uuid.UUID {
	t.Helper()
	if field == "" {
		return w.export(t)
	}
	return w.export(t, field)
}

func TestPauseAndResumeABackfill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	backfill := w.call(t, http.MethodPost, backfillsOf(id), `{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-01T05:00:00Z"}`).text("backfill_id")
	path := backfillsOf(id) + "/" + backfill
	w.temporal.take()
	shows := func(paused bool, at any) {
		t.Helper()
		body := w.call(t, http.MethodGet, path, "").json()
		require.Equal(t, "Starting", body["status"], "the status is one that clients know")
		require.Equal(t, paused, body["paused"])
		require.Equal(t, at, body["paused_at"])
	}
	w.call(t, http.MethodPost, path+"/resume", "").is(http.StatusOK, `{"paused": false}`)
	require.Empty(t, w.temporal.take(), "it is not paused: nothing to tell")
	w.call(t, http.MethodPost, path+"/pause", "{}").is(http.StatusOK, `{"paused": true}`)
	require.Equal(t, []string{"steer backfill " + backfill}, w.temporal.take())
	shows(true, "2026-05-06T07:08:09.123456Z")
	w.pass(time.Hour)
	w.call(t, http.MethodPost, path+"/pause", "").is(http.StatusOK, `{"paused": true}`)
	shows(true, "2026-05-06T07:08:09.123456Z")

	w.temporal.broken = errors.New("no Temporal")
	w.call(t, http.MethodPost, path+"/resume", "").is(http.StatusOK, `{"paused": false}`)
	w.temporal.broken = nil
	shows(false, nil)

	w.call(t, http.MethodPost, path+"/pause", "")
	w.call(t, http.MethodPost, path+"/cancel", "").is(http.StatusOK, `{"cancelled": true}`)
	for _, verb := range []string{"pause", "resume"} {
		w.call(t, http.MethodPost, path+"/"+verb, "").invalid("invalid_input", "Cannot "+verb+" a backfill that is in 'Cancelled' status", "")
		w.call(t, http.MethodPost, backfillsOf(id)+"/"+uuid.NewString()+"/"+verb, "").
			fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
	}
}

// deliver records that an interval of the export is delivered.
func (w *world) deliver(t *testing.T, id uuid.UUID, i batch.Interval, rows, bytes int64) {
	t.Helper()
	r := w.run(t, id, func(r *batch.Run) { r.Interval, r.Status, r.Generation = i, batch.RunCompleted, 1 })
	token, err := w.AcquireLease(t.Context(), id, i, r.ID, time.Minute)
	require.NoError(t, err)
	require.NoError(t, w.RecordDelivery(t.Context(), batch.Delivery{
		ExportID: id, Interval: i, RunID: r.ID, Generation: 1, Token: token, Rows: rows, Bytes: bytes, CommittedAt: w.clock(),
	}))
}

func hours(from, to int) batch.Interval {
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	return batch.Interval{Start: day.Add(time.Duration(from) * time.Hour), End: day.Add(time.Duration(to) * time.Hour)}
}

// rows are a source with a row each minute from the earliest on.
type rows struct {
	earliest *time.Time
}

// Earliest is the source's.
func (r rows) Earliest(_ context.Context, _ query.Query) (time.Time, bool, error) {
	if r.earliest == nil {
		return time.Time{}, false, nil
	}
	return *r.earliest, true, nil
}

// Count is the source's.
func (r rows) Count(_ context.Context, q query.Query) (int64, error) {
	start := q.Interval.Start
	if start.Before(*r.earliest) {
		start = *r.earliest
	}
	return int64(q.Interval.End.Sub(start) / time.Minute), nil
}

func TestAPreviewOfABackfill(t *testing.T) {
	t.Parallel()
	midnight, third := hours(0, 1).Start, hours(3, 4).Start.Add(30*time.Minute)
	const bounds = `"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-01T10:30:00Z"`
	const whole = `"dry_run": true, "start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-01T10:00:00Z"`
	tests := map[string]struct {
		source    rows
		none      bool
		delivered []batch.Interval // each with 10 rows of 7 bytes
		body      string
		want      string
	}{
		"nothing is known without a source": {rows{}, true, nil, bounds, whole + `, "adjusted_start_at": null, "intervals": 10,
			"delivered_intervals": 0, "skipped_intervals": 0, "overlapping_deliveries": 0, "total_records_count": null, "estimated_bytes": null`},
		"the data begin later": {rows{earliest: &third}, false, nil, bounds, `"dry_run": true, "start_at": "2026-05-01T03:00:00Z",
			"end_at": "2026-05-01T10:00:00Z", "adjusted_start_at": "2026-05-01T03:00:00Z", "intervals": 7,
			"delivered_intervals": 0, "skipped_intervals": 0, "overlapping_deliveries": 0, "total_records_count": 390, "estimated_bytes": null`},
		"there are no rows": {rows{}, false, nil, bounds, whole + `, "adjusted_start_at": null, "intervals": 0,
			"delivered_intervals": 0, "skipped_intervals": 0, "overlapping_deliveries": 0, "total_records_count": 0, "estimated_bytes": 0`},
		"what is delivered is replaced": {rows{earliest: &midnight}, false, []batch.Interval{hours(2, 3), hours(5, 6)}, bounds, whole + `,
			"adjusted_start_at": null, "intervals": 10, "delivered_intervals": 2, "skipped_intervals": 0, "overlapping_deliveries": 0,
			"total_records_count": 600, "estimated_bytes": 4200`},
		"what is delivered is left out": {rows{earliest: &midnight}, false, []batch.Interval{hours(2, 3), hours(5, 6)}, bounds + `, "skip_delivered": true`, whole + `,
			"adjusted_start_at": null, "intervals": 8, "delivered_intervals": 2, "skipped_intervals": 2, "overlapping_deliveries": 0,
			"total_records_count": 600, "estimated_bytes": 4200`},
		"what has another length is in the way": {rows{earliest: &midnight}, false, []batch.Interval{hours(2, 5)}, bounds, whole + `,
			"adjusted_start_at": null, "intervals": 10, "delivered_intervals": 3, "skipped_intervals": 0, "overlapping_deliveries": 1,
			"total_records_count": 600, "estimated_bytes": 4200`},
		"from the beginning": {rows{earliest: &third}, false, []batch.Interval{hours(3, 4)}, `"end_at": "2026-05-01T10:00:00Z"`, `"dry_run": true,
			"start_at": null, "end_at": "2026-05-01T10:00:00Z", "adjusted_start_at": null, "intervals": 1,
			"delivered_intervals": 0, "skipped_intervals": 0, "overlapping_deliveries": 1, "total_records_count": 390, "estimated_bytes": 2730`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s *api.Server) {
				if !tt.none {
					s.Backfills.Source = tt.source
				}
			})
			id := w.export(t)
			for _, i := range tt.delivered {
				w.deliver(t, id, i, 10, 70)
			}
			w.temporal.take()
			w.call(t, http.MethodPost, backfillsOf(id), `{"dry_run": true, `+tt.body+`}`).is(http.StatusOK, "{"+tt.want+"}")
			require.Empty(t, w.temporal.take())
			require.Empty(t, w.call(t, http.MethodGet, backfillsOf(id), "").ids())
		})
	}
}

func TestAPreviewChecksWhatABackfillChecks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	w.call(t, http.MethodPost, backfillsOf(id), `{"dry_run": true, "start_at": "2026-05-01T00:00:00", "end_at": "2026-05-01T05:00:00Z"}`).
		invalid("invalid_input", "Input 2026-05-01T00:00:00 is naive.", "start_at")
	w.call(t, http.MethodPost, backfillsOf(uuid.New()), `{"dry_run": true}`).
		fails(http.StatusNotFound, "invalid_request", "not_found", "BatchExport not found.", "")
	for i := range 5 {
		body := fmt.Sprintf(`{"start_at": "2026-05-0%dT00:00:00Z", "end_at": "2026-05-05T12:00:00Z"}`, i+1)
		require.Equal(t, http.StatusCreated, w.call(t, http.MethodPost, backfillsOf(id), body).Code)
	}
	preview := w.call(t, http.MethodPost, backfillsOf(id), `{"dry_run": true, "start_at": "2026-04-01T00:00:00Z", "end_at": "2026-05-05T12:00:00Z"}`)
	require.Equal(t, http.StatusOK, preview.Code, "a preview starts nothing, so the limit is none of its business")
}

func TestABackfillOverDeliveriesOfAnotherLength(t *testing.T) {
	t.Parallel()
	const bounds = `"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-01T05:00:00Z"`
	day := batch.Interval{Start: hours(-24, 0).Start, End: hours(0, 1).Start}
	tests := map[string]struct {
		delivered []batch.Interval
		body      string
		detail    string // empty = accepted
	}{
		"the same length":                       {[]batch.Interval{hours(0, 1), hours(1, 2)}, bounds, ""},
		"beside the range":                      {[]batch.Interval{day, hours(5, 9)}, bounds, ""},
		"three hours at once":                   {[]batch.Interval{hours(1, 4)}, bounds, "The range overlaps deliveries of another length (1, such as 2026-05-01T01:00:00Z - 2026-05-01T04:00:00Z), and their rows would be delivered twice: ask for them to be replaced, or leave them out."},
		"which are replaced":                    {[]batch.Interval{hours(1, 4)}, bounds + `, "replace": true`, ""},
		"the same length, by another time":      {[]batch.Interval{hours(1, 2)}, bounds + `, "by": "timestamp"`, "2026-05-01T01:00:00Z - 2026-05-01T02:00:00Z was delivered with its rows chosen by \"inserted_at\", and choosing them by \"timestamp\" would show some twice and others not at all: a backfill with \"replace\" takes its place."},
		"which is replaced":                     {[]batch.Interval{hours(1, 2)}, bounds + `, "by": "timestamp", "replace": true`, ""},
		"which are left out":                    {[]batch.Interval{hours(1, 4)}, bounds + `, "skip_delivered": true`, ""},
		"half of an hour":                       {[]batch.Interval{{Start: hours(1, 2).Start, End: hours(1, 2).Start.Add(time.Minute)}}, bounds + `, "skip_delivered": true`, "The range overlaps deliveries of another length (1, such as 2026-05-01T01:00:00Z - 2026-05-01T01:01:00Z), and their rows would be delivered twice: ask for them to be replaced, or leave them out."},
		"replaced only in part":                 {[]batch.Interval{hours(4, 6)}, bounds + `, "replace": true`, "2026-05-01T04:00:00Z - 2026-05-01T06:00:00Z was delivered as one interval, which reaches beyond the range: rows would be lost if it were replaced."},
		"from the beginning, over hours":        {[]batch.Interval{hours(1, 2), hours(2, 3)}, `"end_at": "2026-05-01T05:00:00Z"`, "The range overlaps deliveries of another length (2, such as 2026-05-01T02:00:00Z - 2026-05-01T03:00:00Z), and their rows would be delivered twice: ask for them to be replaced, or leave them out."},
		"from the beginning, in place of hours": {[]batch.Interval{hours(1, 2), hours(2, 3)}, `"end_at": "2026-05-01T05:00:00Z", "replace": true`, ""},
		"from the beginning, again":             {[]batch.Interval{{End: hours(4, 5).End}}, `"end_at": "2026-05-01T05:00:00Z"`, ""},
		"hours over all from the beginning":     {[]batch.Interval{{End: hours(4, 5).End}}, bounds, "The range overlaps deliveries of another length (1, such as START - 2026-05-01T05:00:00Z), and their rows would be delivered twice: ask for them to be replaced, or leave them out."},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.export(t)
			for _, i := range tt.delivered {
				w.deliver(t, id, i, 1, 1)
			}
			answer := w.call(t, http.MethodPost, backfillsOf(id), "{"+tt.body+"}")
			if tt.detail == "" {
				require.Equal(t, http.StatusCreated, answer.Code, answer.Body.String())
				return
			}
			answer.fails(http.StatusConflict, "invalid_request", "overlapping_deliveries", tt.detail, "")
			require.Empty(t, w.call(t, http.MethodGet, backfillsOf(id), "").ids())
		})
	}
}

func TestARetryOfAnIntervalThatWasReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	old := w.run(t, id, func(r *batch.Run) { r.Interval, r.Status = hours(0, 1), batch.RunCompleted })
	w.deliver(t, id, hours(0, 24), 1, 1)
	answer := w.call(t, http.MethodPost, runsOf(id)+"/"+old.ID.String()+"/retry", "")
	require.Equal(t, http.StatusConflict, answer.Code, answer.Body.String())
	require.Equal(t, "overlapping_deliveries", answer.text("code"))
}
