package batch_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tranche/batch"
)

func TestCalendarFloor(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		frequency batch.Frequency
		day, hour *int
		zone      string
		at        string
		want      string
	}{
		"hour":                                  {batch.Hourly, nil, nil, "UTC", "2021-01-15T10:37:45Z", "2021-01-15T10:00:00Z"},
		"every 5 minutes":                       {batch.Every5Minutes, nil, nil, "UTC", "2021-01-15T10:37:45Z", "2021-01-15T10:35:00Z"},
		"every 15 minutes":                      {batch.Every15Minutes, nil, nil, "UTC", "2021-01-15T10:37:45Z", "2021-01-15T10:30:00Z"},
		"every minute":                          {"every 1 minutes", nil, nil, "UTC", "2021-01-15T10:37:45Z", "2021-01-15T10:37:00Z"},
		"every 60 minutes is an hour":           {"every 60 minutes", nil, nil, "UTC", "2021-01-15T10:37:45Z", "2021-01-15T10:00:00Z"},
		"hour, on the boundary":                 {batch.Hourly, nil, nil, "UTC", "2021-01-15T10:00:00Z", "2021-01-15T10:00:00Z"},
		"hour, a nanosecond early":              {batch.Hourly, nil, nil, "UTC", "2021-01-15T09:59:59.999999999Z", "2021-01-15T09:00:00Z"},
		"hour, before the epoch":                {batch.Hourly, nil, nil, "UTC", "1969-12-31T23:10:00.5Z", "1969-12-31T23:00:00Z"},
		"hour, a zone of quarter hours":         {batch.Hourly, nil, nil, "Asia/Kathmandu", "2021-01-15T10:37:45Z", "2021-01-15T10:00:00Z"},
		"day, 5 h, UTC":                         {batch.Daily, nil, new(5), "UTC", "2021-01-15T10:30:00Z", "2021-01-15T05:00:00Z"},
		"day, 5 h, UTC, earlier in the day":     {batch.Daily, nil, new(5), "UTC", "2021-01-15T04:30:00Z", "2021-01-14T05:00:00Z"},
		"week, Monday 5 h, UTC":                 {batch.Weekly, new(1), new(5), "UTC", "2021-01-14T10:00:00Z", "2021-01-11T05:00:00Z"},
		"week, Monday 5 h, UTC, Monday at 4":    {batch.Weekly, new(1), new(5), "UTC", "2021-01-11T04:59:59Z", "2021-01-04T05:00:00Z"},
		"week without offsets starts on Sunday": {batch.Weekly, nil, nil, "UTC", "2021-01-14T10:00:00Z", "2021-01-10T00:00:00Z"},
		"day, 1 h, US/Pacific in winter":        {batch.Daily, nil, new(1), "US/Pacific", "2021-01-15T10:00:00Z", "2021-01-15T09:00:00Z"},
		"day, 1 h, US/Pacific, the day before":  {batch.Daily, nil, new(1), "US/Pacific", "2021-01-15T08:30:00Z", "2021-01-14T09:00:00Z"},
		"day in a zone of quarter hours":        {batch.Daily, nil, nil, "Asia/Kathmandu", "2021-01-15T10:37:45Z", "2021-01-14T18:15:00Z"},
		"day, the hour is removed":              {batch.Daily, nil, new(2), "America/New_York", "2024-03-10T12:00:00Z", "2024-03-10T07:00:00Z"},
		"day, the hour is repeated":             {batch.Daily, nil, new(1), "America/New_York", "2024-11-03T06:30:00Z", "2024-11-03T05:00:00Z"},
		"day, midnight is removed":              {batch.Daily, nil, nil, "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z"},
		"day, the last one of a leap year":      {batch.Daily, nil, nil, "Europe/Berlin", "2025-01-01T12:00:00Z", "2024-12-31T23:00:00Z"},
		"day, the hour is moved to tomorrow":    {batch.Daily, nil, new(23), "America/Nuuk", "2024-03-31T01:00:00Z", "2024-03-31T01:00:00Z"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := calendar(t, tt.frequency, tt.zone, tt.day, tt.hour)
			got := c.Floor(instant(t, tt.at))
			require.Equal(t, instant(t, tt.want), got)
			require.Equal(t, time.UTC, got.Location())
		})
	}
}

