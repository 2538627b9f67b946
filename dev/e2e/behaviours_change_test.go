package e2e

import (
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
)

var behavioursOfReading = behaviours{
	"E76: settings have their types and no secrets": func(p *tenant) {
		for kind, settings := range map[string]string{"AwsS3": bucket, "S3": bucket, "S3Compatible": bucket + "," + endpoint, "Postgres": table} {
			path := p.created(to(kind, settings))
			for _, shown := range []reply{p.get(path), p.get(p.exports)} {
				shown.is(http.StatusOK)
				require.NotContains(p.t, string(shown.body), "s3cr3t")
				require.NotContains(p.t, string(shown.body), "AKIA")
			}
			if kind == "Postgres" {
				require.InDelta(p.t, 5432, p.get(path).at("destination", "config", "port"), 0)
				require.Equal(p.t, false, p.get(path).at("destination", "config", "has_self_signed_cert"))
			}
		}
	},
	"E77: an export of another organization": func(p *tenant) {
		p.sendAs(foreignKey, http.MethodGet, p.created(), "").is(http.StatusForbidden)
	},
	"E78: an export of another project": func(p *tenant) {
		path, other := p.created(), p.sibling+"/"+p.post(p.sibling, draft()).is(http.StatusCreated).text("id")
		p.get(p.elsewhere(path)).is(http.StatusNotFound)
		p.get(p.exports + strings.TrimPrefix(other, p.sibling)).is(http.StatusNotFound)
	},
	"E80: the list hides what is deleted": func(p *tenant) {
		kept, gone := p.created(), p.created()
		p.send(http.MethodDelete, gone, "").is(http.StatusNoContent)
		require.Equal(p.t, []string{idOf(kept).String()}, p.get(p.exports).ids())
		p.get(gone).is(http.StatusNotFound)
	},
	"E82: the newest first, and addresses that are absolute": func(p *tenant) {
		first, second := p.created(), p.created()
		require.Equal(p.t, []string{idOf(second).String(), idOf(first).String()}, p.get(p.exports).ids())
		page := p.get(p.exports + "?limit=1")
		require.InDelta(p.t, 2, page.at("count"), 0)
		require.True(p.t, strings.HasPrefix(page.text("next"), p.base+p.exports), page.text("next"))
		next := p.get(page.text("next"))
		require.Equal(p.t, []string{idOf(first).String()}, next.ids())
		require.Nil(p.t, next.at("next"))
		require.True(p.t, strings.HasPrefix(next.text("previous"), p.base+p.exports))
	},
	"E85: deleting an export without a schedule": func(p *tenant) {
		path := p.created()
		require.NoError(p.t, p.ground.Temporal().ScheduleClient().GetHandle(p.t.Context(), idOf(path).String()).Delete(p.t.Context()))
		p.send(http.MethodDelete, path, "").is(http.StatusNoContent)
	},
	"E86: others cannot delete": func(p *tenant) {
		path := p.created()
		p.sendAs(foreignKey, http.MethodDelete, path, "").is(http.StatusForbidden)
		p.send(http.MethodDelete, p.elsewhere(path), "").is(http.StatusNotFound)
		p.get(path).is(http.StatusOK)
	},
}

