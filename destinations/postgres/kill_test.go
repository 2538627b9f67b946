package postgres_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/postgres"
)

// workerVariable tells this test program, started again, to be a worker that stops at a point of a delivery.
const workerVariable = "TRANCHE_TEST_WORKER"

// An order is what a worker does.
type order struct {
	Config  map[string]any
	Run     destinations.Run
	Receipt *destinations.Receipt // to commit; nil = stage
	Point   string                // where to say so and to wait
	Events  int
}

// What a worker says.
const (
	saysReached = "reached"
	saysDone    = "done "
)

// work carries out an order and waits for ever at its point; when it is let go on, it says how it ended.
func work(t *testing.T, o order) error {
	t.Helper()
	reach := func(_ context.Context, at string) error {
		if strings.HasPrefix(at, o.Point) {
			fmt.Fprintln(os.Stdout, saysReached)
			_, err := bufio.NewReader(os.Stdin).ReadString('\n')
			return err
		}
		return nil
	}
	plugin := postgres.Plugin(laptop.WithFaults(t, reach))
	config, err := plugin.Parse(o.Config, nil)
	require.NoError(t, err)
	d, err := plugin.Open(t.Context(), config)
	require.NoError(t, err)
	if o.Receipt == nil {
		records := &pausing{RecordReader: reader(t, numbered(0, o.Events)...), do: func() { _ = reach(t.Context(), "mid-copy") }}
		_, err = d.Stage(t.Context(), job(o.Run, 1, &journal{}), records)
	} else {
		_, err = d.Commit(t.Context(), o.Run, []destinations.Receipt{*o.Receipt}, nil)
	}
	if err == nil {
		err = reach(t.Context(), "before the report")
	}
	return err
}

// TestWorker is not a test of its own: it is the worker of the others.
func TestWorker(t *testing.T) { //nolint:paralleltest // it is a process of its own
	text := os.Getenv(workerVariable)
	if text == "" {
		t.Skip("only for a process that another test starts")
	}
	var o order
	require.NoError(t, json.Unmarshal([]byte(text), &o))
	fmt.Fprintln(os.Stdout, saysDone+string(batch.CodeOf(work(t, o))))
}

// A worker is another process with an order.
type worker struct {
	*exec.Cmd
	says *bufio.Scanner
	tell interface{ Write([]byte) (int, error) }
}

func (p *place) employ(o order) *worker {
	p.Helper()
	text, err := json.Marshal(o)
	require.NoError(p, err)
	program, err := os.Executable()
	require.NoError(p, err)
	w := &worker{Cmd: exec.CommandContext(p.Context(), program, "-test.run=^TestWorker$", "-test.count=1")}
	w.Env = append(os.Environ(), workerVariable+"="+string(text))
	out, err := w.StdoutPipe()
	require.NoError(p, err)
	in, err := w.StdinPipe()
	require.NoError(p, err)
	w.says, w.tell = bufio.NewScanner(out), in
	require.NoError(p, w.Start())
	p.Cleanup(func() { _ = w.Process.Kill() }) // it has ended, if all is well
	return w
}

// hear returns the next line that begins so.
func (w *worker) hear(t *testing.T, begin string) string {
	t.Helper()
	for w.says.Scan() {
		if line := w.says.Text(); strings.HasPrefix(line, begin) {
			return line
		}
	}
	t.Fatalf("the worker ended without saying %q", begin)
	return ""
}

// points are where a worker is stopped, by what it is doing.
var points = map[string][]string{
	"stage":  {"create", "copy", "mid-copy", "before the report"},
	"commit": {"lock", "publish", "record", "commit", "before the report"},
}

func TestAWorkerThatIsKilledAtAnyPointLeavesOneCopy(t *testing.T) {
	t.Parallel()
	everyPoint(t, func(t *testing.T, p *place, w *worker, o order) {
		t.Helper()
		require.NoError(t, w.Process.Kill())
		_ = w.Wait() // it was killed
		j, d := &journal{}, p.open(laptop)
		if o.Receipt == nil {
			receipt, err := d.Stage(t.Context(), job(o.Run, 2, j), reader(t, numbered(0, o.Events)...))
			require.NoError(t, err)
			o.Receipt = &receipt
		}
		_, err := d.Commit(t.Context(), o.Run, []destinations.Receipt{*o.Receipt}, nil)
		require.NoError(t, err)
		p.seesOnce(numbered(0, o.Events))
		require.NoError(t, d.Abort(t.Context(), j.close()))
		require.Empty(t, p.staged())
	})
}

func TestAWorkerThatIsFrozenAtAnyPointCanPublishNothingLater(t *testing.T) {
	t.Parallel()
	everyPoint(t, func(t *testing.T, p *place, w *worker, o order) {
		t.Helper()
		visible := o.Receipt != nil && o.Point == "before the report" // it has committed
		require.NoError(t, w.Process.Signal(syscall.SIGSTOP))
		d := p.open(laptop)
		refs := []destinations.Ref{}
		for _, name := range p.staged() {
			refs = append(refs, destinations.Ref("shop."+name))
		}
		require.NoError(t, d.Abort(t.Context(), refs)) // as a newer run's commit does first
		newer := p.run(batch.ModelEvents, 0)
		_, err := p.deliver(newer, reader(t, event{uuid: number(1), event: "newer"}))
		require.NoError(t, err)
		require.NoError(t, w.Process.Signal(syscall.SIGCONT))
		_, err = w.tell.Write([]byte("\n"))
		require.NoError(t, err)
		for !visible { // it stops again at a later point of the same name, or ends
			line := w.hear(t, "")
			if line == saysReached {
				_, err = w.tell.Write([]byte("\n"))
				require.NoError(t, err)
			}
			if code, ok := strings.CutPrefix(line, saysDone); ok {
				if o.Receipt != nil {
					require.Equal(t, string(batch.CodeSuperseded), code)
				}
				break
			}
		}
		require.Equal(t, []string{"newer"}, p.texts(`SELECT event FROM shop.events WHERE uuid = $1`, number(1)))
		if !visible {
			require.Len(t, p.texts(`SELECT uuid`+byUUID), 1)
		}
	})
}

// everyPoint stops a worker at each point, and hands it over.
func everyPoint(t *testing.T, then func(t *testing.T, p *place, w *worker, o order)) {
	t.Helper()
	for what, at := range points {
		for _, point := range at {
			t.Run(what+", "+point, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t)
				o := order{Config: p.config, Run: p.run(batch.ModelEvents, 0), Point: point, Events: 20}
				if what == "commit" {
					receipt, err := p.open(laptop).Stage(t.Context(), job(o.Run, 1, &journal{}), reader(t, numbered(0, o.Events)...))
					require.NoError(t, err)
					o.Receipt = &receipt
				}
				w := p.employ(o)
				w.hear(t, saysReached)
				then(t, p, w, o)
			})
		}
	}
}
