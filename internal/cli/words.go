package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// none is shown for what is not known.
const none = "-"

// count shows a number with separators.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var parts []string
	for len(digits) > 3 {
		parts = append([]string{digits[len(digits)-3:]}, parts...)
		digits = digits[:len(digits)-3]
	}
	return sign + strings.Join(append([]string{digits}, parts...), ",")
}

func countOf(n *int64) string {
	if n == nil {
		return none
	}
	return count(*n)
}

// size shows bytes in decimal units.
func size(n int64) string {
	if n < 1000 {
		return count(n) + " B"
	}
	x := float64(n)
	for _, unit := range []string{"kB", "MB", "GB", "TB"} {
		x /= 1000
		if x < 999.95 {
			return strconv.FormatFloat(x, 'f', 1, 64) + " " + unit
		}
	}
	return strconv.FormatFloat(x/1000, 'f', 1, 64) + " PB"
}

func sizeOf(n *int64) string {
	if n == nil {
		return none
	}
	return size(*n)
}

// span shows a duration in the two units that matter.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// age shows how long ago a time is, in one unit.
func age(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case d < 0:
		return "in " + strings.TrimSuffix(age(t, now), " ago")
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return fmt.Sprintf("%dd ago", int(d.Hours())/24)
}

// zoneOf reads the zone that was asked for; nil = none was.
func zoneOf(name string, local *time.Location) (*time.Location, error) {
	switch strings.ToLower(name) {
	case "":
		return nil, nil
	case "local":
		return local, nil
	case "utc":
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, usagef("--zone %s: there is no such time zone", name)
	}
	return zone, nil
}

// zoneName names a zone; the local one has no better name than what it is called now.
func zoneName(zone *time.Location, now time.Time) string {
	if zone == time.Local {
		return now.In(zone).Format("MST")
	}
	return zone.String()
}

const (
	minutes = "2006-01-02 15:04"
	seconds = "2006-01-02 15:04:05"
)

// instant shows a time to the minute. One that the clocks show twice is told apart by its offset.
func instant(t time.Time, zone *time.Location) string {
	local := t.In(zone)
	text := local.Format(minutes)
	if local.Second() != 0 {
		text = local.Format(seconds)
	}
	for _, d := range []time.Duration{-time.Hour, time.Hour} {
		if other := t.Add(d).In(zone); other.Format(minutes) == local.Format(minutes) {
			return text + local.Format("-07:00")
		}
	}
	return text
}

func instantOf(t *time.Time, zone *time.Location) string {
	if t == nil {
		return none
	}
	return instant(*t, zone)
}

// interval shows the bounds of an interval; nil = from the beginning.
func interval(start *time.Time, end time.Time, zone *time.Location) string {
	if start == nil {
		return "beginning – " + instant(end, zone)
	}
	from, to := instant(*start, zone), instant(end, zone)
	if end.Sub(*start) < 24*time.Hour && len(from) == len(minutes) && len(to) == len(minutes) {
		to = to[len("2006-01-02 "):] // the day is clear
	}
	return from + " – " + to
}

// plural counts things.
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}
