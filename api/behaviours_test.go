package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/postgres"
	"tranche/destinations/s3"
	"tranche/internal/safenet"
)

// The behaviours that clients of the API rely on, by number. What is left out needs something that this server lacks:
// integrations, filters, queries, other models, or other kinds of destination.

// stores are the kinds of destination whose settings are known, but that nothing is delivered to.
func stores() []destinations.Plugin {
	guard := safenet.Guard{Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "db.example.com" || host == "s3.example.com" {
			return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
		}
		return nil, errors.New("no such host")
	}}
	return []destinations.Plugin{
		s3.AWS(s3.Server{Guard: guard}), s3.Compatible(s3.Server{Guard: guard}), s3.Plugin(s3.Server{Guard: guard}),
		postgres.Plugin(postgres.Server{Guard: guard}),
	}
}

// to is a destination of a draft; settings are `"name": value`.
func to(kind string, settings ...string) string {
	return fmt.Sprintf(`"destination": {"type": %q, "config": {%s}}`, kind, strings.Join(settings, ","))
}

const (
	keys     = `"aws_access_key_id": "AKIA", "aws_secret_access_key": "s3cr3t"`
	bucket   = `"bucket_name": "b", "region": "us-east-1", "prefix": "p/", ` + keys
	endpoint = `"endpoint_url": "https://s3.example.com"`
	database = `"user": "u", "password": "s3cr3t", "host": "db.example.com", "database": "d"`
)

// created makes an export and returns its path.
func (w *world) created(t *testing.T, fields ...string) string {
	t.Helper()
	return exports + "/" + w.export(t, fields...).String()
}

// refuses checks that a body is refused with a validation error.
func (w *world) refuses(t *testing.T, body, code, detail, attr string) {
	t.Helper()
	w.call(t, http.MethodPost, exports, body).invalid(code, detail, attr)
}

type behaviours map[string]func(t *testing.T, w *world)

// run runs each behaviour in a world of its own.
func (b behaviours) run(t *testing.T) {
	t.Helper()
	for name, behave := range b {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			behave(t, newWorld(t))
		})
	}
}

