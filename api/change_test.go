package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
)

// stored returns an export of project 1 with its secrets.
func (w *world) stored(t *testing.T, path string) batch.Export {
	t.Helper()
	id, ok := strings.CutPrefix(path, exports+"/")
	require.True(t, ok)
	e, err := w.Export(t.Context(), 1, mustID(id))
	require.NoError(t, err)
	return e
}

func TestPatchChangesWhatIsSent(t *testing.T) {
	t.Parallel()
	const weekly = `"interval": "week", "timezone": "Europe/Berlin", "offset_day": 1, "offset_hour": 2`
	tests := map[string]struct {
		before, patch string
		want          map[string]any
	}{
		"nothing":                            {weekly, `{}`, map[string]any{"interval": "week", "timezone": "Europe/Berlin", "offset_day": 1.0, "offset_hour": 2.0}},
		"the name":                           {`"x": 1`, `{"name": " other "}`, map[string]any{"name": "other", "interval": "hour"}},
		"an hour to a week":                  {`"timezone": "Europe/Berlin"`, `{"interval": "week"}`, map[string]any{"timezone": "Europe/Berlin", "offset_day": 0.0, "offset_hour": 0.0}},
		"a day to an hour":                   {`"interval": "day", "offset_hour": 5, "timezone": "Europe/Berlin"`, `{"interval": "hour"}`, map[string]any{"timezone": "Europe/Berlin", "offset_day": nil, "offset_hour": nil}},
		"a week to a day keeps the hour":     {weekly, `{"interval": "day"}`, map[string]any{"offset_day": nil, "offset_hour": 2.0}},
		"an offset alone":                    {weekly, `{"offset_hour": 7}`, map[string]any{"offset_day": 1.0, "offset_hour": 7.0}},
		"offsets null":                       {weekly, `{"offset_day": null, "offset_hour": null}`, map[string]any{"offset_day": 0.0, "offset_hour": 0.0}},
		"timezone and offset null":           {`"interval": "day", "offset_hour": 5, "timezone": "Europe/Berlin"`, `{"timezone": null, "offset_hour": null}`, map[string]any{"timezone": "UTC", "offset_hour": 0.0}},
		"paused":                             {`"x": 1`, `{"paused": true}`, map[string]any{"paused": true, "last_paused_at": "2026-05-06T07:08:09.123456Z"}},
		"when it was paused":                 {`"last_paused_at": "2026-01-01T00:00:00Z"`, `{"name": "x"}`, map[string]any{"last_paused_at": "2026-01-01T00:00:00Z"}},
		"when it was paused, changed":        {`"x": 1`, `{"last_paused_at": "2026-01-01T00:00:00Z"}`, map[string]any{"last_paused_at": "2026-01-01T00:00:00Z"}},
		"when it was paused, pausing":        {`"x": 1`, `{"last_paused_at": null, "paused": true}`, map[string]any{"last_paused_at": "2026-05-06T07:08:09.123456Z"}},
		"unpaused":                           {`"paused": true`, `{"paused": false}`, map[string]any{"paused": false}},
		"bounds":                             {`"start_at": "2026-01-01T00:00:00Z"`, `{"start_at": null, "end_at": "2027-01-01T00:00:00Z"}`, map[string]any{"start_at": nil, "end_at": "2027-01-01T00:00:00Z"}},
		"model null":                         {`"x": 1`, `{"model": null}`, map[string]any{"model": "events"}},
		"the same model":                     {`"x": 1`, `{"model": "events"}`, map[string]any{"model": "events"}},
		"unknown fields and who is the last": {`"x": 1`, `{"wat": 1, "last_modified_by": 7}`, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.export(t, tt.before).String()
			before := w.call(t, http.MethodGet, exports+"/"+id, "").Header().Get("ETag")
			w.temporal.take()
			patched := w.call(t, http.MethodPatch, exports+"/"+id, tt.patch)
			require.Equal(t, http.StatusOK, patched.Code, patched.Body.String())
			if patched.Header().Get("ETag") == before {
				require.Empty(t, w.temporal.take(), "the schedule stays")
			} else {
				require.Equal(t, []string{"put " + id}, w.temporal.take(), "the schedule follows")
			}
			require.JSONEq(t, patched.Body.String(), w.call(t, http.MethodGet, exports+"/"+id, "").Body.String())
			for field, want := range tt.want {
				require.Equal(t, want, patched.json()[field], field)
			}
		})
	}
}

func TestPatchLaysSettingsOverTheStoredOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := exports + "/" + w.export(t).String()
	w.call(t, http.MethodPatch, path, `{"destination": {"config": {"bucket": "other", "port": "1"}}}`)
	config := w.stored(t, path).Destination.Config
	require.Equal(t, "other", config["bucket"])
	require.Equal(t, "s3cr3t", config["secret"])
	require.EqualValues(t, 1, config["port"])
	w.call(t, http.MethodPatch, path, `{"destination": {"type": "Vault", "config": {"secret": "new"}}}`)
	require.Equal(t, "new", w.stored(t, path).Destination.Config["secret"])
}

func TestPutReplacesButKeepsSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := exports + "/" + w.export(t, `"interval": "day", "offset_hour": 5, "timezone": "Europe/Berlin", "start_at": "2026-01-01T00:00:00Z"`).String()
	put := w.call(t, http.MethodPut, path, `{"name": "n", "interval": "day", "destination": {"type": "Vault", "config": {"bucket": "b2"}}}`)
	require.Equal(t, http.StatusOK, put.Code, put.Body.String())
	require.Equal(t, "UTC", put.text("timezone"))
	require.Equal(t, 0.0, put.json()["offset_hour"]) //nolint:testifylint // exact
	require.Equal(t, "2026-01-01T00:00:00Z", put.text("start_at"))
	require.Equal(t, "s3cr3t", w.stored(t, path).Destination.Config["secret"])
}

func TestChangesAreRefused(t *testing.T) {
	t.Parallel()
	const isRequired = "This field is required."
	w := newWorld(t)
	id := w.export(t).String()
	path := exports + "/" + id
	before := w.call(t, http.MethodGet, path, "").Body.String()
	w.temporal.take()
	tests := map[string]struct{ method, body, code, detail, attr string }{
		"put without name":        {http.MethodPut, `{}`, "required", isRequired, "name"},
		"put without destination": {http.MethodPut, `{"name": "x", "interval": "day"}`, "required", isRequired, "destination"},
		"put without interval":    {http.MethodPut, `{"name": "x", "destination": {"type": "Vault", "config": {"bucket": "b"}}}`, "required", isRequired, "interval"},
		"put without a setting":   {http.MethodPut, `{"name": "x", "interval": "day", "destination": {"type": "Vault", "config": {}}}`, "invalid_input", "Configuration missing required field: 'bucket'", "destination"},
		"another type by put":     {http.MethodPut, `{"name": "x", "interval": "day", "destination": {"type": "File", "config": {}}}`, "invalid_input", "Cannot change destination type from 'Vault' to 'File'. Delete this batch export and create a new one instead.", "destination"},
		"another type":            {http.MethodPatch, `{"destination": {"type": "File"}}`, "invalid_input", "Cannot change destination type from 'Vault' to 'File'. Delete this batch export and create a new one instead.", "destination"},
		"a type that is none":     {http.MethodPatch, `{"destination": {"type": "Fax"}}`, "invalid_choice", `"Fax" is not a valid choice.`, "destination__type"},
		"another model":           {http.MethodPatch, `{"model": "persons"}`, "invalid_input", "Changing models is not supported. Create a new batch export instead.", "model"},
		"name blank":              {http.MethodPatch, `{"name": " "}`, "blank", "This field may not be blank.", "name"},
		"interval null":           {http.MethodPatch, `{"interval": null}`, "null", "This field may not be null.", "interval"},
		"destination null":        {http.MethodPatch, `{"destination": null}`, "null", "This field may not be null.", "destination"},
		"unknown setting":         {http.MethodPatch, `{"destination": {"config": {"b": 1}}}`, "invalid_input", "Configuration has unknown field/s: 'b'", "destination"},
		"setting null":            {http.MethodPatch, `{"destination": {"config": {"bucket": null}}}`, "invalid_input", "Configuration has invalid type: got 'NoneType', expected 'str'", "destination"},
		"offset for an hour":      {http.MethodPatch, `{"offset_hour": 3}`, "invalid_input", "offset_hour is not applicable for non-daily/weekly intervals", "offset_hour"},
		"offset for a day":        {http.MethodPatch, `{"interval": "day", "offset_day": 3}`, "invalid_input", "offset_day should not be specified for daily intervals", "offset_day"},
		"end before start":        {http.MethodPatch, `{"start_at": "2026-02-01", "end_at": "2026-01-01"}`, "invalid_input", "'end_at' must be after 'start_at'", "end_at"},
		"an integration":          {http.MethodPatch, `{"destination": {"integration": 5}}`, "does_not_exist", `Invalid pk "5" - object does not exist.`, "destination__integration"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.call(t, tt.method, path, tt.body).invalid(tt.code, tt.detail, tt.attr)
			require.JSONEq(t, before, w.call(t, http.MethodGet, path, "").Body.String())
			require.Empty(t, w.temporal.take())
		})
	}
}

