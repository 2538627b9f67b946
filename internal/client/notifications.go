package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// A Notification says who is told of which events.
type Notification struct {
	ID            uuid.UUID  `json:"id"`
	BatchExportID *uuid.UUID `json:"batch_export_id"` // nil = all of the project
	Name          string     `json:"name"`
	Kind          string     `json:"kind"`
	URL           string     `json:"url"` // its host only
	Events        []string   `json:"events"`
	// LateAfterMinutes is after how long an interval is late; nil = as its length has it.
	LateAfterMinutes *int64  `json:"late_after_minutes"`
	Enabled          bool    `json:"enabled"`
	Secret           *string `json:"secret"` // in the answer that makes it, and in no other
	// OldSecretUntil is until when the secret before signs too; nil = it does not.
	OldSecretUntil *time.Time `json:"old_secret_until"`
	CreatedAt      time.Time  `json:"created_at"`
	LastUpdatedAt  time.Time  `json:"last_updated_at"`
}

// A NotificationDraft is a notification that is wanted, or a change of one: what is not set is not sent.
type NotificationDraft struct {
	Name   string   `json:"name,omitempty"`
	Kind   string   `json:"kind,omitempty"`
	URL    string   `json:"url,omitempty"`
	Secret string   `json:"secret,omitempty"`
	Events []string `json:"events,omitempty"`
	// LateAfterMinutes is after how long an interval is late; zero = not said.
	LateAfterMinutes int64 `json:"late_after_minutes,omitempty"`
	Enabled          *bool `json:"enabled,omitempty"`
	// RotateSecret asks for a new secret, in a change only.
	RotateSecret bool `json:"rotate_secret,omitempty"`
	// RevokeOldSecret has the secret before sign no more, in a change only.
	RevokeOldSecret bool `json:"revoke_old_secret,omitempty"`
}

// A Message is what was sent because of an event, or is to be.
type Message struct {
	ID             uuid.UUID  `json:"id"`
	NotificationID uuid.UUID  `json:"notification_id"`
	BatchExportID  *uuid.UUID `json:"batch_export_id"`
	Event          string     `json:"event"`
	Status         string     `json:"status"`
	Attempts       []Attempt  `json:"attempts"`
	CreatedAt      time.Time  `json:"created_at"`
	FinishedAt     *time.Time `json:"finished_at"`
}

// An Attempt is one try to send a message.
type Attempt struct {
	Attempt    int       `json:"attempt"`
	At         time.Time `json:"at"`
	Delivered  bool      `json:"delivered"`
	StatusCode *int      `json:"status_code"`
	DurationMS int64     `json:"duration_ms"`
	Error      *string   `json:"error"`
}

// notices is the path of the notifications of an export; nil = of all of the project.
func (c *Client) notices(export *uuid.UUID, parts ...string) string {
	parts = append([]string{"notifications"}, parts...)
	if export != nil {
		parts = append([]string{export.String()}, parts...)
	}
	return c.path(parts...)
}

// Notifications lists who is told of events of an export; nil = of all of the project's.
func (c *Client) Notifications(ctx context.Context, export *uuid.UUID) ([]Body[Notification], error) {
	answer, err := typed[struct {
		Results []json.RawMessage `json:"results"`
	}](c.do(ctx, get(c.notices(export), nil)))
	if err != nil {
		return nil, err
	}
	all := make([]Body[Notification], len(answer.Value.Results))
	for i, raw := range answer.Value.Results {
		if all[i], err = typed[Notification](Body[json.RawMessage]{Raw: raw}, nil); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// CreateNotification has somebody told of events. Its answer has the secret that signs what is sent.
func (c *Client) CreateNotification(ctx context.Context, export *uuid.UUID, d NotificationDraft) (Body[Notification], error) {
	return typed[Notification](c.do(ctx, call{method: http.MethodPost, path: c.notices(export), body: d}))
}

// ChangeNotification changes what is set in the draft. A secret that the API makes is in the answer.
func (c *Client) ChangeNotification(ctx context.Context, export *uuid.UUID, id uuid.UUID, d NotificationDraft) (Body[Notification], error) {
	return typed[Notification](c.do(ctx, call{
		method: http.MethodPatch, path: c.notices(export, id.String()), body: d,
		again: !d.RotateSecret, // the answer that is lost had the secret
	}))
}

// DeleteNotification has somebody told no more.
func (c *Client) DeleteNotification(ctx context.Context, export *uuid.UUID, id uuid.UUID) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: c.notices(export, id.String())})
	return err
}

// TestNotification sends a test now, and tells how that went.
func (c *Client) TestNotification(ctx context.Context, export *uuid.UUID, id uuid.UUID) (Body[Attempt], error) {
	return typed[Attempt](c.do(ctx, call{method: http.MethodPost, path: c.notices(export, id.String(), "test")}))
}

// Messages lists what was sent to somebody, newest first, with every try.
func (c *Client) Messages(ctx context.Context, export *uuid.UUID, id uuid.UUID) iter.Seq2[Body[Message], error] {
	return list[Message](ctx, c, c.notices(export, id.String(), "deliveries"), nil)
}