func TestBehavioursOfCreate(t *testing.T) {
	t.Parallel()
	behaviours{
		"1: a valid body is echoed, and gets a schedule": func(t *testing.T, w *world) {
			t.Helper()
			a := w.call(t, http.MethodPost, exports+"/", draft())
			require.Equal(t, http.StatusCreated, a.Code)
			require.Equal(t, "my export", a.text("name"))
			require.Equal(t, []string{"put " + a.text("id")}, w.temporal.take())
		},
		"5: every 5 minutes": func(t *testing.T, w *world) {
			t.Helper()
			require.Equal(t, batch.Every5Minutes, w.stored(t, w.created(t, `"interval": "every 5 minutes"`)).Frequency)
		},
		"8: an unknown timezone": func(t *testing.T, w *world) {
			t.Helper()
			w.refuses(t, draft(`"timezone": "Invalid/Timezone"`), "invalid_choice", `"Invalid/Timezone" is not a valid choice.`, "timezone")
		},
		"9, 10, 13, 14, 17: offsets that do not apply": func(t *testing.T, w *world) {
			t.Helper()
			w.refuses(t, draft(`"offset_hour": 2`), "invalid_input", "offset_hour is not applicable for non-daily/weekly intervals", "offset_hour")
			w.refuses(t, draft(`"offset_day": 1`), "invalid_input", "offset_day is not applicable for non-weekly intervals", "offset_day")
			w.refuses(t, draft(`"interval": "day", "offset_hour": 24`), "max_value", "Ensure this value is less than or equal to 23.", "offset_hour")
			w.refuses(t, draft(`"interval": "day", "offset_day": 1`), "invalid_input", "offset_day should not be specified for daily intervals", "offset_day")
			w.refuses(t, draft(`"interval": "week", "offset_day": 7`), "max_value", "Ensure this value is less than or equal to 6.", "offset_day")
		},
		"12, 16: offsets in a timezone": func(t *testing.T, w *world) {
			t.Helper()
			day := w.stored(t, w.created(t, `"interval": "day", "timezone": "Asia/Kathmandu", "offset_hour": 2`))
			require.Equal(t, 2, *day.OffsetHour)
			require.Equal(t, "Asia/Kathmandu", day.Timezone)
			week := w.stored(t, w.created(t, `"interval": "week", "timezone": "Europe/Berlin", "offset_day": 1, "offset_hour": 2`))
			calendar, err := week.Calendar()
			require.NoError(t, err)
			require.Equal(t, "week on Monday at 02:00 Europe/Berlin", calendar.String())
		},
		"18: intervals that are none": func(t *testing.T, w *world) {
			t.Helper()
			for _, interval := range []string{"15 minutes", "month"} {
				w.refuses(t, draft(fmt.Sprintf(`"interval": %q`, interval)), "invalid_choice", fmt.Sprintf("%q is not a valid choice.", interval), "interval")
			}
		},
		"20: no timezone is UTC": func(t *testing.T, w *world) {
			t.Helper()
			require.Equal(t, "UTC", w.stored(t, w.created(t, `"timezone": null`)).Timezone)
			require.Equal(t, "UTC", w.stored(t, w.created(t)).Timezone)
		},
		"21: a caller of another organization": func(t *testing.T, w *world) {
			t.Helper()
			require.Equal(t, http.StatusForbidden, w.callAs(t, foreignKey, http.MethodPost, exports, draft()).Code)
		},
		"22: an integration that is not there": func(t *testing.T, w *world) {
			t.Helper()
			w.refuses(t, draft(`"destination": {"type": "AwsS3", "integration": 7, "config": {}}`), "does_not_exist", `Invalid pk "7" - object does not exist.`, "destination__integration")
			require.Empty(t, w.temporal.take())
		},
		"24: the caller is recorded": func(t *testing.T, w *world) {
			t.Helper()
			require.EqualValues(t, 11, w.stored(t, w.created(t, `"last_modified_by": 5, "user_id": 6`)).LastModifiedBy)
		},
		"25, 26, 29: settings that are unknown, missing or null": func(t *testing.T, w *world) {
			t.Helper()
			w.refuses(t, draft(to("AwsS3", bucket, `"b": 1, "a": 1`)), "invalid_input", "Configuration has unknown field/s: 'a', 'b'", "destination")
			w.refuses(t, draft(to("AwsS3", keys, `"region": "x", "prefix": "p"`)), "invalid_input", "Configuration missing required field: 'bucket_name'", "destination")
			w.refuses(t, draft(to("Postgres", database, `"schema": null`)), "invalid_input", "Configuration has invalid type: got 'NoneType', expected 'str'", "destination")
			w.refuses(t, draft(to("Postgres", database, `"port": "x"`)), "invalid_input", "Configuration has invalid type: got 'str', expected 'int'", "destination")
		},
		"28: texts are cast": func(t *testing.T, w *world) {
			t.Helper()
			a := w.call(t, http.MethodPost, exports, draft(to("Postgres", database, `"port": "5433", "has_self_signed_cert": "True"`)))
			config := at(a.json(), "destination", "config")
			require.Equal(t, 5433.0, at(config, "port")) //nolint:testifylint // exact
			require.Equal(t, true, at(config, "has_self_signed_cert"))
		},
		"30: events to include and to leave out": func(t *testing.T, w *world) {
			t.Helper()
			for _, destination := range []string{to("File", `"include_events": ["a"]`), to("AwsS3", bucket, `"exclude_events": ["a"], "include_events": []`)} {
				w.created(t, destination)
			}
		},
	}.run(t)
}

func TestBehavioursOfFilters(t *testing.T) {
	t.Parallel()
	behaviours{
		"37: none": func(t *testing.T, w *world) {
			t.Helper()
			w.created(t, `"filters": null`)
			w.created(t, `"filters": []`)
		},
		"38: not a list": func(t *testing.T, w *world) {
			t.Helper()
			w.refuses(t, draft(`"filters": {}`), "invalid_input", "'filters' should be an array of filters", "filters")
			w.refuses(t, draft(`"filters": "x"`), "invalid_input", "'filters' should be an array of filters", "filters")
		},
		"42: not of events": func(t *testing.T, w *world) {
			t.Helper()
			w.refuses(t, draft(`"model": "persons", "filters": [{"type": "event"}]`), "invalid_input", "'filters' is only supported for 'events' not 'persons' model", "filters")
		},
		"60: a query with events": func(t *testing.T, w *world) {
			t.Helper()
			w.refuses(t, draft(`"hogql_query": "SELECT event FROM events"`), "invalid_input", "'hogql_query' is only supported for 'hogql' not 'events' model", "hogql_query")
		},
	}.run(t)
}

