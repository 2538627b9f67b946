package api

import (
	"strconv"
	"time"
)

// An instant is a time as clients read it: RFC 3339 in UTC, with six digits when it has a fraction of a second.
type instant time.Time

// MarshalText implements encoding.TextMarshaler.
func (t instant) MarshalText() ([]byte, error) {
	layout := time.RFC3339
	utc := time.Time(t).UTC().Truncate(time.Microsecond)
	if utc.Nanosecond() != 0 {
		layout = "2006-01-02T15:04:05.000000Z"
	}
	return utc.AppendFormat(make([]byte, 0, len("2006-01-02T15:04:05.000000Z")), layout), nil
}

// instantOf turns nil into null.
func instantOf(t *time.Time) *instant {
	if t == nil {
		return nil
	}
	i := instant(*t)
	return &i
}

// Years that every part of the service can store and print.
const (
	firstYear = 1970
	lastYear  = 9999
)

// timeLayouts are the ISO 8601 forms that clients send. A fraction may follow the seconds of each. What lacks an
// offset is local.
var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00",
	"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly,
}

// parseTime parses ISO 8601 into UTC. Without an offset it is read in zone.
func parseTime(text string, zone *time.Location) (time.Time, bool) {
	for _, layout := range timeLayouts {
		t, err := time.ParseInLocation(layout, text, zone)
		if err != nil {
			continue
		}
		return storable(t)
	}
	return time.Time{}, false
}

// maxRelative is the largest number in a relative time.
const maxRelative = 100_000

// parseRelative parses a time before now, as in "-7d": a number of hours, days, weeks, months or years.
// Days and longer are counted on the calendar of zone.
func parseRelative(text string, now time.Time, zone *time.Location) (time.Time, bool) {
	if len(text) < 3 || text[0] != '-' {
		return time.Time{}, false
	}
	n, err := strconv.ParseUint(text[1:len(text)-1], 10, 32)
	if err != nil || n > maxRelative {
		return time.Time{}, false
	}
	back, local := -int(n), now.In(zone)
	switch text[len(text)-1] {
	case 'h':
		return storable(now.Add(time.Duration(back) * time.Hour))
	case 'd':
		return storable(local.AddDate(0, 0, back))
	case 'w':
		return storable(local.AddDate(0, 0, 7*back))
	case 'm':
		return storable(local.AddDate(0, back, 0))
	case 'y':
		return storable(local.AddDate(back, 0, 0))
	}
	return time.Time{}, false
}

// storable returns t in UTC when its year can be stored and printed.
func storable(t time.Time) (time.Time, bool) {
	t = t.UTC()
	return t, t.Year() >= firstYear && t.Year() <= lastYear
}
