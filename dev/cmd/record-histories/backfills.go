package main

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/destinations/destinationtest/memory"
	"tranche/workflows"
)

// steeredScenes are the ways that a backfill with options goes, and those of runs that the reconciler or a replacement begin.
var steeredScenes = []scene{
	{"a backfill that is paused and resumed", func(ctx context.Context, r *recorder) error { return r.playPaused(ctx, "backfill-resumed", "/resume") }},
	{"a backfill that is cancelled while it is paused", func(ctx context.Context, r *recorder) error {
		return r.playPaused(ctx, "backfill-cancelled-while-paused", "/cancel")
	}},
	{"the newest intervals first, several at once", func(ctx context.Context, r *recorder) error {
		return r.with(ctx, "backfill-newest-first", "hour", 0, 5, map[string]any{"order": "newest", "concurrency": 3})
	}},
	{"delivered intervals are left out", playSkipping},
	{"deliveries of another length are replaced", playReplacing},
	{"gaps of an earlier calendar are filled", playFilling},
	{"all from the beginning", func(ctx context.Context, r *recorder) error {
		return r.backfillOf(ctx, "", map[string]any{"end_at": r.at(2)}, "backfill-from-the-beginning", "export-from-the-beginning", 2)
	}},
	{"a run that is cancelled while it waits for a place", playCancelledWaiting},
	{"a run that waits for late rows", playSettling},
	{"an interval that is due and nobody began", playDue},
}

// at is an hour of the recorder's events, as the API has it.
func (r *recorder) at(hour int) string {
	return r.first.Add(time.Duration(hour) * time.Hour).Format(time.RFC3339)
}

// with backfills hours of a new export with options, and saves the backfill's history.
func (r *recorder) with(ctx context.Context, name, interval string, from, to int, options map[string]any) error {
	export, err := r.export(ctx, interval)
	if err != nil {
		return err
	}
	options["start_at"], options["end_at"] = r.at(from), r.at(to)
	return r.backfillOf(ctx, export, options, name, "", to)
}

// start starts a backfill and returns its id.
func (r *recorder) start(ctx context.Context, export string, options map[string]any) (string, error) {
	var made struct {
		ID string `json:"backfill_id"`
	}
	err := r.stack.Call(ctx, http.MethodPost, "/"+export+"/backfills", options, &made)
	return made.ID, err
}

// backfillOf runs a backfill of an export, or of a new one, and saves the histories that have a name: of the backfill, and
// of the run whose interval ends at the hour.
func (r *recorder) backfillOf(ctx context.Context, export string, options map[string]any, backfill, run string, hour int) (err error) {
	if export == "" {
		if export, err = r.export(ctx, "hour"); err != nil {
			return err
		}
	}
	id, err := r.start(ctx, export, options)
	if err != nil {
		return err
	}
	if err := r.saveWhenOver(ctx, backfill, export+"-Backfill-"+id); err != nil || run == "" {
		return err
	}
	return r.saveWhenOver(ctx, run, batch.WorkflowID(uuid.MustParse(export), r.first.Add(time.Duration(hour)*time.Hour)))
}

// saveWhenOver waits for the newest execution under the id, and saves it unless it has no name.
func (r *recorder) saveWhenOver(ctx context.Context, name, id string) error {
	run, err := r.await(ctx, id)
	if err != nil || name == "" {
		return err
	}
	return r.save(ctx, name, id, run)
}

// playPaused pauses a backfill in its first interval, and does something to it once no run is under way.
func (r *recorder) playPaused(ctx context.Context, name, then string) error {
	reached, goOn := make(chan struct{}), make(chan struct{})
	r.fault = once("stage", func() error { close(reached); <-goOn; return nil })
	export, err := r.export(ctx, "hour")
	if err != nil {
		return err
	}
	id, err := r.start(ctx, export, map[string]any{"start_at": r.at(0), "end_at": r.at(3), "concurrency": 1})
	if err != nil {
		return err
	}
	path := "/" + export + "/backfills/" + id
	if err := wait(ctx, reached); err != nil {
		return err
	}
	if err := r.stack.Call(ctx, http.MethodPost, path+"/pause", nil, nil); err != nil {
		return err
	}
	close(goOn)
	if err := r.saveWhenOver(ctx, "", batch.WorkflowID(uuid.MustParse(export), r.first.Add(time.Hour))); err != nil {
		return err
	}
	if err := r.stack.Call(ctx, http.MethodPost, path+then, nil, nil); err != nil {
		return err
	}
	return r.saveWhenOver(ctx, name, export+"-Backfill-"+id)
}