func TestBehavioursOfReading(t *testing.T) {
	t.Parallel()
	behaviours{
		"76: secrets are not shown": func(t *testing.T, w *world) {
			t.Helper()
			for _, destination := range []string{to("AwsS3", bucket), to("S3Compatible", bucket, endpoint), to("S3", bucket), to("Postgres", database)} {
				a := w.call(t, http.MethodGet, w.created(t, destination), "")
				require.Equal(t, http.StatusOK, a.Code)
				require.NotContains(t, a.Body.String(), "s3cr3t")
				require.NotContains(t, a.Body.String(), "AKIA")
			}
		},
		"77, 78: others' exports": func(t *testing.T, w *world) {
			t.Helper()
			path := w.created(t)
			require.Equal(t, http.StatusForbidden, w.callAs(t, foreignKey, http.MethodGet, path, "").Code)
			require.Equal(t, http.StatusNotFound, w.call(t, http.MethodGet, strings.Replace(path, "projects/1", "projects/2", 1), "").Code)
		},
		"80, 82: the list hides what is deleted and has the newest first": func(t *testing.T, w *world) {
			t.Helper()
			first := w.created(t)
			w.pass(time.Second)
			second, gone := w.export(t).String(), w.created(t)
			require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, gone, "").Code)
			require.Equal(t, []string{second, strings.TrimPrefix(first, exports+"/")}, w.call(t, http.MethodGet, exports, "").ids())
			require.True(t, strings.HasPrefix(w.call(t, http.MethodGet, exports+"?limit=1", "").text("next"), "http://"))
		},
		"84: deleting cancels backfills": func(t *testing.T, w *world) {
			t.Helper()
			path := w.created(t)
			backfill := w.call(t, http.MethodPost, path+"/backfills", `{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-02T00:00:00Z"}`).text("backfill_id")
			require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, path, "").Code)
			require.Contains(t, w.temporal.take(), "cancel backfill "+backfill)
			require.Equal(t, "Cancelled", w.call(t, http.MethodGet, path+"/backfills/"+backfill, "").text("status"))
		},
		"85: deleting without Temporal": func(t *testing.T, w *world) {
			t.Helper()
			path := w.created(t)
			w.temporal.broken = errors.New("gone")
			require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, path, "").Code)
		},
		"86: others cannot delete": func(t *testing.T, w *world) {
			t.Helper()
			path := w.created(t)
			require.Equal(t, http.StatusForbidden, w.callAs(t, foreignKey, http.MethodDelete, path, "").Code)
			require.Equal(t, http.StatusNotFound, w.call(t, http.MethodDelete, strings.Replace(path, "projects/1", "projects/2", 1), "").Code)
			require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, path, "").Code)
		},
	}.run(t)
}

