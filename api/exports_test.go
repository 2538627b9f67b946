package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/query"
)

const exports = project + "/batch_exports"

// exportJSON is the whole body of an export made from draft().
func exportJSON(id, runs string) string {
	return fmt.Sprintf(`{
		"id": %q, "team_id": 1, "name": "my export", "model": "events",
		"destination": {"type": "Vault", "config": {"bucket": "b", "port": 443, "tls": true, "prefix": null, "exclude_events": null, "include_events": null}, "integration": null},
		"interval": "hour", "paused": false,
		"created_at": "2026-05-06T07:08:09.123456Z", "last_updated_at": "2026-05-06T07:08:09.123456Z",
		"last_paused_at": null, "start_at": null, "end_at": null, "latest_runs": %s,
		"hogql_query": null, "hogql_modifiers": null, "primary_key": null, "version_key": null, "incremental_mode": "APPEND",
		"schema": null, "filters": null, "timezone": "UTC", "offset_day": null, "offset_hour": null
	}`, id, runs)
}

func TestCreateAnswersWithTheExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	created := w.call(t, http.MethodPost, exports, draft())
	id := created.text("id")
	created.is(http.StatusCreated, exportJSON(id, "[]"))
	require.Equal(t, []string{"put " + id}, w.temporal.take())
	require.Equal(t, byte(7), byte(uuid.MustParse(id).Version()), "ids are ordered by time")
	w.call(t, http.MethodGet, exports+"/"+id, "").is(http.StatusOK, exportJSON(id, "[]"))
	w.call(t, http.MethodGet, exports, "").is(http.StatusOK,
		`{"count": 1, "next": null, "previous": null, "results": [`+exportJSON(id, "[]")+`]}`)
	require.NotContains(t, created.Body.String(), "s3cr3t")
}

func TestCreateWithoutTemporalIsRepairedLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.temporal.broken = errors.New("no answer")
	w.export(t)
	stale, err := w.StaleSchedules(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, stale, 1)
}

func TestCreateAccepts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fields string
		want   map[string]any // of the answer
	}{
		"no interval: an hour":               {`"x": 1`, map[string]any{"interval": "hour"}},
		"every 5 minutes":                    {`"interval": "every 5 minutes"`, map[string]any{"interval": "every 5 minutes", "offset_hour": nil}},
		"every 10 minutes":                   {`"interval": "every 10 minutes"`, map[string]any{"interval": "every 10 minutes"}},
		"a day without offset":               {`"interval": "day"`, map[string]any{"offset_day": nil, "offset_hour": 0.0, "timezone": "UTC"}},
		"a day with an hour in a zone":       {`"interval": "day", "timezone": "Asia/Kathmandu", "offset_hour": 2`, map[string]any{"offset_hour": 2.0, "timezone": "Asia/Kathmandu"}},
		"a week without offsets":             {`"interval": "week"`, map[string]any{"offset_day": 0.0, "offset_hour": 0.0}},
		"a week with both":                   {`"interval": "week", "timezone": "Europe/Berlin", "offset_day": 1, "offset_hour": 2`, map[string]any{"offset_day": 1.0, "offset_hour": 2.0}},
		"a whole number with a fraction":     {`"interval": "day", "offset_hour": 2.0`, map[string]any{"offset_hour": 2.0}},
		"timezone null":                      {`"timezone": null`, map[string]any{"timezone": "UTC"}},
		"model null":                         {`"model": null`, map[string]any{"model": "events"}},
		"filters null":                       {`"filters": null`, map[string]any{"filters": nil}},
		"filters empty":                      {`"filters": []`, map[string]any{"filters": nil}},
		"queries null":                       {`"hogql_query": null, "primary_key": null, "version_key": null, "hogql_modifiers": null`, nil},
		"white space around the name":        {`"name": "  x "`, map[string]any{"name": "x"}},
		"a name of 255 characters":           {`"name": "` + strings.Repeat("é", 255) + `"`, nil},
		"who modified it last":               {`"last_modified_by": 77, "user_id": "x"`, nil},
		"unknown fields":                     {`"schema": {"x": 1}, "wat": [], "id": "x"`, map[string]any{"schema": nil}},
		"paused":                             {`"paused": true`, map[string]any{"paused": true, "last_paused_at": "2026-05-06T07:08:09.123456Z"}},
		"bounds of the schedule":             {`"start_at": "2026-01-01T00:00:00+02:00", "end_at": "2027-01-01"`, map[string]any{"start_at": "2025-12-31T22:00:00Z", "end_at": "2027-01-01T00:00:00Z"}},
		"settings that need a cast":          {`"destination": {"type": "Vault", "config": {"bucket": "b", "secret": "s", "port": "5432", "tls": "False"}}`, nil},
		"an integration that is null":        {`"destination": {"type": "Vault", "integration": null, "config": {"bucket": "b", "secret": "s"}}`, nil},
		"include_events and exclude_events ": {`"destination": {"type": "Vault", "config": {"bucket": "b", "secret": "s", "include_events": ["a"], "exclude_events": []}}`, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			created := w.call(t, http.MethodPost, exports, draft(tt.fields))
			require.Equal(t, http.StatusCreated, created.Code, created.Body.String())
			read := w.call(t, http.MethodGet, exports+"/"+created.text("id"), "")
			require.JSONEq(t, created.Body.String(), read.Body.String(), "what is answered is what is stored")
			for field, want := range tt.want {
				require.Equal(t, want, created.json()[field], field)
			}
		})
	}
}