func TestCalendarAcrossClockChanges(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		zone  string
		hour  int
		dates []string // local days whose boundaries follow each other
		want  []time.Duration
	}{
		"New York, clocks go forward":            {"America/New_York", 0, []string{"2024-03-09", "2024-03-10", "2024-03-11", "2024-03-12"}, hours(24, 23, 24)},
		"New York, clocks go back":               {"America/New_York", 0, []string{"2024-11-02", "2024-11-03", "2024-11-04", "2024-11-05"}, hours(24, 25, 24)},
		"New York, the removed hour":             {"America/New_York", 2, []string{"2024-03-09", "2024-03-10", "2024-03-11"}, hours(24, 23)},
		"New York, the repeated hour":            {"America/New_York", 1, []string{"2024-11-02", "2024-11-03", "2024-11-04"}, hours(24, 25)},
		"Berlin, clocks go forward":              {"Europe/Berlin", 0, []string{"2024-03-30", "2024-03-31", "2024-04-01"}, hours(24, 23)},
		"Berlin, clocks go back":                 {"Europe/Berlin", 0, []string{"2024-10-26", "2024-10-27", "2024-10-28"}, hours(24, 25)},
		"Lord Howe moves by half an hour":        {"Australia/Lord_Howe", 0, []string{"2024-10-05", "2024-10-06", "2024-10-07"}, hours(24, 23.5)},
		"Lord Howe moves back by half an hour":   {"Australia/Lord_Howe", 0, []string{"2024-04-06", "2024-04-07", "2024-04-08"}, hours(24, 24.5)},
		"Lord Howe, the half hour is removed":    {"Australia/Lord_Howe", 2, []string{"2024-10-05", "2024-10-06", "2024-10-07"}, hours(24, 23.5)},
		"Sao Paulo, midnight is removed":         {"America/Sao_Paulo", 0, []string{"2018-11-03", "2018-11-04", "2018-11-05"}, hours(24, 23)},
		"Apia leaves out the 30th of December":   {"Pacific/Apia", 0, []string{"2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"}, hours(24, 24, 24)},
		"Apia, at noon":                          {"Pacific/Apia", 12, []string{"2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"}, hours(24, 24, 24)},
		"Kwajalein leaves out the 21st":          {"Pacific/Kwajalein", 0, []string{"1993-08-20", "1993-08-22", "1993-08-23"}, hours(24, 24)},
		"Kathmandu changes by a quarter of hour": {"Asia/Kathmandu", 3, []string{"1985-12-31", "1986-01-01", "1986-01-02"}, hours(23.75, 24)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := calendar(t, batch.Daily, tt.zone, nil, &tt.hour)
			for i, want := range tt.want {
				interval := c.Containing(at(t, c, tt.dates[i]))
				require.Equal(t, at(t, c, tt.dates[i]), interval.Start, tt.dates[i])
				require.Equal(t, at(t, c, tt.dates[i+1]), interval.End, tt.dates[i])
				require.Equal(t, want, interval.Duration(), tt.dates[i])
			}
		})
	}
}

func TestCalendarOfAWeekIsShorterWhenTheClocksGoForward(t *testing.T) {
	t.Parallel()
	c := calendar(t, batch.Weekly, "Europe/Berlin", new(1), new(3))
	require.Equal(t, 167*time.Hour, c.Containing(instant(t, "2024-03-31T12:00:00Z")).Duration())
	require.Equal(t, 169*time.Hour, c.Containing(instant(t, "2024-10-27T12:00:00Z")).Duration())
	require.Equal(t, 168*time.Hour, c.Containing(instant(t, "2024-06-01T12:00:00Z")).Duration())
}

// A local day that does not exist has the boundary of the day that takes its place, so it has no interval of its own.
func TestCalendarHasNoIntervalForADayThatIsLeftOut(t *testing.T) {
	t.Parallel()
	c := calendar(t, batch.Daily, "Pacific/Apia", nil, nil)
	require.Equal(t, at(t, c, "2011-12-31"), at(t, c, "2011-12-30"))
	require.Equal(t, int64(4), c.Count(at(t, c, "2011-12-28"), at(t, c, "2012-01-02")))
}

func TestCalendarWithin(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		start, end string
		want       []string // starts
	}{
		"aligned bounds":                     {"2024-01-01T00:00:00Z", "2024-01-01T03:00:00Z", []string{"00", "01", "02"}},
		"a partial first hour is left out":   {"2024-01-01T00:00:01Z", "2024-01-01T03:00:00Z", []string{"01", "02"}},
		"a partial last hour is left out":    {"2024-01-01T00:00:00Z", "2024-01-01T02:59:59Z", []string{"00", "01"}},
		"shorter than an hour":               {"2024-01-01T00:10:00Z", "2024-01-01T00:50:00Z", nil},
		"across a boundary, but none whole":  {"2024-01-01T00:10:00Z", "2024-01-01T01:50:00Z", nil},
		"empty":                              {"2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z", nil},
		"the end lies before the start":      {"2024-01-01T03:00:00Z", "2024-01-01T00:00:00Z", nil},
		"the end before the start, unevenly": {"2024-01-01T03:30:00Z", "2024-01-01T00:30:00Z", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := calendar(t, batch.Hourly, "UTC", nil, nil)
			var starts []string
			for i := range c.Within(instant(t, tt.start), instant(t, tt.end)) {
				require.Equal(t, time.Hour, i.Duration())
				starts = append(starts, i.Start.Format("15"))
			}
			require.Equal(t, tt.want, starts)
			require.Equal(t, int64(len(tt.want)), c.Count(instant(t, tt.start), instant(t, tt.end)))
		})
	}
}

