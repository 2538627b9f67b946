package e2e

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/file"
	"tranche/destinations/objects"
	"tranche/query"
)

// closedPlugin is a destination that lets nobody in.
func closedPlugin() destinations.Plugin {
	return destinations.Define(destinations.Definition[file.Config]{
		Type: "Closed", Name: "closed", Guarantee: destinations.AtomicObjects,
		Columns: func(_ file.Config, m query.Model) ([]query.Column, error) { return objects.Columns(m) },
		Open: func(context.Context, file.Config) (destinations.Destination, error) {
			return nil, batch.Errorf(batch.CodePermission, nil, "nobody is let in")
		},
	})
}

// TestEveryLineAboutAnExportSaysWhoseItIs lets a run fail whose activities Temporal hands to the worker in both of its
// ways: by the queue, and with its answer to the workflow.
func TestEveryLineAboutAnExportSaysWhoseItIs(t *testing.T) {
	t.Parallel()
	s := startStack(t, newEventMaker(31).within(epoch, time.Hour, 10), closedPlugin())
	settings := fileExport("closed", "hour", "closed")
	settings["destination"].(map[string]any)["type"] = "Closed"
	export := s.create(settings)
	id := s.backfill(export, hourAt(0), hourAt(2))
	until(t, workPatience, "the backfill to fail", func() bool { return s.getBackfill(export, id).Status == "Failed" })
	failed := 0
	for _, text := range s.logs.lines() {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) != nil || line["batch_export_id"] == nil || line["logger"] == "temporal" { // the SDK does not know of teams
			continue
		}
		if line["msg"] == "An activity failed." {
			failed++
			require.NotNil(t, line["run_id"], text)
		}
		require.EqualValues(t, 1, line["team_id"], text)
	}
	require.Positive(t, failed)
}