var behavioursOfUpdate = behaviours{
	"F88: put a day without offsets": func(p *tenant) {
		path := p.created(`"interval": "day", "offset_hour": 5, "timezone": "Europe/Berlin"`)
		put := p.send(http.MethodPut, path, draft(`"interval": "day"`)).is(http.StatusOK)
		require.InDelta(p.t, 0, put.at("offset_hour"), 0)
		require.Equal(p.t, "UTC", put.text("timezone"))
		spec := p.scheduled(path).Schedule.Spec
		require.Equal(p.t, "UTC", spec.TimeZoneName)
		require.Equal(p.t, 0, spec.Calendars[0].Hour[0].Start)
	},
	"F89: patch one setting": func(p *tenant) {
		path := p.created(to("AwsS3", bucket), `"interval": "day", "timezone": "Europe/Berlin"`)
		note := p.scheduled(path).Schedule.State.Note
		p.patch(path, `{"destination": {"config": {"bucket_name": "other"}}}`).is(http.StatusOK)
		e := p.stored(path)
		require.Equal(p.t, "other", e.Destination.Config["bucket_name"])
		require.Equal(p.t, "s3cr3t", e.Destination.Config["aws_secret_access_key"])
		require.Equal(p.t, "p/", e.Destination.Config["prefix"])
		require.Equal(p.t, batch.Daily, e.Frequency)
		require.Equal(p.t, "Europe/Berlin", e.Timezone)
		require.NotEqual(p.t, note, p.scheduled(path).Schedule.State.Note, "its runs use the new revision")
	},
	"F90: a name does not concern the schedule": func(p *tenant) {
		path := p.created(`"interval": "week", "offset_day": 2`)
		before := p.scheduled(path).Schedule.Spec
		p.patch(path, `{"name": "other"}`).is(http.StatusOK)
		require.Equal(p.t, before, p.scheduled(path).Schedule.Spec)
	},
	"F92: an hour becomes a week": func(p *tenant) {
		path := p.created(`"timezone": "Europe/Berlin"`)
		week := p.patch(path, `{"interval": "week"}`).is(http.StatusOK)
		require.Equal(p.t, "Europe/Berlin", week.text("timezone"))
		require.InDelta(p.t, 0, week.at("offset_day"), 0)
		require.InDelta(p.t, 0, week.at("offset_hour"), 0)
		require.Len(p.t, p.scheduled(path).Schedule.Spec.Calendars, 1)
	},
	"F93: a day becomes an hour": func(p *tenant) {
		path := p.created(`"interval": "day", "offset_hour": 5, "timezone": "Europe/Berlin"`)
		hour := p.patch(path, `{"interval": "hour"}`).is(http.StatusOK)
		require.Equal(p.t, "Europe/Berlin", hour.text("timezone"))
		require.Nil(p.t, hour.at("offset_hour"))
		require.Nil(p.t, hour.at("offset_day"))
		require.Len(p.t, p.scheduled(path).Schedule.Spec.Intervals, 1)
	},
	"F94: timezone and offset become null": func(p *tenant) {
		path := p.created(`"interval": "day", "offset_hour": 5, "timezone": "Europe/Berlin"`)
		day := p.patch(path, `{"interval": "day", "timezone": null, "offset_hour": null}`).is(http.StatusOK)
		require.Equal(p.t, "UTC", day.text("timezone"))
		require.InDelta(p.t, 0, day.at("offset_hour"), 0)
	},
	"F96: an hour of the day for an hour": func(p *tenant) {
		p.patch(p.created(), `{"interval": "hour", "offset_hour": 3}`).
			invalid("invalid_input", "offset_hour is not applicable for non-daily/weekly intervals", "offset_hour")
	},
	"F98: an obsolete setting is tolerated": func(p *tenant) {
		path := p.withObsolete()
		p.patch(path, `{"destination": {"config": {"prefix": "q"}}}`).is(http.StatusOK)
		require.NotContains(p.t, p.stored(path).Destination.Config, "obsolete")
	},
	"F100: another type": func(p *tenant) {
		path := p.created(to("AwsS3", bucket))
		const detail = "Cannot change destination type from 'AwsS3' to 'File'."
		p.patch(path, `{`+to("File")+`}`).invalid("invalid_input", detail, "destination")
		p.send(http.MethodPut, path, draft(to("File"))).invalid("invalid_input", detail, "destination")
		p.post(path+"/run_test_step", draft(to("File"))).invalid("invalid_input", detail, "destination")
		p.patch(path, `{"model": "persons"}`).invalid("invalid_input", "Changing models is not supported.", "model")
	},
	"F102: inline credentials stay": func(p *tenant) {
		path := p.created(to("Postgres", table))
		p.patch(path, `{"destination": {"type": "Postgres", "config": {"table_name": "t2"}}}`).is(http.StatusOK)
		require.Equal(p.t, "s3cr3t", p.stored(path).Destination.Config["password"])
	},
	"F104: settings are laid over settings": func(p *tenant) {
		path := p.created(to("File", `"prefix": "a", "compression": "gzip", "include_events": ["a", "b"]`))
		p.patch(path, `{"destination": {"config": {"include_events": ["c"]}}}`).is(http.StatusOK)
		config := p.get(path).at("destination", "config").(map[string]any)
		require.Equal(p.t, []any{"c"}, config["include_events"])
		require.Equal(p.t, "gzip", config["compression"])
		p.patch(path, `{"destination": {"config": {"compression": {"codec": "gzip"}}}}`).
			invalid("invalid_input", "Configuration has invalid type: got 'dict', expected 'str'", "destination")
	},
}

