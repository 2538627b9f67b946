package activities_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/activities"
	"tranche/batch"
)

// A starter notes which intervals it is asked to start.
type starter struct {
	activities.Executions
	started []batch.Interval
}

// StartInterval is the Executions'.
func (s *starter) StartInterval(_ context.Context, _ batch.Export, i batch.Interval) error {
	s.started = append(s.started, i)
	return nil
}

// at is a time of 2026-03-01, when the tests' export is created, at noon.
func at(clock string) time.Time {
	t, err := time.Parse(time.DateTime, "2026-03-01 "+clock)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

// A schedule fires at a nominal time; which interval that means is the calendar's to say that was in force then.
func TestWhatAScheduleMeansByItsNominalTime(t *testing.T) {
	t.Parallel()
	hour := func(end string) *batch.Interval { return &batch.Interval{Start: at(end).Add(-time.Hour), End: at(end)} }
	daily := batch.Interval{Start: at("15:00:00"), End: at("00:00:00").AddDate(0, 0, 1)}
	for name, c := range map[string]struct {
		change   bool // to daily, at 15:30
		nominal  time.Time
		revision int64
		want     *batch.Interval
		started  *batch.Interval
		skip     string
	}{
		"the end of an interval":                    {nominal: at("14:00:00"), want: hour("14:00:00")},
		"before there was a record":                 {nominal: at("11:00:00"), want: hour("11:00:00")},
		"triggered by hand":                         {nominal: at("14:20:07"), started: hour("14:00:00"), skip: "the last complete interval runs"},
		"of the old calendar, before the change":    {change: true, nominal: at("14:00:00"), revision: 1, want: hour("14:00:00")},
		"of the old calendar, its last one":         {change: true, nominal: at("15:00:00"), revision: 1, want: hour("15:00:00")},
		"of the old calendar, after the change":     {change: true, nominal: at("17:00:00"), revision: 1, skip: "not up to date"},
		"the first of the new calendar":             {change: true, nominal: daily.End, revision: 2, want: &daily},
		"triggered before the new calendar's first": {change: true, nominal: at("17:20:07"), revision: 2, started: hour("15:00:00"), skip: "the last complete interval runs"},
		"triggered after the new calendar's first":  {change: true, nominal: daily.End.Add(time.Second), revision: 2, started: &daily, skip: "the last complete interval runs"},
		"the second one of the new calendar":        {change: true, nominal: daily.End.AddDate(0, 0, 1), revision: 2, want: &batch.Interval{Start: daily.End, End: daily.End.AddDate(0, 0, 1)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			executions := &starter{}
			w.Executions = executions
			if c.change {
				now := at("15:30:00")
				_, err := w.db.WithClock(func() time.Time { return now }).UpdateExport(t.Context(), 1, w.export.ID, func(e *batch.Export) error {
					e.Frequency, e.FirstInterval = batch.Daily, &daily
					return nil
				})
				require.NoError(t, err)
			}
			begun := w.beginWith(t, activities.BeginInput{Nominal: &c.nominal, Revision: c.revision})
			require.Contains(t, begun.Skip, c.skip)
			require.Equal(t, c.skip == "", begun.Skip == "", "%s", begun.Skip)
			if c.want != nil {
				require.Equal(t, *c.want, begun.Interval)
			}
			if c.started == nil {
				require.Empty(t, executions.started)
			} else {
				require.Equal(t, []batch.Interval{*c.started}, executions.started)
			}
		})
	}
}

func TestALocalTimeThatTheClocksRepeatEndsOneInterval(t *testing.T) {
	t.Parallel()
	begin := func(nominal time.Time) activities.Begun { // an execution of its own
		w := newWorld(t)
		two, now := 2, at("12:00:01")
		_, err := w.db.WithClock(func() time.Time { return now }).UpdateExport(t.Context(), 1, w.export.ID, func(e *batch.Export) error {
			e.Frequency, e.Timezone, e.OffsetHour = batch.Daily, "Europe/Berlin", &two
			return nil
		})
		require.NoError(t, err)
		return w.beginWith(t, activities.BeginInput{Nominal: &nominal})
	}
	first := time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC) // 02:00 summer time, and an hour later 02:00 again
	require.Equal(t, batch.Interval{Start: first.AddDate(0, 0, -1), End: first}, begin(first).Interval)
	require.Contains(t, begin(first.Add(time.Hour)).Skip, "for the second time")
}

