package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
)

// An apiCoverage is a page of coverage as the API shows it.
type apiCoverage struct {
	Counts  map[string]int
	Next    *string
	Results []struct {
		Start       time.Time `json:"data_interval_start"`
		Status      string
		Records     *int64
		DeliveredBy *uuid.UUID `json:"delivered_by"`
		Runs        []apiRun
	}
}

// An apiFilled is what a request to fill gaps started.
type apiFilled struct {
	Intervals int
	Backfills []struct {
		ID        uuid.UUID `json:"backfill_id"`
		Intervals int
	}
}

func (c *caller) coverage(export uuid.UUID, start, end time.Time) apiCoverage {
	c.t.Helper()
	var page apiCoverage
	c.do(http.MethodGet, fmt.Sprintf("%s/coverage?start=%s&end=%s", at(export), start.Format(time.RFC3339), end.Format(time.RFC3339)), nil, &page)
	return page
}

func (c *caller) fill(export uuid.UUID, start, end time.Time) apiFilled {
	c.t.Helper()
	var filled apiFilled
	c.do(http.MethodPost, at(export)+"/coverage/fill", map[string]any{"start": start.Format(time.RFC3339), "end": end.Format(time.RFC3339)}, &filled)
	return filled
}

func TestCoverageFindsTheGapsAndFillsExactlyThem(t *testing.T) {
	t.Parallel()
	events := newEventMaker(31).within(epoch, 2*time.Hour, 40)
	events = append(events, newEventMaker(32).within(epoch.Add(3*time.Hour), 9*time.Hour, 400)...) // none in the third hour
	s := startStack(t, events)
	export := s.create(fileExport("covered", "hour", "covered"))
	whole := batch.Interval{Start: epoch, End: epoch.Add(12 * time.Hour)}
	hour := func(n int) string { return epoch.Add(time.Duration(n) * time.Hour).Format(time.RFC3339) }

	// Two stretches are delivered, one of them with an hour that fails: a terminated workflow.
	s.completed(export, s.backfill(export, hour(0), hour(4)), workPatience)
	s.completed(export, s.backfill(export, hour(8), hour(10)), workPatience)
	before := s.runs(export)
	got := s.coverage(export, whole.Start, whole.End)
	require.Nil(t, got.Next)
	require.Equal(t, map[string]int{"delivered": 5, "empty": 1, "missing": 6, "failed": 0, "running": 0, "paused": 0}, got.Counts)
	require.Len(t, got.Results, 12)
	for n, entry := range got.Results {
		require.True(t, entry.Start.Equal(epoch.Add(time.Duration(n)*time.Hour)))
		if entry.Status == "missing" {
			require.Empty(t, entry.Runs)
			continue
		}
		require.Len(t, entry.Runs, 1)
		require.Equal(t, entry.Runs[0].ID, *entry.DeliveredBy)
		require.Equal(t, *entry.Runs[0].Rows, *entry.Records)
	}

	filled := s.fill(export, whole.Start, whole.End)
	require.Equal(t, 6, filled.Intervals)
	require.Len(t, filled.Backfills, 2)
	for _, b := range filled.Backfills {
		s.completed(export, b.ID, workPatience)
	}
	got = s.coverage(export, whole.Start, whole.End)
	require.Equal(t, map[string]int{"delivered": 11, "empty": 1, "missing": 0, "failed": 0, "running": 0, "paused": 0}, got.Counts)
	runs := s.runs(export)
	require.Len(t, runs, len(before)+6, "what was delivered is not run again")
	readDelivered(t, s.ExportsDir()).requireEvents(t, events)

	require.Empty(t, s.fill(export, whole.Start, whole.End).Backfills)
	require.Len(t, s.runs(export), len(runs))
}

func TestCoverageFollowsWhatRunsDo(t *testing.T) {
	t.Parallel()
	s := startStack(t, newEventMaker(33).within(epoch, 2*time.Hour, 40))
	export := s.create(gatedExport("followed"))
	whole := batch.Interval{Start: epoch, End: epoch.Add(2 * time.Hour)}
	s.backfill(export, epoch.Format(time.RFC3339), whole.End.Format(time.RFC3339))
	s.atGate(2)
	require.Equal(t, 2, s.coverage(export, whole.Start, whole.End).Counts["running"])
	require.Empty(t, s.fill(export, whole.Start, whole.End).Backfills, "what is under way is left alone")

	id := batch.WorkflowID(export, epoch.Add(time.Hour))
	require.NoError(t, s.Temporal().TerminateWorkflow(t.Context(), id, "", "an operator's doing"))
	until(t, workPatience, "the failure to be known", func() bool {
		return s.coverage(export, whole.Start, whole.End).Counts["failed"] == 1
	})
	s.gate.open()
	until(t, workPatience, "the other hour", func() bool {
		return s.coverage(export, whole.Start, whole.End).Counts["delivered"] == 1
	})
	filled := s.fill(export, whole.Start, whole.End)
	require.Len(t, filled.Backfills, 1)
	s.completed(export, filled.Backfills[0].ID, workPatience)
	require.Equal(t, 2, s.coverage(export, whole.Start, whole.End).Counts["delivered"])
}
