package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/destinations/destinationtest/memory"
	"tranche/workflows"
)

// playNotify lets a run fail of which a receiver is to be told, which answers with one status after the other, and saves
// what the workflow of the notification did.
func (r *recorder) playNotify(ctx context.Context, name string, answers ...int) error {
	var asked atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := min(int(asked.Add(1)), len(answers))
		w.WriteHeader(answers[n-1])
	}))
	defer receiver.Close()
	var made struct{ ID uuid.UUID }
	err := r.stack.Call(ctx, http.MethodPost, "/notifications", map[string]any{
		"name": "recorded", "kind": "webhook", "url": receiver.URL, "events": []string{"failed"},
	}, &made)
	if err != nil {
		return err
	}
	r.fault = once("stage", func() error { return memory.ErrAborted })
	if err := r.backfill(ctx, "", "", 0, 1, nil); err != nil {
		return err
	}
	for {
		messages, err := r.stack.DB().ListMessages(ctx, batch.MessageFilter{SubscriptionID: made.ID})
		if err != nil {
			return err
		}
		if len(messages) == 0 {
			if err := pause(ctx); err != nil {
				return err
			}
			continue
		}
		id := workflows.NotifyWorkflowID(messages[0].NotificationID)
		if err := r.appears(ctx, id); err != nil {
			return err
		}
		run, err := r.await(ctx, id)
		if err != nil {
			return err
		}
		if err := r.stack.Call(ctx, http.MethodDelete, "/notifications/"+made.ID.String(), nil, nil); err != nil {
			return err
		}
		return r.save(ctx, name, id, run)
	}
}
