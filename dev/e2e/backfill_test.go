package e2e

import (
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"tranche/batch"
)

// A steered is what the API shows of a backfill beyond its status.
type steered struct {
	apiBackfill
	Order  string
	Paused bool
	Error  *string `json:"latest_error"`
	Runs   struct {
		Total                                 *int64
		Running, Completed, Failed, Cancelled int64
	}
	Rows  int64 `json:"records_completed"`
	Bytes int64 `json:"bytes_exported"`
}

func (c *caller) getSteered(export, id uuid.UUID) (b steered) {
	c.t.Helper()
	c.do(http.MethodGet, at(export)+"/backfills/"+id.String(), nil, &b)
	return b
}

// backfillWith asks for a backfill with options.
func (c *caller) backfillWith(export uuid.UUID, start, end string, options map[string]any) uuid.UUID {
	c.t.Helper()
	var made struct {
		ID uuid.UUID `json:"backfill_id"`
	}
	body := map[string]any{"start_at": start, "end_at": end}
	maps.Copy(body, options)
	c.do(http.MethodPost, at(export)+"/backfills", body, &made)
	return made.ID
}

func hourAt(n int) string { return epoch.Add(time.Duration(n) * time.Hour).Format(time.RFC3339) }

// heard waits until the workflow of a backfill knows so often how it is steered.
func (s *inProcess) heard(export, id uuid.UUID, times int) {
	s.t.Helper()
	until(s.t, workPatience, "the workflow to hear", func() bool {
		scheduled, done := map[int64]bool{}, 0
		events := s.Temporal().GetWorkflowHistory(s.t.Context(), batch.BackfillWorkflowID(export, id), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			e, err := events.Next()
			require.NoError(s.t, err)
			if e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName() == "SteerBackfill" {
				scheduled[e.GetEventId()] = true
			}
			if scheduled[e.GetActivityTaskCompletedEventAttributes().GetScheduledEventId()] {
				done++
			}
		}
		return done >= times
	})
}

func TestABackfillIsPlannedPausedAndResumed(t *testing.T) {
	t.Parallel()
	m := newEventMaker(31)
	s := startStack(t, m.within(epoch, 8*time.Hour, 80))
	export := s.create(gatedExport("steered"))
	options := map[string]any{"order": "newest", "concurrency": 2}

	var preview struct {
		Intervals int64
		Rows      *int64 `json:"total_records_count"`
		Bytes     *int64 `json:"estimated_bytes"`
	}
	body := map[string]any{"start_at": hourAt(0), "end_at": hourAt(8), "dry_run": true}
	s.do(http.MethodPost, at(export)+"/backfills", body, &preview)
	require.EqualValues(t, 8, preview.Intervals)
	require.EqualValues(t, 80, *preview.Rows)
	require.Nil(t, preview.Bytes, "nothing was delivered to judge by")
	require.Empty(t, pages[apiBackfill](s.caller, at(export)+"/backfills"))
	require.Empty(t, s.openExecutions(export))

	id := s.backfillWith(export, hourAt(0), hourAt(8), options)
	s.atGate(2)
	b := s.getSteered(export, id)
	require.EqualValues(t, 2, b.Runs.Running)
	s.do(http.MethodPost, at(export)+"/backfills/"+id.String()+"/pause", nil, nil)
	s.heard(export, id, 1)
	s.gate.open()
	until(t, workPatience, "the runs under way to end", func() bool { return s.getSteered(export, id).Runs.Completed == 2 })
	b = s.getSteered(export, id)
	require.Equal(t, "Running", b.Status)
	require.True(t, b.Paused)
	require.Zero(t, b.Runs.Running)
	require.EqualValues(t, 8, *b.Runs.Total)
	require.EqualValues(t, 2, b.Progress.Finished)
	require.Positive(t, b.Rows)
	require.Positive(t, b.Bytes)
	runs := s.runs(export)
	require.Len(t, runs, 2)
	require.Equal(t, []time.Time{epoch.Add(6 * time.Hour), epoch.Add(7 * time.Hour)}, []time.Time{runs[0].Start.UTC(), runs[1].Start.UTC()}, "the newest first")

	s.do(http.MethodPost, at(export)+"/backfills/"+id.String()+"/resume", nil, nil)
	s.completed(export, id, workPatience)
	b = s.getSteered(export, id)
	require.False(t, b.Paused)
	require.EqualValues(t, 8, b.Runs.Completed)
	require.EqualValues(t, 80, b.Rows)

	s.do(http.MethodPost, at(export)+"/backfills", body, &preview)
	require.Equal(t, b.Bytes, *preview.Bytes, "as many bytes as the same rows were before")
}

