package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestClocksAreCompared(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	for name, c := range map[string]struct {
		other  time.Duration // after began
		state  string
		detail string
	}{
		"while we waited":        {50 * time.Millisecond, stateOK, "it is at most 100ms from ours"},
		"a little ahead":         {600 * time.Millisecond, stateOK, "it is at most 600ms from ours"},
		"a little behind":        {-time.Second, stateOK, "it is at most 1.1s from ours"},
		"an hour ahead":          {time.Hour, stateProblem, "it is 59m59.9s from ours"},
		"three seconds behind":   {-3 * time.Second, stateProblem, "it is 3s from ours"},
		"just what is tolerated": {-clockTolerance, stateOK, "it is at most 2.1s from ours"},
		"more than is tolerated": {-clockTolerance - time.Millisecond, stateProblem, "it is 2.001s from ours"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d doctor
			d.checkClock("clock", began.Add(c.other), began, began.Add(100*time.Millisecond))
			require.Len(t, d.findings, 1)
			require.Equal(t, c.state, d.findings[0].State)
			require.Equal(t, c.detail, d.findings[0].Detail)
			require.Equal(t, c.state == stateProblem, strings.Contains(d.findings[0].Advice, "NTP"))
		})
	}
}

func TestEveryLineOfAFindingHasItsPlace(t *testing.T) {
	t.Parallel()
	d := doctor{}
	d.ok("database", "it answers")
	d.problem("source", "one\ntwo", "do this:\nthat")
	var out strings.Builder
	require.NoError(t, d.report(&out, asTable))
	require.Equal(t, `CHECK     STATE    FOUND
database  ok       it answers
source    problem  one
                   two
                   to do: do this:
                     that
`, out.String())
}

func TestWhatATableHasIsToldOnce(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"no a", "no b; it has x, y", "no c; it has z"}, withoutRepeats([]string{"no a; it has x, y", "no b; it has x, y", "no c; it has z"}))
}
