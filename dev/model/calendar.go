package model

import (
	"fmt"
	"time"

	"tranche/batch"
)

// A calendar is what the model knows of calendars, in the words of the API. It is told by looking at one minute after
// another, so that it shares nothing with the code that it judges. Its zones never change their clocks.
type calendar struct {
	Interval   string `json:"interval"`
	Timezone   string `json:"timezone"`
	OffsetDay  *int   `json:"offset_day"`
	OffsetHour *int   `json:"offset_hour"`
}

// minutely are the calendars of an export whose intervals fall due during a walk, hourly those of one that has fallen
// behind by hours.
func minutely() []calendar {
	return []calendar{
		{Interval: "every 1 minutes", Timezone: "UTC"},
		{Interval: "every 1 minutes", Timezone: "Asia/Kathmandu"},
		{Interval: "every 2 minutes", Timezone: "UTC"},
		{Interval: "every 5 minutes", Timezone: "UTC"},
		{Interval: "hour", Timezone: "UTC"},
	}
}

func hourly() []calendar {
	five, seven, wednesday := 5, 7, 3
	return []calendar{
		{Interval: "hour", Timezone: "UTC"},
		{Interval: "hour", Timezone: "America/Phoenix"},
		{Interval: "every 30 minutes", Timezone: "UTC"},
		{Interval: "every 20 minutes", Timezone: "UTC"},
		{Interval: "day", Timezone: "UTC"},
		{Interval: "day", Timezone: "Asia/Kathmandu", OffsetHour: &five},
		{Interval: "day", Timezone: "Pacific/Honolulu", OffsetHour: &seven},
		{Interval: "week", Timezone: "Africa/Johannesburg", OffsetDay: &wednesday, OffsetHour: &five},
	}
}

func (c calendar) String() string {
	switch c.Interval {
	case "day":
		return fmt.Sprintf("day at %d in %s", orZero(c.OffsetHour), c.Timezone)
	case "week":
		return fmt.Sprintf("week on day %d at %d in %s", orZero(c.OffsetDay), orZero(c.OffsetHour), c.Timezone)
	}
	return c.Interval
}

func orZero(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// step is the length of an interval of less than a day, or zero.
func (c calendar) step() time.Duration {
	var n int
	if _, err := fmt.Sscanf(c.Interval, "every %d minutes", &n); err == nil {
		return time.Duration(n) * time.Minute
	}
	if c.Interval == "hour" {
		return time.Hour
	}
	return 0
}

// jitter is the longest time by which the schedule may be late.
func (c calendar) jitter() time.Duration {
	switch c.Interval {
	case "hour":
		return 15 * time.Minute
	case "day":
		return 20 * time.Minute
	case "week":
		return 30 * time.Minute
	}
	return c.step() / 5
}

// ends says whether an interval ends at the whole minute t.
func (c calendar) ends(t time.Time) bool {
	if step := c.step(); step > 0 {
		return t.Unix()%int64(step/time.Second) == 0
	}
	zone, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return false
	}
	local := t.In(zone)
	return local.Hour() == orZero(c.OffsetHour) && local.Minute() == 0 &&
		(c.Interval == "day" || int(local.Weekday()) == orZero(c.OffsetDay))
}

// floor is the last end of an interval that is not after t, next the first one after it.
func (c calendar) floor(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Minute)
	for !c.ends(t) {
		t = t.Add(-time.Minute)
	}
	return t
}

func (c calendar) next(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Minute).Add(time.Minute)
	for !c.ends(t) {
		t = t.Add(time.Minute)
	}
	return t
}

// before is the interval that ends at end.
func (c calendar) before(end time.Time) batch.Interval {
	return batch.Interval{Start: c.floor(end.Add(-time.Minute)), End: end.UTC()}
}

// bound writes a boundary as backfills have it.
func (c calendar) bound(t time.Time) string {
	zone, err := time.LoadLocation(c.Timezone)
	if err != nil || c.step() > 0 {
		return t.UTC().Format(time.RFC3339)
	}
	return t.In(zone).Format(time.DateOnly)
}
