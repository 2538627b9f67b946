package api

import (
	"net/url"
	"strings"

	"tranche/batch"
)

// A TemporalUI says where Temporal's Web UI shows our workflows.
type TemporalUI struct {
	Base      string // as in "http://127.0.0.1:8233"; empty = there is none
	Namespace string
}

// run is the address of a run's history, or nil.
func (ui TemporalUI) run(r batch.Run) *string {
	if ui.Base == "" || r.WorkflowID == "" || r.TemporalRunID == "" {
		return nil
	}
	return ui.address(r.WorkflowID, r.TemporalRunID, "history")
}

// backfill is the address of a backfill's workflow, or nil.
func (ui TemporalUI) backfill(b batch.Backfill) *string {
	if ui.Base == "" {
		return nil
	}
	return ui.address(batch.BackfillWorkflowID(b.ExportID, b.ID))
}

func (ui TemporalUI) address(parts ...string) *string {
	text := strings.TrimSuffix(ui.Base, "/") + "/namespaces/" + url.PathEscape(ui.Namespace) + "/workflows"
	for _, part := range parts {
		text += "/" + url.PathEscape(part)
	}
	return &text
}
