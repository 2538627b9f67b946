package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"tranche/activities"
	"tranche/batch"
)

// A load is many exports whose intervals fall due at the same time.
type load struct {
	exports  int
	rounds   int
	interval string
}

// creators is how many exports are made at once.
const creators = 8

// run makes the exports and watches as many rounds as are asked for. A round is kept up with when all of its intervals
// are delivered before the next ones fall due.
func (l load) run(ctx context.Context, out io.Writer) error {
	frequency, ok := batch.ParseFrequency(l.interval)
	if !ok || l.exports < 1 || l.rounds < 1 {
		return fmt.Errorf("%d exports, %d rounds, %q: there must be some, of an interval that there is", l.exports, l.rounds, l.interval)
	}
	calendar, err := batch.NewCalendar(frequency, "UTC", nil, nil)
	if err != nil {
		return err
	}
	return withStack(ctx, true, func(c *caller) error {
		began := time.Now()
		ids, err := l.create(ctx, c)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d exports, %s, without rows; made in %s. Schedules start within %s of jitter, runs wait %s for late rows.\n",
			l.exports, l.interval, time.Since(began).Round(time.Second), frequency.Jitter(), activities.Embedded().SettleSubHourly)
		end := calendar.Next(time.Now())
		for round := range l.rounds {
			next := calendar.Next(end)
			if err := l.watch(ctx, c, out, round+1, ids, batch.Interval{Start: calendar.Before(end).Start, End: end}, next); err != nil {
				return err
			}
			end = next
		}
		return nil
	})
}

func (l load) create(ctx context.Context, c *caller) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, l.exports)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for n := range ids {
		group.Go(func() (err error) {
			ids[n], err = c.export(ctx, l.interval, false)
			return err
		})
	}
	return ids, group.Wait()
}

// watch waits until the interval of every export is delivered, or the next one is due, and says how late they were.
func (l load) watch(ctx context.Context, c *caller, out io.Writer, round int, ids []uuid.UUID, i batch.Interval, next time.Time) error {
	if err := sleep(ctx, time.Until(i.End)); err != nil {
		return err
	}
	used := cpu()
	open := ids
	var lags []time.Duration
	for {
		late := time.Now().After(next)
		var err error
		if open, lags, err = delivered(ctx, c, open, i, lags); err != nil {
			return err
		}
		if len(open) == 0 || late {
			break
		}
		if err := sleep(ctx, min(lookEvery, max(0, time.Until(next))+time.Millisecond)); err != nil {
			return err
		}
	}
	verdict := "kept up"
	if len(open) > 0 {
		verdict = fmt.Sprintf("NOT KEPT UP: %d intervals are not delivered", len(open))
	}
	fmt.Fprintf(out, "  round %d, due at %s: %d delivered, %s after it was due; CPU %s; %s\n", round, i.End.Format(time.TimeOnly),
		len(lags), spread(lags), (cpu() - used).Round(100*time.Millisecond), verdict)
	return nil
}

// lookEvery is the time between two looks at what is delivered: each costs a query for every export that is late.
const lookEvery = 5 * time.Second

// delivered looks which of the exports have delivered the interval, and adds their lags.
func delivered(ctx context.Context, c *caller, ids []uuid.UUID, i batch.Interval, lags []time.Duration) ([]uuid.UUID, []time.Duration, error) {
	var open []uuid.UUID
	for _, id := range ids {
		d, err := c.DB().Delivery(ctx, id, i)
		if err != nil {
			return nil, nil, err
		}
		if d == nil {
			open = append(open, id)
			continue
		}
		lags = append(lags, d.CommittedAt.Sub(i.End))
	}
	return open, lags, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