// withObsolete is an export that has a setting which its destination no longer knows.
func (p *tenant) withObsolete() string {
	p.t.Helper()
	path := p.created()
	_, err := p.ground.DB().UpdateExport(p.t.Context(), p.project, idOf(path), func(e *batch.Export) error {
		e.Destination.Config["obsolete"] = "x"
		return nil
	})
	require.NoError(p.t, err)
	require.NotContains(p.t, string(p.get(path).body), "obsolete")
	return path
}

var behavioursOfPause = behaviours{
	"G105: pause": func(p *tenant) {
		path := p.created(`"paused": false`)
		p.post(path+"/pause", "").says(http.StatusOK, `{"paused": true}`)
		require.True(p.t, p.scheduled(path).Schedule.State.Paused)
		shown := p.get(path)
		require.Equal(p.t, true, shown.at("paused"))
		require.NotNil(p.t, shown.at("last_paused_at"))
		p.post(path+"/pause", "{}").says(http.StatusOK, `{"paused": true}`)
		require.Equal(p.t, string(shown.body), string(p.get(path).body), "what is paused stays as it is")
	},
	"G106: unpause": func(p *tenant) {
		path := p.created()
		p.post(path+"/unpause", "").says(http.StatusOK, `{"paused": false}`)
		require.False(p.t, p.scheduled(path).Schedule.State.Paused)
		require.Equal(p.t, false, p.get(path).at("paused"))
	},
	"G108: others cannot pause": func(p *tenant) {
		path := p.created(`"paused": false`)
		for _, action := range []string{"/pause", "/unpause"} {
			p.sendAs(foreignKey, http.MethodPost, path+action, "").is(http.StatusForbidden)
			p.post(p.elsewhere(path)+action, "").is(http.StatusNotFound)
		}
		require.Equal(p.t, false, p.get(path).at("paused"))
		require.False(p.t, p.scheduled(path).Schedule.State.Paused)
	},
	"G109 by design: a schedule that is gone is put again": func(p *tenant) {
		path := p.created(`"paused": false`)
		require.NoError(p.t, p.ground.Temporal().ScheduleClient().GetHandle(p.t.Context(), idOf(path).String()).Delete(p.t.Context()))
		p.post(path+"/pause", "").says(http.StatusOK, `{"paused": true}`)
		require.True(p.t, p.scheduled(path).Schedule.State.Paused)
	},
	"G110: what was missed is backfilled": func(p *tenant) {
		missed := time.Now().UTC().Add(-3 * time.Hour)
		path := p.created(`"last_paused_at": "` + missed.Format(time.RFC3339) + `"`)
		p.post(path+"/unpause", `{"backfill": true}`).says(http.StatusOK, `{"paused": false}`)
		made := p.get(path + "/backfills").ids()
		require.Len(p.t, made, 1)
		b := p.get(path + "/backfills/" + made[0])
		require.Equal(p.t, missed.Truncate(time.Hour).Format(time.RFC3339), b.text("start_at"))
		end, err := time.Parse(time.RFC3339, b.text("end_at"))
		require.NoError(p.t, err)
		updated, err := time.Parse(time.RFC3339, p.get(path).text("last_updated_at"))
		require.NoError(p.t, err)
		require.Equal(p.t, updated.Truncate(time.Hour), end)
	},
}