func TestCalendarWithinStopsWhenTheLoopDoes(t *testing.T) {
	t.Parallel()
	c := calendar(t, batch.Daily, "Europe/Berlin", nil, nil)
	var seen int
	for range c.Within(instant(t, "2024-01-01T00:00:00Z"), instant(t, "2100-01-01T00:00:00Z")) {
		seen++
		if seen == 3 {
			break
		}
	}
	require.Equal(t, 3, seen)
}

// A range longer than a time.Duration can hold must not be cut off.
func TestCalendarCountsCenturies(t *testing.T) {
	t.Parallel()
	start, end := instant(t, "0001-01-01T00:00:00Z"), instant(t, "2001-01-01T00:00:00Z")
	const days = 5 * 146_097 // five times four centuries
	require.Equal(t, int64(days*24), calendar(t, batch.Hourly, "UTC", nil, nil).Count(start, end))
	require.Equal(t, int64(days*24*12), calendar(t, batch.Every5Minutes, "UTC", nil, nil).Count(start, end))
	require.Zero(t, calendar(t, batch.Hourly, "UTC", nil, nil).Count(end, start))
}

func TestCalendarLastComplete(t *testing.T) {
	t.Parallel()
	c := calendar(t, batch.Hourly, "UTC", nil, nil)
	want := batch.Interval{Start: instant(t, "2024-01-01T02:00:00Z"), End: instant(t, "2024-01-01T03:00:00Z")}
	require.Equal(t, want, c.LastComplete(instant(t, "2024-01-01T03:00:00Z")), "the very moment it is over")
	require.Equal(t, want, c.LastComplete(instant(t, "2024-01-01T03:59:59.999Z")))
}

func TestNewCalendarRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		frequency batch.Frequency
		zone      string
		day, hour *int
		message   string
	}{
		"no zone":                             {batch.Daily, "", nil, nil, `"" is not a time zone`},
		"the machine's zone":                  {batch.Daily, "Local", nil, nil, `"Local" is not a time zone`},
		"the machine's zone by its file":      {batch.Daily, "localtime", nil, nil, `"localtime" is not a time zone`},
		"a path to a zone":                    {batch.Daily, "./Europe/Berlin", nil, nil, `"./Europe/Berlin" is not a time zone`},
		"a path with too many slashes":        {batch.Daily, "Europe//Berlin", nil, nil, `"Europe//Berlin" is not a time zone`},
		"the machine's default rules":         {batch.Daily, "posixrules", nil, nil, `"posixrules" is not a time zone`},
		"a zone that counts leap seconds":     {batch.Daily, "right/Europe/Berlin", nil, nil, `"right/Europe/Berlin" is not a time zone`},
		"a zone by the name of its folder":    {batch.Daily, "posix/Europe/Berlin", nil, nil, `"posix/Europe/Berlin" is not a time zone`},
		"a zone that nobody knows":            {batch.Daily, "Mars/Phobos", nil, nil, `"Mars/Phobos" is not a time zone`},
		"a folder of zones":                   {batch.Daily, "Europe", nil, nil, `"Europe" is not a time zone`},
		"a zone by its path":                  {batch.Daily, "/usr/share/zoneinfo/Europe/Berlin", nil, nil, `"/usr/share/zoneinfo/Europe/Berlin" is not a time zone`},
		"a zone that leaves the folder":       {batch.Daily, "../zoneinfo/Europe/Berlin", nil, nil, `"../zoneinfo/Europe/Berlin" is not a time zone`},
		"a zone is checked for hours too":     {batch.Hourly, "Mars/Phobos", nil, nil, `"Mars/Phobos" is not a time zone`},
		"a zone in other letters":             {batch.Daily, "europe/berlin", nil, nil, `"europe/berlin" is not a time zone`},
		"an interval that nobody knows":       {"fortnight", "UTC", nil, nil, `"fortnight" is not an interval`},
		"no interval":                         {"", "UTC", nil, nil, `"" is not an interval`},
		"a day for an hourly export":          {batch.Hourly, "UTC", new(0), nil, "offset_day 0 is not applicable"},
		"a day for a daily export":            {batch.Daily, "UTC", new(1), nil, "offset_day 1 is not applicable"},
		"the day after Saturday":              {batch.Weekly, "UTC", new(7), nil, "offset_day 7 is not applicable"},
		"the day before Sunday":               {batch.Weekly, "UTC", new(-1), nil, "offset_day -1 is not applicable"},
		"an hour for an hourly export":        {batch.Hourly, "UTC", nil, new(0), "offset_hour 0 is not applicable"},
		"an hour for minutes":                 {batch.Every5Minutes, "UTC", nil, new(1), "offset_hour 1 is not applicable"},
		"the hour after 23":                   {batch.Daily, "UTC", nil, new(24), "offset_hour 24 is not applicable"},
		"the hour before midnight":            {batch.Weekly, "UTC", nil, new(-1), "offset_hour -1 is not applicable"},
		"a good day does not excuse the hour": {batch.Weekly, "UTC", new(6), new(24), "offset_hour 24 is not applicable"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := batch.NewCalendar(tt.frequency, tt.zone, tt.day, tt.hour)
			require.Error(t, err)
			require.Equal(t, batch.CodeConfig, batch.CodeOf(err))
			require.Equal(t, tt.message, batch.MessageOf(err))
		})
	}
}