func TestSettingsHaveTheirDeclaredTypes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t, `"destination": {"type": "Vault", "config": {"bucket": "b", "secret": "s", "port": "5432", "tls": "False", "prefix": "p"}}`)
	config := w.call(t, http.MethodGet, exports+"/"+id.String(), "").json()["destination"].(map[string]any)["config"]
	require.Equal(t, map[string]any{
		"bucket": "b", "port": 5432.0, "tls": false, "prefix": "p", "exclude_events": nil, "include_events": nil,
	}, config)
}

func TestAFileExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	created := w.call(t, http.MethodPost, exports, draft(`"destination": {"type": "File", "config": {"prefix": "p", "file_format": "Parquet", "compression": "zstd"}}`))
	require.Equal(t, http.StatusCreated, created.Code, created.Body.String())
	require.Equal(t, map[string]any{
		"type": "File", "integration": nil, "config": map[string]any{
			"prefix": "p", "file_format": "Parquet", "compression": "zstd", "max_file_size_mb": nil, "exclude_events": nil, "include_events": nil,
		},
	}, created.json()["destination"])
	w.call(t, http.MethodPost, exports, draft(`"destination": {"type": "File", "config": {"file_format": "XLS"}}`)).
		invalid("invalid_input", "File format XLS is not supported. Supported file formats are ['Parquet', 'JSONLines', 'CSV']", "destination")
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	const (
		isRequired = "This field is required."
		isNull     = "This field may not be null."
		isDatetime = "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
	)
	tests := map[string]struct{ body, code, detail, attr string }{
		"no body":                  {``, "required", isRequired, "name"},
		"an empty object":          {`{}`, "required", isRequired, "name"},
		"null":                     {`null`, "null", "No data provided", ""},
		"a list":                   {`[]`, "invalid_input", "Invalid data. Expected a dictionary, but got list.", ""},
		"a string":                 {`"x"`, "invalid_input", "Invalid data. Expected a dictionary, but got str.", ""},
		"name null":                {draft(`"name": null`), "null", isNull, "name"},
		"name blank":               {draft(`"name": " "`), "blank", "This field may not be blank.", "name"},
		"name a number":            {draft(`"name": 5`), "invalid_input", "Not a valid string.", "name"},
		"name too long":            {draft(`"name": "` + strings.Repeat("é", 256) + `"`), "max_length", "Ensure this field has no more than 255 characters.", "name"},
		"model unknown":            {draft(`"model": "groups"`), "invalid_choice", `"groups" is not a valid choice.`, "model"},
		"model empty":              {draft(`"model": ""`), "invalid_choice", `"" is not a valid choice.`, "model"},
		"model we lack":            {draft(`"model": "sessions"`), "invalid_input", "The model 'sessions' is not available on this server.", "model"},
		"no destination":           {`{"name": "x"}`, "required", isRequired, "destination"},
		"destination null":         {draft(`"destination": null`), "null", isNull, "destination"},
		"destination a string":     {draft(`"destination": "S3"`), "invalid_input", "Invalid data. Expected a dictionary, but got str.", "destination"},
		"no type":                  {draft(`"destination": {"config": {}}`), "required", isRequired, "destination__type"},
		"type null":                {draft(`"destination": {"type": null, "config": {}}`), "null", isNull, "destination__type"},
		"type unknown":             {draft(`"destination": {"type": "Fax", "config": {}}`), "invalid_choice", `"Fax" is not a valid choice.`, "destination__type"},
		"type a number":            {draft(`"destination": {"type": 7, "config": {}}`), "invalid_choice", `"7" is not a valid choice.`, "destination__type"},
		"no config":                {draft(`"destination": {"type": "Vault"}`), "required", isRequired, "destination__config"},
		"config null":              {draft(`"destination": {"type": "Vault", "config": null}`), "null", isNull, "destination__config"},
		"config a list":            {draft(`"destination": {"type": "Vault", "config": []}`), "invalid_input", "Invalid data. Expected a dictionary, but got list.", "destination__config"},
		"config unknown":           {draft(`"destination": {"type": "Vault", "config": {"bucket": "b", "secret": "s", "b": 1, "a": 1}}`), "invalid_input", "Configuration has unknown field/s: 'a', 'b'", "destination"},
		"config incomplete":        {draft(`"destination": {"type": "Vault", "config": {"secret": "s"}}`), "invalid_input", "Configuration missing required field: 'bucket'", "destination"},
		"config null where not":    {draft(`"destination": {"type": "Vault", "config": {"bucket": null, "secret": "s"}}`), "invalid_input", "Configuration has invalid type: got 'NoneType', expected 'str'", "destination"},
		"integration unknown":      {draft(`"destination": {"type": "Vault", "integration": 999, "config": {}}`), "does_not_exist", `Invalid pk "999" - object does not exist.`, "destination__integration"},
		"integration_id unknown":   {draft(`"destination": {"type": "Vault", "integration_id": 999, "config": {}}`), "does_not_exist", `Invalid pk "999" - object does not exist.`, "destination__integration"},
		"integration a word":       {draft(`"destination": {"type": "Vault", "integration": "x", "config": {}}`), "invalid_input", "A valid integer is required.", "destination__integration"},
		"interval null":            {draft(`"interval": null`), "null", isNull, "interval"},
		"interval unknown":         {draft(`"interval": "15 minutes"`), "invalid_choice", `"15 minutes" is not a valid choice.`, "interval"},
		"interval month":           {draft(`"interval": "month"`), "invalid_choice", `"month" is not a valid choice.`, "interval"},
		"interval empty":           {draft(`"interval": ""`), "invalid_choice", `"" is not a valid choice.`, "interval"},
		"interval quoted":          {draft(`"interval": "a\"b"`), "invalid_choice", `"a"b" is not a valid choice.`, "interval"},
		"interval of 7 minutes":    {draft(`"interval": "every 7 minutes"`), "invalid_choice", `"every 7 minutes" is not a valid choice.`, "interval"},
		"interval a list":          {draft(`"interval": ["hour"]`), "invalid_choice", `"["hour"]" is not a valid choice.`, "interval"},
		"paused a word":            {draft(`"paused": "maybe"`), "invalid_input", "Must be a valid boolean.", "paused"},
		"paused null":              {draft(`"paused": null`), "null", isNull, "paused"},
		"start_at a word":          {draft(`"start_at": "soon"`), "invalid_input", isDatetime, "start_at"},
		"start_at a number":        {draft(`"start_at": 5`), "invalid_input", isDatetime, "start_at"},
		"end_at too late":          {draft(`"end_at": "9999-12-31T23:59:59-14:00"`), "invalid_input", isDatetime, "end_at"},
		"last_paused_at a word":    {draft(`"last_paused_at": "soon"`), "invalid_input", isDatetime, "last_paused_at"},
		"end_at before start_at":   {draft(`"start_at": "2026-01-02T00:00:00Z", "end_at": "2026-01-01T00:00:00Z"`), "invalid_input", "'end_at' must be after 'start_at'", "end_at"},
		"timezone unknown":         {draft(`"timezone": "Invalid/Timezone"`), "invalid_choice", `"Invalid/Timezone" is not a valid choice.`, "timezone"},
		"timezone empty":           {draft(`"timezone": ""`), "invalid_choice", `"" is not a valid choice.`, "timezone"},
		"timezone Local":           {draft(`"timezone": "Local"`), "invalid_choice", `"Local" is not a valid choice.`, "timezone"},
		"timezone a path":          {draft(`"timezone": "../../etc/passwd"`), "invalid_choice", `"../../etc/passwd" is not a valid choice.`, "timezone"},
		"offset_hour for an hour":  {draft(`"offset_hour": 2`), "invalid_input", "offset_hour is not applicable for non-daily/weekly intervals", "offset_hour"},
		"offset_day for an hour":   {draft(`"offset_day": 1`), "invalid_input", "offset_day is not applicable for non-weekly intervals", "offset_day"},
		"offset_day for a day":     {draft(`"interval": "day", "offset_day": 1`), "invalid_input", "offset_day should not be specified for daily intervals", "offset_day"},
		"offset_hour 24":           {draft(`"interval": "day", "offset_hour": 24`), "max_value", "Ensure this value is less than or equal to 23.", "offset_hour"},
		"offset_hour -1":           {draft(`"interval": "day", "offset_hour": -1`), "min_value", "Ensure this value is greater than or equal to 0.", "offset_hour"},
		"offset_hour huge":         {draft(`"interval": "day", "offset_hour": 4294967296`), "max_value", "Ensure this value is less than or equal to 23.", "offset_hour"},
		"offset_day 7":             {draft(`"interval": "week", "offset_day": 7`), "max_value", "Ensure this value is less than or equal to 6.", "offset_day"},
		"offset_hour a half":       {draft(`"interval": "day", "offset_hour": 1.5`), "invalid_input", "A valid integer is required.", "offset_hour"},
		"offset_hour true":         {draft(`"interval": "day", "offset_hour": true`), "invalid_input", "A valid integer is required.", "offset_hour"},
		"filters an object":        {draft(`"filters": {}`), "invalid_input", "'filters' should be an array of filters", "filters"},
		"filters a string":         {draft(`"filters": "x"`), "invalid_input", "'filters' should be an array of filters", "filters"},
		"filters of persons":       {draft(`"model": "persons", "filters": [{}]`), "invalid_input", "'filters' is only supported for 'events' not 'persons' model", "filters"},
		"a primary key":            {draft(`"primary_key": ["a"]`), "invalid_input", "'primary_key' is only supported for 'hogql' not 'events' model", "primary_key"},
		"merge":                    {draft(`"incremental_mode": "MERGE"`), "invalid_input", "'primary_key' is required when 'incremental_mode' is 'MERGE'", "primary_key"},
		"incremental_mode unknown": {draft(`"incremental_mode": "UPSERT"`), "invalid_choice", `"UPSERT" is not a valid choice.`, "incremental_mode"},
		"a NUL in the name":        {draft(`"name": "a\u0000"`), "null_characters_not_allowed", "Null characters are not allowed.", "name"},
		"a NUL in the settings":    {draft(`"destination": {"type": "Vault", "config": {"bucket": "\u0000"}}`), "null_characters_not_allowed", "Null characters are not allowed.", "destination__config__bucket"},
		"the first problem only":   {`{"name": "", "interval": "x", "paused": 3}`, "blank", "This field may not be blank.", "name"},
	}
	w := newWorld(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.call(t, http.MethodPost, exports, tt.body).invalid(tt.code, tt.detail, tt.attr)
			require.Empty(t, w.call(t, http.MethodGet, exports, "").ids(), "what is refused leaves nothing behind")
			require.Empty(t, w.temporal.take())
		})
	}
}

func TestAnExportShowsItsTenNewestRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	var want []string
	for range 12 {
		w.pass(time.Minute)
		want = append([]string{w.run(t, id, nil).ID.String()}, want...)
	}
	var got []string
	for _, r := range w.call(t, http.MethodGet, exports+"/"+id.String(), "").json()["latest_runs"].([]any) {
		got = append(got, r.(map[string]any)["id"].(string))
	}
	require.Equal(t, want[:10], got)
}

func TestListPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want []string
	for range 5 {
		w.pass(time.Second)
		want = append([]string{w.export(t).String()}, want...)
	}
	first := w.call(t, http.MethodGet, exports+"/?limit=2&x=%C3%A9", "")
	require.Equal(t, want[:2], first.ids())
	require.InDelta(t, 5, first.json()["count"], 0)
	require.Nil(t, first.json()["previous"])
	require.Equal(t, "http://example.com/api/projects/1/batch_exports/?limit=2&offset=2&x=%C3%A9", first.text("next"))

	second := w.call(t, http.MethodGet, first.text("next"), "")
	require.Equal(t, want[2:4], second.ids())
	third := w.call(t, http.MethodGet, second.text("next"), "")
	require.Equal(t, want[4:], third.ids())
	require.Nil(t, third.json()["next"])
	require.Equal(t, want[2:4], w.call(t, http.MethodGet, third.text("previous"), "").ids())
	require.Equal(t, want[:2], w.call(t, http.MethodGet, second.text("previous"), "").ids())

	require.Equal(t, want, w.call(t, http.MethodGet, exports+"?limit=100000", "").ids())
	require.Empty(t, w.call(t, http.MethodGet, exports+"?offset=2000000000", "").ids())
	for query, detail := range map[string]string{
		"limit=0": "Ensure this value is greater than or equal to 1.", "limit=-1": "Ensure this value is greater than or equal to 1.",
		"limit=x": "A valid integer is required.", "limit=99999999999999999999": "A valid integer is required.",
	} {
		answer := w.call(t, http.MethodGet, exports+"?"+query, "")
		require.Equal(t, http.StatusBadRequest, answer.Code, query)
		require.Equal(t, detail, answer.text("detail"), query)
	}
	w.call(t, http.MethodGet, exports+"?offset=-1", "").invalid("min_value", "Ensure this value is greater than or equal to 0.", "offset")
	w.call(t, http.MethodGet, exports+"?limit=%zz", "").invalid("invalid_input", "The query string is malformed.", "")
}

func TestDeleteHidesTheExportAndEndsItsWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.export(t)
	r := w.run(t, id, nil)
	backfill := w.call(t, http.MethodPost, exports+"/"+id.String()+"/backfills",
		`{"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-02T00:00:00Z"}`).text("backfill_id")
	w.temporal.take()

	deleted := w.call(t, http.MethodDelete, exports+"/"+id.String()+"/", "")
	require.Equal(t, http.StatusNoContent, deleted.Code)
	require.Empty(t, deleted.Body.String())
	require.Equal(t, []string{"remove " + id.String(), "cancel backfill " + backfill, "cancel run " + r.ID.String()}, w.temporal.take())
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		w.call(t, method, exports+"/"+id.String(), "").fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
	}
	require.Empty(t, w.call(t, http.MethodGet, exports, "").ids())
	require.Equal(t, "Cancelled", w.call(t, http.MethodGet, exports+"/"+id.String()+"/runs/"+r.ID.String(), "").text("status"))
	require.Equal(t, "Cancelled", w.call(t, http.MethodGet, exports+"/"+id.String()+"/backfills/"+backfill, "").text("status"))
}

func TestAnExportWhosePluginIsGoneShowsNoSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := batch.Export{
		ID: uuid.New(), TeamID: 1, Name: "x", Model: batch.ModelEvents, Frequency: batch.Hourly, Timezone: "UTC",
		Destination: batch.Destination{Type: "Gone", Config: map[string]any{"password": "s3cr3t"}}, Revision: 1, CreatedAt: start, LastUpdatedAt: start,
	}
	require.NoError(t, w.CreateExport(t.Context(), e))
	answer := w.call(t, http.MethodGet, exports+"/"+e.ID.String(), "")
	require.Equal(t, map[string]any{"type": "Gone", "config": map[string]any{}, "integration": nil}, answer.json()["destination"])
}

