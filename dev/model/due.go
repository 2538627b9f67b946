package model

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tranche/batch"
)

// versionsSchema keeps every definition that an export ever had, whoever changed it: what the model judges by must not
// come from the tables that say what is due.
const versionsSchema = `
	CREATE TABLE model_versions (
		id uuid, revision bigint, at timestamptz, paused boolean, frequency text, timezone text, offset_day integer, offset_hour integer,
		first_start timestamptz, first_end timestamptz, PRIMARY KEY (id, revision));
	CREATE FUNCTION keep_version() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO model_versions VALUES (NEW.id, NEW.revision, NEW.last_updated_at, NEW.paused OR NEW.deleted, NEW.frequency, NEW.timezone,
			NEW.offset_day, NEW.offset_hour, NEW.first_interval_start, NEW.first_interval_end) ON CONFLICT DO NOTHING;
		RETURN NULL;
	END $$;
	CREATE TRIGGER keep_version AFTER INSERT OR UPDATE ON exports FOR EACH ROW EXECUTE FUNCTION keep_version();`

// A version is a definition that an export had from a time on.
type version struct {
	at       time.Time
	paused   bool
	calendar calendar
	first    *batch.Interval
}

// versions returns all that an export had, oldest first.
func (h *harness) versions(ctx context.Context, export uuid.UUID) ([]version, error) {
	rows, err := h.pool.Query(ctx, `SELECT at, paused, frequency, timezone, offset_day, offset_hour, first_start, first_end
		FROM model_versions WHERE id = $1 ORDER BY revision`, export)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (version, error) {
		var v version
		var start, end *time.Time
		err := row.Scan(&v.at, &v.paused, &v.calendar.Interval, &v.calendar.Timezone, &v.calendar.OffsetDay, &v.calendar.OffsetHour, &start, &end)
		if start != nil && end != nil {
			v.first = &batch.Interval{Start: start.UTC(), End: end.UTC()}
		}
		return v, err
	})
}

// An era is the time of one calendar.
type era struct {
	calendar calendar
	first    *batch.Interval // joins it to the era before; nil = there is none
	from     time.Time       // no interval of the era ends at this time or before
}

// decided is how long a change may take from the look at the clock to its record.
const decided = 5 * time.Second

// eras cuts the versions into eras, and checks how they are joined.
func eras(versions []version) ([]era, error) {
	all := []era{{calendar: versions[0].calendar, from: versions[0].at}}
	for _, v := range versions[1:] {
		last := all[len(all)-1]
		if v.calendar.String() == last.calendar.String() {
			continue
		}
		if v.first == nil {
			return nil, fmt.Errorf("the calendar changed to %s at %s, and there is no first interval", v.calendar, v.at)
		}
		if late, early := last.join(v.calendar, v.at), last.join(v.calendar, v.at.Add(-decided)); !v.first.Equal(late) && !v.first.Equal(early) {
			return nil, fmt.Errorf("the calendar changed from %s to %s at %s: the first interval is %s, not %s", last.calendar, v.calendar, v.at, v.first, late)
		}
		all = append(all, era{calendar: v.calendar, first: v.first, from: v.first.Start})
	}
	return all, nil
}

// join is the first interval after a change at a time: it starts where the last one that was due before ended.
func (e era) join(next calendar, at time.Time) batch.Interval {
	start := e.calendar.floor(at)
	if e.first != nil && at.Before(e.first.End) {
		start = e.first.Start
	}
	return batch.Interval{Start: start, End: next.next(at)}
}

// A duty is an interval that an export's calendars made, and whether the export was active when it ended.
type duty struct {
	batch.Interval
	calendar calendar
	active   bool
}

// duties are all intervals that ended by a time since the export was made, under each calendar that was in force then.
func duties(versions []version, until time.Time) ([]duty, error) {
	all, err := eras(versions)
	if err != nil {
		return nil, err
	}
	var made []duty
	for n, e := range all {
		last := until
		if n+1 < len(all) && all[n+1].from.Before(until) {
			last = all[n+1].from
		}
		end := e.calendar.next(e.from)
		if e.first != nil {
			end = e.first.End
		}
		for ; !end.After(last); end = e.calendar.next(end) {
			d := duty{e.calendar.before(end), e.calendar, activeAt(versions, end)}
			if e.first != nil && end.Equal(e.first.End) {
				d.Interval = *e.first
			}
			made = append(made, d)
		}
	}
	return made, nil
}

// activeAt says whether the export was active at the end of an interval.
func activeAt(versions []version, end time.Time) bool {
	active := false
	for _, v := range versions {
		if v.at.Before(end) {
			active = !v.paused
		}
	}
	return active
}

// overdue are the intervals of the export that must be delivered by now, as far as the schedule's jitter tells.
func (e *export) overdue(ctx context.Context, by time.Time) ([]duty, error) {
	versions, err := e.h.versions(ctx, e.id)
	if err != nil {
		return nil, err
	}
	all, err := duties(versions, by)
	var due []duty
	for _, d := range all {
		if d.active && !d.End.Add(d.calendar.jitter()).After(by) {
			due = append(due, d)
		}
	}
	return due, err
}

// missing are the overdue intervals that no delivery covers, although nobody stopped them.
func (e *export) missing(ctx context.Context, by time.Time) ([]duty, error) {
	due, err := e.overdue(ctx, by)
	if err != nil {
		return nil, err
	}
	deliveries, err := e.deliveries(ctx)
	if err != nil {
		return nil, err
	}
	var missing []duty
	for _, d := range due {
		if covers(deliveries, d.Interval) {
			continue
		}
		stopped, err := e.stoppedBy(ctx, d.Interval)
		if err != nil {
			return nil, err
		}
		if stopped == "" {
			missing = append(missing, d)
		}
	}
	return missing, nil
}

// stoppedBy says what keeps a due interval from being delivered with good reason: a user's wish, or a refusal because a
// part of it was delivered with another length.
func (e *export) stoppedBy(ctx context.Context, i batch.Interval) (string, error) {
	if e.stopped[batch.WorkflowID(e.id, i.End)] {
		return "stopped in Temporal", nil
	}
	runs, err := e.runs(ctx)
	if err != nil {
		return "", err
	}
	for _, r := range runs {
		switch {
		case !r.Interval.Equal(i):
		case r.status == batch.RunCancelled, r.status == batch.RunTerminated:
			return "cancelled", nil
		case r.status == batch.RunFailed && r.backfill == nil && r.code == batch.CodeOverlap:
			return "it overlaps", nil
		}
	}
	backfills, err := e.list(ctx, "backfills")
	for _, b := range backfills {
		stopped := b.Status == "Cancelled" || b.Status == "Terminated" || b.Status == "TimedOut" || b.Replace && b.Status != "Completed"
		if stopped && b.StartAt != nil && b.StartAt.Before(i.End) && i.Start.Before(*b.EndAt) {
			return "a backfill that did not end well", nil
		}
	}
	return "", err
}

// covers says whether the deliveries, which are ordered by start, leave nothing of an interval out.
func covers(deliveries []batch.Delivery, i batch.Interval) bool {
	reached := i.Start
	for _, d := range deliveries {
		if !d.Interval.Start.After(reached) && d.Interval.End.After(reached) {
			reached = d.Interval.End
		}
	}
	return !reached.Before(i.End)
}
