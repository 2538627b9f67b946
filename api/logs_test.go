package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
)

func TestLogs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, other := w.export(t), w.export(t)
	r, second := w.run(t, id, nil), w.run(t, id, nil)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	require.NoError(t, w.AppendLogs(t.Context(), []batch.LogEntry{
		{TeamID: 1, ExportID: id, Timestamp: at(0), Level: batch.LogDebug, Message: "zero"},
		{TeamID: 1, ExportID: id, RunID: r.ID, Timestamp: at(1), Level: batch.LogInfo, Message: "one 100%"},
		{TeamID: 1, ExportID: id, RunID: r.ID, Timestamp: at(2), Level: batch.LogWarning, Message: "Two"},
		{TeamID: 1, ExportID: id, RunID: second.ID, Timestamp: at(3), Level: batch.LogError, Message: "three"},
		{TeamID: 1, ExportID: other, Timestamp: at(4), Level: batch.LogError, Message: "another export's"},
	}))
	path := exports + "/" + id.String() + "/logs"
	w.call(t, http.MethodGet, path+"?limit=2", "").is(http.StatusOK, fmt.Sprintf(`{"count": 2, "next": null, "previous": null, "results": [
		{"log_source_id": %[1]q, "instance_id": %[2]q, "timestamp": "2026-05-06T07:08:12.123456Z", "level": "ERROR", "message": "three"},
		{"log_source_id": %[1]q, "instance_id": %[3]q, "timestamp": "2026-05-06T07:08:11.123456Z", "level": "WARNING", "message": "Two"}
	]}`, id, second.ID, r.ID))
	zero := w.call(t, http.MethodGet, path+"?level=debug", "").json()["results"].([]any)
	require.Empty(t, zero[0].(map[string]any)["instance_id"], "a line about the export is of no run")

	stamp := func(seconds int) string { return url.QueryEscape(at(seconds).Format(time.RFC3339Nano)) }
	runLogs := runsOf(id) + "/" + r.ID.String() + "/logs"
	tests := map[string]struct{ address, want string }{
		"all":                      {path, "three,Two,one 100%,zero"},
		"after, exclusive":         {path + "?after=" + stamp(1), "three,Two"},
		"before, exclusive":        {path + "?before=" + stamp(1), "zero"},
		"a page by the last":       {path + "?limit=1&before=" + stamp(2), "one 100%"},
		"levels, in any case":      {path + "?level=debug,Error", "three,zero"},
		"levels by other names":    {path + "?level=warn,log", "Two,one 100%"},
		"levels that repeat":       {path + "?level=INFO&level=DEBUG", "one 100%,zero"},
		"no level":                 {path + "?level=,", "three,Two,one 100%,zero"},
		"search, in any case":      {path + "?search=TWO", "Two"},
		"search is no pattern":     {path + "?search=%25", "one 100%"},
		"search and level":         {path + "?search=o&level=INFO", "one 100%"},
		"one instance":             {path + "?instance_id=" + second.ID.String(), "three"},
		"another instance":         {path + "?instance_id=" + uuid.NewString(), ""},
		"a run":                    {runLogs, "Two,one 100%"},
		"a run, not another's":     {runLogs + "?instance_id=" + second.ID.String(), "Two,one 100%"},
		"a run, filtered":          {runLogs + "?level=WARNING", "Two"},
		"another export's":         {exports + "/" + other.String() + "/logs", "another export's"},
		"after a relative instant": {path + "?after=-1h", "three,Two,one 100%,zero"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := w.call(t, http.MethodGet, tt.address, "")
			require.Equal(t, http.StatusOK, answer.Code, answer.Body.String())
			var page struct {
				Count   int
				Results []struct{ Message string }
			}
			require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &page))
			var got []string
			for _, entry := range page.Results {
				got = append(got, entry.Message)
			}
			require.Equal(t, tt.want, strings.Join(got, ","))
			require.Equal(t, len(got), page.Count)
		})
	}
	for query, want := range map[string][3]string{
		"limit=0":                             {"min_value", "Ensure this value is greater than or equal to 1.", "limit"},
		"limit=501":                           {"max_value", "Ensure this value is less than or equal to 500.", "limit"},
		"limit=x":                             {"invalid_input", "A valid integer is required.", "limit"},
		"level=INFO,LOUD":                     {"invalid_choice", `"LOUD" is not a valid choice.`, "level"},
		"after=x":                             {"invalid_input", "'x' is not a valid datetime: give ISO 8601, or a time before now like -7d or -3h.", "after"},
		"instance_id=x":                       {"invalid_input", "“x” is not a valid UUID.", "instance_id"},
		"search=%00":                          {"null_characters_not_allowed", "Null characters are not allowed.", "search"},
		"search=" + strings.Repeat("x", 1001): {"max_length", "Ensure this field has no more than 1000 characters.", "search"},
	} {
		w.call(t, http.MethodGet, path+"?"+query, "").invalid(want[0], want[1], want[2])
	}
	w.call(t, http.MethodGet, strings.Replace(path, "/1/", "/2/", 1), "").fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
	w.call(t, http.MethodGet, runsOf(other)+"/"+r.ID.String()+"/logs", "").fails(http.StatusNotFound, "invalid_request", "not_found", "Not found.", "")
}
