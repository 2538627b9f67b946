package app

import (
	"time"

	"tranche/batch"
)

// bounds parses and checks the bounds of a backfill in the contract's order. They are dates for daily and weekly
// exports, instants with an offset for all others.
func (s *Backfills) bounds(e batch.Export, start, end *string) (from, to *time.Time, err error) {
	calendar, err := e.Calendar()
	if err != nil {
		return nil, nil, err
	}
	if from, err = bound(calendar, "start_at", start); err != nil {
		return nil, nil, err
	}
	if to, err = bound(calendar, "end_at", end); err != nil {
		return nil, nil, err
	}
	if to == nil {
		if plugin, ok := s.Plugins.Plugin(e.Destination.Type); ok && plugin.Endless {
			return from, nil, nil
		}
		return nil, nil, invalid("end_at", codeInvalid, "Backfilling a BatchExport with no end date is not allowed")
	}
	if from != nil && !from.Before(*to) {
		return nil, nil, invalid("", codeInvalid, "The initial backfill datetime 'start_at' must be before 'end_at'")
	}
	if to.After(s.Now()) {
		return nil, nil, invalid("", codeInvalid, "The provided 'end_at' (%s) is in the future", to.Format(time.RFC3339))
	}
	return from, to, nil
}

// bound parses one bound; nil stays nil.
func bound(calendar batch.Calendar, attr string, text *string) (*time.Time, error) {
	if text == nil {
		return nil, nil
	}
	var t time.Time
	var err error
	if calendar.Frequency().InLocalTime() {
		t, err = parseDate(calendar, attr, *text)
	} else {
		t, err = parseInstant(attr, *text)
	}
	if err != nil {
		return nil, err
	}
	if y := t.Year(); y < 1970 || y > 9999 {
		return nil, invalid(attr, codeInvalid, "Input %s is out of range: the year must be between 1970 and 9999.", *text)
	}
	return &t, nil
}

func parseDate(calendar batch.Calendar, attr, text string) (time.Time, error) {
	d, err := time.Parse(time.DateOnly, text)
	if err != nil {
		hint := ""
		if _, ok := parseISO(text); ok {
			hint = " Daily and weekly batch exports are backfilled by date: leave out the time and give only YYYY-MM-DD."
		}
		return time.Time{}, invalid(attr, codeInvalid, "Input '%s' is not a valid ISO formatted date.%s", text, hint)
	}
	if calendar.Frequency() == batch.Weekly && d.Weekday() != calendar.Weekday() {
		return time.Time{}, invalid(attr, codeInvalid,
			"Input %s is not on the correct day of the week for this batch export. It is a %s, but intervals start on %s.",
			text, d.Weekday(), calendar.Weekday())
	}
	return calendar.At(d.Year(), d.Month(), d.Day()), nil
}

func parseInstant(attr, text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err == nil {
		return t.UTC(), nil
	}
	if t, ok := parseISO(text); ok {
		if t.Location() == naive {
			return time.Time{}, invalid(attr, codeInvalid, "Input %s is naive.", text)
		}
		return t.UTC(), nil
	}
	return time.Time{}, invalid(attr, codeInvalid, "Input %s is not a valid ISO formatted datetime.", text)
}

// naive marks times that were written without an offset.
// Its offset of one second cannot be written, so no text with an offset gets it.
var naive = time.FixedZone("naive", 1)

// isoLayouts are the other ISO 8601 forms that clients send. time.Parse accepts fractions of a second after any of them.
var isoLayouts = []string{
	"2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07",
	"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly,
}

// parseISO parses text in one of isoLayouts, or RFC 3339; the location is naive when it has no offset.
func parseISO(text string) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, true
	}
	for _, layout := range isoLayouts {
		if t, err := time.ParseInLocation(layout, text, naive); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
