package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"

	"tranche/batch"
	"tranche/destinations/destinationtest/memory"
	"tranche/query"
	"tranche/sources"
)

// A scene is one way that workflows go.
type scene struct {
	name string
	play func(ctx context.Context, r *recorder) error
}

// errScene is what the world answers where a scene wants a failure.
var errScene = fmt.Errorf("a failure of the scene")

var scenes = []scene{
	{"delivered", func(ctx context.Context, r *recorder) error {
		return r.backfill(ctx, "export-delivered", "backfill-completed", 0, 1, nil)
	}},
	{"no rows", func(ctx context.Context, r *recorder) error {
		return r.backfill(ctx, "export-no-rows", "", 1, 2, nil)
	}},
	{"late rows", func(ctx context.Context, r *recorder) error {
		r.fault = once("stage", func() error { return r.late(ctx) })
		return r.backfill(ctx, "export-late-rows", "", 0, 1, nil)
	}},
	{"a failure that passes", func(ctx context.Context, r *recorder) error {
		r.fault = once("publish", func() error { return errScene })
		return r.backfill(ctx, "export-retried", "", 0, 1, nil)
	}},
	{"a failure that stays", func(ctx context.Context, r *recorder) error {
		r.fault = once("stage", func() error { return memory.ErrAborted })
		return r.backfill(ctx, "export-failed", "backfill-failed", 0, 1, nil)
	}},
	{"cancelled while it stages", func(ctx context.Context, r *recorder) error {
		reached, goOn := make(chan struct{}), make(chan struct{})
		r.fault = once("stage", func() error { close(reached); <-goOn; return errScene })
		return r.backfill(ctx, "export-cancelled", "backfill-cancelled", 0, 1, func(e, b string) error {
			defer close(goOn)
			if err := wait(ctx, reached); err != nil {
				return err
			}
			return r.stack.Call(ctx, http.MethodPost, "/"+e+"/backfills/"+b+"/cancel", nil, nil)
		})
	}},
	{"an interval that another owns", playTaken},
	{"a reset to the last decision", func(ctx context.Context, r *recorder) error { return r.playReset(ctx, "export-reset", 0) }},
	{"a reset in the middle", func(ctx context.Context, r *recorder) error { return r.playReset(ctx, "export-reset-midway", 3) }},
	{"the schedule", playSchedule},
	{"a run that has to wait", playWaiting},
	{"a notification that is taken", func(ctx context.Context, r *recorder) error {
		return r.playNotify(ctx, "notify-delivered", http.StatusOK)
	}},
	{"a notification that is taken the second time", func(ctx context.Context, r *recorder) error {
		return r.playNotify(ctx, "notify-retried", http.StatusServiceUnavailable, http.StatusOK)
	}},
	{"a notification that is given up", func(ctx context.Context, r *recorder) error {
		return r.playNotify(ctx, "notify-given-up", http.StatusGone)
	}},
	{"more than one page", func(ctx context.Context, r *recorder) error {
		export, err := r.export(ctx, "every 5 minutes")
		if err != nil {
			return err
		}
		var made struct {
			ID string `json:"backfill_id"`
		}
		bounds := map[string]any{"start_at": r.first.Format(time.RFC3339), "end_at": r.first.Add(17 * time.Hour).Format(time.RFC3339)}
		if err := r.stack.Call(ctx, http.MethodPost, "/"+export+"/backfills", bounds, &made); err != nil {
			return err
		}
		id := export + "-Backfill-" + made.ID
		first, err := r.await(ctx, id)
		if err != nil {
			return err
		}
		if err := r.save(ctx, "backfill-continued-as-new", id, first); err != nil {
			return err
		}
		last, err := r.await(ctx, id)
		if err != nil {
			return err
		}
		return r.save(ctx, "backfill-last-page", id, last)
	}},
}

