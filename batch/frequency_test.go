package batch_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
)

func TestParseFrequency(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		nominal, jitter time.Duration
	}{
		"hour":             {time.Hour, 15 * time.Minute},
		"day":              {24 * time.Hour, 20 * time.Minute},
		"week":             {7 * 24 * time.Hour, 30 * time.Minute},
		"every 1 minutes":  {time.Minute, 12 * time.Second},
		"every 2 minutes":  {2 * time.Minute, 24 * time.Second},
		"every 3 minutes":  {3 * time.Minute, 36 * time.Second},
		"every 4 minutes":  {4 * time.Minute, 48 * time.Second},
		"every 5 minutes":  {5 * time.Minute, time.Minute},
		"every 6 minutes":  {6 * time.Minute, 72 * time.Second},
		"every 10 minutes": {10 * time.Minute, 2 * time.Minute},
		"every 12 minutes": {12 * time.Minute, 144 * time.Second},
		"every 15 minutes": {15 * time.Minute, 3 * time.Minute},
		"every 20 minutes": {20 * time.Minute, 4 * time.Minute},
		"every 30 minutes": {30 * time.Minute, 6 * time.Minute},
		"every 60 minutes": {60 * time.Minute, 12 * time.Minute},
	}
	for s, want := range tests {
		t.Run(s, func(t *testing.T) {
			t.Parallel()
			f, ok := batch.ParseFrequency(s)
			require.True(t, ok)
			require.Equal(t, batch.Frequency(s), f)
			require.Equal(t, want.nominal, f.Nominal())
			require.Equal(t, want.jitter, f.Jitter())
			require.Equal(t, want.nominal < time.Hour, f.SubHourly())
			require.Equal(t, want.nominal > time.Hour, f.InLocalTime())
		})
	}
}

func TestParseFrequencyRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"nothing":                       "",
		"a number that does not divide": "every 7 minutes",
		"a leading zero":                "every 05 minutes",
		"a sign":                        "every +5 minutes",
		"a negative number":             "every -5 minutes",
		"zero":                          "every 0 minutes",
		"more than an hour":             "every 120 minutes",
		"two spaces":                    "every  5 minutes",
		"a trailing space":              "every 5 minutes ",
		"a trailing newline":            "every 5 minutes\n",
		"capitals":                      "Every 5 minutes",
		"one minute in good English":    "every 1 minute",
		"another unit":                  "every 5 hours",
		"no number":                     "every minutes",
		"a word":                        "every five minutes",
		"a fraction":                    "every 2.5 minutes",
		"digits of another script":      "every ٥ minutes",
		"a number beyond any integer":   "every 100000000000000000005 minutes",
		"hours in capitals":             "HOUR",
		"a plural":                      "hours",
		"a month":                       "month",
	}
	for name, s := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, ok := batch.ParseFrequency(s)
			require.False(t, ok)
			require.Empty(t, f)
		})
	}
}

func FuzzParseFrequency(f *testing.F) {
	for _, s := range []string{
		"", "hour", "day", "week", "every 5 minutes", "every 7 minutes", "every 05 minutes", "every 60 minutes",
		"every 61 minutes", "every -5 minutes", "every 5 minutes ", "every  minutes",
	} {
		f.Add(s)
	}
	accepted := map[string]bool{"hour": true, "day": true, "week": true}
	for n := 1; n <= 60; n++ {
		if 60%n == 0 {
			accepted[fmt.Sprintf("every %d minutes", n)] = true
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := batch.ParseFrequency(s)
		require.Equal(t, accepted[s], ok, "%q", s)
		if !ok {
			return
		}
		require.Equal(t, s, string(got))
		require.Positive(t, got.Nominal())
		require.Positive(t, got.Jitter())
		require.Less(t, got.Jitter(), got.Nominal(), "a run must start before the next one is due")
	})
}
