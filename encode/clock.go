package encode

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

const (
	secondsPerDay = 24 * 60 * 60
	microDigits   = 6
	nanoDigits    = 9
)

// A calendar writes dates, remembering the newest one: rows of an interval share their day.
type calendar struct {
	day  int64 // since the Unix epoch
	date []byte
}

// appendDate appends the date of a day since the Unix epoch.
func (c *calendar) appendDate(b []byte, day int64) []byte {
	if day != c.day || len(c.date) == 0 {
		c.day = day
		c.date = time.Unix(day*secondsPerDay, 0).UTC().AppendFormat(c.date[:0], time.DateOnly)
	}
	return append(b, c.date...)
}

// appendTimestamp appends an instant in RFC 3339, UTC, with six digits of a second; with nine when it has nanoseconds.
func (c *calendar) appendTimestamp(b []byte, value int64, unit arrow.TimeUnit) []byte {
	perSecond := unitsPerSecond(unit)
	seconds, fraction := floorDivide(value, perSecond)
	day, second := floorDivide(seconds, secondsPerDay)
	b = c.appendDate(b, day)
	b = append(b, 'T')
	b = appendClock(b, second)
	b = appendFraction(b, fraction*(int64(time.Second)/perSecond))
	return append(b, 'Z')
}

// appendTime appends a time of day.
func appendTime(b []byte, value int64, unit arrow.TimeUnit) []byte {
	perSecond := unitsPerSecond(unit)
	seconds, fraction := floorDivide(value, perSecond)
	b = appendClock(b, seconds)
	return appendFraction(b, fraction*(int64(time.Second)/perSecond))
}

func appendClock(b []byte, second int64) []byte {
	b = appendTwo(b, second/3600)
	b = append(b, ':')
	b = appendTwo(b, second/60%60)
	b = append(b, ':')
	return appendTwo(b, second%60)
}

func appendTwo(b []byte, n int64) []byte {
	return append(b, byte('0'+n/10), byte('0'+n%10))
}

func appendFraction(b []byte, nanos int64) []byte {
	digits := nanoDigits
	if nanos%1000 == 0 {
		digits, nanos = microDigits, nanos/1000
	}
	b = append(b, ".000000000"[:1+digits]...)
	for i := len(b) - 1; nanos > 0; i-- {
		b[i] = byte('0' + nanos%10)
		nanos /= 10
	}
	return b
}

func unitsPerSecond(unit arrow.TimeUnit) int64 { return int64(time.Second / unit.Multiplier()) }

// floorDivide rounds down, also below zero, so that the remainder is never negative.
func floorDivide(a, b int64) (quotient, remainder int64) {
	quotient, remainder = a/b, a%b
	if remainder < 0 {
		quotient, remainder = quotient-1, remainder+b
	}
	return quotient, remainder
}