func TestBehavioursOfUpdate(t *testing.T) {
	t.Parallel()
	behaviours{
		"88: put a day without offsets": func(t *testing.T, w *world) {
			t.Helper()
			path := w.created(t, `"interval": "day", "offset_hour": 5, "timezone": "Europe/Berlin"`)
			a := w.call(t, http.MethodPut, path, draft(`"interval": "day"`))
			require.Equal(t, http.StatusOK, a.Code, a.Body.String())
			require.Equal(t, "UTC", a.text("timezone"))
			require.Len(t, w.temporal.take(), 2, "the schedule was put twice")
		},
		"89: patch one setting": func(t *testing.T, w *world) {
			t.Helper()
			path := w.created(t, to("AwsS3", bucket), `"interval": "day", "timezone": "Europe/Berlin"`)
			a := w.call(t, http.MethodPatch, path, `{"destination": {"config": {"bucket_name": "other"}}}`)
			require.Equal(t, http.StatusOK, a.Code, a.Body.String())
			e := w.stored(t, path)
			require.Equal(t, "other", e.Destination.Config["bucket_name"])
			require.Equal(t, "s3cr3t", e.Destination.Config["aws_secret_access_key"])
			require.Equal(t, "p/", e.Destination.Config["prefix"])
			require.Equal(t, batch.Daily, e.Frequency)
			require.Equal(t, "Europe/Berlin", e.Timezone)
		},
		"98, 173: an obsolete setting is tolerated": func(t *testing.T, w *world) {
			t.Helper()
			e := w.stored(t, w.created(t, to("File")))
			_, err := w.UpdateExport(t.Context(), 1, e.ID, func(e *batch.Export) error {
				e.Destination.Config["obsolete"] = "x"
				return nil
			})
			require.NoError(t, err)
			path := exports + "/" + e.ID.String()
			require.Equal(t, http.StatusOK, w.call(t, http.MethodPost, path+"/run_test_step", `{}`).Code)
			require.Equal(t, http.StatusOK, w.call(t, http.MethodPatch, path, `{"destination": {"config": {"prefix": "q"}}}`).Code)
			require.NotContains(t, w.stored(t, path).Destination.Config, "obsolete")
		},
		"100: another type": func(t *testing.T, w *world) {
			t.Helper()
			path := w.created(t, to("AwsS3", bucket))
			w.call(t, http.MethodPatch, path, `{"destination": {"type": "File", "config": {}}}`).
				invalid("invalid_input", "Cannot change destination type from 'AwsS3' to 'File'. Delete this batch export and create a new one instead.", "destination")
		},
		"102: inline credentials": func(t *testing.T, w *world) {
			t.Helper()
			path := w.created(t, to("Postgres", database))
			require.Equal(t, http.StatusOK, w.call(t, http.MethodPatch, path, `{"destination": {"type": "Postgres", "config": {"table_name": "t2"}}}`).Code)
			require.Equal(t, "s3cr3t", w.stored(t, path).Destination.Config["password"])
		},
	}.run(t)
}

func TestBehavioursOfPause(t *testing.T) {
	t.Parallel()
	behaviours{
		"105, 106: pause and unpause": func(t *testing.T, w *world) {
			t.Helper()
			path := w.created(t)
			w.call(t, http.MethodPost, path+"/pause", "").is(http.StatusOK, `{"paused": true}`)
			require.NotNil(t, w.stored(t, path).LastPausedAt)
			w.call(t, http.MethodPost, path+"/unpause", "").is(http.StatusOK, `{"paused": false}`)
		},
		"108: others": func(t *testing.T, w *world) {
			t.Helper()
			path := w.created(t)
			for _, action := range []string{"/pause", "/unpause"} {
				require.Equal(t, http.StatusForbidden, w.callAs(t, foreignKey, http.MethodPost, path+action, "").Code)
				require.Equal(t, http.StatusNotFound, w.call(t, http.MethodPost, strings.Replace(path, "projects/1", "projects/2", 1)+action, "").Code)
			}
			require.False(t, w.stored(t, path).Paused)
		},
		"109: without Temporal the database is written, and the schedule repaired later": func(t *testing.T, w *world) {
			t.Helper()
			path := w.created(t)
			w.temporal.broken = errors.New("gone")
			w.call(t, http.MethodPost, path+"/pause", "").is(http.StatusOK, `{"paused": true}`)
			stale, err := w.StaleSchedules(t.Context(), 10)
			require.NoError(t, err)
			require.Len(t, stale, 1)
		},
		"110: what was missed is backfilled": func(t *testing.T, w *world) {
			t.Helper()
			path := w.created(t, `"paused": true`)
			w.pass(3 * time.Hour)
			w.call(t, http.MethodPost, path+"/unpause", `{"backfill": true}`).is(http.StatusOK, `{"paused": false}`)
			require.Len(t, w.call(t, http.MethodGet, path+"/backfills", "").ids(), 1)
		},
	}.run(t)
}