func TestTheFirstIntervalAfterAChangeJoinsTheCalendars(t *testing.T) {
	t.Parallel()
	at := func(day, hour int) time.Time { return time.Date(2026, 5, day, hour, 0, 0, 0, time.UTC) }
	w := newWorld(t) // 2026-05-06 07:08
	path := exports + "/" + w.export(t, `"interval": "day"`).String()
	require.Nil(t, w.stored(t, path).FirstInterval)
	w.call(t, http.MethodPatch, path, `{"name": "x", "interval": "day"}`)
	require.Nil(t, w.stored(t, path).FirstInterval, "the calendar is the same")

	w.call(t, http.MethodPatch, path, `{"interval": "hour"}`)
	require.Equal(t, &batch.Interval{Start: at(6, 0), End: at(6, 8)}, w.stored(t, path).FirstInterval)
	w.pass(10 * time.Minute)
	w.call(t, http.MethodPatch, path, `{"interval": "day", "offset_hour": 10}`)
	require.Equal(t, &batch.Interval{Start: at(6, 0), End: at(6, 10)}, w.stored(t, path).FirstInterval, "the first change had no interval yet")
	w.pass(24 * time.Hour)
	w.call(t, http.MethodPatch, path, `{"interval": "hour"}`)
	require.Equal(t, &batch.Interval{Start: at(6, 10), End: at(7, 8)}, w.stored(t, path).FirstInterval)
}

func TestAChangeOfNothingMakesNoRevision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	created := w.call(t, http.MethodPost, exports, draft(`"interval": "day", "offset_hour": 5, "start_at": "2026-01-01T00:00:00Z"`))
	path, first := exports+"/"+created.text("id"), created.Header().Get("ETag")
	w.pass(time.Minute)
	for _, body := range []string{
		`{}`, `{"name": "my export", "interval": "day", "start_at": "2026-01-01T00:00:00+00:00", "paused": false}`,
		`{"destination": {"type": "Vault", "config": {"bucket": "b", "secret": "s3cr3t", "port": "443"}}}`,
	} {
		same := w.call(t, http.MethodPatch, path, body)
		require.Equal(t, first, same.Header().Get("ETag"), body)
		require.Equal(t, created.text("last_updated_at"), same.text("last_updated_at"), body)
	}
	require.NotEqual(t, first, w.call(t, http.MethodPatch, path, `{"destination": {"config": {"secret": "0ther"}}}`).Header().Get("ETag"))
}

func TestWhatIsReadCanBeSentBackAndChangesNothing(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]string{
		"an hour":               `"start_at": "2026-01-01T00:00:00Z", "paused": true`,
		"a day":                 `"interval": "day", "timezone": "Europe/Berlin"`,
		"a week":                `"interval": "week", "offset_day": 3`,
		"filters":               `"filters": [{"type": "event", "key": "k", "operator": "gt", "value": 1.0}]`,
		"columns of its own":    `"hogql_query": "SELECT event FROM events"`,
		"a query":               `"model": "hogql", "hogql_query": "SELECT event, uuid FROM events", "primary_key": ["uuid"], "hogql_modifiers": {"a": {"b": 1e2}}`,
		"modifiers that are {}": `"model": "hogql", "hogql_query": "SELECT event FROM events", "hogql_modifiers": {}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			made := w.call(t, http.MethodPost, exports, draft(fields))
			require.Equal(t, http.StatusCreated, made.Code, made.Body.String())
			path, tag := exports+"/"+made.text("id"), made.Header().Get("ETag")
			read := w.call(t, http.MethodGet, path, "").is(http.StatusOK, made.Body.String())
			w.pass(time.Minute)
			for _, method := range []string{http.MethodPatch, http.MethodPut} {
				for _, body := range []string{read.Body.String(), draft(fields)} {
					same := w.call(t, method, path, body).is(http.StatusOK, read.Body.String())
					require.Equal(t, tag, same.Header().Get("ETag"), "%s %s", method, body)
				}
			}
		})
	}
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	created := w.call(t, http.MethodPost, exports, draft())
	path, first := exports+"/"+created.text("id"), created.Header().Get("ETag")
	require.NotEmpty(t, first)
	require.Equal(t, first, w.call(t, http.MethodGet, path, "").Header().Get("ETag"))

	match := func(method, tag, body string) answer {
		t.Helper()
		r := w.request(t, method, path, body)
		r.Header.Set("If-Match", tag)
		return w.send(t, r)
	}
	second := match(http.MethodPatch, first, `{"name": "second"}`).Header().Get("ETag")
	require.NotEqual(t, first, second)
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		match(method, first, draft()).fails(http.StatusPreconditionFailed, "invalid_request", "precondition_failed",
			"The batch export was changed in the meantime. Read it again before you change it.", "")
	}
	require.Equal(t, "second", w.call(t, http.MethodGet, path, "").text("name"))
	for _, tag := range []string{"*", "W/" + second, `"x", ` + second} {
		require.Equal(t, http.StatusOK, match(http.MethodGet, tag, "").Code, tag)
	}
	match(http.MethodPatch, "no-quotes", `{}`).fails(http.StatusBadRequest, "invalid_request", "invalid_input", "The header If-Match is malformed.", "")
	require.Equal(t, http.StatusNoContent, match(http.MethodDelete, second, "").Code)
}
