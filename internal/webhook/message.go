// Package webhook sends notifications to addresses that customers name: it makes their bodies, signs them, and posts them
// through a guarded dialer that follows no redirect.
package webhook

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
)

// A body is what a webhook is sent. Its fields are for ever; new ones may be added.
type body struct {
	ID           uuid.UUID   `json:"id"`
	Event        batch.Event `json:"event"`
	CreatedAt    string      `json:"created_at"`
	TeamID       int64       `json:"team_id"`
	Text         string      `json:"text"`
	BatchExport  *exportBody `json:"batch_export"`
	RunID        *uuid.UUID  `json:"run_id"`
	Start        *string     `json:"data_interval_start"`
	End          *string     `json:"data_interval_end"`
	Records      *int64      `json:"records_completed"`
	Error        *errorBody  `json:"error"`
	ColumnsAdded []string    `json:"columns_added"`
	ColumnsGone  []string    `json:"columns_removed"`
}

type exportBody struct {
	ID          uuid.UUID       `json:"id"`
	Name        string          `json:"name"`
	Model       batch.Model     `json:"model"`
	Interval    batch.Frequency `json:"interval"`
	Destination string          `json:"destination"`
}

type errorBody struct {
	Code    batch.Code `json:"code"`
	Message string     `json:"message"`
	WhoActs string     `json:"who_must_act"`
}

// Body is what is posted to a subscription of the kind. It is the same for every try of a notification.
func Body(kind batch.SubscriptionKind, n batch.Notification) ([]byte, error) {
	if kind == batch.KindSlack {
		return slackBody(n)
	}
	b := body{
		ID: n.ID, Event: n.Event, CreatedAt: n.CreatedAt.UTC().Format(time.RFC3339Nano), TeamID: n.TeamID, Text: Text(n),
		RunID: n.Facts.RunID, Start: instant(n.Facts.Start), End: instant(n.Facts.End), Records: n.Facts.Rows,
		ColumnsAdded: append([]string{}, n.Facts.Added...), ColumnsGone: append([]string{}, n.Facts.Removed...),
	}
	if n.ExportID != uuid.Nil {
		b.BatchExport = &exportBody{n.ExportID, n.Facts.Name, n.Facts.Model, n.Facts.Interval, n.Facts.Destination}
	}
	if n.Facts.Error != "" {
		b.Error = &errorBody{n.Facts.ErrorCode, n.Facts.Error, n.Facts.ErrorCode.Fault().String()}
	}
	return json.Marshal(b)
}

func instant(t *time.Time) *string {
	if t == nil {
		return nil
	}
	text := t.UTC().Format(time.RFC3339)
	return &text
}

// Text is the notification as a sentence.
func Text(n batch.Notification) string {
	f := n.Facts
	name := fmt.Sprintf("Batch export “%s”", f.Name)
	switch n.Event {
	case batch.EventFailed:
		return fmt.Sprintf("%s failed to deliver %s: %s.", name, span(f), strings.TrimSuffix(f.Error, "."))
	case batch.EventRecovered:
		return fmt.Sprintf("%s delivers again: %s is delivered, with %d records.", name, span(f), count(f.Rows))
	case batch.EventLate:
		return fmt.Sprintf("%s is late: %s is not delivered yet.", name, span(f))
	case batch.EventAutoPaused:
		return fmt.Sprintf("%s was paused. %s Unpause it when the cause is mended.", name, f.Note)
	case batch.EventZeroRows:
		return fmt.Sprintf("%s delivered %s without any record, and the intervals before it had some.", name, span(f))
	case batch.EventSchemaChanged:
		return fmt.Sprintf("%s delivers other columns since %s: %s.", name, span(f), columns(f))
	case batch.EventTest:
		return "This is a test of a notification of batch exports. Nothing happened."
	}
	return fmt.Sprintf("%s: %s.", name, n.Event)
}

// span is an interval in words.
func span(f batch.Facts) string {
	start, end := "the beginning", "the end"
	if f.Start != nil {
		start = *instant(f.Start)
	}
	if f.End != nil {
		end = *instant(f.End)
	}
	return start + " to " + end
}

func count(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

func columns(f batch.Facts) string {
	var parts []string
	if len(f.Added) > 0 {
		parts = append(parts, "added "+strings.Join(f.Added, ", "))
	}
	if len(f.Removed) > 0 {
		parts = append(parts, "removed "+strings.Join(f.Removed, ", "))
	}
	return strings.Join(parts, "; ")
}

// maxSlack is how many characters of text Slack takes in a section.
const maxSlack = 2900

// escapeSlack makes text that customers chose, such as the name of an export, text in Slack too.
var escapeSlack = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

var slackMarks = map[batch.Event]string{
	batch.EventFailed: ":red_circle:", batch.EventRecovered: ":large_green_circle:", batch.EventLate: ":hourglass:",
	batch.EventAutoPaused: ":double_vertical_bar:", batch.EventZeroRows: ":warning:", batch.EventSchemaChanged: ":pencil2:",
	batch.EventTest: ":wave:",
}

func slackBody(n batch.Notification) ([]byte, error) {
	text := []rune(Text(n))
	plain := escapeSlack.Replace(string(text[:min(len(text), maxSlack/5)])) // an escape is five characters
	about := fmt.Sprintf("%s, notification %s", n.Event, n.ID)
	if n.ExportID != uuid.Nil {
		about = fmt.Sprintf("%s, batch export %s (%s every %s to %s), notification %s", n.Event, n.ExportID, n.Facts.Model,
			strings.TrimPrefix(string(n.Facts.Interval), "every "), n.Facts.Destination, n.ID)
	}
	section := func(kind string, of any, name string) map[string]any { return map[string]any{"type": kind, name: of} }
	markdown := func(text string) map[string]any { return map[string]any{"type": "mrkdwn", "text": text} }
	return json.Marshal(map[string]any{
		"text": plain,
		"blocks": []any{
			section("section", markdown(slackMarks[n.Event]+" "+plain), "text"),
			section("context", []any{markdown(escapeSlack.Replace(about))}, "elements"),
		},
	})
}