// playTaken retries an interval while it runs: the retry's child finds the id taken and waits.
func playTaken(ctx context.Context, r *recorder) error {
	reached, goOn := make(chan struct{}), make(chan struct{})
	r.fault = once("stage", func() error { close(reached); <-goOn; return nil })
	return r.backfill(ctx, "", "", 0, 1, func(export, _ string) error {
		if err := wait(ctx, reached); err != nil {
			return err
		}
		// Not through retry, which refuses the same range: a wider one has the same interval in it.
		var made struct {
			ID string `json:"backfill_id"`
		}
		bounds := map[string]any{"start_at": r.first.Format(time.RFC3339), "end_at": r.first.Add(2 * time.Hour).Format(time.RFC3339)}
		if err := r.stack.Call(ctx, http.MethodPost, "/"+export+"/backfills", bounds, &made); err != nil {
			return err
		}
		second := batch.WorkflowID(uuid.MustParse(export), r.first.Add(2*time.Hour))
		if err := r.appears(ctx, second); err != nil {
			return err
		}
		close(goOn)
		id := export + "-Backfill-" + made.ID
		run, err := r.await(ctx, id)
		if err != nil {
			return err
		}
		return r.save(ctx, "backfill-awaits-owner", id, run)
	})
}

// playWaiting lets a run wait for others of its export.
func playWaiting(ctx context.Context, r *recorder) error {
	e, release, err := r.crowded(ctx)
	if err != nil {
		return err
	}
	if _, err := r.start(ctx, e.ID.String(), map[string]any{"start_at": r.at(0), "end_at": r.at(1)}); err != nil {
		return err
	}
	if err := r.waits(ctx, e); err != nil {
		return err
	}
	if err := release(); err != nil {
		return err
	}
	return r.saveWhenOver(ctx, "export-waited", batch.WorkflowID(e.ID, r.first.Add(time.Hour)))
}

