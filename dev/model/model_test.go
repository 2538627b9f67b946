package model

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"pgregory.net/rapid"

	"tranche/internal/pgtest"
)

var database pgtest.Server

func TestMain(m *testing.M) {
	serveWorker()
	flag.Parse()
	os.Exit(database.Run(m))
}

// setting is a number from the environment: make soak sets larger ones.
func setting(name string, fallback int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return fallback
}

// TestEveryIntervalIsVisibleExactlyOnceWhateverFails is the promise.
func TestEveryIntervalIsVisibleExactlyOnceWhateverFails(t *testing.T) { //nolint:paralleltest // it measures its own faults
	prove(t, setting("TRANCHE_MODEL_CHECKS", 4), setting("TRANCHE_MODEL_STEPS", 12))
}

// prove walks a number of random sequences of about so many steps, and prints which faults struck on the way. On a
// failure rapid shrinks the sequence and prints the seed that repeats it.
func prove(t *testing.T, checks, steps int) {
	t.Helper()
	require.NoError(t, flag.Set("rapid.checks", strconv.Itoa(checks)))
	require.NoError(t, flag.Set("rapid.steps", strconv.Itoa(steps)))
	require.NoError(t, flag.Set("rapid.shrinktime", "3m"))
	h := startHarness(t, &database, os.Getenv("TRANCHE_MODEL_BROKEN"))
	began := time.Now()
	rapid.Check(t, func(rt *rapid.T) { h.walk(rt, 0) })
	t.Logf("%d visible states in %s; faults that struck:\n  %s", h.world.States(), time.Since(began).Round(time.Second),
		strings.Join(h.faults.report(), "\n  "))
}

// walk is one random sequence.
func (h *harness) walk(rt *rapid.T, lane int) {
	ctx := context.Background()
	s, err := h.newSequence(ctx, lane)
	require.NoError(rt, err)
	do := func(name string, step func(rt *rapid.T) error) func(*rapid.T) {
		return func(rt *rapid.T) {
			err := step(rt)
			var refused *refusal
			if errors.As(err, &refused) && refused.status < http.StatusInternalServerError {
				err = nil // a clear answer is fine: too many backfills, not to be cancelled any more
			}
			if err != nil {
				rt.Fatalf("team %d: %s: %v", s.team, name, err)
			}
		}
	}
	rt.Repeat(map[string]func(*rapid.T){
		"rows arrive": do("rows arrive", func(rt *rapid.T) error {
			return s.addRows(ctx, rapid.IntRange(0, hours-1).Draw(rt, "interval"), rapid.IntRange(1, 8).Draw(rt, "rows"), "late")
		}),
		"rows are erased": do("rows are erased", func(rt *rapid.T) error {
			return s.removeRows(ctx, rapid.IntRange(0, hours-1).Draw(rt, "interval"), rapid.IntRange(1, 8).Draw(rt, "rows"))
		}),
		"backfill":                 do("backfill", s.backfill),
		"backfill again":           do("backfill again", s.backfill),
		"backfill with a fault":    do("backfill with a fault", s.backfillWithFault),
		"and with another":         do("backfill with a fault", s.backfillWithFault),
		"and with one more":        do("backfill with a fault", s.backfillWithFault),
		"a moment passes":          do("a moment passes", s.moment),
		"another moment passes":    do("a moment passes", s.moment),
		"retry":                    do("retry", s.retry),
		"cancel a run":             do("cancel a run", func(rt *rapid.T) error { return s.act(rt, "runs", true, "/cancel") }),
		"cancel a backfill":        do("cancel a backfill", func(rt *rapid.T) error { return s.act(rt, "backfills", true, "/cancel") }),
		"cancel in Temporal":       do("cancel in Temporal", func(rt *rapid.T) error { return s.inTemporal(rt, h.cancelWorkflow) }),
		"terminate in Temporal":    do("terminate in Temporal", func(rt *rapid.T) error { return s.inTemporal(rt, h.terminateWorkflow) }),
		"pause":                    do("pause", func(*rapid.T) error { return s.call(ctx, http.MethodPost, s.export+"/pause", nil, nil) }),
		"unpause":                  do("unpause", s.unpause),
		"trigger the schedule":     do("trigger", func(*rapid.T) error { return h.trigger(ctx, s) }),
		"a fault waits":            do("fault", s.arm),
		"another fault waits":      do("fault", s.arm),
		"one more fault waits":     do("fault", s.arm),
		"a worker dies":            do("kill", func(rt *rapid.T) error { h.strike(anyWorker(rt), kill); return nil }),
		"a worker freezes":         do("freeze", func(rt *rapid.T) error { h.strike(anyWorker(rt), freeze); return nil }),
		"the API restarts":         do("restart API", func(*rapid.T) error { h.restartAPI(); return nil }),
		"the server restarts":      do("restart Temporal", func(*rapid.T) error { h.restartTemporal(func() {}); return nil }),
		"everything comes to rest": do("settle", func(*rapid.T) error { return s.settle(ctx) }),
	})
	if err := s.finish(ctx); err != nil {
		rt.Fatalf("team %d: %v", s.team, err)
	}
}