func TestBehavioursOfRunsAndBackfills(t *testing.T) {
	t.Parallel()
	behaviours{
		"112, 113: the runs of a new export": func(t *testing.T, w *world) {
			t.Helper()
			path := w.created(t)
			w.call(t, http.MethodGet, path+"/runs", "").is(http.StatusOK, `{"next": null, "previous": null, "results": []}`)
			require.Equal(t, http.StatusForbidden, w.callAs(t, foreignKey, http.MethodGet, path+"/runs", "").Code)
		},
		"114, 121: cancel a run, whatever Temporal says": func(t *testing.T, w *world) {
			t.Helper()
			id := w.export(t)
			r := w.run(t, id, nil)
			w.temporal.broken = errors.New("not found")
			w.call(t, http.MethodPost, runsOf(id)+"/"+r.ID.String()+"/cancel", "").is(http.StatusOK, `{"cancelled": true}`)
			require.Equal(t, "Cancelled", w.call(t, http.MethodGet, runsOf(id)+"/"+r.ID.String(), "").text("status"))
		},
		"116, 117: runs by status": func(t *testing.T, w *world) {
			t.Helper()
			id := w.export(t)
			failed := w.run(t, id, func(r *batch.Run) { r.Status = batch.RunFailed }).ID.String()
			completed := w.run(t, id, func(r *batch.Run) { r.Status = batch.RunCompleted }).ID.String()
			w.run(t, id, nil)
			for _, ordering := range []string{"created_at", "-data_interval_start"} {
				require.Equal(t, []string{failed}, w.call(t, http.MethodGet, runsOf(id)+"?status=Failed&ordering="+ordering, "").ids())
				require.ElementsMatch(t, []string{failed, completed}, w.call(t, http.MethodGet, runsOf(id)+"?status=Failed&status=Completed&ordering="+ordering, "").ids())
			}
			w.call(t, http.MethodGet, runsOf(id)+"?status=Nope", "").invalid("invalid_choice", `"Nope" is not a valid choice.`, "status")
		},
		"120, 122: retry and backfill": func(t *testing.T, w *world) {
			t.Helper()
			id := w.export(t)
			r := w.run(t, id, nil)
			retry := w.call(t, http.MethodPost, runsOf(id)+"/"+r.ID.String()+"/retry", "{}")
			require.Equal(t, http.StatusCreated, retry.Code)
			b := w.call(t, http.MethodGet, backfillsOf(id)+"/"+retry.text("backfill_id"), "")
			require.Equal(t, r.Interval.Start.Format(time.RFC3339), b.text("start_at"))
			require.Equal(t, r.Interval.End.Format(time.RFC3339), b.text("end_at"))
			require.Contains(t, w.temporal.take(), "start backfill "+retry.text("backfill_id"))
		},
		"124, 125, 126: dates": func(t *testing.T, w *world) {
			t.Helper()
			day, week := w.export(t, `"interval": "day"`), w.export(t, `"interval": "week", "offset_day": 1`)
			require.Contains(t, w.call(t, http.MethodPost, backfillsOf(day), `{"start_at": "2026-05-01T00:00:00Z"}`).text("detail"), "is not a valid ISO formatted date. ")
			w.call(t, http.MethodPost, backfillsOf(day), `{"start_at": "not-a-date"}`).invalid("invalid_input", "Input 'not-a-date' is not a valid ISO formatted date.", "start_at")
			require.Regexp(t, "Sunday.*Monday", w.call(t, http.MethodPost, backfillsOf(week), `{"start_at": "2026-04-19"}`).text("detail"))
			require.Equal(t, http.StatusCreated, w.call(t, http.MethodPost, backfillsOf(week), `{"start_at": "2026-04-20", "end_at": "2026-04-27"}`).Code)
		},
		"128, 129, 130, 133: instants": func(t *testing.T, w *world) {
			t.Helper()
			path := backfillsOf(w.export(t))
			for body, want := range map[string]string{
				`{"start_at": "2026-05-01T00:00:00"}`:                                    "Input 2026-05-01T00:00:00 is naive.",
				`{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-01T00:00:00Z"}`: "The initial backfill datetime 'start_at' must be before 'end_at'",
				`{"start_at": "2026-05-01T00:00:00Z", "end_at": "2027-05-01T00:00:00Z"}`: "The provided 'end_at' (2027-05-01T00:00:00Z) is in the future",
				`{"start_at": "2026-05-01T00:00:00Z", "end_at": null}`:                   "Backfilling a BatchExport with no end date is not allowed",
			} {
				require.Equal(t, want, w.call(t, http.MethodPost, path, body).text("detail"))
			}
		},
		"134: too many backfills": func(t *testing.T, w *world) {
			t.Helper()
			path := backfillsOf(w.export(t))
			body := func(day int) string {
				return fmt.Sprintf(`{"start_at": "2026-04-%02dT00:00:00Z", "end_at": "2026-05-01T00:00:00Z"}`, day)
			}
			for day := range 5 {
				require.Equal(t, http.StatusCreated, w.call(t, http.MethodPost, path, body(day+1)).Code)
			}
			late := w.call(t, http.MethodPost, path, body(9))
			require.Equal(t, http.StatusTooManyRequests, late.Code)
			require.Equal(t, "too_many_concurrent_backfills", late.text("code"))
			require.Len(t, w.call(t, http.MethodGet, path, "").ids(), 5)
		},
		"136, 146: others": func(t *testing.T, w *world) {
			t.Helper()
			path := backfillsOf(w.export(t))
			elsewhere := strings.Replace(path, "projects/1", "projects/2", 1)
			const body = `{"start_at": "2026-04-01T00:00:00Z", "end_at": "2026-05-01T00:00:00Z"}`
			for _, path := range []string{elsewhere, backfillsOf(uuid.New())} {
				w.call(t, http.MethodPost, path, body).fails(http.StatusNotFound, "invalid_request", "not_found", "BatchExport not found.", "")
			}
			require.Equal(t, http.StatusForbidden, w.callAs(t, foreignKey, http.MethodPost, path, body).Code)
			require.Empty(t, w.call(t, http.MethodGet, elsewhere, "").ids())
		},
		"137, 138: cancel a backfill with its runs, once": func(t *testing.T, w *world) {
			t.Helper()
			id := w.export(t)
			backfill := mustID(w.call(t, http.MethodPost, backfillsOf(id), `{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-02T00:00:00Z"}`).text("backfill_id"))
			r := w.run(t, id, func(r *batch.Run) { r.BackfillID = &backfill })
			cancel := backfillsOf(id) + "/" + backfill.String() + "/cancel"
			w.call(t, http.MethodPost, cancel, "").is(http.StatusOK, `{"cancelled": true}`)
			require.Equal(t, "Cancelled", w.call(t, http.MethodGet, runsOf(id)+"/"+r.ID.String(), "").text("status"))
			w.call(t, http.MethodPost, cancel, "").invalid("invalid_input", "Cannot cancel a backfill that is in 'Cancelled' status", "")
		},
	}.run(t)
}