// crowded makes an export of which as many runs work as may, of which nobody else has heard, until they are released.
func (r *recorder) crowded(ctx context.Context) (e batch.Export, release func() error, err error) {
	export, err := r.export(ctx, "hour")
	if err != nil {
		return e, nil, err
	}
	if e, err = r.stack.DB().ExportByID(ctx, uuid.MustParse(export)); err != nil {
		return e, nil, err
	}
	var others []uuid.UUID
	for n := range places {
		other := batch.Run{
			ID: uuid.New(), ExportID: e.ID, TeamID: e.TeamID, Revision: e.Revision, Status: batch.RunRunning,
			Interval: batch.Interval{Start: r.first, End: r.first.Add(time.Duration(n+10) * time.Hour)},
		}
		if _, _, err := r.stack.DB().BeginRun(ctx, other); err != nil {
			return e, nil, err
		}
		permit := batch.Permit{RunID: other.ID, ExportID: e.ID, TeamID: e.TeamID}
		if err := r.stack.DB().AcquirePermit(ctx, permit, batch.Concurrency{}, time.Hour); err != nil {
			return e, nil, err
		}
		others = append(others, other.ID)
	}
	return e, func() error {
		for _, other := range others {
			if err := r.stack.DB().ReleasePermit(ctx, other); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// waits waits until a run of the export waits.
func (r *recorder) waits(ctx context.Context, e batch.Export) error {
	for {
		runs, err := r.stack.DB().OpenRunsOf(ctx, e.ID, nil)
		if err != nil {
			return err
		}
		for _, run := range runs {
			if run.WaitingFor != "" {
				return nil
			}
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// playSchedule lets the schedule start a past interval, and then triggers it by hand.
func playSchedule(ctx context.Context, r *recorder) error {
	export, err := r.export(ctx, "hour")
	if err != nil {
		return err
	}
	schedule := r.stack.Temporal().ScheduleClient().GetHandle(ctx, export)
	at := r.first.Add(time.Hour)
	err = schedule.Backfill(ctx, client.ScheduleBackfillOptions{Backfill: []client.ScheduleBackfill{{Start: at.Add(-time.Minute), End: at.Add(20 * time.Minute)}}})
	if err != nil {
		return err
	}
	scheduled := batch.WorkflowID(uuid.MustParse(export), at)
	if err := r.appears(ctx, scheduled); err != nil {
		return err
	}
	run, err := r.await(ctx, scheduled)
	if err != nil {
		return err
	}
	if err := r.save(ctx, "export-scheduled", scheduled, run); err != nil {
		return err
	}
	if err := schedule.Trigger(ctx, client.ScheduleTriggerOptions{}); err != nil {
		return err
	}
	for {
		described, err := schedule.Describe(ctx)
		if err != nil {
			return err
		}
		for _, a := range described.Info.RecentActions {
			if s := a.StartWorkflowResult; s != nil && s.WorkflowID != scheduled {
				run, err := r.await(ctx, s.WorkflowID)
				if err != nil {
					return err
				}
				return r.save(ctx, "export-triggered", s.WorkflowID, run)
			}
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// backfill makes an export and backfills hours of it, and saves the histories that have a name: of the last interval's
// run, and of the backfill.
func (r *recorder) backfill(ctx context.Context, run, backfill string, from, to int, meanwhile func(export, backfill string) error) error {
	export, err := r.export(ctx, "hour")
	if err != nil {
		return err
	}
	start, end := r.first.Add(time.Duration(from)*time.Hour), r.first.Add(time.Duration(to)*time.Hour)
	var made struct {
		ID string `json:"backfill_id"`
	}
	bounds := map[string]any{"start_at": start.Format(time.RFC3339), "end_at": end.Format(time.RFC3339)}
	if err := r.stack.Call(ctx, http.MethodPost, "/"+export+"/backfills", bounds, &made); err != nil {
		return err
	}
	if meanwhile != nil {
		if err := meanwhile(export, made.ID); err != nil {
			return err
		}
	}
	id := export + "-Backfill-" + made.ID
	parent, err := r.await(ctx, id)
	if err != nil {
		return err
	}
	if backfill != "" {
		if err := r.save(ctx, backfill, id, parent); err != nil {
			return err
		}
	}
	if run == "" {
		return nil
	}
	interval := batch.WorkflowID(uuid.MustParse(export), end)
	child, err := r.await(ctx, interval)
	if err != nil {
		return err
	}
	return r.save(ctx, run, interval, child)
}

// export makes an export.
func (r *recorder) export(ctx context.Context, interval string) (string, error) {
	var made struct{ ID string }
	err := r.stack.Call(ctx, http.MethodPost, "", map[string]any{
		"name": "recorded", "interval": interval,
		"destination": map[string]any{"type": memory.Type, "config": settings()},
	}, &made)
	return made.ID, err
}

// settings are those of the exports' destination.
func settings() map[string]any { return map[string]any{"prefix": "out", "max_file_size_mb": 1} }

// late loads more rows into the first hour.
func (r *recorder) late(ctx context.Context) error {
	file, err := r.eventsFile("late.jsonl", r.first, 2)
	if err != nil {
		return err
	}
	_, err = r.events.Load(ctx, file)
	return err
}

// eventsFile writes events that arrived within the hour after start.
func (r *recorder) eventsFile(name string, start time.Time, rows int) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	for range rows {
		r.rows++
		at := start.Add(time.Duration(r.rows) * time.Minute).Format(time.RFC3339)
		err := encoder.Encode(map[string]any{
			"uuid": uuid.NewSHA1(uuid.NameSpaceURL, fmt.Append(nil, r.rows)).String(), "event": "recorded",
			"distinct_id": "somebody", "timestamp": at, "inserted_at": at,
		})
		if err != nil {
			return "", err
		}
	}
	path := filepath.Join(r.dir, name)
	return path, os.WriteFile(path, text.Bytes(), 0o600)
}

// appears waits until there is an execution under the id.
func (r *recorder) appears(ctx context.Context, id string) error {
	for {
		if _, err := r.stack.Temporal().DescribeWorkflowExecution(ctx, id, ""); err == nil {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// pause is the time between two looks.
func pause(ctx context.Context) error { return wait(ctx, time.After(100*time.Millisecond)) }

func wait[T any](ctx context.Context, happened <-chan T) error {
	select {
	case <-happened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// once is a fault at the first operation of a name.
func once(name string, fault func() error) func(memory.Op) error {
	struck := make(chan struct{}, 1)
	struck <- struct{}{}
	return func(op memory.Op) error {
		if op.Name != name {
			return nil
		}
		select {
		case <-struck:
			return fault()
		default:
			return nil
		}
	}
}

// inThree plans three splits of equal length, if there are rows.
type inThree struct {
	sources.Source
}

// Plan is the Source's.
func (s inThree) Plan(ctx context.Context, q query.Query, limit int) ([]sources.Split, error) {
	splits, err := s.Source.Plan(ctx, q, limit)
	if err != nil || len(splits) == 0 || limit < 3 {
		return splits, err
	}
	third := q.Interval.Duration() / 3
	var cut []sources.Split
	for n := range 3 {
		start := q.Interval.Start.Add(time.Duration(n) * third)
		cut = append(cut, sources.Split{Number: n, Range: batch.Interval{Start: start, End: start.Add(third)}})
	}
	return cut, nil
}
