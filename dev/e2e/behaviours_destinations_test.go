package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"tranche/batch"
)

const unreachable = "Could not reach this host. Check that the hostname is correct and reachable from the internet."

// formats are the kinds of destination that write files, with settings that are valid.
func formats() map[string]string {
	return map[string]string{"AwsS3": bucket, "S3": bucket, "S3Compatible": bucket + "," + endpoint, "File": `"prefix": "p"`}
}

var behavioursOfDestinations = behaviours{
	"J148: inputs that are empty": func(p *tenant) {
		for kind, more := range map[string]string{"AwsS3": "", "S3Compatible": "," + endpoint} {
			p.refuses(draft(to(kind, keysOfBucket, `"bucket_name": "", "region": "", "prefix": "p"`+more)), "invalid_input",
				"The following inputs are empty: ['bucket_name', 'region']", "destination")
		}
	},
	"J149: formats that are none": func(p *tenant) {
		for kind, settings := range formats() {
			e := p.post(p.exports, draft(to(kind, settings, `"file_format": "XLS"`))).is(http.StatusBadRequest).problem()
			require.Equal(p.t, "File format XLS is not supported. Supported file formats are ['Parquet', 'JSONLines', 'CSV']", e.Detail)
		}
	},
	"J150: codecs of formats": func(p *tenant) {
		for kind, settings := range formats() {
			p.post(p.exports, draft(to(kind, settings, `"file_format": "JSONLines", "compression": "zstd"`))).
				invalid("invalid_input", "Compression zstd is not supported for file format JSONLines. Supported compressions are ['gzip', 'brotli']", "destination")
			var path string
			for _, codec := range []string{"lz4", "snappy", "gzip", "brotli", "zstd"} {
				path = p.created(to(kind, settings, `"file_format": "Parquet", "compression": "`+codec+`"`))
			}
			p.patch(path, `{"destination": {"config": {"file_format": "JSONLines"}}}`).
				invalid("invalid_input", "Compression zstd is not supported for file format JSONLines.", "destination")
			p.patch(path, `{"destination": {"config": {"file_format": "JSONLines", "compression": "gzip"}}}`).is(http.StatusOK)
		}
	},
	"J152: AwsS3 has no endpoint": func(p *tenant) {
		p.refuses(draft(to("AwsS3", bucket, endpoint)), "invalid_input", "Configuration has unknown field/s: 'endpoint_url'", "destination")
	},
	"J154: the legacy extension": func(p *tenant) {
		for _, kind := range []string{"AwsS3", "S3Compatible"} {
			settings := formats()[kind]
			e := p.post(p.exports, draft(to(kind, settings, `"legacy_parquet_extension": true`))).is(http.StatusBadRequest).problem()
			require.Contains(p.t, e.Detail, "legacy_parquet_extension")
			path := p.created(to(kind, settings))
			require.Equal(p.t, false, p.get(path).at("destination", "config", "legacy_parquet_extension"))
			p.patch(path, `{"destination": {"config": {"legacy_parquet_extension": true}}}`).is(http.StatusBadRequest)
		}
	},
	"J162: hosts of our network": func(p *tenant) {
		path := p.created(to("Postgres", table))
		for _, host := range []string{"169.254.169.254", "127.0.0.1", "10.0.0.1", "192.168.1.1"} {
			setting := fmt.Sprintf(`"host": %q`, host)
			p.post(p.exports, draft(to("Postgres", strings.Replace(table, `"host": "db.example.com"`, setting, 1)))).invalid("invalid_input", unreachable, "destination")
			p.patch(path, `{"destination": {"config": {`+setting+`}}}`).invalid("invalid_input", unreachable, "destination")
			p.post(p.exports, draft(to("S3Compatible", bucket, `"endpoint_url": "http://`+host+`:9000"`))).invalid("invalid_input", unreachable, "destination")
		}
		p.patch(path, `{"destination": {"config": {"host": "http://db.example.com/x"}}}`).
			invalid("invalid_input", "Invalid host. Enter a hostname or IP address without credentials, scheme, or path.", "destination")
		p.patch(path, `{"destination": {"config": {"host": "db.example.com"}}}`).is(http.StatusOK)
	},
	"K169: the steps of connection tests": func(p *tenant) {
		for kind, names := range map[string][]string{
			"AwsS3":        {"Ensure we can assume provided AWS role", "Check S3 bucket exists"},
			"S3Compatible": {"Check S3 bucket exists"},
			"File":         nil, "Postgres": nil,
		} {
			steps := p.get(p.exports + "/test?destination=" + kind).is(http.StatusOK).at("steps").([]any)
			require.NotEmpty(p.t, steps)
			for i, step := range steps {
				step := step.(map[string]any)
				require.NotEmpty(p.t, step["name"])
				require.NotEmpty(p.t, step["description"])
				require.Nil(p.t, step["result"])
				if names != nil {
					require.Equal(p.t, names[i], step["name"])
				}
			}
		}
	},
	"K170: the steps of nothing": func(p *tenant) {
		p.get(p.exports + "/test").is(http.StatusBadRequest)
		p.get(p.exports + "/test?destination=Fax").is(http.StatusNotFound)
	},
	"K172: a step with the stored settings": func(p *tenant) {
		path := p.created(to("File", `"prefix": "tested", "compression": "gzip"`))
		for step := range 3 {
			result := p.post(path+"/run_test_step", fmt.Sprintf(`{"destination": {"type": "File", "config": {"file_format": "Parquet"}}, "step": %d}`, step)).is(http.StatusOK)
			require.Equal(p.t, "Passed", result.text("result", "status"))
			require.Nil(p.t, result.at("result", "message"))
			require.Equal(p.t, "Passed", p.post(p.exports+"/run_test_step_new", draft(fmt.Sprintf(`"step": %d`, step))).is(http.StatusOK).text("result", "status"))
		}
		require.Equal(p.t, "JSONLines", p.get(path).text("destination", "config", "file_format"), "nothing is saved")
		p.post(path+"/run_test_step", `{"destination": {"config": {"file_format": "XLS"}}}`).is(http.StatusBadRequest)
		p.post(path+"/run_test_step", `{"step": 3}`).invalid("max_value", "Ensure this value is less than or equal to 2.", "step")
	},
	"K173: a step with an obsolete setting": func(p *tenant) {
		p.post(p.withObsolete()+"/run_test_step", `{}`).is(http.StatusOK)
	},
	"K174: a step with a text for a bool": func(p *tenant) {
		p.post(p.exports+"/run_test_step_new", draft(to("Postgres", table, `"has_self_signed_cert": "True"`))).is(http.StatusOK)
	},
	"L180: logs": func(p *tenant) {
		path := p.created()
		one, two := p.begin(path, nil), p.begin(path, nil)
		entry := func(run uuid.UUID, n int, level batch.LogLevel, message string) batch.LogEntry {
			return batch.LogEntry{TeamID: p.project, ExportID: idOf(path), RunID: run, Timestamp: epoch.Add(time.Duration(n) * time.Hour), Level: level, Message: message}
		}
		other := entry(one.ID, 0, batch.LogInfo, "of another team")
		other.TeamID = 1
		require.NoError(p.t, p.ground.DB().AppendLogs(p.t.Context(), []batch.LogEntry{
			entry(one.ID, 0, batch.LogInfo, "first"), entry(two.ID, 1, batch.LogError, "second 100%"),
			entry(uuid.UUID{}, 2, batch.LogDebug, "Third"), other,
		}))
		messages := func(path string) []string {
			var all []string
			for _, result := range p.get(path).is(http.StatusOK).at("results").([]any) {
				all = append(all, result.(map[string]any)["message"].(string))
			}
			return all
		}
		for query, want := range map[string][]string{
			"": {"Third", "second 100%", "first"}, "?limit=1": {"Third"}, "?level=error,info": {"second 100%", "first"},
			"?level=ERROR&level=debug": {"Third", "second 100%"}, "?search=THIRD": {"Third"}, "?search=0%25": {"second 100%"}, "?search=_": nil,
			"?after=" + hour(0): {"Third", "second 100%"}, "?before=" + hour(1): {"first"}, "?instance_id=" + one.ID.String(): {"first"},
		} {
			require.Equal(p.t, want, messages(path+"/logs"+query), query)
		}
		require.Equal(p.t, []string{"second 100%"}, messages(path+"/runs/"+two.ID.String()+"/logs?instance_id="+one.ID.String()))
		for _, limit := range []string{"0", "501", "x"} {
			p.get(path + "/logs?limit=" + limit).is(http.StatusBadRequest)
		}
	},
}

