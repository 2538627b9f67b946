package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"tranche/destinations"
	"tranche/destinations/file"
	"tranche/destinations/objects"
	"tranche/dev/stack"
	"tranche/query"
)

// An inProcess is a stack inside the test, for what only Temporal or the database can tell.
type inProcess struct {
	*stack.Stack
	*caller
	logs *output
	gate *gate
}

// eager housekeeping mends at once, for tests that wait for it.
var eager = stack.Housekeeping{Every: 200 * time.Millisecond, Grace: 300 * time.Millisecond}

// startStack starts a stack with the events, an eager house and the destinations of this file.
func startStack(t *testing.T, events []event, more ...destinations.Plugin) *inProcess {
	t.Helper()
	return startStackWith(t, events, func(*stack.Options) {}, more...)
}

// startStackWith is startStack with other options.
func startStackWith(t *testing.T, events []event, adjust func(*stack.Options), more ...destinations.Plugin) *inProcess {
	t.Helper()
	s := &inProcess{logs: &output{}, gate: newGate()}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(s.logs), zap.DebugLevel)
	options := stack.Options{
		DataDir: t.TempDir(), Listen: "127.0.0.1:0", APIKey: theKey, Load: []string{writeJSONLines(t, "events.jsonl", events)},
		Log: zap.New(core), Housekeeping: eager,
		Plugins: func(root string) []destinations.Plugin {
			files := file.Plugin(file.Server{Root: root})
			return append([]destinations.Plugin{files, s.gate.plugin(files)}, more...)
		},
	}
	adjust(&options)
	var err error
	s.Stack, err = stack.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() {
		s.gate.open()
		require.NoError(t, s.Stop())
		requireNothingPlanted(t, "the log", []byte(s.logs.String()))
		requireNothingPlantedIn(t, options.DataDir, "tranche.db", "temporal")
		if !t.Failed() {
			return
		}
		for _, line := range s.logs.lines() {
			if !strings.Contains(line, `"level":"info"`) && !strings.Contains(line, `"level":"debug"`) {
				t.Log(line)
			}
		}
	})
	s.caller = &caller{t: t, base: s.URL(), key: s.Key}
	return s
}

// executions are what Temporal's visibility finds.
func (s *inProcess) executions(query string) []*workflow.WorkflowExecutionInfo {
	s.t.Helper()
	var all []*workflow.WorkflowExecutionInfo
	for token := []byte(nil); ; {
		page, err := s.Temporal().ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Query: query, NextPageToken: token, PageSize: 100,
		})
		require.NoError(s.t, err)
		all, token = append(all, page.GetExecutions()...), page.GetNextPageToken()
		if len(token) == 0 {
			return all
		}
	}
}

// openExecutions are those of an export that are not over.
func (s *inProcess) openExecutions(export uuid.UUID) []*workflow.WorkflowExecutionInfo {
	s.t.Helper()
	var open []*workflow.WorkflowExecutionInfo
	for _, e := range s.executions(fmt.Sprintf("TrancheBatchExport = '%s'", export)) {
		if e.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			open = append(open, e)
		}
	}
	return open
}

// A gate is a destination that writes files and stops before it stages, until it is opened.
type gate struct {
	opened  chan struct{}
	once    sync.Once
	waiting chan struct{} // receives when a run stops
}

const gateType = "Gate"

func newGate() *gate {
	return &gate{opened: make(chan struct{}), waiting: make(chan struct{}, 1000)}
}

func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }

func (g *gate) plugin(files destinations.Plugin) destinations.Plugin {
	return destinations.Define(destinations.Definition[file.Config]{
		Type: gateType, Name: "a gate", Guarantee: destinations.AtomicObjects,
		Columns: func(_ file.Config, m query.Model) ([]query.Column, error) { return objects.Columns(m) },
		Open: func(ctx context.Context, c file.Config) (destinations.Destination, error) {
			inner, err := files.Open(ctx, map[string]any{"prefix": c.Prefix, "file_format": "JSONLines", "compression": "gzip"})
			return &gated{Destination: inner, gate: g}, err
		},
	})
}

type gated struct {
	destinations.Destination
	gate *gate
}

// Stage waits for the gate, then stages a file.
func (d *gated) Stage(ctx context.Context, job destinations.Job, records array.RecordReader) (destinations.Receipt, error) {
	d.gate.waiting <- struct{}{}
	select {
	case <-d.gate.opened:
	case <-ctx.Done():
		return destinations.Receipt{}, ctx.Err()
	}
	return d.Destination.Stage(ctx, job, records)
}

// gatedExport are the settings of an export whose runs stop at the gate.
func gatedExport(name string) map[string]any {
	settings := fileExport(name, "hour", name)
	settings["destination"].(map[string]any)["type"] = gateType
	return settings
}

// atGate waits until n runs have stopped at the gate.
func (s *inProcess) atGate(n int) {
	s.t.Helper()
	for range n {
		select {
		case <-s.gate.waiting:
		case <-time.After(workPatience):
			require.FailNow(s.t, "no run came to the gate")
		}
	}
}