func anyWorker(rt *rapid.T) string {
	return fmt.Sprintf("worker-%d", rapid.IntRange(1, workerCount).Draw(rt, "worker"))
}

func (s *sequence) backfill(rt *rapid.T) error {
	from := rapid.IntRange(0, hours-1).Draw(rt, "from")
	to := rapid.IntRange(from+1, hours).Draw(rt, "to")
	bounds := map[string]any{"start_at": s.start(from).Format(time.RFC3339), "end_at": s.start(to).Format(time.RFC3339)}
	return s.call(rt.Context(), http.MethodPost, s.export+"/backfills", bounds, nil)
}

func (s *sequence) backfillWithFault(rt *rapid.T) error {
	if err := s.arm(rt); err != nil {
		return err
	}
	return s.backfill(rt)
}

// moment waits until a reader sees something new, or nothing happens for a while.
func (s *sequence) moment(*rapid.T) error {
	const most, poll = 2 * time.Second, 20 * time.Millisecond
	before := s.h.world.States()
	for began := time.Now(); time.Since(began) < most && s.h.world.States() == before; {
		time.Sleep(poll) //nolint:forbidigo // that time passes is the step
	}
	return nil
}

// retry repeats any run.
func (s *sequence) retry(rt *rapid.T) error { return s.act(rt, "runs", false, "/retry") }

// act does something to one run or backfill, if there is one.
func (s *sequence) act(rt *rapid.T, what string, onlyOpen bool, action string) error {
	one, err := s.pick(rt, what, onlyOpen)
	if err != nil || one == nil {
		return err
	}
	return s.call(rt.Context(), http.MethodPost, s.export+"/"+what+"/"+one.ID+action, nil, nil)
}

// pick chooses a run or a backfill.
func (s *sequence) pick(rt *rapid.T, what string, onlyOpen bool) (*listed, error) {
	choice := rapid.IntRange(0, 9).Draw(rt, "which")
	all, err := s.list(rt.Context(), what)
	if err != nil {
		return nil, err
	}
	var some []listed
	for _, one := range all {
		if !onlyOpen || open(one.Status) {
			some = append(some, one)
		}
	}
	if len(some) == 0 {
		return nil, nil
	}
	return &some[choice%len(some)], nil
}

func (s *sequence) unpause(rt *rapid.T) error {
	body := map[string]any{"backfill": rapid.Bool().Draw(rt, "backfill")}
	return s.call(rt.Context(), http.MethodPost, s.export+"/unpause", body, nil)
}

// arm puts a fault at a point.
func (s *sequence) arm(rt *rapid.T) error {
	s.h.faults.arm(rapid.SampledFrom(points).Draw(rt, "point"), rapid.SampledFrom(kinds).Draw(rt, "kind"))
	return nil
}

// inTemporal does something to the workflow of an open run or backfill, behind our back.
func (s *sequence) inTemporal(rt *rapid.T, do func(ctx context.Context, id, runID string) error) error {
	what := rapid.SampledFrom([]string{"runs", "backfills"}).Draw(rt, "what")
	one, err := s.pick(rt, what, true)
	if err != nil || one == nil {
		return err
	}
	id := s.export[1:] + "-Backfill-" + one.ID
	if what == "runs" {
		id = s.export[1:] + "-" + one.End.UTC().Format("2006-01-02T15:04:05Z")
	}
	return do(rt.Context(), id, "")
}

func (h *harness) cancelWorkflow(ctx context.Context, id, runID string) error {
	return ignoreGone(h.client.CancelWorkflow(ctx, id, runID))
}

func (h *harness) terminateWorkflow(ctx context.Context, id, runID string) error {
	return ignoreGone(h.client.TerminateWorkflow(ctx, id, runID, "the model"))
}

// trigger starts the schedule by hand, as the button in the Web UI does.
func (h *harness) trigger(ctx context.Context, s *sequence) error {
	return ignoreGone(h.client.ScheduleClient().GetHandle(ctx, s.export[1:]).Trigger(ctx, client.ScheduleTriggerOptions{}))
}

// TestSoakEveryIntervalIsVisibleExactlyOnce walks for hours; make soak runs it.
func TestSoakEveryIntervalIsVisibleExactlyOnce(t *testing.T) { //nolint:paralleltest // it measures its own faults
	if os.Getenv("SOAK") != "true" {
		t.Skip("a long random walk: run make soak")
	}
	prove(t, setting("TRANCHE_MODEL_CHECKS", 150), setting("TRANCHE_MODEL_STEPS", 40))
}
