package client

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
)

// A LogEntry is a sentence about what happened.
type LogEntry struct {
	InstanceID string         `json:"instance_id"` // the run's id; empty = about the export
	Timestamp  time.Time      `json:"timestamp"`
	Level      batch.LogLevel `json:"level"`
	Message    string         `json:"message"`
}

// A LogQuery says which entries are read: of an export, or of one of its runs.
type LogQuery struct {
	Export uuid.UUID
	Run    *uuid.UUID // nil = of all runs, and of the export itself
	Levels []string
	Search string
	Since  time.Time // zero = no bound
}

const (
	logsPage = 500
	// lateLogs is how long entries may take to show: workers write them in batches.
	lateLogs = 15 * time.Second
	// maxLogPages bounds what is read at once.
	maxLogPages = 2000
)

// Logs returns the newest entries, oldest of them first; limit zero = all.
func (c *Client) Logs(ctx context.Context, q LogQuery, limit int) ([]Body[LogEntry], error) {
	var all []Body[LogEntry]
	seen := map[LogEntry]bool{}
	before := time.Time{}
	for range maxLogPages {
		page, err := c.logs(ctx, q, before, logsPage)
		if err != nil {
			return nil, err
		}
		fresh := 0
		for _, entry := range page {
			if seen[entry.Value] {
				continue
			}
			seen[entry.Value] = true
			fresh++
			if all = append(all, entry); len(all) == limit {
				return oldestFirst(all), nil
			}
		}
		if len(page) < logsPage || fresh == 0 {
			break
		}
		// The bound is exclusive, and entries may share an instant: ask for the last one's once more.
		before = page[len(page)-1].Value.Timestamp.Add(time.Microsecond)
	}
	return oldestFirst(all), nil
}

func oldestFirst(entries []Body[LogEntry]) []Body[LogEntry] {
	slices.Reverse(entries) // what shares an instant stays as it happened
	slices.SortStableFunc(entries, func(a, b Body[LogEntry]) int { return a.Value.Timestamp.Compare(b.Value.Timestamp) })
	return entries
}

// logs reads one page, newest first.
func (c *Client) logs(ctx context.Context, q LogQuery, before time.Time, limit int) ([]Body[LogEntry], error) {
	path := c.path(q.Export.String(), "logs")
	if q.Run != nil {
		path = c.path(q.Export.String(), "runs", q.Run.String(), "logs")
	}
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	for _, level := range q.Levels {
		query.Add("level", level)
	}
	if q.Search != "" {
		query.Set("search", q.Search)
	}
	if !q.Since.IsZero() {
		query.Set("after", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if !before.IsZero() {
		query.Set("before", before.UTC().Format(time.RFC3339Nano))
	}
	page, _, err := Collect(list[LogEntry](ctx, c, path, query), 0)
	return page, err
}

// A Tail follows a log: every entry once, also those that show late.
type Tail struct {
	client *Client
	query  LogQuery
	seen   map[LogEntry]bool
	latest time.Time
	floor  time.Time // nothing older is shown: it was cut off at the beginning
}

// Follow begins behind the newest limit entries, which the first Next returns.
func (c *Client) Follow(q LogQuery) *Tail {
	return &Tail{client: c, query: q, seen: map[LogEntry]bool{}}
}

// Next returns what is new; limit bounds the first answer only.
func (t *Tail) Next(ctx context.Context, limit int) ([]Body[LogEntry], error) {
	q := t.query
	first := t.latest.IsZero()
	if !first {
		limit = 0
		if since := t.latest.Add(-lateLogs); since.After(q.Since) {
			q.Since = since
		}
	}
	entries, err := t.client.Logs(ctx, q, limit)
	if err != nil {
		return nil, err
	}
	if first && limit > 0 && len(entries) == limit {
		t.floor = entries[0].Value.Timestamp
	}
	fresh := slices.DeleteFunc(entries, func(e Body[LogEntry]) bool {
		return t.seen[e.Value] || e.Value.Timestamp.Before(t.floor)
	})
	for _, e := range fresh {
		t.seen[e.Value] = true
		t.latest = maxTime(t.latest, e.Value.Timestamp)
	}
	for e := range t.seen { // what can be asked for no more
		if e.Timestamp.Before(t.latest.Add(-2 * lateLogs)) {
			delete(t.seen, e)
		}
	}
	return fresh, nil
}

func maxTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
