package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
)

const noPage = `{"next": null, "previous": null, "results": []}`

// at is the time of an hour after the first, as bodies and queries have it.
func hour(n int) string { return epoch.Add(time.Duration(n) * time.Hour).Format(time.RFC3339) }

// bounds is the body of a backfill.
func bounds(start, end string) string {
	return fmt.Sprintf(`{"start_at": %q, "end_at": %q}`, start, end)
}

var behavioursOfRuns = behaviours{
	"H112: a new export has no runs": func(p *tenant) {
		p.get(p.created()+"/runs").says(http.StatusOK, noPage)
	},
	"H113: runs of another organization": func(p *tenant) {
		p.sendAs(foreignKey, http.MethodGet, p.created()+"/runs", "").is(http.StatusForbidden)
	},
	"H116: runs by status": func(p *tenant) {
		path := p.created()
		failed := p.begin(path, func(r *batch.Run) { r.Status = batch.RunFailed }).ID.String()
		completed := p.begin(path, func(r *batch.Run) { r.Status = batch.RunCompleted }).ID.String()
		p.begin(path, nil)
		for _, ordering := range []string{"created_at", "-created_at", "data_interval_start", "-data_interval_start"} {
			require.Equal(p.t, []string{failed}, p.get(path+"/runs?status=Failed&ordering="+ordering).ids(), ordering)
			require.ElementsMatch(p.t, []string{failed, completed}, p.get(path+"/runs?status=Failed&status=Completed&ordering="+ordering).ids(), ordering)
		}
	},
	"H117: a status that is none": func(p *tenant) {
		p.get(p.created()+"/runs?status=Nope").invalid("invalid_choice", `"Nope" is not a valid choice.`, "status")
	},
	"H118: the bounds of the other ordering do not count": func(p *tenant) {
		path := p.created()
		at := func(n int) *batch.Run {
			r := p.begin(path, func(r *batch.Run) {
				r.CreatedAt = epoch.Add(time.Duration(100-n) * time.Hour)
				r.Interval = batch.Interval{Start: epoch.Add(time.Duration(n) * time.Hour), End: epoch.Add(time.Duration(n+1) * time.Hour)}
			})
			return &r
		}
		first, second, third := at(0).ID.String(), at(1).ID.String(), at(2).ID.String()
		for query, want := range map[string][]string{
			"ordering=created_at": {third, second, first},
			"ordering=created_at&after=" + hour(99) + "&start=" + hour(50):                                {second, first},
			"ordering=created_at&before=" + hour(99) + "&end=" + hour(0):                                  {third, second},
			"ordering=data_interval_start&start=" + hour(1) + "&after=" + hour(1000):                      {second, third},
			"ordering=-data_interval_start&end=" + hour(2) + "&before=" + hour(0):                         {second, first},
			"ordering=-data_interval_start&start=" + hour(1) + "&end=" + hour(2) + "&after=" + hour(1000): {second},
		} {
			require.Equal(p.t, want, p.get(path+"/runs?"+query).ids(), query)
		}
	},
	"H121: cancel a run that Temporal does not know": func(p *tenant) {
		path := p.created()
		run := path + "/runs/" + p.begin(path, nil).ID.String()
		p.post(run+"/cancel", "").says(http.StatusOK, `{"cancelled": true}`)
		require.Equal(p.t, "Cancelled", p.get(run).text("status"))
		p.post(run+"/cancel", "").invalid("invalid_input", "Cannot cancel a run that is in 'Cancelled' status", "")
	},
}

