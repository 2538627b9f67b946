package batch_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
)

func TestTheObjectiveIsSomeIntervals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		every batch.Frequency
		of    batch.Freshness
		want  time.Duration
	}{
		{"every 1 minutes", 1.5, 11 * time.Minute}, // there is no less slack than ten minutes
		{batch.Every5Minutes, 1.5, 15 * time.Minute},
		{batch.Every5Minutes, 4, 20 * time.Minute},
		{batch.Hourly, 1.5, 90 * time.Minute},
		{batch.Hourly, 1, 70 * time.Minute},
		{batch.Daily, 1.5, 36 * time.Hour},
		{batch.Weekly, 2, 14 * 24 * time.Hour},
	} {
		require.Equal(t, test.want, test.of.Objective(test.every), "%s, %v", test.every, test.of)
	}
}

func TestAnExportIsLateWhenWhatItOwesIsOverdue(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	end := at(2 * time.Hour)
	for name, test := range map[string]struct {
		active    time.Time
		delivered time.Time
		endAt     *time.Time
		now       time.Time
		late      bool
	}{
		"the next interval is under way":                {active: at(-5 * time.Hour), delivered: noon, now: at(time.Hour)},
		"its slack is not over":                         {active: at(-5 * time.Hour), delivered: noon, now: at(90 * time.Minute)},
		"its slack is over":                             {active: at(-5 * time.Hour), delivered: noon, now: at(91 * time.Minute), late: true},
		"it is new, and nothing is due":                 {active: at(time.Minute), now: at(59 * time.Minute)},
		"it is new, and its first interval is in time":  {active: at(time.Minute), now: at(80 * time.Minute)},
		"it is new, and never delivered":                {active: at(time.Minute), now: at(91 * time.Minute), late: true},
		"its backfill delivers the past":                {active: at(time.Minute), delivered: at(-1000 * time.Hour), now: at(80 * time.Minute)},
		"it was unpaused after days":                    {active: at(time.Minute), delivered: at(-48 * time.Hour), now: at(30 * time.Minute)},
		"its schedule has ended":                        {active: at(-5 * time.Hour), delivered: end, endAt: &end, now: at(100 * time.Hour)},
		"its schedule has ended, but the last is owed":  {active: at(-5 * time.Hour), delivered: at(time.Hour), endAt: &end, now: at(100 * time.Hour), late: true},
		"more than what is due was delivered by a hand": {active: at(-5 * time.Hour), delivered: at(9 * time.Hour), now: at(3 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lag := batch.Lag{Delivered: test.delivered, Span: batch.Span{
				Frequency: batch.Hourly, Timezone: "UTC", StartedAt: test.active, EndAt: test.endAt,
			}}
			require.Equal(t, test.late, lag.Late(test.now, batch.DefaultFreshness))
		})
	}
}

// On the day on which the clocks change, the interval that is owed is as long as that day.
func TestADayThatIsLongIsNotLate(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	midnight := func(day int) time.Time { return time.Date(2026, 10, day, 0, 0, 0, 0, berlin) }
	lag := batch.Lag{Delivered: midnight(25), Span: batch.Span{Frequency: batch.Daily, Timezone: "Europe/Berlin", StartedAt: midnight(1)}}
	require.False(t, lag.Late(midnight(26).Add(12*time.Hour), batch.DefaultFreshness))
	require.True(t, lag.Late(midnight(26).Add(12*time.Hour+time.Second), batch.DefaultFreshness))
}