// behavioursAtWork need real runs. They run one after the other: each holds slots of the worker.
var behavioursAtWork = behaviours{
	"E84: deleting an export ends its backfill": func(p *tenant) {
		p = p.of(projectWithHours)
		path := p.created(`"destination": {"type": "Gate", "config": {}}`)
		id := p.post(path+"/backfills", bounds(hour(0), hour(2))).is(http.StatusCreated).text("backfill_id")
		p.ground.running(p, path)
		p.send(http.MethodDelete, path, "").is(http.StatusNoContent)
		until(p.t, workPatience, "the workflow to be cancelled", func() bool {
			d, err := p.ground.Temporal().DescribeWorkflowExecution(p.t.Context(), batch.BackfillWorkflowID(idOf(path), uuid.MustParse(id)), "")
			require.NoError(p.t, err)
			return d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED
		})
		require.Equal(p.t, "Cancelled", p.get(path+"/backfills/"+id).text("status"))
	},
	"H114: cancel a run that is at work": func(p *tenant) {
		p = p.of(projectWithHours)
		path := p.created(`"destination": {"type": "Gate", "config": {}}`)
		p.post(path+"/backfills", bounds(hour(0), hour(1))).is(http.StatusCreated)
		run := p.ground.running(p, path)
		p.post(path+"/runs/"+run+"/cancel", "{}").says(http.StatusOK, `{"cancelled": true}`)
		require.Equal(p.t, []string{run}, p.get(path+"/runs?status=Cancelled").ids())
		until(p.t, workPatience, "the workflow to end", func() bool { return len(p.ground.openExecutions(idOf(path))) == 0 })
		require.Equal(p.t, []string{run}, p.get(path+"/runs?status=Cancelled").ids(), "and it stays so")
	},
	"H120: retry a run": func(p *tenant) {
		p = p.of(projectWithHours)
		path := p.created()
		p.ended(path, p.post(path+"/backfills", bounds(hour(0), hour(1))).is(http.StatusCreated).text("backfill_id"), "Completed")
		run := p.get(path + "/runs").ids()[0]
		id := p.post(path+"/runs/"+run+"/retry", "{}").is(http.StatusCreated).text("backfill_id")
		b := p.ended(path, id, "Completed")
		require.Equal(p.t, hour(0), b.text("start_at"))
		require.Equal(p.t, hour(1), b.text("end_at"))
		again := p.get(path + "/runs").at("results").([]any)[0].(map[string]any)
		require.Equal(p.t, id, again["backfill"])
		require.NotEqual(p.t, run, again["id"])
	},
	"N202: a run that fails does not stop the others": func(p *tenant) {
		p = p.of(projectWithHours)
		path := p.created(`"destination": {"type": "Fussy", "config": {}}`)
		p.ended(path, p.post(path+"/backfills", bounds(hour(0), hour(3))).is(http.StatusCreated).text("backfill_id"), "Failed")
		var statuses []string
		for _, r := range p.get(path + "/runs?ordering=data_interval_start").at("results").([]any) {
			statuses = append(statuses, r.(map[string]any)["status"].(string))
		}
		require.Equal(p.t, []string{"Failed", "Completed", "Completed"}, statuses)
		failed := p.get(path + "/runs?status=Failed").at("results").([]any)[0].(map[string]any)
		require.Contains(p.t, failed["latest_error"], "the first hour is refused")
	},
	"N204: from the beginning": func(p *tenant) {
		p = p.of(projectWithHours)
		path := p.created(to("File", `"prefix": "beginning"`))
		p.ended(path, p.post(path+"/backfills", `{"end_at": "`+hour(2)+`"}`).is(http.StatusCreated).text("backfill_id"), "Completed")
		runs := p.get(path + "/runs").at("results").([]any)
		require.Len(p.t, runs, 1)
		require.Nil(p.t, runs[0].(map[string]any)["data_interval_start"])
		files, err := filepath.Glob(filepath.Join(p.ground.ExportsDir(), "beginning", "START-*"))
		require.NoError(p.t, err)
		require.NotEmpty(p.t, files)
	},
	"N208: several files and their manifest": func(p *tenant) {
		p = p.of(projectWithBulk)
		path := p.created(to("File", `"prefix": "bulk", "max_file_size_mb": 1`))
		p.ended(path, p.post(path+"/backfills", bounds(hour(0), hour(1))).is(http.StatusCreated).text("backfill_id"), "Completed")
		text, err := os.ReadFile(filepath.Join(p.ground.ExportsDir(), "bulk", "2025-03-03T00:00:00+00:00-2025-03-03T01:00:00+00:00_manifest.json"))
		require.NoError(p.t, err)
		var m manifest
		require.NoError(p.t, json.Unmarshal(text, &m))
		require.Greater(p.t, len(m.Files), 1)
		require.True(p.t, slices.IsSorted(m.Files), m.Files)
		require.EqualValues(p.t, 10_000, m.Rows)
		require.Equal(p.t, "bulk/2025-03-03T00:00:00+00:00-2025-03-03T01:00:00+00:00-0.jsonl", m.Files[0])
	},
}

// running waits until a run of the export at a path is at work, and returns its id.
func (g *ground) running(p *tenant, path string) (run string) {
	p.t.Helper()
	until(p.t, workPatience, "a run to be at work", func() bool {
		ids := p.get(path + "/runs?status=Running").ids()
		if len(ids) > 0 {
			run = ids[0]
		}
		return run != ""
	})
	return run
}

// ended waits until a backfill is over.
func (p *tenant) ended(path, id, status string) reply {
	p.t.Helper()
	var b reply
	until(p.t, workPatience, "the end of the backfill", func() bool {
		b = p.get(path + "/backfills/" + id)
		return b.at("finished_at") != nil
	})
	require.Equal(p.t, status, b.text("status"))
	return b
}