func TestEachModelOfTheServerCanBeExported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, model := range []string{"events", "persons"} {
		answer := w.call(t, http.MethodPost, exports, draft(`"model": "`+model+`"`))
		require.Equal(t, http.StatusCreated, answer.Code, answer.Body)
		require.Equal(t, model, answer.text("model"))
	}
}

func TestADeclaredModelIsChosenLikeAnyOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := *w.server
	uses := *server.Exports
	uses.Models = append(slices.Clone(uses.Models), query.Model{Name: "orders", Fields: []query.FieldSpec{{Name: "id", Type: query.TypeString, Column: "id"}}})
	server.Exports = &uses
	handler := server.Handler()
	send := func(method, path, body string) *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, w.request(t, method, path, body))
		return recorder
	}
	made := send(http.MethodPost, exports, draft(`"model": "orders"`))
	require.Equal(t, http.StatusCreated, made.Code, made.Body)
	require.Contains(t, made.Body.String(), `"model":"orders"`)
	refused := send(http.MethodPost, exports, draft(`"model": "refunds"`))
	require.Equal(t, http.StatusBadRequest, refused.Code)
	require.Contains(t, refused.Body.String(), `\"refunds\" is not a valid choice.`)
	require.Contains(t, send(http.MethodGet, "/openapi.json", "").Body.String(), `"enum":["events","persons","orders","hogql",null]`)
}
