package e2e

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const ninetyDays = 90

// daily makes events for ninety days.
func daily(m *eventMaker) []event {
	var events []event
	for day := range ninetyDays {
		events = append(events, m.within(epoch.AddDate(0, 0, day), 24*time.Hour, 20+m.random.IntN(20))...)
	}
	return events
}

// backfillDays asks for all ninety days.
func (c *caller) backfillDays(export uuid.UUID) uuid.UUID {
	c.t.Helper()
	return c.backfill(export, epoch.Format(time.DateOnly), epoch.AddDate(0, 0, ninetyDays).Format(time.DateOnly))
}

// progress waits until so many runs are completed, and makes sure that not all of them are.
func (c *caller) progress(export uuid.UUID, runs int) {
	c.t.Helper()
	until(c.t, workPatience, "runs to be completed", func() bool {
		n := c.finished(export)
		require.Less(c.t, n, ninetyDays, "the backfill is over: there is nothing to interrupt")
		return n >= runs
	})
}

// requireAllDays checks that every day was delivered once, and that nothing is left of the work.
func requireAllDays(t *testing.T, c *caller, export uuid.UUID, dir string, events []event) {
	t.Helper()
	found := readDelivered(t, filepath.Join(dir, "exports"))
	require.Len(t, found.manifests, ninetyDays)
	found.requireEvents(t, events)
	runs := c.runs(export)
	require.Len(t, runs, ninetyDays, "a restart goes on with the runs that there are")
	var rows int64
	for _, r := range runs {
		require.Equal(t, "Completed", r.Status)
		m, ok := found.manifestOf(r.End)
		require.True(t, ok)
		require.Equal(t, r.ID, m.Run)
		require.Equal(t, m.Rows, *r.Rows)
		require.Equal(t, m.Bytes, *r.Bytes)
		rows += *r.Rows
	}
	require.EqualValues(t, len(events), rows)
	swept(t, filepath.Join(dir, "exports"))
}

func TestABackfillSurvivesThreeKills(t *testing.T) {
	t.Parallel()
	events, dir := daily(newEventMaker(2)), t.TempDir()
	dev := startDev(t, dir, "--load", writeJSONLines(t, "days.jsonl", events))
	export := dev.create(fileExport("daily", "day", "days"))
	backfill := dev.backfillDays(export)
	for _, runs := range []int{5, 25, 50} {
		dev.progress(export, runs)
		dev.Kill()
		dev = startDev(t, dir)
	}
	const promised = 2 * time.Minute
	b := dev.completed(export, backfill, promised)
	require.EqualValues(t, len(events), *b.Records)
	requireAllDays(t, dev.caller, export, dir, events)
}

func TestATerminatedServerStopsSoonAndGoesOnLater(t *testing.T) {
	t.Parallel()
	events, dir := daily(newEventMaker(3)), t.TempDir()
	dev := startDev(t, dir, "--load", writeJSONLines(t, "days.jsonl", events))
	export := dev.create(fileExport("daily", "day", "days"))
	backfill := dev.backfillDays(export)
	dev.progress(export, 10)
	code, took := dev.terminate()
	require.Zero(t, code)
	require.Less(t, took, 10*time.Second)
	require.Len(t, dev.stdout.lines(), 1)

	dev = startDev(t, dir)
	require.Equal(t, "Running", dev.getBackfill(export, backfill).Status)
	dev.completed(export, backfill, workPatience)
	requireAllDays(t, dev.caller, export, dir, events)
}

func TestARetryChangesNothingThatAReaderSees(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), newEventMaker(4)
	events := m.within(epoch, 3*time.Hour, 60)
	dev := startDev(t, dir, "--load", writeJSONLines(t, "hours.jsonl", events))
	export := dev.create(fileExport("hourly", "hour", ""))
	dev.completed(export, dev.backfill(export, epoch.Format(time.RFC3339), epoch.Add(3*time.Hour).Format(time.RFC3339)), workPatience)
	before, runs := readDelivered(t, filepath.Join(dir, "exports")), dev.runs(export)
	require.Len(t, runs, 3)

	retried := runs[1]
	var made struct {
		ID uuid.UUID `json:"backfill_id"`
	}
	dev.do(http.MethodPost, at(export)+"/runs/"+retried.ID.String()+"/retry", nil, &made)
	dev.completed(export, made.ID, workPatience)

	after := readDelivered(t, filepath.Join(dir, "exports"))
	require.Equal(t, before.files, after.files, "the same keys with the same bytes")
	require.Len(t, after.manifests, 3)
	for _, old := range before.manifests {
		renewed, ok := after.manifestOf(old.End)
		require.True(t, ok)
		if old.End.Equal(retried.End) {
			require.Equal(t, retried.ID, old.Run)
			newest := newestOf(dev.runs(export), made.ID)
			require.Equal(t, newest.ID, renewed.Run)
			require.Equal(t, *retried.Rows, *newest.Rows)
			renewed.Run, renewed.text = old.Run, old.text
		}
		require.Equal(t, old, renewed)
	}
	var again apiRun
	dev.do(http.MethodGet, at(export)+"/runs/"+retried.ID.String(), nil, &again)
	require.Equal(t, retried, again, "the first run stays as it was")
	swept(t, filepath.Join(dir, "exports"))
}

// newestOf returns the only run of a backfill.
func newestOf(runs []apiRun, backfill uuid.UUID) apiRun {
	for _, r := range runs {
		if r.Backfill != nil && *r.Backfill == backfill {
			return r
		}
	}
	return apiRun{}
}
