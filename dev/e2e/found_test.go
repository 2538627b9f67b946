package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"tranche/batch"
)

// Temporal's list is filtered by what a run is of, whoever began it, and its schedules by what their exports are.
func TestTemporalsListIsFilteredByWhatARunIs(t *testing.T) {
	t.Parallel()
	s := startStackWith(t, newEventMaker(61).within(epoch, 4*time.Hour, 40), unhurried)
	end := time.Now().UTC().Truncate(time.Hour).Add(-24 * time.Hour)
	reconciled := s.since(end.Add(-time.Hour), func(e *batch.Export) { e.EndAt = &end })
	backfilled, scheduled := s.create(fileExport("backfilled", "hour", "backfilled")), s.create(fileExport("scheduled", "hour", "scheduled"))
	backfill := s.backfill(backfilled, epoch.Format(time.RFC3339), epoch.Add(2*time.Hour).Format(time.RFC3339))
	require.NoError(t, s.handle(scheduled).Backfill(t.Context(), client.ScheduleBackfillOptions{Backfill: []client.ScheduleBackfill{
		{Start: epoch.Add(time.Minute), End: epoch.Add(90 * time.Minute)},
	}}))
	s.completed(backfilled, backfill, workPatience)
	retried := s.runs(backfilled)[0]
	var made struct {
		ID uuid.UUID `json:"backfill_id"`
	}
	s.do(http.MethodPost, at(backfilled)+"/runs/"+retried.ID.String()+"/retry", nil, &made)
	s.completed(backfilled, made.ID, workPatience)

	const whose = "TrancheTeam = 1 AND TrancheDestination = 'File' AND TrancheModel = 'events'"
	ending := func(at time.Time) string {
		return fmt.Sprintf("TrancheIntervalEnd >= '%s' AND TrancheIntervalEnd < '%s'", at.UTC().Format(time.RFC3339), at.UTC().Add(time.Second).Format(time.RFC3339))
	}
	for name, c := range map[string]struct {
		query string
		want  int
	}{
		"begun by the reconciler":      {fmt.Sprintf("TrancheBatchExport = '%s' AND %s", reconciled.ID, ending(end)), 1},
		"begun by the schedule":        {fmt.Sprintf("TrancheBatchExport = '%s' AND %s", scheduled, ending(epoch.Add(time.Hour))), 1},
		"begun by a backfill or retry": {fmt.Sprintf("TrancheBatchExport = '%s' AND %s", backfilled, ending(retried.End)), 2},
		"of a backfill":                {fmt.Sprintf("TrancheBackfill = '%s' AND WorkflowType = 'ExportInterval'", backfill), 2},
		"of a retry":                   {fmt.Sprintf("TrancheBackfill = '%s' AND WorkflowType = 'ExportInterval' AND %s", made.ID, ending(retried.End)), 1},
		"the backfill itself":          {fmt.Sprintf("TrancheBackfill = '%s' AND WorkflowType = 'Backfill'", backfill), 1},
		"by its id":                    {fmt.Sprintf("TrancheRun = '%s'", retried.ID), 1},
		"of another team":              {fmt.Sprintf("TrancheBatchExport = '%s' AND TrancheTeam = 2", backfilled), 0},
		"to another destination":       {fmt.Sprintf("TrancheBatchExport = '%s' AND TrancheDestination = 'S3'", backfilled), 0},
		"of another model":             {fmt.Sprintf("TrancheBatchExport = '%s' AND TrancheModel = 'persons'", backfilled), 0},
	} {
		query := c.query
		if c.want > 0 {
			query += " AND " + whose
		}
		if c.want == 0 {
			require.Empty(t, s.executions(query), name)
			continue
		}
		var found []string
		until(t, workPatience, name, func() bool {
			found = nil
			for _, e := range s.executions(query) {
				found = append(found, fmt.Sprint(e.GetType().GetName(), e.GetExecution(), e.GetStatus()))
			}
			t.Log(name, found)
			return len(found) == c.want
		})
	}

	list, err := s.Temporal().ScheduleClient().List(t.Context(), client.ScheduleListOptions{
		Query: fmt.Sprintf("TrancheBatchExport = '%s' AND %s", scheduled, whose),
	})
	require.NoError(t, err)
	require.True(t, list.HasNext())
	found, err := list.Next()
	require.NoError(t, err)
	require.Equal(t, scheduled.String(), found.ID)
	require.False(t, list.HasNext())
}