var behavioursOfBackfills = behaviours{
	"I122: a backfill of hours": func(p *tenant) {
		path := p.created()
		made := p.post(path+"/backfills", bounds("2025-03-03T01:00:00+01:00", "2025-03-03T02:00:00+00:00")).is(http.StatusCreated)
		id := made.text("backfill_id")
		require.Equal(p.t, []string{id}, p.get(path+"/backfills").ids())
		require.Equal(p.t, hour(0), p.get(path+"/backfills/"+id).text("start_at"))
		_, err := p.ground.Temporal().DescribeWorkflowExecution(p.t.Context(), batch.BackfillWorkflowID(idOf(path), uuid.MustParse(id)), "")
		require.NoError(p.t, err)
	},
	"I124: instants for days": func(p *tenant) {
		path := p.created(`"interval": "day"`) + "/backfills"
		p.post(path, bounds(hour(0), hour(24))).invalid("invalid_input", "Input '"+hour(0)+"' is not a valid ISO formatted date. ", "start_at")
	},
	"I125: words for days": func(p *tenant) {
		e := p.post(p.created(`"interval": "day"`)+"/backfills", bounds("not-a-date", "2025-03-03")).is(http.StatusBadRequest).problem()
		require.Equal(p.t, "Input 'not-a-date' is not a valid ISO formatted date.", e.Detail)
	},
	"I126: days on which no week begins": func(p *tenant) {
		path := p.created(`"interval": "week", "offset_day": 1`) + "/backfills"
		e := p.post(path, bounds("2025-03-02", "2025-03-10")).is(http.StatusBadRequest).problem()
		require.Regexp(p.t, "^Input 2025-03-02 is not on the correct day of the week for this batch export. .*Sunday.*Monday", e.Detail)
		p.post(path, bounds("2025-03-03", "2025-03-10")).is(http.StatusCreated)
	},
	"I128: an instant without an offset": func(p *tenant) {
		e := p.post(p.created()+"/backfills", bounds("2025-03-03T00:00:00", hour(1))).is(http.StatusBadRequest).problem()
		require.Equal(p.t, "Input 2025-03-03T00:00:00 is naive.", e.Detail)
	},
	"I129: a range that is empty": func(p *tenant) {
		path := p.created() + "/backfills"
		for _, end := range []int{1, 0} {
			p.post(path, bounds(hour(1), hour(end))).invalid("invalid_input", "The initial backfill datetime 'start_at' must be before 'end_at'", "")
		}
	},
	"I130: a range that is not over": func(p *tenant) {
		p.post(p.created()+"/backfills", bounds(hour(1), "2125-01-01T00:00:00Z")).
			invalid("invalid_input", "The provided 'end_at' (2125-01-01T00:00:00Z) is in the future", "")
	},
	"I133: a range without end": func(p *tenant) {
		for _, destination := range []string{to("File"), to("AwsS3", bucket), to("Postgres", table)} {
			path := p.created(destination) + "/backfills"
			for _, body := range []string{`{"start_at": "` + hour(1) + `"}`, `{"start_at": "` + hour(1) + `", "end_at": null}`, `{}`} {
				e := p.post(path, body).is(http.StatusBadRequest).problem()
				require.Equal(p.t, "Backfilling a BatchExport with no end date is not allowed", e.Detail)
			}
		}
	},
	"I134: too many backfills": func(p *tenant) {
		path := p.created()
		for n := range 5 {
			p.backfillOf(path, func(b *batch.Backfill) {
				if n == 0 {
					b.Status = batch.BackfillStarting
				}
				b.EndAt = new(epoch.Add(time.Duration(n+1) * time.Hour))
			})
		}
		for _, body := range []string{bounds(hour(0), hour(99)), bounds("nonsense", "")} {
			late := p.post(path+"/backfills", body).is(http.StatusTooManyRequests).problem()
			require.Equal(p.t, "too_many_concurrent_backfills", late.Code)
			require.Regexp(p.t, "^This team already has 5 batch export backfills running. ", late.Detail)
		}
		require.Len(p.t, p.get(path+"/backfills").ids(), 5)
	},
	"I136: an export of others": func(p *tenant) {
		path := p.created()
		for _, path := range []string{p.elsewhere(path), p.exports + "/" + uuid.NewString()} {
			e := p.post(path+"/backfills", bounds(hour(0), hour(1))).is(http.StatusNotFound).problem()
			require.Equal(p.t, "BatchExport not found.", e.Detail)
		}
		p.sendAs(foreignKey, http.MethodPost, path+"/backfills", bounds(hour(0), hour(1))).is(http.StatusForbidden)
	},
	"I137: cancel a backfill with its runs": func(p *tenant) {
		path := p.created()
		b := p.backfillOf(path, nil)
		running := p.begin(path, func(r *batch.Run) { r.BackfillID = &b.ID }).ID.String()
		starting := p.begin(path, func(r *batch.Run) { r.BackfillID, r.Status = &b.ID, batch.RunStarting }).ID.String()
		other := p.begin(path, nil).ID.String()
		p.post(path+"/backfills/"+b.ID.String()+"/cancel", "").says(http.StatusOK, `{"cancelled": true}`)
		require.Equal(p.t, "Cancelled", p.get(path+"/backfills/"+b.ID.String()).text("status"))
		for id, status := range map[string]string{running: "Cancelled", starting: "Cancelled", other: "Running"} {
			require.Equal(p.t, status, p.get(path+"/runs/"+id).text("status"))
		}
	},
	"I138: cancel a backfill that is over": func(p *tenant) {
		path := p.created()
		for _, status := range []batch.BackfillStatus{batch.BackfillCompleted, batch.BackfillCancelled, batch.BackfillFailed} {
			b := p.backfillOf(path, func(b *batch.Backfill) { b.Status = status })
			p.post(path+"/backfills/"+b.ID.String()+"/cancel", "").
				invalid("invalid_input", fmt.Sprintf("Cannot cancel a backfill that is in '%s' status", status), "")
		}
	},
	"I145: each backfill shows up once on the pages": func(p *tenant) {
		path := p.created()
		for n := range 60 {
			at := epoch.Add(time.Duration(n/7) * time.Hour)
			p.backfillOf(path, func(b *batch.Backfill) {
				b.CreatedAt, b.StartAt, b.Status = at, new(epoch.Add(-time.Duration(n/13)*time.Hour)), batch.BackfillCompleted
			})
		}
		for query, field := range map[string]string{"": "created_at", "?ordering=created_at": "created_at", "?ordering=start_at": "start_at", "?ordering=-start_at": "start_at"} {
			first := p.get(path + "/backfills" + query)
			require.Len(p.t, first.ids(), 50)
			second := p.get(first.text("next"))
			require.Nil(p.t, second.at("next"))
			require.Equal(p.t, first.ids(), p.get(second.text("previous")).ids())
			all := append(first.ids(), second.ids()...)
			slices.Sort(all)
			require.Len(p.t, slices.Compact(all), 60, query)
			var values []string
			for _, result := range append(first.at("results").([]any), second.at("results").([]any)...) {
				values = append(values, result.(map[string]any)[field].(string))
			}
			if query == "" || query == "?ordering=-start_at" {
				slices.Reverse(values)
			}
			require.True(p.t, slices.IsSorted(values), query)
		}
	},
	"I146: backfills under another project": func(p *tenant) {
		path := p.created()
		p.backfillOf(path, nil)
		p.get(p.elsewhere(path)+"/backfills").says(http.StatusOK, noPage)
	},
}

