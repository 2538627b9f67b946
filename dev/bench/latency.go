package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"go.temporal.io/sdk/client"

	"tranche/batch"
	"tranche/workflows"
)

// A way is one way to trigger a run of the last complete interval of an export.
type way struct {
	name    string
	trigger func(ctx context.Context, c *caller, e batch.Export, i batch.Interval) error
	// again measures a second run of the interval.
	again bool
}

func start(ctx context.Context, c *caller, e batch.Export, i batch.Interval) error {
	return (&workflows.Client{Temporal: c.Temporal()}).StartInterval(ctx, e, i)
}

var ways = []way{
	{name: "an execution is started, as a schedule does", trigger: start},
	{name: "the schedule is triggered by hand", trigger: func(ctx context.Context, c *caller, e batch.Export, _ batch.Interval) error {
		return c.Temporal().ScheduleClient().GetHandle(ctx, e.ID.String()).Trigger(ctx, client.ScheduleTriggerOptions{})
	}},
	{name: "the API is asked to retry", again: true, trigger: func(ctx context.Context, c *caller, e batch.Export, i batch.Interval) error {
		runs, err := c.DB().RunsWithin(ctx, e.ID, i, 1)
		if err != nil || len(runs) == 0 {
			return errors.Join(err, errors.New("there is nothing to retry"))
		}
		return c.Call(ctx, http.MethodPost, fmt.Sprintf("/%s/runs/%s/retry", e.ID, runs[0].ID), nil, nil)
	}},
}

// latency measures from the trigger of a run without rows to its row's being Completed, one run at a time.
func latency(ctx context.Context, out io.Writer, samples int) error {
	fmt.Fprintf(out, "A run of an interval without rows, from its trigger to Completed, %d of each, one at a time:\n", samples)
	return withStack(ctx, false, func(c *caller) error {
		for _, w := range ways {
			times, where := make([]time.Duration, 0, samples), &steps{}
			for range samples {
				took, run, err := w.measure(ctx, c)
				if err == nil {
					err = where.read(ctx, c.Temporal(), run)
				}
				if err != nil {
					return fmt.Errorf("%s: %w", w.name, err)
				}
				times = append(times, took)
			}
			fmt.Fprintf(out, "  %-48s %s\n", w.name, spread(times))
			where.print(out)
		}
		return nil
	})
}

// patience is how long one run may take.
const patience = time.Minute

// measure makes an export and triggers a run of it.
func (w way) measure(ctx context.Context, c *caller) (time.Duration, batch.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	id, err := c.export(ctx, "hour", true)
	if err != nil {
		return 0, batch.Run{}, err
	}
	e, err := c.DB().ExportByID(ctx, id)
	if err != nil {
		return 0, batch.Run{}, err
	}
	calendar, err := e.Calendar()
	if err != nil {
		return 0, batch.Run{}, err
	}
	i := calendar.LastComplete(time.Now())
	if w.again {
		if err := start(ctx, c, e, i); err != nil {
			return 0, batch.Run{}, err
		}
		r, err := completed(ctx, c, e, i, time.Time{})
		if err != nil {
			return 0, r, err
		}
		// Its workflow must be over too, or the next one would have to wait for it.
		if err := c.Temporal().GetWorkflow(ctx, r.WorkflowID, r.TemporalRunID).Get(ctx, nil); err != nil {
			return 0, r, err
		}
	}
	began := time.Now()
	if err := w.trigger(ctx, c, e, i); err != nil {
		return 0, batch.Run{}, err
	}
	r, err := completed(ctx, c, e, i, began)
	if err != nil {
		return 0, r, err
	}
	took := r.FinishedAt.Sub(began)
	return took, r, c.Temporal().GetWorkflow(ctx, r.WorkflowID, r.TemporalRunID).Get(ctx, nil)
}

// completed waits until the newest run of the interval that began after a time is completed.
func completed(ctx context.Context, c *caller, e batch.Export, i batch.Interval, after time.Time) (batch.Run, error) {
	for {
		runs, err := c.DB().RunsWithin(ctx, e.ID, i, 1)
		if err != nil {
			return batch.Run{}, err
		}
		if len(runs) > 0 && runs[0].CreatedAt.After(after) && runs[0].Status.Final() {
			if runs[0].Status != batch.RunCompleted {
				err = fmt.Errorf("the run is %s: %s", runs[0].Status, runs[0].LatestError)
			}
			return runs[0], err
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return batch.Run{}, err
		}
	}
}
