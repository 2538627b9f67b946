// Command record-histories runs each way that a workflow can go on the embedded stack, and writes the histories into
// workflows/testdata, where a test replays them against the code as it is then. Run it from released code only: a
// history that a branch recorded proves nothing about the branch. With names of scenes it plays only those, so that what is
// recorded already stays as it is.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"

	"tranche/activities"
	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/destinationtest/memory"
	"tranche/dev/duckdb"
	"tranche/dev/stack"
	"tranche/internal/telemetry"
	"tranche/sources"
)

// recordTimeout bounds the whole recording.
const recordTimeout = 10 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: record-histories DIR [SCENE…]")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "record-histories:", err)
		os.Exit(1)
	}
}

// places are how many runs of a backfill work at once; a schedule would have one more.
const places = 3

// settle is how long after the end of an interval of minutes its late rows may land: any minute that was the last one when a
// scene began has time left.
const settle = 75 * time.Second

// A recorder is the stack on which scenes are played.
type recorder struct {
	into   string
	stack  *stack.Stack
	world  *memory.World
	events *duckdb.Store
	dir    string
	// fault is what the world does to the scene that is played; nil = nothing.
	fault func(memory.Op) error
	first time.Time
	rows  int
}

func run(ctx context.Context, into string, wanted []string) (err error) {
	dir, err := os.MkdirTemp("", "record-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := &recorder{into: into, world: memory.NewWorld(), dir: dir, first: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)}
	r.world.Before = func(op memory.Op) error {
		if r.fault == nil {
			return nil
		}
		return r.fault(op)
	}
	server := httptest.NewServer(r.world)
	defer server.Close()
	log, err := telemetry.NewLogger(false, "error")
	if err != nil {
		return err
	}
	file, err := r.eventsFile("first.jsonl", r.first, 9)
	if err != nil {
		return err
	}
	limits := activities.Embedded()
	limits.SettleSubHourly = settle
	r.stack, err = stack.Start(ctx, stack.Options{
		DataDir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", UIListen: "127.0.0.1:0", APIKey: "key-of-the-recorder",
		Load: []string{file}, Log: log, Limits: &limits, Concurrency: batch.Concurrency{PerExport: places + 1},
		CatchUp: 10 * 365 * 24 * time.Hour, // the events are of the past
		Plugins: func(string) []destinations.Plugin {
			return []destinations.Plugin{memory.Plugin(memory.Client{URL: server.URL, Worker: "recorder"})}
		},
		Source: func(events *duckdb.Store) sources.Source {
			r.events = events
			return inThree{events}
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stack.Stop()) }()
	for _, s := range slices.Concat(scenes, steeredScenes) {
		if len(wanted) > 0 && !slices.Contains(wanted, s.name) {
			continue
		}
		r.fault = nil
		if err := s.play(ctx, r); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Println("played", s.name)
	}
	return nil
}

// save writes the history of an execution.
func (r *recorder) save(ctx context.Context, name, workflowID, runID string) error {
	var history historypb.History
	events := r.stack.Temporal().GetWorkflowHistory(ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return err
		}
		history.Events = append(history.Events, event)
	}
	text, err := protojson.MarshalOptions{Multiline: true, Indent: " "}.Marshal(&history)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.into, name+".json"), append(text, '\n'), 0o644)
}

// await waits until the newest execution under the id is over.
func (r *recorder) await(ctx context.Context, workflowID string) (runID string, err error) {
	run := r.stack.Temporal().GetWorkflow(ctx, workflowID, "")
	// Scenes end as they end: failed, cancelled or well.
	_ = run.GetWithOptions(ctx, nil, client.WorkflowRunGetOptions{DisableFollowingRuns: true})
	return run.GetRunID(), ctx.Err()
}
