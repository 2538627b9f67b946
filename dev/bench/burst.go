package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"tranche/batch"
)

// burst starts many runs without rows at once, of one export, and says how fast they were done and what one costs.
func burst(ctx context.Context, out io.Writer, runs int) error {
	return withStack(ctx, false, func(c *caller) error {
		id, err := c.export(ctx, "every 5 minutes", true)
		if err != nil {
			return err
		}
		e, err := c.DB().ExportByID(ctx, id)
		if err != nil {
			return err
		}
		calendar, err := e.Calendar()
		if err != nil {
			return err
		}
		last := calendar.LastComplete(time.Now())
		began, used, begun := time.Now(), cpu(), time.Duration(0)
		group, starting := errgroup.WithContext(ctx)
		group.SetLimit(creators)
		first := last
		for n := range runs {
			if n > 0 {
				first = calendar.Before(first.Start)
			}
			i := first
			group.Go(func() error { return start(starting, c, e, i) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		begun = time.Since(began)
		within := batch.Interval{Start: first.Start, End: last.End}
		for {
			done, err := c.DB().DeliveriesWithin(ctx, e.ID, within)
			if err != nil {
				return err
			}
			if len(done) >= runs {
				break
			}
			if err := sleep(ctx, 200*time.Millisecond); err != nil {
				return err
			}
		}
		took := time.Since(began)
		fmt.Fprintf(out, "%d runs without rows, started within %s: delivered after %s, %.1f a second; CPU %s each\n", runs,
			begun.Round(100*time.Millisecond), took.Round(100*time.Millisecond), float64(runs)/took.Seconds(),
			((cpu() - used) / time.Duration(runs)).Round(time.Millisecond))
		return nil
	})
}
