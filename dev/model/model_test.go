package model

import (
	"errors"
	"flag"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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

// TestEveryIntervalIsVisibleExactlyOnceWhateverFails is the promise, for exports whose intervals keep their length.
func TestEveryIntervalIsVisibleExactlyOnceWhateverFails(t *testing.T) { //nolint:paralleltest // it measures its own faults
	prove(t, false, setting("TRANCHE_MODEL_CHECKS", 4), setting("TRANCHE_MODEL_STEPS", 12))
}

// prove walks a number of random sequences of about so many steps, and prints which faults struck on the way. On a
// failure rapid shrinks the sequence and prints the seed that repeats it. With calendars, intervals change their length too.
func prove(t *testing.T, calendars bool, checks, steps int) {
	t.Helper()
	require.NoError(t, flag.Set("rapid.checks", strconv.Itoa(checks)))
	require.NoError(t, flag.Set("rapid.steps", strconv.Itoa(steps)))
	broken, shrink := os.Getenv("TRANCHE_MODEL_BROKEN"), "3m"
	if broken != "" {
		shrink = "0s" // that the walk fails is enough
	}
	require.NoError(t, flag.Set("rapid.shrinktime", shrink))
	h := startHarness(t, &database, broken)
	h.calendars = calendars
	began := time.Now()
	rapid.Check(t, func(rt *rapid.T) { h.walk(rt) })
	t.Logf("%d sequences of %d steps in %s: %d visible states; runs by outcome:\n  %s\nfaults that struck:\n  %s",
		h.sequences, h.steps, time.Since(began).Round(time.Second), h.world.States(),
		strings.Join(h.outcomes(t), "\n  "), strings.Join(h.faults.report(), "\n  "))
}

// walk is one random sequence.
func (h *harness) walk(rt *rapid.T) {
	s, err := h.newSequence(rt.Context())
	require.NoError(rt, err)
	actions := map[string]func(*rapid.T){}
	for name, step := range s.steps() {
		actions[name] = func(rt *rapid.T) {
			h.steps++
			err := step(rt)
			var refused *refusal
			if errors.As(err, &refused) && refused.status < http.StatusInternalServerError {
				err = nil // a clear answer is fine: too many backfills, not to be cancelled any more
			}
			if err != nil {
				rt.Fatalf("team %d: %s: %v\n%s", s.team, name, err, s.story())
			}
		}
	}
	rt.Repeat(actions)
	if err := s.finish(rt.Context()); err != nil {
		rt.Fatalf("team %d: %v\n%s", s.team, err, s.story())
	}
	h.sequences++
}

// TestSoakEveryIntervalIsVisibleExactlyOnce walks for hours, through changes of the calendar too; make soak runs it.
func TestSoakEveryIntervalIsVisibleExactlyOnce(t *testing.T) { //nolint:paralleltest // it measures its own faults
	if os.Getenv("SOAK") != "true" {
		t.Skip("a long random walk: run make soak")
	}
	prove(t, true, setting("TRANCHE_MODEL_CHECKS", 150), setting("TRANCHE_MODEL_STEPS", 40))
}