func playSkipping(ctx context.Context, r *recorder) error {
	export, err := r.export(ctx, "hour")
	if err != nil {
		return err
	}
	bounds := func(from, to int) map[string]any { return map[string]any{"start_at": r.at(from), "end_at": r.at(to)} }
	if err := r.backfillOf(ctx, export, bounds(1, 3), "", "", 0); err != nil {
		return err
	}
	options := bounds(0, 5)
	options["skip_delivered"] = true
	if err := r.backfillOf(ctx, export, options, "backfill-skipping", "", 0); err != nil {
		return err
	}
	return r.backfillOf(ctx, export, options, "backfill-nothing-left", "", 0)
}

// playReplacing delivers hours, and then a day in their place.
func playReplacing(ctx context.Context, r *recorder) error {
	export, err := r.export(ctx, "hour")
	if err != nil {
		return err
	}
	if err := r.backfillOf(ctx, export, map[string]any{"start_at": r.at(0), "end_at": r.at(2)}, "", "", 0); err != nil {
		return err
	}
	if err := r.stack.Call(ctx, http.MethodPatch, "/"+export, map[string]any{"interval": "day"}, nil); err != nil {
		return err
	}
	day := map[string]any{"start_at": r.first.Format(time.DateOnly), "end_at": r.first.AddDate(0, 0, 1).Format(time.DateOnly), "replace": true}
	return r.backfillOf(ctx, export, day, "backfill-replacing", "export-replacing", 24)
}

// playFilling has an export that was active under two calendars, and whose intervals nobody delivered.
func playFilling(ctx context.Context, r *recorder) error {
	export, err := r.export(ctx, "hour")
	if err != nil {
		return err
	}
	if err := r.stack.Call(ctx, http.MethodPatch, "/"+export, map[string]any{"interval": "every 30 minutes"}, nil); err != nil {
		return err
	}
	var filled struct {
		Backfills []struct {
			ID string `json:"backfill_id"`
		}
	}
	body := map[string]any{"start": r.at(0), "end": r.at(1), "include_paused": true}
	if err := r.stack.Call(ctx, http.MethodPost, "/"+export+"/coverage/fill", body, &filled); err != nil {
		return err
	}
	for _, b := range filled.Backfills {
		if err := r.saveWhenOver(ctx, "backfill-filling", export+"-Backfill-"+b.ID); err != nil {
			return err
		}
	}
	return nil
}

// playCancelledWaiting cancels a run that waits for others of its export.
func playCancelledWaiting(ctx context.Context, r *recorder) error {
	e, release, err := r.crowded(ctx)
	if err != nil {
		return err
	}
	id, err := r.start(ctx, e.ID.String(), map[string]any{"start_at": r.at(0), "end_at": r.at(1)})
	if err != nil {
		return err
	}
	if err := r.waits(ctx, e); err != nil {
		return err
	}
	if err := r.stack.Call(ctx, http.MethodPost, "/"+e.ID.String()+"/backfills/"+id+"/cancel", nil, nil); err != nil {
		return err
	}
	if err := r.saveWhenOver(ctx, "export-cancelled-while-it-waits", batch.WorkflowID(e.ID, r.first.Add(time.Hour))); err != nil {
		return err
	}
	return release()
}

// playSettling runs an interval that is just over.
func playSettling(ctx context.Context, r *recorder) error {
	export, err := r.export(ctx, "every 1 minutes")
	if err != nil {
		return err
	}
	end := time.Now().UTC().Truncate(time.Minute)
	_, err = r.start(ctx, export, map[string]any{"start_at": end.Add(-time.Minute).Format(time.RFC3339), "end_at": end.Format(time.RFC3339)})
	if err != nil {
		return err
	}
	id := batch.WorkflowID(uuid.MustParse(export), end)
	if err := r.appears(ctx, id); err != nil {
		return err
	}
	return r.saveWhenOver(ctx, "export-settled", id)
}

// playDue lets the reconciler begin what was due before the export's schedule was made, and begins one of it again.
func playDue(ctx context.Context, r *recorder) error {
	created := r.first
	end := r.first.Add(2 * time.Hour)
	e := batch.Export{
		ID: uuid.Must(uuid.NewV7()), TeamID: 1, Name: "due", Model: batch.ModelEvents, Destination: batch.Destination{Type: memory.Type, Config: settings()},
		Frequency: batch.Hourly, Timezone: "UTC", Revision: 1, CreatedAt: created, LastUpdatedAt: created, LastModifiedBy: 1, EndAt: &end,
	}
	if err := r.stack.DB().CreateExport(ctx, e); err != nil {
		return err
	}
	id := batch.WorkflowID(e.ID, end)
	if err := r.appears(ctx, id); err != nil {
		return err
	}
	if err := r.saveWhenOver(ctx, "export-due", id); err != nil {
		return err
	}
	// Another reconciler that has not seen it.
	flows := &workflows.Client{Temporal: r.stack.Temporal()}
	if err := flows.StartDue(ctx, e, batch.Interval{Start: end.Add(-time.Hour), End: end}); err != nil {
		return err
	}
	return r.saveWhenOver(ctx, "export-due-and-delivered", id)
}
