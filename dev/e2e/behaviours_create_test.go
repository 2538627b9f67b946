package e2e

import (
	"fmt"
	"net/http"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
)

// scheduled is the schedule of the export at a path.
func (p *tenant) scheduled(path string) *client.ScheduleDescription {
	p.t.Helper()
	d, err := p.ground.Temporal().ScheduleClient().GetHandle(p.t.Context(), idOf(path).String()).Describe(p.t.Context())
	require.NoError(p.t, err)
	return d
}

// refuses checks that a body is refused, and leaves nothing behind.
func (p *tenant) refuses(body, code, detail, attr string) {
	p.t.Helper()
	p.post(p.exports, body).invalid(code, detail, attr)
	require.Empty(p.t, p.get(p.exports).ids())
}

var behavioursOfCreate = behaviours{
	"A1: a valid body is echoed, and gets a schedule": func(p *tenant) {
		made := p.post(p.exports+"/", draft(to("File", `"prefix": "p"`))).is(http.StatusCreated)
		require.Equal(p.t, "my export", made.text("name"))
		require.Equal(p.t, "hour", made.text("interval"))
		require.Equal(p.t, "File", made.text("destination", "type"))
		require.Equal(p.t, "p", made.text("destination", "config", "prefix"))
		require.NotNil(p.t, p.scheduled(p.exports+"/"+made.text("id")))
	},
	"A2: the schedule of an hour": func(p *tenant) {
		spec := p.scheduled(p.created()).Schedule.Spec
		require.Len(p.t, spec.Intervals, 1)
		require.Equal(p.t, time.Hour, spec.Intervals[0].Every)
		require.Empty(p.t, spec.Calendars)
		require.Equal(p.t, 15*time.Minute, spec.Jitter)
		require.Equal(p.t, "UTC", spec.TimeZoneName)
	},
	"A4: the static summary": func(p *tenant) {
		action, ok := p.scheduled(p.created(to("S3Compatible", bucket, endpoint))).Schedule.Action.(*client.ScheduleWorkflowAction)
		require.True(p.t, ok)
		require.Equal(p.t, "Batch export events every hour to S3Compatible", action.StaticSummary)
	},
	"A5: every 5 minutes": func(p *tenant) {
		spec := p.scheduled(p.created(`"interval": "every 5 minutes"`)).Schedule.Spec
		require.Equal(p.t, 5*time.Minute, spec.Intervals[0].Every)
		require.Equal(p.t, time.Minute, spec.Jitter)
	},
	"A8: an unknown timezone": func(p *tenant) {
		p.refuses(draft(`"timezone": "Invalid/Timezone"`), "invalid_choice", `"Invalid/Timezone" is not a valid choice.`, "timezone")
	},
	"A9: an hour of the day for an hour": func(p *tenant) {
		p.refuses(draft(`"offset_hour": 2`), "invalid_input", "offset_hour is not applicable for non-daily/weekly intervals", "offset_hour")
	},
	"A10: a day of the week for an hour": func(p *tenant) {
		p.refuses(draft(`"offset_day": 1`), "invalid_input", "offset_day is not applicable for non-weekly intervals", "offset_day")
	},
	"A12: a day in a timezone": func(p *tenant) {
		path := p.created(`"interval": "day", "timezone": "Asia/Kathmandu", "offset_hour": 2`)
		require.Equal(p.t, 2, *p.stored(path).OffsetHour)
		require.InDelta(p.t, 2, p.get(path).at("offset_hour"), 0)
		spec := p.scheduled(path).Schedule.Spec
		require.Equal(p.t, "Asia/Kathmandu", spec.TimeZoneName)
		require.Equal(p.t, 2, spec.Calendars[0].Hour[0].Start)
	},
	"A13: an hour of the day that is none": func(p *tenant) {
		p.refuses(draft(`"interval": "day", "offset_hour": 24`), "max_value", "Ensure this value is less than or equal to 23.", "offset_hour")
	},
	"A14: a day of the week for a day": func(p *tenant) {
		p.refuses(draft(`"interval": "day", "offset_day": 1`), "invalid_input", "offset_day should not be specified for daily intervals", "offset_day")
	},
	"A16: a week in a timezone": func(p *tenant) {
		path := p.created(`"interval": "week", "timezone": "Europe/Berlin", "offset_day": 1, "offset_hour": 2`)
		spec := p.scheduled(path).Schedule.Spec
		require.Equal(p.t, "Europe/Berlin", spec.TimeZoneName)
		require.Equal(p.t, 1, spec.Calendars[0].DayOfWeek[0].Start)
		require.Equal(p.t, 2, spec.Calendars[0].Hour[0].Start)
		require.InDelta(p.t, 1, p.get(path).at("offset_day"), 0)
	},
	"A17: a day of the week that is none": func(p *tenant) {
		p.refuses(draft(`"interval": "week", "offset_day": 7`), "max_value", "Ensure this value is less than or equal to 6.", "offset_day")
	},
	"A18: intervals that are none": func(p *tenant) {
		for _, interval := range []string{"15 minutes", "month"} {
			p.refuses(draft(fmt.Sprintf(`"interval": %q`, interval)), "invalid_choice", fmt.Sprintf("%q is not a valid choice.", interval), "interval")
		}
	},
	"A20: no timezone is UTC": func(p *tenant) {
		require.Equal(p.t, "UTC", p.get(p.created(`"timezone": null`)).text("timezone"))
		require.Equal(p.t, "UTC", p.get(p.created()).text("timezone"))
	},
	"A21: a caller of another organization": func(p *tenant) {
		p.sendAs(foreignKey, http.MethodPost, p.exports, draft()).is(http.StatusForbidden)
		require.Empty(p.t, p.get(p.exports).ids())
	},
	"A22: an integration that is not there": func(p *tenant) {
		p.refuses(draft(`"destination": {"type": "AwsS3", "integration": 7, "config": {}}`), "does_not_exist",
			`Invalid pk "7" - object does not exist.`, "destination__integration")
	},
	"A24: the caller is recorded": func(p *tenant) {
		require.EqualValues(p.t, 1, p.stored(p.created(`"last_modified_by": 5, "user_id": 6`)).LastModifiedBy)
	},
	"A25: unknown settings": func(p *tenant) {
		p.refuses(draft(to("AwsS3", bucket, `"b": 1, "a": 1`)), "invalid_input", "Configuration has unknown field/s: 'a', 'b'", "destination")
	},
	"A26: a setting that is missing": func(p *tenant) {
		p.refuses(draft(to("AwsS3", keysOfBucket, `"region": "x", "prefix": "p"`)), "invalid_input", "Configuration missing required field: 'bucket_name'", "destination")
		p.refuses(draft(to("Postgres", `"user": "u", "password": "p", "host": "db.example.com"`)), "invalid_input", "Configuration missing required field: 'database'", "destination")
	},
	"A28: texts are cast": func(p *tenant) {
		made := p.post(p.exports, draft(to("Postgres", table, `"port": "5433", "has_self_signed_cert": "True"`))).is(http.StatusCreated)
		require.InDelta(p.t, 5433, made.at("destination", "config", "port"), 0)
		require.Equal(p.t, true, made.at("destination", "config", "has_self_signed_cert"))
	},
	"A29: null for a text": func(p *tenant) {
		for _, destination := range []string{to("Postgres", table, `"schema": null`), to("AwsS3", bucket, `"file_format": null`), to("File", `"prefix": null`)} {
			p.refuses(draft(destination), "invalid_input", "Configuration has invalid type: got 'NoneType', expected 'str'", "destination")
		}
	},
	"A30: events to include and to leave out": func(p *tenant) {
		for kind, settings := range map[string]string{"File": `"prefix": ""`, "AwsS3": bucket, "S3": bucket, "S3Compatible": bucket + "," + endpoint, "Postgres": table} {
			path := p.created(to(kind, settings, `"include_events": ["a"], "exclude_events": []`))
			require.Equal(p.t, []any{"a"}, p.get(path).at("destination", "config", "include_events"), kind)
		}
	},
	"B37: no filters": func(p *tenant) {
		p.created(`"filters": null`)
		p.created(`"filters": []`)
	},
	"B38: filters that are no list": func(p *tenant) {
		for _, filters := range []string{`{}`, `"x"`} {
			p.refuses(draft(`"filters": `+filters), "invalid_input", "'filters' should be an array of filters", "filters")
		}
	},
	"B40: filters on attributes of a run": func(p *tenant) {
		for _, key := range []string{"data_interval_start", "data_interval_end"} {
			p.refuses(draft(`"filters": [{"type": "event", "key": "`+key+`", "operator": "exact", "value": "2026-01-01"}]`), "invalid_input",
				"'data_interval_start' and 'data_interval_end' are attributes of a run and not 'filters': trigger a backfill to export another range", "filters__0")
		}
	},
	"B41: filters of an unknown type": func(p *tenant) {
		for _, kind := range []string{`"type": "cohort", `, ``} {
			p.refuses(draft(`"filters": [{`+kind+`"key": "k", "operator": "exact", "value": "v"}]`), "invalid_input",
				"Each filter must have a 'type' of one of: 'event', 'hogql', 'person'", "filters__0")
		}
	},
	"B42: filters of another model": func(p *tenant) {
		p.refuses(draft(`"model": "persons", "filters": [{"type": "event", "key": "k", "operator": "exact", "value": "v"}]`), "invalid_input",
			"'filters' is only supported for 'events' not 'persons' model", "filters")
	},
}
