package api

import (
	"math"
	"time"

	"tranche/batch"
)

// A progressBody says how far a backfill is.
type progressBody struct {
	TotalRuns    int64   `json:"total_runs"`
	FinishedRuns int64   `json:"finished_runs"`
	Progress     float64 `json:"progress"` // 0..1, one decimal
}

// progressOf computes a backfill's progress, or nil when it has none to show.
func progressOf(b batch.Backfill, calendar *batch.Calendar, now time.Time) *progressBody {
	expected, known := expectedRuns(b, calendar, now)
	if b.Status == batch.BackfillCompleted {
		if !known {
			expected = b.Runs.Finished()
		}
		return &progressBody{TotalRuns: expected, FinishedRuns: expected, Progress: 1}
	}
	openStart := b.StartAt == nil && b.AdjustedStartAt == nil
	if b.Status.Final() || !known || expected == 0 || openStart {
		return nil
	}
	total := max(expected, b.Runs.Finished())
	return &progressBody{
		TotalRuns: total, FinishedRuns: b.Runs.Finished(),
		Progress: math.Round(10*float64(b.Runs.Finished())/float64(total)) / 10,
	}
}

// expectedRuns returns the number of runs that the backfill will have had; false = it cannot be known. What the
// backfill itself has counted comes first.
func expectedRuns(b batch.Backfill, calendar *batch.Calendar, now time.Time) (int64, bool) {
	start := b.StartAt
	if b.AdjustedStartAt != nil {
		start = b.AdjustedStartAt
	}
	switch {
	case b.TotalRuns != nil:
		return *b.TotalRuns, true
	case start == nil || b.Retry:
		return 1, true
	case b.TotalRecords != nil && *b.TotalRecords == 0:
		return 0, true
	}
	end := b.EndAt
	if end == nil {
		end = b.FinishedAt
	}
	if end == nil && b.Status == batch.BackfillRunning {
		end = &now
	}
	if end == nil || calendar == nil {
		return 0, false
	}
	return runsBetween(*calendar, *start, *end), true
}

// runsBetween counts the intervals that [start, end) begins; the last may be cut off.
func runsBetween(calendar batch.Calendar, start, end time.Time) int64 {
	if !start.Before(end) {
		return 0
	}
	if !calendar.Frequency().InLocalTime() {
		length := calendar.Frequency().Nominal()
		return int64((end.Sub(start) + length - 1) / length)
	}
	n := calendar.Count(start, end)
	if !calendar.Aligned(end) {
		n++
	}
	return n
}
