package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tranche/batch"
	"tranche/dev/stack"
)

// changes are those of 2026, by zone, with the hours at which exports start: one in the gap, one that is repeated, and
// an ordinary one. Cairo's are at midnight; Lord Howe's are of half an hour.
var changes = map[string]struct {
	forward, back string // local dates
	hours         []int
	short, long   time.Duration // lengths of the days with a change, when the hour is neither in the gap nor repeated
}{
	"Europe/Berlin":       {"2026-03-29", "2026-10-25", []int{2, 5}, 23 * time.Hour, 25 * time.Hour},
	"America/New_York":    {"2026-03-08", "2026-11-01", []int{1, 2}, 23 * time.Hour, 25 * time.Hour},
	"Australia/Lord_Howe": {"2026-10-04", "2026-04-05", []int{1, 2}, 23*time.Hour + 30*time.Minute, 24*time.Hour + 30*time.Minute},
	"Africa/Cairo":        {"2026-04-24", "2026-10-29", []int{0, 23}, 23 * time.Hour, 25 * time.Hour},
}

// changesAreOver is when an export can have lived through all of them.
var changesAreOver = time.Date(2026, time.November, 15, 0, 0, 0, 0, time.UTC)

// A clockCase is an export whose calendar meets a change of the clocks.
type clockCase struct {
	zone      string
	date      string
	frequency batch.Frequency
	hour, day int
}

func clockCases(t *testing.T) []clockCase {
	t.Helper()
	var all []clockCase
	for zone, c := range changes {
		for _, date := range []string{c.forward, c.back} {
			on, err := time.Parse(time.DateOnly, date)
			require.NoError(t, err)
			for _, hour := range c.hours {
				all = append(all, clockCase{zone, date, batch.Daily, hour, 0}, clockCase{zone, date, batch.Weekly, hour, int(on.Weekday())})
			}
		}
	}
	return all
}

func (c clockCase) String() string {
	return fmt.Sprintf("%s at %d:00 in %s around %s", c.frequency, c.hour, c.zone, c.date)
}

// around is the calendar of the case, and the time of some intervals before and after the change.
func (c clockCase) around(t *testing.T) (calendar batch.Calendar, span batch.Interval) {
	t.Helper()
	calendar, err := batch.NewCalendar(c.frequency, c.zone, c.offsetDay(), &c.hour)
	require.NoError(t, err)
	on, err := time.ParseInLocation(time.DateOnly, c.date, calendar.Location())
	require.NoError(t, err)
	days := 3
	if c.frequency == batch.Weekly {
		days = 10
	}
	return calendar, batch.Interval{Start: calendar.Floor(on.AddDate(0, 0, -days)), End: calendar.Next(on.AddDate(0, 0, days))}
}

func (c clockCase) offsetDay() *int {
	if c.frequency == batch.Weekly {
		return &c.day
	}
	return nil
}

// paused makes the export of a case, paused.
func (c clockCase) paused(s *inProcess, span batch.Interval) batch.Export {
	return s.since(span.Start.Add(-time.Hour), func(e *batch.Export) {
		e.Frequency, e.Timezone, e.OffsetHour, e.OffsetDay, e.EndAt, e.Paused = c.frequency, c.zone, &c.hour, c.offsetDay(), &span.End, true
	})
}

// Scheduled: what Temporal's schedule fires and what the reconciler starts are together each interval once. The schedule
// fires for the span, as it would have then; after that, the export is active in the span, and the reconciler finds what is
// missing.
func TestScheduledIntervalsTileAcrossChangesOfTheClocks(t *testing.T) {
	t.Parallel()
	if time.Now().Before(changesAreOver) {
		t.Skip("the changes of 2026 are not over")
	}
	s := startStackWith(t, nil, func(o *stack.Options) { o.CatchUp = 5 * 365 * 24 * time.Hour })
	type started struct {
		clockCase
		export batch.Export
		span   batch.Interval
		want   []batch.Interval
	}
	var all []started
	for _, c := range clockCases(t) {
		calendar, span := c.around(t)
		all = append(all, started{c, c.paused(s, span), span, slices.Collect(calendar.Within(span.Start, span.End))})
	}
	for _, c := range all {
		until(t, workPatience, "the schedule", func() bool { return s.schedule(c.export.ID) != nil })
		require.NoError(t, s.handle(c.export.ID).Backfill(t.Context(), client.ScheduleBackfillOptions{Backfill: []client.ScheduleBackfill{
			{Start: c.span.Start.Add(time.Second), End: c.span.End.Add(time.Hour)},
		}}))
	}
	for _, c := range all {
		until(t, workPatience, "what the schedule started", func() bool {
			return s.finished(c.export.ID) >= len(c.want)-1 && len(s.openExecutions(c.export.ID)) == 0
		})
		then := s.DB().WithClock(func() time.Time { return c.span.Start })
		_, err := then.UpdateExport(t.Context(), c.export.TeamID, c.export.ID, func(e *batch.Export) error {
			e.Paused = false
			return nil
		})
		require.NoError(t, err)
	}
	for _, c := range all {
		t.Log(c.String())
		s.delivered(c.export.ID, c.want)
	}
}

