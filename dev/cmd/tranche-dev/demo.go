package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"tranche/dev/stack"
)

// What the demo makes: events of the last day, exported by the hour.
const (
	demoHours         = 24
	demoEventsPerHour = 2500
	demoName          = "Demo: hourly events to files"
	demoPoll          = 200 * time.Millisecond
	demoTimeout       = 5 * time.Minute
)

// A demo exports events of its own making through the API, as a user would.
type demo struct {
	file       string
	start, end time.Time
	stack      *stack.Stack
}

// newDemo writes the events into a file that is removed when they are loaded. The same hour always has the same events,
// so that a second start adds only what is new.
func newDemo() (_ *demo, err error) {
	end := time.Now().UTC().Truncate(time.Hour)
	f, err := os.CreateTemp("", "tranche-demo-*.jsonl")
	if err != nil {
		return nil, fmt.Errorf("write the demo's events: %w", err)
	}
	d := &demo{file: f.Name(), start: end.Add(-demoHours * time.Hour), end: end}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(fmt.Errorf("write the demo's events: %w", err), d.forget())
		}
	}()
	buffered := bufio.NewWriter(f)
	encoder := json.NewEncoder(buffered)
	for hour := d.start; hour.Before(d.end); hour = hour.Add(time.Hour) {
		for i := range demoEventsPerHour {
			if err := encoder.Encode(demoEvent(hour, i)); err != nil {
				return nil, err
			}
		}
	}
	return d, buffered.Flush()
}

// forget removes the file.
func (d *demo) forget() error { return os.Remove(d.file) }

// demoEvent is the i-th event of an hour.
func demoEvent(hour time.Time, i int) map[string]any {
	at := hour.Add(time.Duration(i) * time.Hour / demoEventsPerHour)
	names := []string{"$pageview", "$pageview", "$pageview", "sign up", "purchase", "log in"}
	browsers := []string{"Firefox", "Safari", "Chrome", "Edge"}
	return map[string]any{
		"uuid":        uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "tranche:demo:%d:%d", hour.Unix(), i)).String(),
		"event":       names[i%len(names)],
		"distinct_id": fmt.Sprintf("user-%03d", i*7%251),
		"timestamp":   at.Format(time.RFC3339Nano),
		"inserted_at": at.Add(time.Second / 2).Format(time.RFC3339Nano),
		"properties":  map[string]any{"$browser": browsers[i%len(browsers)], "$current_url": fmt.Sprintf("https://example.com/%d", i%40), "amount": i % 100},
	}
}

// run makes the export, backfills it, waits and prints what was delivered.
func (d *demo) run(ctx context.Context, s *stack.Stack, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	d.stack = s
	id, err := d.export(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	backfill, err := d.backfill(ctx, id)
	if err != nil {
		return err
	}
	took := time.Since(began)
	runs, err := d.runs(ctx, id, backfill)
	if err != nil {
		return err
	}
	return d.print(out, s, id, runs, took)
}

// export finds the demo's export of an earlier start, or makes it.
func (d *demo) export(ctx context.Context) (string, error) {
	var page struct {
		Results []struct{ ID, Name string }
	}
	if err := d.stack.Call(ctx, http.MethodGet, "", nil, &page); err != nil {
		return "", err
	}
	for _, e := range page.Results {
		if e.Name == demoName {
			return e.ID, nil
		}
	}
	var made struct{ ID string }
	err := d.stack.Call(ctx, http.MethodPost, "", map[string]any{
		"name": demoName, "interval": "hour",
		"destination": map[string]any{"type": "File", "config": map[string]any{
			"prefix": "demo/{year}-{month}-{day}", "file_format": "JSONLines", "compression": "gzip",
		}},
	}, &made)
	return made.ID, err
}

// backfill asks for the last day and waits until it is over.
func (d *demo) backfill(ctx context.Context, id string) (string, error) {
	var made struct {
		ID string `json:"backfill_id"`
	}
	bounds := map[string]any{"start_at": d.start.Format(time.RFC3339), "end_at": d.end.Format(time.RFC3339)}
	if err := d.stack.Call(ctx, http.MethodPost, "/"+id+"/backfills", bounds, &made); err != nil {
		return "", err
	}
	tick := time.NewTicker(demoPoll)
	defer tick.Stop()
	for {
		var b struct{ Status string }
		if err := d.stack.Call(ctx, http.MethodGet, "/"+id+"/backfills/"+made.ID, nil, &b); err != nil {
			return "", err
		}
		switch b.Status {
		case "Completed":
			return made.ID, nil
		case "Starting", "Running":
		default:
			return "", fmt.Errorf("the backfill ended as %s; see GET %s/%s/logs", b.Status, d.stack.ExportsURL(), id)
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("the demo was not done in time: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// A demoRun is a run as the API shows it.
type demoRun struct {
	ID       string
	Status   string
	Start    time.Time `json:"data_interval_start"`
	End      time.Time `json:"data_interval_end"`
	Rows     int64     `json:"records_completed"`
	Bytes    int64     `json:"bytes_exported"`
	Backfill string    `json:"backfill"`
}

// runs lists the backfill's runs, oldest interval first.
func (d *demo) runs(ctx context.Context, id, backfill string) ([]demoRun, error) {
	var page struct {
		Results []demoRun
	}
	if err := d.stack.Call(ctx, http.MethodGet, "/"+id+"/runs?ordering=data_interval_start", nil, &page); err != nil {
		return nil, err
	}
	var mine []demoRun
	for _, r := range page.Results {
		if r.Backfill == backfill {
			mine = append(mine, r)
		}
	}
	return mine, nil
}

// print shows the runs with their files, and what to try next.
func (d *demo) print(out io.Writer, s *stack.Stack, id string, runs []demoRun, took time.Duration) error {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "INTERVAL START\tEND\tSTATUS\tROWS\tBYTES\tFILES\t")
	var rows, size int64
	for _, r := range runs {
		files, err := d.files(s, r)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t\n", r.Start.Format("2006-01-02 15:04"), r.End.Format("15:04"), r.Status, r.Rows, r.Bytes, files)
		rows, size = rows+r.Rows, size+r.Bytes
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(&text, "\nDelivered %d intervals, %d rows, %d bytes in %.1f s, each exactly once.\n\n", len(runs), rows, size, took.Seconds())
	fmt.Fprintf(&text, "Files           %s\n", filepath.Join(s.ExportsDir(), "demo"))
	fmt.Fprintf(&text, "Temporal Web UI %s/namespaces/default/workflows?query=TrancheBatchExport%%3D%%22%s%%22\n\n", s.UIURL(), id)
	fmt.Fprintf(&text, "Try next:\n")
	for _, path := range []string{"/" + id, "/" + id + "/runs", "/" + id + "/logs?limit=20"} {
		fmt.Fprintf(&text, "  curl -s -H 'Authorization: Bearer %s' '%s%s'\n", s.Key, d.stack.ExportsURL(), path)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// files counts the files of a run's interval by its manifest, which a reader would trust too.
func (d *demo) files(s *stack.Stack, r demoRun) (int, error) {
	const iso = "2006-01-02T15:04:05-07:00"
	name := r.Start.UTC().Format(iso) + "-" + r.End.UTC().Format(iso) + "_manifest.json"
	content, err := os.ReadFile(filepath.Join(s.ExportsDir(), "demo", r.End.UTC().Format(time.DateOnly), name))
	if errors.Is(err, os.ErrNotExist) && r.Rows == 0 {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var manifest struct{ Files []string }
	err = json.Unmarshal(content, &manifest)
	return len(manifest.Files), err
}