func TestAPausedBackfillIsCancelled(t *testing.T) {
	t.Parallel()
	m := newEventMaker(32)
	s := startStack(t, m.within(epoch, 8*time.Hour, 80))
	for name, cancel := range map[string]func(export, id uuid.UUID){
		"by the API": func(export, id uuid.UUID) {
			s.do(http.MethodPost, at(export)+"/backfills/"+id.String()+"/cancel", nil, nil)
		},
		"in Temporal's Web UI": func(export, id uuid.UUID) {
			require.NoError(t, s.Temporal().CancelWorkflow(t.Context(), batch.BackfillWorkflowID(export, id), ""))
		},
	} {
		export := s.create(gatedExport(name))
		id := s.backfillWith(export, hourAt(0), hourAt(8), map[string]any{"concurrency": 2})
		s.atGate(2)
		s.do(http.MethodPost, at(export)+"/backfills/"+id.String()+"/pause", nil, nil)
		s.heard(export, id, 1)
		cancel(export, id)
		until(t, workPatience, "the end of the backfill "+name, func() bool { return s.getSteered(export, id).over() })
		until(t, workPatience, "the end of its executions", func() bool { return len(s.openExecutions(export)) == 0 })
		b := s.getSteered(export, id)
		require.Equal(t, "Cancelled", b.Status, name)
		require.EqualValues(t, 2, b.Runs.Cancelled, name)
		require.Len(t, s.runs(export), 2, name)
		s.refused(http.StatusBadRequest, http.MethodPost, at(export)+"/backfills/"+id.String()+"/resume", nil)
	}
	swept(t, s.ExportsDir())
	require.Empty(t, readDelivered(t, s.ExportsDir()).files)
}

func TestAPausedBackfillSurvivesAKill(t *testing.T) {
	t.Parallel()
	const intervals = 240 // more than an execution of its workflow runs
	dir, m := t.TempDir(), newEventMaker(33)
	events := m.within(epoch, intervals*5*time.Minute, 500)
	dev := startDev(t, dir, "--load", writeJSONLines(t, "events.jsonl", events))
	export := dev.create(fileExport("paused", "every 5 minutes", "out"))
	id := dev.backfillWith(export, hourAt(0), hourAt(20), map[string]any{"concurrency": 6})
	path := at(export) + "/backfills/" + id.String()
	dev.progress(export, 20)
	dev.do(http.MethodPost, path+"/pause", nil, nil)
	dev.Kill()

	dev = startDev(t, dir)
	until(t, workPatience, "the runs under way to end", func() bool { return dev.getSteered(export, id).Runs.Running == 0 })
	b := dev.getSteered(export, id)
	require.True(t, b.Paused)
	require.Equal(t, "Running", b.Status)
	require.Less(t, b.Runs.Completed, int64(intervals))
	dev.do(http.MethodPost, path+"/resume", nil, nil)
	done := dev.completed(export, id, 2*workPatience)
	require.EqualValues(t, len(events), *done.Records)
	readDelivered(t, filepath.Join(dir, "exports")).requireEvents(t, events)
	require.Len(t, dev.runs(export), intervals)
}