// Backfilled: the same intervals.
func TestBackfilledIntervalsTileAcrossChangesOfTheClocks(t *testing.T) {
	t.Parallel()
	if time.Now().Before(changesAreOver) {
		t.Skip("the changes of 2026 are not over")
	}
	s := startStack(t, newEventMaker(31).within(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Hour, 3))
	for _, c := range clockCases(t) {
		calendar, span := c.around(t)
		e := s.since(span.Start, func(e *batch.Export) {
			e.Frequency, e.Timezone, e.OffsetHour, e.OffsetDay, e.Paused = c.frequency, c.zone, &c.hour, c.offsetDay(), true
		})
		date := func(at time.Time) string { return at.In(calendar.Location()).Format(time.DateOnly) }
		s.completed(e.ID, s.backfill(e.ID, date(span.Start), date(span.End)), workPatience)
		t.Log(c.String())
		s.delivered(e.ID, slices.Collect(calendar.Within(span.Start, span.End)))
	}
}

// The times at which Temporal's schedule fires in a whole year, together with what is left to the reconciler, are the
// boundaries of the calendar: it fires at no other time but those that the clocks repeat, and leaves out only boundaries
// on the days of the changes.
func TestTemporalsScheduleFiresAtTheCalendarsBoundaries(t *testing.T) {
	t.Parallel()
	s := startStack(t, nil)
	year := batch.Interval{Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, c := range clockCases(t) {
		e := s.since(time.Now().UTC(), func(e *batch.Export) {
			e.Frequency, e.Timezone, e.OffsetHour, e.OffsetDay, e.Paused = c.frequency, c.zone, &c.hour, c.offsetDay(), true
		})
		until(t, workPatience, "the schedule", func() bool { return s.schedule(e.ID) != nil })
		calendar, err := e.Calendar()
		require.NoError(t, err)
		answer, err := s.Temporal().WorkflowService().ListScheduleMatchingTimes(t.Context(), &workflowservice.ListScheduleMatchingTimesRequest{
			Namespace: client.DefaultNamespace, ScheduleId: e.ID.String(),
			StartTime: timestamppb.New(year.Start), EndTime: timestamppb.New(year.End),
		})
		require.NoError(t, err)
		fired := map[int64]bool{}
		for _, jittered := range answer.GetStartTime() {
			at := jittered.AsTime().Truncate(30 * time.Minute) // jitter is less, and every boundary is on a half hour
			if !calendar.Aligned(at) && calendar.Repeats(at) {
				continue // it means no interval
			}
			require.True(t, calendar.Aligned(at), "%s: it fires at %s", c, at)
			require.False(t, fired[at.Unix()], "%s: it fires twice for %s", c, at)
			fired[at.Unix()] = true
		}
		for i := range calendar.Within(year.Start, year.End.Add(-time.Hour)) {
			if !fired[i.End.Unix()] {
				date := i.End.In(calendar.Location()).Format(time.DateOnly)
				require.Contains(t, []string{changes[c.zone].forward, changes[c.zone].back}, date, "%s: it leaves out %s", c, i.End)
			}
		}
	}
}

// A day with a change is as long as the clocks make it.
func TestDaysWithAChangeAreShortOrLong(t *testing.T) {
	t.Parallel()
	for zone, c := range changes {
		noon := 12
		calendar, err := batch.NewCalendar(batch.Daily, zone, nil, &noon)
		require.NoError(t, err)
		for date, want := range map[string]time.Duration{c.forward: c.short, c.back: c.long} {
			on, err := time.ParseInLocation(time.DateOnly, date, calendar.Location())
			require.NoError(t, err)
			var lengths []time.Duration
			for i := range calendar.Within(on.AddDate(0, 0, -3), on.AddDate(0, 0, 3)) {
				if i.Duration() != 24*time.Hour {
					lengths = append(lengths, i.Duration())
				}
			}
			require.Equal(t, []time.Duration{want}, lengths, "%s around %s", zone, date)
		}
	}
}
