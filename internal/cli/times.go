package cli

import (
	"fmt"
	"strconv"
	"time"

	"tranche/batch"
)

// timeLayouts are the forms in which people write times; without an offset they mean the zone at hand.
var timeLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", minutes, time.DateOnly}

// timeOf reads a time: ISO 8601, "now", or a time before now as in -90m, -3h, -7d and -2w.
func timeOf(text string, now time.Time, zone *time.Location) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	if t, ok := before(text, now, zone); ok {
		return t, nil
	}
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: give one such as 2026-07-28, 2026-07-28T15:00, -7d, -3h or now", text)
}

// before reads a time before now. Days and weeks are those of the zone's calendar.
func before(text string, now time.Time, zone *time.Location) (time.Time, bool) {
	if len(text) < 3 || text[0] != '-' {
		return time.Time{}, false
	}
	n, err := strconv.ParseUint(text[1:len(text)-1], 10, 16)
	if err != nil {
		return time.Time{}, false
	}
	back := int(n)
	switch text[len(text)-1] {
	case 'm':
		return now.Add(-time.Duration(back) * time.Minute), true
	case 'h':
		return now.Add(-time.Duration(back) * time.Hour), true
	case 'd':
		return now.In(zone).AddDate(0, 0, -back), true
	case 'w':
		return now.In(zone).AddDate(0, 0, -7*back), true
	}
	return time.Time{}, false
}

// earliest is the start of a backfill of everything.
const earliest = "earliest"

// bound turns a bound of a backfill as people write it into what the API takes: dates of daily and weekly exports, else
// instants with an offset. What is relative to now begins with the interval that it falls in.
func bound(text string, c batch.Calendar, now time.Time, zone *time.Location) (string, error) {
	t, err := timeOf(text, now, zone)
	if err != nil {
		return "", err
	}
	if text == "now" || text[0] == '-' {
		t = c.Floor(t)
	} else if _, err := time.Parse(time.DateOnly, text); err == nil && c.Frequency().InLocalTime() {
		return text, nil // the date of an interval, whatever its hour is
	}
	if !c.Frequency().InLocalTime() {
		return t.UTC().Format(time.RFC3339Nano), nil
	}
	if floor := c.Floor(t); !floor.Equal(t) {
		return "", fmt.Errorf("%q is not where an interval begins: give its date", text)
	}
	return t.In(zone).Format(time.DateOnly), nil
}
