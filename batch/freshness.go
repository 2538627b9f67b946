package batch

import (
	"time"

	"github.com/google/uuid"
)

// A Lag says how far the deliveries of an active export have come.
type Lag struct {
	ExportID uuid.UUID
	TeamID   int64
	// Delivered is the end of the last delivered interval; zero = none was.
	Delivered time.Time
	// Span is the time of activity that lasts.
	Span Span
}

// A Freshness says how many intervals old the newest delivered rows of an export may become before it counts as late.
type Freshness float64

// DefaultFreshness leaves half an interval for the jitter, late rows and the work.
const DefaultFreshness Freshness = 1.5

// leastSlack is what short intervals have at least for the same.
const leastSlack = 10 * time.Minute

// Objective is the largest lag that is in order.
func (f Freshness) Objective(every Frequency) time.Duration {
	nominal := every.Nominal()
	return nominal + max(leastSlack, time.Duration((float64(f)-1)*float64(nominal)))
}

// Owed returns the end of the first interval that is due after what was delivered; false when nothing will be due: the
// schedule has an end. Intervals that nobody delivered before later ones do not count: they have failed, they are not late.
func (l Lag) Owed() (time.Time, bool) { return l.Span.Next(l.Delivered) }

// Late says whether the interval that is owed should have been delivered by now. What was due before the export became
// active is not owed, so that one which is new, or was unpaused, or whose backfill delivers the past, is not late.
func (l Lag) Late(now time.Time, f Freshness) bool {
	end, ok := l.Owed()
	slack := f.Objective(l.Span.Frequency) - l.Span.Frequency.Nominal()
	return ok && now.After(end.Add(slack))
}