func TestDeliveriesOfAnotherLengthAreReplacedOnlyOnRequest(t *testing.T) {
	t.Parallel()
	m := newEventMaker(34)
	events := m.within(epoch, 48*time.Hour, 200)
	s := startStack(t, events)
	export := s.create(fileExport("lengths", "hour", "out"))
	all := func() delivered { return readDelivered(t, s.ExportsDir()) }
	days := []string{epoch.Format(time.DateOnly), epoch.AddDate(0, 0, 2).Format(time.DateOnly)}
	s.completed(export, s.backfillWith(export, hourAt(0), hourAt(48), map[string]any{"concurrency": 8}), workPatience)
	all().requireEvents(t, events)
	hours := len(all().files)

	s.do(http.MethodPatch, at(export), map[string]any{"interval": "day"}, nil)
	refused := s.refused(http.StatusConflict, http.MethodPost, at(export)+"/backfills", map[string]any{"start_at": days[0], "end_at": days[1]})
	require.Equal(t, "overlapping_deliveries", refused.Code)
	require.Len(t, all().files, hours)
	skipped := s.backfillWith(export, days[0], days[1], map[string]any{"skip_delivered": true})
	s.completed(export, skipped, workPatience)
	require.Len(t, all().files, hours, "all of both days is delivered, hour by hour")
	require.Zero(t, s.getSteered(export, skipped).Runs.Completed)

	s.completed(export, s.backfillWith(export, days[0], days[1], map[string]any{"replace": true}), workPatience)
	require.Len(t, all().files, 2)
	all().requireEvents(t, events)

	// All from the beginning, in place of the days; and hours again in place of that.
	var made struct {
		ID uuid.UUID `json:"backfill_id"`
	}
	s.do(http.MethodPost, at(export)+"/backfills", map[string]any{"end_at": days[1], "replace": true}, &made)
	s.completed(export, made.ID, workPatience)
	require.Len(t, all().files, 1)
	all().requireEvents(t, events)
	s.do(http.MethodPatch, at(export), map[string]any{"interval": "hour"}, nil)
	s.refused(http.StatusConflict, http.MethodPost, at(export)+"/backfills", map[string]any{"start_at": hourAt(0), "end_at": hourAt(48)})
	s.completed(export, s.backfillWith(export, hourAt(0), hourAt(48), map[string]any{"concurrency": 8, "replace": true}), workPatience)
	require.Len(t, all().files, hours)
	all().requireEvents(t, events)
	swept(t, s.ExportsDir())

	// A retry of a run whose interval others have taken over is refused; one that is still its own is not.
	runs := s.runs(export)
	old := slices.IndexFunc(runs, func(r apiRun) bool { return r.Start != nil && r.End.Sub(*r.Start) == 24*time.Hour })
	s.refused(http.StatusConflict, http.MethodPost, at(export)+"/runs/"+runs[old].ID.String()+"/retry", nil)
	own := slices.IndexFunc(runs, func(r apiRun) bool { return r.Start != nil && r.End.Sub(*r.Start) == time.Hour })
	s.do(http.MethodPost, at(export)+"/runs/"+runs[own].ID.String()+"/retry", nil, &made)
	s.completed(export, made.ID, workPatience)
	all().requireEvents(t, events)
}

func TestARetryOfARunThatFailedAndTheLimitOfBackfills(t *testing.T) {
	t.Parallel()
	m := newEventMaker(35)
	s := startStack(t, m.within(epoch, time.Hour, 10))
	export := s.create(gatedExport("retried"))
	first := s.backfillWith(export, hourAt(0), hourAt(1), nil)
	s.atGate(1)
	s.do(http.MethodPost, at(export)+"/backfills/"+first.String()+"/cancel", nil, nil)
	until(t, workPatience, "the end of its executions", func() bool { return len(s.openExecutions(export)) == 0 })
	run := s.runs(export)[0]
	require.Equal(t, "Cancelled", run.Status)

	for n := range 5 { // as many backfills as a team may have at once
		s.backfillWith(export, hourAt(10*n+10), hourAt(10*n+11), nil)
	}
	var made struct {
		ID uuid.UUID `json:"backfill_id"`
	}
	s.do(http.MethodPost, at(export)+"/runs/"+run.ID.String()+"/retry", nil, &made)
	s.atGate(1)
	s.refused(http.StatusConflict, http.MethodPost, at(export)+"/runs/"+run.ID.String()+"/retry", nil)
	s.gate.open()
	s.completed(export, made.ID, workPatience)
	require.EqualValues(t, 10, s.getSteered(export, made.ID).Rows)
}