func TestADueIntervalThatWasDeliveredMeanwhileIsLeftAlone(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	w := p.process()
	w.deliver()
	due := activities.BeginInput{Start: &interval.Start, End: &interval.End, Due: true}
	require.Contains(t, w.beginWith(due).Skip, "delivered meanwhile")
	require.Empty(t, w.beginWith(activities.BeginInput{Start: &nextHour.Start, End: &nextHour.End, Due: true}).Skip)
}

func TestAnIntervalThatWasDeliveredRunsAgainUnlessItIsOnlyDue(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	w := p.process()
	w.deliver()
	require.Empty(t, w.beginWith(activities.BeginInput{Start: &interval.Start, End: &interval.End}).Skip)
}

// What an earlier try of Begin began has a row, which only its own workflow ends.
func TestABeginThatIsRepeatedFindsItsRunWhateverHappenedMeanwhile(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	w := p.process()
	b := p.startBackfill(1)
	in := activities.BeginInput{Start: &interval.Start, End: &interval.End, Due: true, BackfillID: &b.ID}
	begin := func() activities.Begun { return w.beginWith(in) }
	first := begin()
	require.Empty(t, first.Skip)
	w.deliver() // by an execution that somebody terminated while it committed
	require.Equal(t, first, begin())
	_, err := p.db.UpdateBackfill(t.Context(), b.ID, func(b *batch.Backfill) error { b.Status = batch.BackfillCancelled; return nil })
	require.NoError(t, err)
	require.Equal(t, first, begin())
	_, err = p.db.UpdateExport(t.Context(), p.export.TeamID, p.export.ID, func(e *batch.Export) error { e.Deleted = true; return nil })
	require.NoError(t, err)
	require.Equal(t, first, begin())
}

func TestARunThatAResetLeftBehindDoesNothingMore(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	w := p.process()
	id := p.begin()
	for _, activity := range []any{w.activities.Plan, w.activities.Recount, w.activities.Commit} {
		_, err := w.env.ExecuteActivity(activity, activities.RunInput{RunID: id, Generation: 1, Reset: true})
		require.ErrorContains(t, err, "the workflow was reset")
	}
	_, err := w.env.ExecuteActivity(w.activities.Stage, activities.StageInput{RunID: id, Generation: 1, Splits: 1, Reset: true})
	require.ErrorContains(t, err, "the workflow was reset")
	require.Equal(t, batch.RunTerminated, w.finish(activities.FinishInput{RunID: id, Status: batch.RunCompleted, Reset: true}).Status)

	done := w.deliver()
	require.Equal(t, batch.RunCompleted, w.finish(activities.FinishInput{RunID: done, Status: batch.RunFailed, Reset: true}).Status,
		"what the old execution delivered stays so")
}

func TestAFailedRunIsAReasonToAskWhetherItsExportKeepsFailing(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	w := p.process()
	asked := &failing{}
	w.activities.Failing = asked
	for status, want := range map[batch.RunStatus]int32{batch.RunFailed: 1, batch.RunCancelled: 0} {
		asked.asked.Store(0)
		id := p.begin()
		w.finish(activities.FinishInput{RunID: id, Status: status, Code: batch.CodeConfig, Message: "x"})
		require.Equal(t, want, asked.asked.Load(), "%s", status)
		w.finish(activities.FinishInput{RunID: id, Status: status, Code: batch.CodeConfig, Message: "x"})
		require.Equal(t, want, asked.asked.Load(), "%s, a repeat", status)
	}
}

// beginWith begins a run of the world's export.
func (w *world) beginWith(t *testing.T, in activities.BeginInput) activities.Begun {
	t.Helper()
	in.BatchExportID = w.export.ID
	value, err := w.env.ExecuteActivity(w.Begin, in)
	require.NoError(t, err)
	var begun activities.Begun
	require.NoError(t, value.Get(&begun))
	return begun
}

func (w *process) beginWith(in activities.BeginInput) activities.Begun {
	w.Helper()
	in.BatchExportID = w.export.ID
	value, err := w.env.ExecuteActivity(w.activities.Begin, in)
	require.NoError(w, err)
	var begun activities.Begun
	require.NoError(w, value.Get(&begun))
	return begun
}
