package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/url"
	"time"

	"github.com/google/uuid"
)

// An Activity is an entry of the audit log.
type Activity struct {
	CreatedAt     time.Time      `json:"created_at"`
	Action        string         `json:"action"`
	BatchExportID *uuid.UUID     `json:"batch_export_id"`
	SubjectID     *uuid.UUID     `json:"subject_id"`
	Actor         Actor          `json:"actor"`
	Note          *string        `json:"note"`
	Changes       []ChangedField `json:"changes"`
}

// An Actor is who did something.
type Actor struct {
	Kind      string  `json:"kind"`
	UserID    *int64  `json:"user_id"`
	KeyPrefix *string `json:"key_prefix"`
	Address   *string `json:"address"`
}

// A ChangedField is a field before and after. Of secrets it has fingerprints.
type ChangedField struct {
	Field  string          `json:"field"`
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
}

// An ActivityQuery says which entries are listed. Times are as the API reads them; empty = no bound.
type ActivityQuery struct {
	Export        *uuid.UUID // nil = all of the project's
	Actions       []string
	Actor         string
	After, Before string
}

// Activity lists who did what, newest first.
func (c *Client) Activity(ctx context.Context, q ActivityQuery) iter.Seq2[Body[Activity], error] {
	path := c.path("activity")
	if q.Export != nil {
		path = c.path(q.Export.String(), "activity")
	}
	query := url.Values{"action": q.Actions}
	for name, text := range map[string]string{"actor": q.Actor, "after": q.After, "before": q.Before} {
		if text != "" {
			query.Set(name, text)
		}
	}
	return list[Activity](ctx, c, path, query)
}
