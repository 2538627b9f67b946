package model

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tranche/batch"
	"tranche/internal/auth"
)

// hours is how many hours of the past a sequence works on, minutes how many minutes before it began.
const (
	hours   = 6
	minutes = 10
)

// A sequence is one random walk: a team of its own with its rows and its exports, and what was done to them.
type sequence struct {
	h     *harness
	team  int64
	key   string
	first time.Time // when the first row arrived
	began time.Time // the minute in which the sequence began

	exports []*export
	changes []change // of the rows
}

// A change is that rows arrived or were erased.
type change struct {
	at   time.Time // when the row says that it arrived
	when time.Time // when it was seen to be so
}

// newSequence makes a team with rows over the last hours, and its exports.
func (h *harness) newSequence(ctx context.Context) (*sequence, error) {
	h.apiMu.Lock()
	h.teams++
	team := h.teams
	h.apiMu.Unlock()
	now := time.Now().UTC()
	s := &sequence{
		h: h, team: team, key: fmt.Sprintf("key-of-the-model-%d", team),
		first: now.Truncate(time.Hour).Add(-(hours + 2) * time.Hour), began: now.Truncate(time.Minute),
	}
	if err := h.db.EnsureProject(ctx, 1, team, 1); err != nil {
		return nil, err
	}
	err := h.db.CreateKey(ctx, auth.Key{
		ID: uuid.New(), Hash: auth.Hash(s.key), Prefix: "key", OrganizationID: 1, UserID: 1,
		Scopes: []auth.Scope{auth.ScopeAll}, CreatedAt: time.Now(),
	})
	if err != nil {
		return nil, err
	}
	if err := s.addRows(ctx, batch.Interval{Start: s.first, End: s.first.Add(time.Hour)}, 1, "stays"); err != nil {
		return nil, err
	}
	for n := range hours + 1 { // none in the first hour, up to seven in the others
		if err := s.addRows(ctx, s.hour(n), 3*n%8, "early"); err != nil {
			return nil, err
		}
	}
	for n := range minutes {
		if err := s.addRows(ctx, s.minute(n), n%3, "early"); err != nil {
			return nil, err
		}
	}
	return s, s.createExports(ctx)
}

// hour is an hour of the past, minute one of the minutes before the sequence began.
func (s *sequence) hour(n int) batch.Interval {
	start := s.first.Add(time.Duration(n) * time.Hour)
	return batch.Interval{Start: start, End: start.Add(time.Hour)}
}

func (s *sequence) minute(n int) batch.Interval {
	start := s.began.Add(time.Duration(n-minutes) * time.Minute)
	return batch.Interval{Start: start, End: start.Add(time.Minute)}
}

// addRows inserts rows that arrived within the range: late ones, if it was delivered already.
func (s *sequence) addRows(ctx context.Context, within batch.Interval, n int, event string) error {
	for range n {
		at := within.Start.Add(time.Duration(rand.Int64N(int64(within.Duration())))).Truncate(time.Microsecond) //nolint:gosec // no secret
		_, err := s.h.pool.Exec(ctx, `INSERT INTO events (uuid, team_id, event, distinct_id, "timestamp", inserted_at, created_at, properties, elements_chain)
			VALUES ($1, $2, $3, 'somebody', $4, $4, $4, '{"a": 1}', '')`, uuid.New(), s.team, event, at)
		if err != nil {
			return err
		}
		s.changes = append(s.changes, change{at, time.Now()})
	}
	return nil
}

// removeRows deletes up to n rows of a range, as an erasure request would.
func (s *sequence) removeRows(ctx context.Context, within batch.Interval, n int) error {
	erased, err := s.h.pool.Query(ctx, `DELETE FROM events WHERE uuid IN (SELECT uuid FROM events
		WHERE team_id = $1 AND event <> 'stays' AND inserted_at >= $2 AND inserted_at < $3 LIMIT $4) RETURNING inserted_at`,
		s.team, within.Start, within.End, n)
	if err != nil {
		return err
	}
	at, err := pgx.CollectRows(erased, pgx.RowTo[time.Time])
	for _, t := range at {
		s.changes = append(s.changes, change{t, time.Now()})
	}
	return err
}

// changed is when the rows of a range changed last.
func (s *sequence) changed(within batch.Interval) time.Time {
	var last time.Time
	for _, c := range s.changes {
		if within.Contains(c.at) && c.when.After(last) {
			last = c.when
		}
	}
	return last
}

// rows returns the uuids in the source of a range.
func (s *sequence) rows(ctx context.Context, within batch.Interval) (map[string]bool, error) {
	found, err := s.h.pool.Query(ctx, `SELECT uuid::text FROM events WHERE team_id = $1 AND inserted_at >= $2 AND inserted_at < $3`,
		s.team, within.Start, within.End)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(found, pgx.RowTo[string])
	rows := map[string]bool{}
	for _, id := range ids {
		rows[id] = true
	}
	return rows, err
}

// A refusal is an answer of the API that is not 2xx.
type refusal struct {
	status int
	body   string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d: %s", r.status, r.body) }

// callTimeout is longer than the API waits for Temporal.
const callTimeout = 25 * time.Second

// call makes one request to the API; the path is below that of the exports.
func (s *sequence) call(ctx context.Context, method, path string, in, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	s.h.apiMu.RLock()
	defer s.h.apiMu.RUnlock()
	url := fmt.Sprintf("%s/api/projects/%d/batch_exports%s", s.h.api.URL, s.team, path)
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+s.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return &refusal{response.StatusCode, string(answer)}
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
