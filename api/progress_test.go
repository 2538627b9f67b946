package api

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"tranche/batch"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	var (
		start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		end   = start.Add(10 * time.Hour)
		now   = start.Add(20 * time.Hour)
		n     = func(i int64) *int64 { return &i }
	)
	hourly, err := batch.NewCalendar(batch.Hourly, "UTC", nil, nil)
	require.NoError(t, err)
	daily, err := batch.NewCalendar(batch.Daily, "Europe/Berlin", nil, nil)
	require.NoError(t, err)
	springForward := daily.At(2026, 3, 28)
	tests := map[string]struct {
		backfill batch.Backfill
		calendar *batch.Calendar
		want     *progressBody
	}{
		"3 of 10": {
			batch.Backfill{Status: batch.BackfillRunning, StartAt: &start, EndAt: &end, Runs: batch.Tally{Completed: 3}},
			&hourly,
			&progressBody{10, 3, 0.3},
		},
		"rounded to one decimal": {
			batch.Backfill{Status: batch.BackfillRunning, StartAt: &start, EndAt: &end, TotalRuns: n(3), Runs: batch.Tally{Completed: 2}},
			&hourly,
			&progressBody{3, 2, 0.7},
		},
		"none finished": {
			batch.Backfill{Status: batch.BackfillStarting, StartAt: &start, EndAt: &end}, &hourly, &progressBody{10, 0, 0},
		},
		"more finished than expected": {
			batch.Backfill{Status: batch.BackfillRunning, StartAt: &start, EndAt: &end, Runs: batch.Tally{Completed: 12}},
			&hourly,
			&progressBody{12, 12, 1},
		},
		"a part of an interval counts": {
			batch.Backfill{Status: batch.BackfillRunning, StartAt: &start, EndAt: new(end.Add(time.Minute))},
			&hourly,
			&progressBody{11, 0, 0},
		},
		"days when the clocks change": {
			batch.Backfill{Status: batch.BackfillRunning, StartAt: &springForward, EndAt: new(daily.At(2026, 3, 30)), Runs: batch.Tally{Completed: 1}},
			&daily,
			&progressBody{2, 1, 0.5},
		},
		"what the backfill counted comes first": {
			batch.Backfill{Status: batch.BackfillRunning, StartAt: &start, EndAt: &end, TotalRuns: n(4), Runs: batch.Tally{Completed: 1}},
			&hourly,
			&progressBody{4, 1, 0.3},
		},
		"the adjusted start counts": {
			batch.Backfill{Status: batch.BackfillRunning, StartAt: &start, AdjustedStartAt: new(start.Add(5 * time.Hour)), EndAt: &end, Runs: batch.Tally{Completed: 1}},
			&hourly, &progressBody{5, 1, 0.2},
		},
		"from the beginning with an adjusted start": {
			batch.Backfill{Status: batch.BackfillRunning, AdjustedStartAt: &start, EndAt: &end, Runs: batch.Tally{Completed: 5}}, &hourly, &progressBody{10, 5, 0.5},
		},
		"from the beginning without one": {
			batch.Backfill{Status: batch.BackfillRunning, EndAt: &end, Runs: batch.Tally{Completed: 5}}, &hourly, nil,
		},
		"completed": {
			batch.Backfill{Status: batch.BackfillCompleted, StartAt: &start, EndAt: &end, Runs: batch.Tally{Completed: 9}}, &hourly, &progressBody{10, 10, 1},
		},
		"completed and the export is gone": {
			batch.Backfill{Status: batch.BackfillCompleted, StartAt: &start, EndAt: &end, Runs: batch.Tally{Completed: 9}}, nil, &progressBody{9, 9, 1},
		},
		"running and the export is gone": {
			batch.Backfill{Status: batch.BackfillRunning, StartAt: &start, EndAt: &end, Runs: batch.Tally{Completed: 9}}, nil, nil,
		},
		"failed":    {batch.Backfill{Status: batch.BackfillFailed, StartAt: &start, EndAt: &end, Runs: batch.Tally{Completed: 9}}, &hourly, nil},
		"cancelled": {batch.Backfill{Status: batch.BackfillCancelled, StartAt: &start, EndAt: &end, Runs: batch.Tally{Completed: 9}}, &hourly, nil},
		"there are no rows": {
			batch.Backfill{Status: batch.BackfillRunning, StartAt: &start, EndAt: &end, TotalRecords: n(0)}, &hourly, nil,
		},
		"without end, running: up to now": {
			batch.Backfill{Status: batch.BackfillRunning, StartAt: &start, Runs: batch.Tally{Completed: 10}}, &hourly, &progressBody{20, 10, 0.5},
		},
		"without end, starting": {batch.Backfill{Status: batch.BackfillStarting, StartAt: &start}, &hourly, nil},
		"a retry is one run, whatever the calendar": {
			batch.Backfill{Status: batch.BackfillRunning, Retry: true, StartAt: &start, EndAt: &end}, &hourly, &progressBody{1, 0, 0},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, progressOf(tt.backfill, tt.calendar, now))
		})
	}
}

func TestProgressIsNeverBeyondItsBounds(t *testing.T) {
	t.Parallel()
	hourly, err := batch.NewCalendar(batch.Hourly, "UTC", nil, nil)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		at := func(label string) *time.Time {
			at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, label), 0).UTC()
			return rapid.SampledFrom([]*time.Time{nil, &at}).Draw(t, label+" or none")
		}
		b := batch.Backfill{
			Status:  rapid.SampledFrom([]batch.BackfillStatus{batch.BackfillRunning, batch.BackfillStarting, batch.BackfillCompleted}).Draw(t, "status"),
			StartAt: at("start"), EndAt: at("end"), AdjustedStartAt: at("adjusted"), FinishedAt: at("finished"),
			Runs: batch.Tally{Completed: rapid.Int64Range(0, 1e6).Draw(t, "finished runs")},
		}
		p := progressOf(b, &hourly, time.Unix(4e9, 0))
		if p == nil {
			return
		}
		require.LessOrEqual(t, p.FinishedRuns, p.TotalRuns)
		require.GreaterOrEqual(t, p.Progress, 0.0)
		require.LessOrEqual(t, p.Progress, 1.0)
	})
}
