package model

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tranche/batch"
)

// An export is one of a sequence, and what was done to it.
type export struct {
	*sequence
	id        uuid.UUID
	name      string
	calendars []calendar // among which it is changed
	stopped   map[string]bool
	triggered []time.Time
}

// createExports makes an hourly export that is behind by hours, as after an outage, and one whose intervals fall due every
// minute.
func (s *sequence) createExports(ctx context.Context) error {
	old := &export{sequence: s, id: uuid.Must(uuid.NewV7()), name: "hour", calendars: hourly(), stopped: map[string]bool{}}
	created := s.first.Add(2*time.Hour + 20*time.Minute)
	err := s.h.db.CreateExport(ctx, batch.Export{
		ID: old.id, TeamID: s.team, Name: old.name, Model: batch.ModelEvents,
		Destination: batch.Destination{Type: "Memory", Config: old.settings()},
		Frequency:   batch.Hourly, Timezone: "UTC", Revision: 1, CreatedAt: created, LastUpdatedAt: created, LastModifiedBy: 1,
	})
	if err != nil {
		return err
	}
	var made struct{ ID uuid.UUID }
	young := &export{sequence: s, name: "minute", calendars: minutely(), stopped: map[string]bool{}}
	err = s.call(ctx, http.MethodPost, "", map[string]any{
		"name": young.name, "interval": "every 1 minutes",
		"destination": map[string]any{"type": "Memory", "config": young.settings()},
	}, &made)
	young.id = made.ID
	s.exports = []*export{old, young}
	return err
}

func (e *export) settings() map[string]any {
	return map[string]any{"prefix": e.prefix(), "max_file_size_mb": 1, "token": "secret"}
}

// prefix is where the export's objects are.
func (e *export) prefix() string { return fmt.Sprintf("team-%d/by-the-%s", e.team, e.name) }

func (e *export) path() string { return "/" + e.id.String() }

// call makes one request about the export.
func (e *export) call(ctx context.Context, method, path string, in, into any) error {
	return e.sequence.call(ctx, method, e.path()+path, in, into)
}

// now is the export's calendar and whether it is paused.
func (e *export) now(ctx context.Context) (version, error) {
	all, err := e.h.versions(ctx, e.id)
	if err != nil {
		return version{}, err
	}
	return all[len(all)-1], nil
}

// deliveries are what our database says is visible, by start.
func (e *export) deliveries(ctx context.Context) ([]batch.Delivery, error) {
	return e.h.db.Deliveries(ctx, e.id, e.first.AddDate(0, -1, 0), time.Now().Add(24*time.Hour))
}

// A run is what our database knows of one.
type run struct {
	batch.Interval
	id       uuid.UUID
	backfill *uuid.UUID
	status   batch.RunStatus
	code     batch.Code
	message  string
	created  time.Time
	workflow string
	temporal string
}

// runs are all of the export, in the order of their creation.
func (e *export) runs(ctx context.Context) ([]run, error) {
	rows, err := e.h.pool.Query(ctx, `SELECT id, backfill_id, interval_start, interval_end, status, error_code, latest_error, created_at,
		workflow_id, temporal_run_id FROM runs WHERE export_id = $1 ORDER BY created_at, id`, e.id)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (run, error) {
		var r run
		err := row.Scan(&r.id, &r.backfill, &r.Start, &r.End, &r.status, &r.code, &r.message, &r.created, &r.workflow, &r.temporal)
		return r, err
	})
}

// A delivered is a delivery with its run.
type delivered struct {
	batch.Delivery
	by run
}

// delivered are the export's deliveries, oldest first.
func (e *export) delivered(ctx context.Context) ([]delivered, error) {
	deliveries, err := e.deliveries(ctx)
	if err != nil {
		return nil, err
	}
	runs, err := e.runs(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]delivered, len(deliveries))
	for n, d := range deliveries {
		at := slices.IndexFunc(runs, func(r run) bool { return r.id == d.RunID })
		if at < 0 {
			return nil, fmt.Errorf("%s was delivered by %s, which is no run of the export", d.Interval, d.RunID)
		}
		all[n] = delivered{Delivery: d, by: runs[at]}
	}
	return all, nil
}

// A listed is a run or a backfill as the API lists it.
type listed struct {
	ID         string
	Status     string
	Error      string     `json:"latest_error"`
	Start      *time.Time `json:"data_interval_start"`
	End        *time.Time `json:"data_interval_end"`
	StartAt    *time.Time `json:"start_at"`
	AdjustedAt *time.Time `json:"adjusted_start_at"`
	EndAt      *time.Time `json:"end_at"`
	CreatedAt  time.Time  `json:"created_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Replace    bool
	Retry      bool
	Paused     bool
}

// list returns all runs or backfills.
func (e *export) list(ctx context.Context, what string) ([]listed, error) {
	var all []listed
	path := "/" + what
	for {
		var page struct {
			Results []listed
			Next    *string
		}
		if err := e.call(ctx, http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Results...)
		if page.Next == nil {
			return all, nil
		}
		_, query, _ := strings.Cut(*page.Next, "?")
		path = "/" + what + "?" + query
	}
}

func open(status string) bool { return status == "Starting" || status == "Running" }

// story is what became of the exports, for whoever has to find out why a walk failed: races do not always come back.
func (s *sequence) story() string {
	var lines []string
	for _, e := range s.exports {
		lines = append(lines, fmt.Sprintf("export %s, by the %s; triggered %v; stopped %v", e.id, e.name, e.triggered, slices.Collect(maps.Keys(e.stopped))))
		for _, what := range []string{
			`SELECT concat_ws(' ', 'version', at, CASE WHEN paused THEN 'paused' END, frequency, timezone, offset_hour, first_start, first_end)
				FROM model_versions WHERE id = $1 ORDER BY revision`,
			`SELECT concat_ws(' ', 'backfill', id, start_at, end_at, status, direction, CASE WHEN replaces THEN 'replaces' END,
				CASE WHEN retry THEN 'retry' END, created_at, finished_at, latest_error) FROM backfills WHERE export_id = $1 ORDER BY created_at`,
			`SELECT concat_ws(' ', 'run', id, interval_start, interval_end, status, error_code, 'backfill', backfill_id, 'begun', created_at,
				'committed', commit_started_at, 'over', finished_at, latest_error) FROM runs WHERE export_id = $1 ORDER BY created_at`,
			`SELECT concat_ws(' ', 'delivery', interval_start, interval_end, run_id, rows, committed_at, 'superseded', superseded_at)
				FROM deliveries WHERE export_id = $1 ORDER BY interval_start`,
		} {
			rows, err := s.h.pool.Query(context.Background(), what, e.id)
			if err != nil {
				return err.Error()
			}
			found, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err.Error()
			}
			lines = append(lines, found...)
		}
		lines = append(lines, e.pending()...)
	}
	return strings.Join(lines, "\n")
}

// pending are the activities that open runs wait for.
func (e *export) pending() []string {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	runs, err := e.runs(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	var lines []string
	for _, r := range runs {
		if r.status.Final() {
			continue
		}
		found, err := e.h.client.DescribeWorkflowExecution(ctx, r.workflow, r.temporal)
		if err != nil {
			lines = append(lines, err.Error())
			continue
		}
		lines = append(lines, fmt.Sprintf("open run %s: %s, waits for %v", r.id, found.GetWorkflowExecutionInfo().GetStatus(), found.GetPendingActivities()))
	}
	return lines
}
