package model

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"tranche/internal/auth"
)

// hours is how many intervals a sequence works on.
const hours = 6

// A sequence is one random walk: an export of a team of its own, and what was done to it.
type sequence struct {
	h      *harness
	team   int64
	key    string
	export string
	first  time.Time // start of the first interval
}

// newSequence makes a team with a row that stays in the first interval, and an hourly export.
func (h *harness) newSequence(ctx context.Context, lane int) (*sequence, error) {
	h.apiMu.Lock()
	h.teams++
	team := int64(lane)*1_000_000 + h.teams
	h.apiMu.Unlock()
	s := &sequence{
		h: h, team: team, key: fmt.Sprintf("key-of-the-model-%d", team),
		first: time.Now().UTC().Truncate(time.Hour).Add(-(hours + 2) * time.Hour),
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
	if err := s.addRows(ctx, 0, 1, "stays"); err != nil {
		return nil, err
	}
	for i := range hours {
		if err := s.addRows(ctx, i, 3*i%8, "early"); err != nil { // none in the first, up to seven in the others
			return nil, err
		}
	}
	var made struct{ ID string }
	err = s.call(ctx, http.MethodPost, "", map[string]any{
		"name": "model", "interval": "hour",
		"destination": map[string]any{"type": "Memory", "config": map[string]any{
			"prefix": s.prefix(), "max_file_size_mb": 1, "token": "secret",
		}},
	}, &made)
	s.export = "/" + made.ID
	return s, err
}

func (s *sequence) prefix() string { return fmt.Sprintf("team-%d", s.team) }

// start is where the interval i starts.
func (s *sequence) start(i int) time.Time { return s.first.Add(time.Duration(i) * time.Hour) }

// addRows inserts rows that arrived within the interval i: late ones, if it was delivered already.
func (s *sequence) addRows(ctx context.Context, i, n int, event string) error {
	for range n {
		at := s.start(i).Add(time.Duration(time.Now().UnixNano() % int64(time.Hour)))
		_, err := s.h.pool.Exec(ctx, `INSERT INTO events (uuid, team_id, event, distinct_id, "timestamp", inserted_at, created_at, properties, elements_chain)
			VALUES ($1, $2, $3, 'somebody', $4, $4, $4, '{"a": 1}', '')`, uuid.New(), s.team, event, at)
		if err != nil {
			return err
		}
	}
	return nil
}

// removeRows deletes up to n rows of the interval i, as an erasure request would.
func (s *sequence) removeRows(ctx context.Context, i, n int) error {
	_, err := s.h.pool.Exec(ctx, `DELETE FROM events WHERE uuid IN (SELECT uuid FROM events
		WHERE team_id = $1 AND event <> 'stays' AND inserted_at >= $2 AND inserted_at < $3 LIMIT $4)`,
		s.team, s.start(i), s.start(i+1), n)
	return err
}

// rows returns the uuids in the source, by interval.
func (s *sequence) rows(ctx context.Context) (map[int]map[string]bool, error) {
	found, err := s.h.pool.Query(ctx, `SELECT uuid::text, inserted_at FROM events WHERE team_id = $1`, s.team)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	rows := map[int]map[string]bool{}
	for found.Next() {
		var id string
		var at time.Time
		if err := found.Scan(&id, &at); err != nil {
			return nil, err
		}
		i := int(at.Sub(s.first) / time.Hour)
		if rows[i] == nil {
			rows[i] = map[string]bool{}
		}
		rows[i][id] = true
	}
	return rows, found.Err()
}

// A refusal is an answer of the API that is not 2xx.
type refusal struct {
	status int
	body   string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d: %s", r.status, r.body) }

// callTimeout is longer than the API waits for Temporal.
const callTimeout = 25 * time.Second

// call makes one request to the API.
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

// A listed is a run or a backfill as the API lists it.
type listed struct {
	ID          string
	Status      string
	Error       string     `json:"latest_error"`
	Start       *time.Time `json:"data_interval_start"`
	End         *time.Time `json:"data_interval_end"`
	StartAt     *time.Time `json:"start_at"`
	AdjustedAt  *time.Time `json:"adjusted_start_at"`
	EndAt       *time.Time `json:"end_at"`
	CreatedAt   time.Time  `json:"created_at"`
	Rows        *int64     `json:"records_completed"`
	TemporalURL *string    `json:"temporal_url"`
}

// list returns all runs or backfills.
func (s *sequence) list(ctx context.Context, what string) ([]listed, error) {
	var all []listed
	path := s.export + "/" + what
	for {
		var page struct {
			Results []listed
			Next    *string
		}
		if err := s.call(ctx, http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Results...)
		if page.Next == nil {
			return all, nil
		}
		_, query, _ := strings.Cut(*page.Next, "?")
		path = s.export + "/" + what + "?" + query
	}
}

func open(status string) bool { return status == "Starting" || status == "Running" }