func TestBehavioursOfDestinations(t *testing.T) {
	t.Parallel()
	const unreachable = "Could not reach this host. Check that the hostname is correct and reachable from the internet."
	behaviours{
		"148: empty inputs": func(t *testing.T, w *world) {
			t.Helper()
			w.refuses(t, draft(to("AwsS3", keys, `"bucket_name": "", "region": "", "prefix": "p"`)), "invalid_input", "The following inputs are empty: ['bucket_name', 'region']", "destination")
		},
		"149, 150: formats and codecs": func(t *testing.T, w *world) {
			t.Helper()
			for kind, settings := range map[string]string{"AwsS3": bucket, "S3Compatible": bucket + "," + endpoint, "File": `"prefix": "p"`} {
				w.refuses(t, draft(to(kind, settings, `"file_format": "XLS"`)), "invalid_input", "File format XLS is not supported. Supported file formats are ['Parquet', 'JSONLines', 'CSV']", "destination")
				a := w.call(t, http.MethodPost, exports, draft(to(kind, settings, `"file_format": "JSONLines", "compression": "zstd"`)))
				require.Contains(t, a.text("detail"), "Compression zstd is not supported for file format JSONLines.")
				for _, codec := range []string{"zstd", "lz4", "snappy", "gzip", "brotli"} {
					w.created(t, to(kind, settings, `"file_format": "Parquet", "compression": "`+codec+`"`))
				}
				path := w.created(t, to(kind, settings, `"file_format": "Parquet", "compression": "zstd"`))
				a = w.call(t, http.MethodPatch, path, `{"destination": {"config": {"file_format": "JSONLines"}}}`)
				require.Contains(t, a.text("detail"), "Compression zstd is not supported for file format JSONLines.", "judged with the stored codec")
			}
		},
		"152: AwsS3 has no endpoint": func(t *testing.T, w *world) {
			t.Helper()
			w.refuses(t, draft(to("AwsS3", bucket, endpoint)), "invalid_input", "Configuration has unknown field/s: 'endpoint_url'", "destination")
		},
		"154: the legacy extension": func(t *testing.T, w *world) {
			t.Helper()
			a := w.call(t, http.MethodPost, exports, draft(to("AwsS3", bucket, `"legacy_parquet_extension": true`)))
			require.Contains(t, a.text("detail"), "legacy_parquet_extension")
			require.Equal(t, false, w.stored(t, w.created(t, to("AwsS3", bucket))).Destination.Config["legacy_parquet_extension"])
		},
		"162: hosts of our network": func(t *testing.T, w *world) {
			t.Helper()
			path := w.created(t, to("Postgres", database))
			for _, host := range []string{"169.254.169.254", "127.0.0.1", "10.0.0.1", "192.168.1.1", "localhost", "nowhere.example.com"} {
				setting := fmt.Sprintf(`"host": %q`, host)
				w.refuses(t, draft(to("Postgres", strings.Replace(database, `"host": "db.example.com"`, setting, 1))), "invalid_input", unreachable, "destination")
				w.call(t, http.MethodPatch, path, `{"destination": {"config": {`+setting+`}}}`).invalid("invalid_input", unreachable, "destination")
				w.refuses(t, draft(to("S3Compatible", bucket, `"endpoint_url": "http://`+host+`:9000"`)), "invalid_input", unreachable, "destination")
			}
			w.call(t, http.MethodPatch, path, `{"destination": {"config": {"host": "http://db.example.com/x"}}}`).
				invalid("invalid_input", "Invalid host. Enter a hostname or IP address without credentials, scheme, or path.", "destination")
		},
		"169, 172: connection tests": func(t *testing.T, w *world) {
			t.Helper()
			for kind, n := range map[string]int{"AwsS3": 4, "S3Compatible": 2, "S3": 3, "Postgres": 6, "File": 3} {
				require.Len(t, w.call(t, http.MethodGet, exports+"/test?destination="+kind, "").json()["steps"], n, kind)
			}
			result := w.call(t, http.MethodPost, w.created(t, to("AwsS3", bucket))+"/run_test_step", `{"destination": {"type": "AwsS3", "config": {"region": "eu-west-1"}}}`)
			require.Equal(t, http.StatusOK, result.Code, result.Body.String())
			require.Equal(t, "Skipped", at(result.json(), "result", "status"))
			require.Equal(t, "No configured AWS role ARN, skipping test", at(result.json(), "result", "message"))
		},
	}.run(t)
}