func TestCalendarDescribesItself(t *testing.T) {
	t.Parallel()
	require.Equal(t, "every 5 minutes", calendar(t, batch.Every5Minutes, "UTC", nil, nil).String())
	require.Equal(t, "hour", calendar(t, batch.Hourly, "Europe/Berlin", nil, nil).String())
	require.Equal(t, "day at 05:00 Europe/Berlin", calendar(t, batch.Daily, "Europe/Berlin", nil, new(5)).String())
	c := calendar(t, batch.Weekly, "Europe/Berlin", new(3), new(5))
	require.Equal(t, "week on Wednesday at 05:00 Europe/Berlin", c.String())
	require.Equal(t, batch.Weekly, c.Frequency())
	require.Equal(t, time.Wednesday, c.Weekday())
	require.Equal(t, 5, c.Hour())
	require.Equal(t, "Europe/Berlin", c.Location().String())
}

func TestExportCalendar(t *testing.T) {
	t.Parallel()
	e := batch.Export{Frequency: batch.Weekly, Timezone: "Asia/Tokyo", OffsetDay: new(2), OffsetHour: new(7)}
	c, err := e.Calendar()
	require.NoError(t, err)
	require.Equal(t, "week on Tuesday at 07:00 Asia/Tokyo", c.String())
	e.Timezone = "Local"
	_, err = e.Calendar()
	require.Equal(t, batch.CodeConfig, batch.CodeOf(err))
}

func calendar(t *testing.T, f batch.Frequency, zone string, day, hour *int) batch.Calendar {
	t.Helper()
	c, err := batch.NewCalendar(f, zone, day, hour)
	require.NoError(t, err)
	return c
}

func instant(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	require.NoError(t, err)
	return at.UTC()
}

func at(t *testing.T, c batch.Calendar, date string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, date)
	require.NoError(t, err)
	return c.At(d.Date())
}

func hours(hours ...float64) []time.Duration {
	return slices.Collect(func(yield func(time.Duration) bool) {
		for _, h := range hours {
			if !yield(time.Duration(h * float64(time.Hour))) {
				return
			}
		}
	})
}

func TestALocalTimeIsShownASecondTimeWhenTheClocksGoBack(t *testing.T) {
	t.Parallel()
	hour := 2
	for zone, c := range map[string]struct{ before, first, last, after string }{
		"Europe/Berlin":       {"2026-10-25T00:59:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:59:00Z", "2026-10-25T02:00:00Z"},
		"Australia/Lord_Howe": {"2026-04-04T14:59:00Z", "2026-04-04T15:00:00Z", "2026-04-04T15:29:00Z", "2026-04-04T15:30:00Z"},
	} {
		calendar, err := batch.NewCalendar(batch.Daily, zone, nil, &hour)
		require.NoError(t, err)
		for at, want := range map[string]bool{c.before: false, c.first: true, c.last: true, c.after: false} {
			require.Equal(t, want, calendar.Repeats(instant(t, at)), "%s in %s", at, zone)
		}
		require.False(t, calendar.Repeats(instant(t, c.first).Add(time.Second)), "somebody triggers a schedule by hand at any second")
	}
	spring, err := batch.NewCalendar(batch.Daily, "Europe/Berlin", nil, &hour)
	require.NoError(t, err)
	require.False(t, spring.Repeats(instant(t, "2026-03-29T01:00:00Z")))
	hourly, err := batch.NewCalendar(batch.Hourly, "Europe/Berlin", nil, nil)
	require.NoError(t, err)
	require.False(t, hourly.Repeats(instant(t, "2026-10-25T01:00:00Z")))
}