// progress is that of a backfill with runs that ended so.
func (p *tenant) progress(change func(*batch.Backfill), runs map[batch.RunStatus]int) any {
	p.t.Helper()
	path := p.created()
	b := p.backfillOf(path, change)
	for status, n := range runs {
		for range n {
			p.begin(path, func(r *batch.Run) { r.BackfillID, r.Status = &b.ID, status })
		}
	}
	shown := p.get(path + "/backfills/" + b.ID.String())
	list := p.get(path + "/backfills").at("results").([]any)
	require.Equal(p.t, shown.at("progress"), list[0].(map[string]any)["progress"], "the list tells the same")
	return shown.at("progress")
}

func progressOf(total, finished int, progress float64) map[string]any {
	return map[string]any{"total_runs": float64(total), "finished_runs": float64(finished), "progress": progress}
}

var behavioursOfProgress = behaviours{
	"I140: three of ten": func(p *tenant) {
		require.Equal(p.t, progressOf(10, 3, 0.3), p.progress(nil, map[batch.RunStatus]int{
			batch.RunCompleted: 2, batch.RunFailed: 1, batch.RunRunning: 2, batch.RunStarting: 1,
		}))
	},
	"I141: what ended early has none": func(p *tenant) {
		for _, status := range []batch.BackfillStatus{batch.BackfillFailed, batch.BackfillCancelled} {
			require.Nil(p.t, p.progress(func(b *batch.Backfill) { b.Status = status }, map[batch.RunStatus]int{batch.RunCompleted: 3}))
		}
	},
	"I142: from the beginning": func(p *tenant) {
		runs := map[batch.RunStatus]int{batch.RunCompleted: 1}
		require.Nil(p.t, p.progress(func(b *batch.Backfill) { b.StartAt = nil }, runs))
		require.Equal(p.t, progressOf(5, 1, 0.2), p.progress(func(b *batch.Backfill) {
			b.StartAt, b.AdjustedStartAt = nil, new(epoch.Add(5*time.Hour))
		}, runs))
	},
	"I144: more than expected": func(p *tenant) {
		require.Equal(p.t, progressOf(12, 12, 1), p.progress(nil, map[batch.RunStatus]int{batch.RunCompleted: 12}))
	},
}