func TestBehavioursOfLogs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	one, two := w.run(t, id, nil), w.run(t, id, nil)
	entry := func(run uuid.UUID, at time.Duration, level batch.LogLevel, message string) batch.LogEntry {
		return batch.LogEntry{TeamID: 1, ExportID: id, RunID: run, Timestamp: start.Add(at), Level: level, Message: message}
	}
	other := entry(one.ID, 0, batch.LogInfo, "of another team")
	other.TeamID = 2
	require.NoError(t, w.AppendLogs(t.Context(), []batch.LogEntry{
		entry(one.ID, 0, batch.LogInfo, "first"), entry(two.ID, time.Second, batch.LogError, "second"),
		entry(uuid.UUID{}, 2*time.Second, batch.LogDebug, "Third"), other,
	}))
	path := exports + "/" + id.String()
	messages := func(path string) []string {
		var all []string
		for _, result := range w.call(t, http.MethodGet, path, "").json()["results"].([]any) {
			all = append(all, result.(map[string]any)["message"].(string))
		}
		return all
	}
	for query, want := range map[string][]string{
		"": {"Third", "second", "first"}, "?limit=1": {"Third"}, "?level=error,info": {"second", "first"}, "?search=THIRD": {"Third"},
		"?after=2026-05-06T07:08:09.123456Z":  {"Third", "second"},
		"?before=2026-05-06T07:08:10.123456Z": {"first"},
		"?instance_id=" + one.ID.String():     {"first"},
	} {
		require.Equal(t, want, messages(path+"/logs"+query), "180: "+query)
	}
	require.Equal(t, []string{"second"}, messages(path+"/runs/"+two.ID.String()+"/logs"), "180: of one run")
}
