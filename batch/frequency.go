package batch

import (
	"strconv"
	"strings"
	"time"
)

// A Frequency says how long an export's intervals are, in the words of the API: "hour", "day", "week" or
// "every N minutes" where N divides 60.
type Frequency string

// The named frequencies.
const (
	Hourly         Frequency = "hour"
	Daily          Frequency = "day"
	Weekly         Frequency = "week"
	Every5Minutes  Frequency = "every 5 minutes"
	Every15Minutes Frequency = "every 15 minutes"
)

// ParseFrequency accepts what the API accepts, exactly as written.
func ParseFrequency(s string) (Frequency, bool) {
	f := Frequency(s)
	switch f {
	case Hourly, Daily, Weekly:
		return f, true
	}
	if f.minutes() == 0 {
		return "", false
	}
	return f, true
}

// minutes returns N of "every N minutes", or 0.
func (f Frequency) minutes() int {
	digits, ok := strings.CutPrefix(string(f), "every ")
	if !ok {
		return 0
	}
	digits, ok = strings.CutSuffix(digits, " minutes")
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(digits)
	if err != nil || strconv.Itoa(n) != digits || n < 1 || n > 60 || 60%n != 0 {
		return 0
	}
	return n
}

// Nominal is the length of an ordinary interval; a local day or week differs from it when the clocks change.
func (f Frequency) Nominal() time.Duration {
	switch f {
	case Hourly:
		return time.Hour
	case Daily:
		return 24 * time.Hour
	case Weekly:
		return 7 * 24 * time.Hour
	}
	return time.Duration(f.minutes()) * time.Minute
}

// SubHourly says whether intervals are shorter than an hour.
func (f Frequency) SubHourly() bool { return f.Nominal() < time.Hour }

// InLocalTime says whether the boundaries are local times of the export's zone.
func (f Frequency) InLocalTime() bool { return f == Daily || f == Weekly }

// Jitter is the longest delay with which the schedule starts a run, to spread the load of a full hour.
func (f Frequency) Jitter() time.Duration {
	switch f {
	case Hourly:
		return 15 * time.Minute
	case Daily:
		return 20 * time.Minute
	case Weekly:
		return 30 * time.Minute
	}
	return f.Nominal() / 5
}

// FailureWindow is how many of an export's newest runs are looked at to find out whether it keeps failing: a day's, a
// week's or a month's, and for minutes an hour's.
func (f Frequency) FailureWindow() int {
	switch f {
	case Hourly:
		return 24
	case Daily:
		return 7
	case Weekly:
		return 4
	}
	return max(4, int(time.Hour/f.Nominal()))
}

// mostFailures is how many failed runs pause an export at the latest.
const mostFailures = 10

// FailureLimit is how many runs of the window must fail for the export to be paused.
func (f Frequency) FailureLimit() int { return min(mostFailures, f.FailureWindow()) }
