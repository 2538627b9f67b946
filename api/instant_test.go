package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestInstantsAreUTCWithZ(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	for want, at := range map[string]time.Time{
		`"2026-01-02T03:04:05Z"`:        time.Date(2026, 1, 2, 4, 4, 5, 0, berlin),
		`"2026-01-02T03:04:05.000120Z"`: time.Date(2026, 1, 2, 3, 4, 5, 120_999, time.UTC),
		`"2026-01-02T03:04:05.500000Z"`: time.Date(2026, 1, 2, 3, 4, 5, 500_000_000, time.UTC),
	} {
		got, err := json.Marshal(instant(at))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestInstantsSurviveARoundTrip(t *testing.T) {
	t.Parallel()
	first := time.Date(firstYear, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	last := time.Date(lastYear, 12, 31, 23, 59, 59, 0, time.UTC).UnixMicro()
	rapid.Check(t, func(t *rapid.T) {
		want := time.UnixMicro(rapid.Int64Range(first, last).Draw(t, "µs")).UTC()
		written, err := json.Marshal(instant(want))
		require.NoError(t, err)
		var text string
		require.NoError(t, json.Unmarshal(written, &text))
		got, ok := parseTime(text, time.UTC)
		require.True(t, ok)
		require.Equal(t, want, got)
	})
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	kathmandu, err := time.LoadLocation("Asia/Kathmandu")
	require.NoError(t, err)
	tests := map[string]struct{ text, want string }{
		"UTC":                          {"2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"},
		"an offset":                    {"2026-01-02T03:04:05+05:30", "2026-01-01T21:34:05Z"},
		"an offset without colon":      {"2026-01-02T03:04:05.25+0530", "2026-01-01T21:34:05.25Z"},
		"a space in the middle":        {"2026-01-02 03:04:05+00:00", "2026-01-02T03:04:05Z"},
		"no offset: the project's":     {"2026-01-02T03:04:05", "2026-01-01T21:19:05Z"},
		"a date: the project's":        {"2026-01-02", "2026-01-01T18:15:00Z"},
		"no seconds":                   {"2026-01-02T03:04Z", "2026-01-02T03:04:00Z"},
		"a word":                       {"yesterday", ""},
		"nothing":                      {"", ""},
		"a month that does not exist":  {"2026-13-02T03:04:05Z", ""},
		"a year before 1970":           {"1969-12-31T23:59:59Z", ""},
		"a year that becomes too late": {"9999-12-31T23:59:59-14:00", ""},
		"a year that becomes zero":     {"0001-01-01T00:00:00+14:00", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := parseTime(tt.text, kathmandu)
			require.Equal(t, tt.want != "", ok)
			if ok {
				require.Equal(t, tt.want, got.Format(time.RFC3339Nano))
			}
		})
	}
}

func TestParseRelative(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	now := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC) // clocks went forward at 01:00
	for text, want := range map[string]string{
		"-3h": "2026-03-29T09:00:00Z",
		"-1d": "2026-03-28T13:00:00Z", // 14:00 in Berlin, on both days
		"-2w": "2026-03-15T13:00:00Z",
		"-1m": "2026-03-01T13:00:00Z",
		"-1y": "2025-03-29T13:00:00Z",
		"-0d": "2026-03-29T12:00:00Z",
	} {
		got, ok := parseRelative(text, now, berlin)
		require.True(t, ok, text)
		require.Equal(t, want, got.Format(time.RFC3339), text)
	}
	for _, text := range []string{"", "-", "-d", "7d", "+7d", "--7d", "-+7d", "-7", "-7x", "-7.5d", "-100001h", "-99999999999999999999d", "-9999y", "- 7d"} {
		_, ok := parseRelative(text, now, berlin)
		require.False(t, ok, text)
	}
}
