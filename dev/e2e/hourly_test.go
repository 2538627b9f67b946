package e2e

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hourly makes events of four days, a few each hour and none in some.
func hourly(m *eventMaker) (events []event, busy int) {
	for hour := range 96 {
		if hour%7 == 3 {
			continue
		}
		busy++
		events = append(events, m.within(epoch.Add(time.Duration(hour)*time.Hour), time.Hour, 2+m.random.IntN(30))...)
	}
	return events, busy
}

func TestAnHourlyExportDeliversFourDays(t *testing.T) {
	t.Parallel()
	m := newEventMaker(1)
	events, busy := hourly(m)
	end := epoch.Add(96 * time.Hour)
	// What must not be delivered: rows just outside, another team's, and rows whose uuid was there before.
	others := []event{m.at(epoch.Add(-time.Microsecond)), m.at(end), m.at(end.Add(time.Hour)), m.at(epoch.Add(time.Hour))}
	others[3].Team = 2
	again := slices.Clone(events[:5])
	for i := range again {
		again[i].Name, again[i].Properties = "a second copy", `{"second":true}`
	}
	indented := m.at(epoch.Add(50*time.Hour + time.Minute))
	indented.Properties, indented.PersonProperties, indented.PersonID = "{\n\t\"lines\": [\r\n1e400]\n}", "", ""

	dir := t.TempDir()
	dev := startDev(t, dir,
		"--load", writeJSONLines(t, "first.jsonl", append(slices.Clone(events[:len(events)/2]), events[0])),
		"--load", writeJSONLines(t, "second.jsonl.gz", slices.Concat(events[len(events)/2:], others, again)),
		"--load", writeCSV(t, "third.csv", []event{indented, events[1]}))
	events = append(events, indented)

	export := dev.create(fileExport("hourly", "hour", "events/{year}/{month}-{day}"))
	backfill := dev.backfill(export, epoch.Format(time.RFC3339), end.Format(time.RFC3339))
	b := dev.completed(export, backfill, workPatience)
	require.EqualValues(t, 96, b.Progress.Total)
	require.EqualValues(t, 96, b.Progress.Finished)
	require.InDelta(t, 1, b.Progress.Progress, 0)
	require.EqualValues(t, len(events), *b.Records)

	found := readDelivered(t, filepath.Join(dir, "exports"))
	require.Len(t, found.manifests, busy)
	require.Len(t, found.files, busy)
	found.requireEvents(t, events)
	requireRunsAgree(t, dev.runs(export), found, 96)
	requireLogs(t, dev.caller, at(export), dev.runs(export)[0])

	code, _ := dev.terminate()
	require.Zero(t, code, "%s", dev.stderr.String())
	require.Len(t, dev.stdout.lines(), 1, "nothing but the ready line on standard output")
}

// requireRunsAgree checks that each interval has one run, in order, and that it tells what its manifest tells.
func requireRunsAgree(t *testing.T, runs []apiRun, found delivered, hours int) {
	t.Helper()
	require.Len(t, runs, hours)
	for i, r := range runs {
		require.Equal(t, epoch.Add(time.Duration(i)*time.Hour), r.Start.UTC())
		require.Equal(t, epoch.Add(time.Duration(i+1)*time.Hour), r.End.UTC())
		require.Equal(t, "Completed", r.Status)
		require.Nil(t, r.LatestError)
		require.NotNil(t, r.FinishedAt)
		require.Equal(t, *r.Total, *r.Rows)
		require.Zero(t, *r.Failed)
		m, ok := found.manifestOf(r.End)
		require.Equal(t, *r.Rows > 0, ok)
		if !ok {
			require.Zero(t, *r.Bytes)
			continue
		}
		require.Equal(t, r.ID, m.Run)
		require.Equal(t, m.Rows, *r.Rows)
		require.Equal(t, m.Bytes, *r.Bytes)
		require.Equal(t, "events", m.Model)
		require.True(t, strings.HasPrefix(m.Files[0], "events/"+r.End.UTC().Format("2006/01-02")+"/"), m.Files[0])
	}
}

// requireLogs checks that export and run tell what happened.
func requireLogs(t *testing.T, c *caller, export string, r apiRun) {
	t.Helper()
	until(t, endPatience, "the lines of the export", func() bool {
		return slices.ContainsFunc(c.logs(export), func(l apiLog) bool { return strings.HasPrefix(l.Message, "Backfill ") })
	})
	lines := c.logs(export + "/runs/" + r.ID.String())
	require.True(t, slices.ContainsFunc(lines, func(l apiLog) bool { return strings.Contains(l.Message, "finished successfully") }), lines)
	for _, l := range lines {
		require.Equal(t, r.ID.String(), l.Instance)
		require.Equal(t, r.Export, l.Source)
	}
	status, _ := c.call(http.MethodGet, export+"/logs?level=ERROR", nil)
	require.Equal(t, http.StatusOK, status)
}
