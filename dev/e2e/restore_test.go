package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"tranche/dev/temporal"
)

// TestABackupThatIsRestoredMendsItself is what docs/operate.md promises of a backup of our database, with a Temporal that
// is empty.
func TestABackupThatIsRestoredMendsItself(t *testing.T) {
	t.Parallel()
	const hours = 4
	end := epoch.Add(hours * time.Hour)
	events := newEventMaker(31).within(epoch, hours*time.Hour, 200)
	d := deploy(t, events)
	stop := d.both(d.start())
	kept := d.create(fileExport("kept", "hour", "hours"))
	deliver := func(start, end time.Time) {
		d.completed(kept, d.backfill(kept, start.Format(time.RFC3339), end.Format(time.RFC3339)), workPatience)
	}
	deliver(epoch, epoch.Add(2*time.Hour))
	stop()
	backup := d.copyOfDatabase()

	// What happens after the backup is not in it.
	stop = d.both(d.api())
	deliver(epoch.Add(time.Hour), end)
	lost := d.create(fileExport("lost", "hour", "lost"))
	require.True(t, d.scheduled(lost))
	stop()
	readDelivered(t, d.files).requireEvents(t, events)

	// Another Temporal knows nothing of what the backup does not know.
	server := temporal.StartForTest(t, nil)
	d.environment = append(d.environment, "TRANCHE_DATABASE_URL="+backup, "TRANCHE_TEMPORAL_ADDRESS="+server.HostPort())
	var err error
	d.temporal, err = client.DialContext(t.Context(), client.Options{HostPort: server.HostPort()})
	require.NoError(t, err)
	t.Cleanup(d.temporal.Close)
	stop = d.both(d.api())
	d.refused(http.StatusNotFound, http.MethodGet, at(lost), nil)
	until(t, workPatience, "the schedule to be put again", func() bool { return d.scheduled(kept) })
	require.Equal(t, map[string]int64{"delivered": 2, "missing": 2}, d.counts(kept, epoch, end))
	for _, filled := range d.fill(kept, epoch, end).Backfills {
		d.completed(kept, filled.ID, workPatience)
	}
	require.Equal(t, map[string]int64{"delivered": hours}, d.counts(kept, epoch, end))
	deliver(epoch, end)
	readDelivered(t, d.files).requireEvents(t, events)
	stop()
}

// TestABackupThatIsRestoredUnderTheSameTemporalMendsItself is the same with the Temporal that went on: its schedules are of
// newer definitions than the backup has, and of exports that the backup does not know.
func TestABackupThatIsRestoredUnderTheSameTemporalMendsItself(t *testing.T) {
	t.Parallel()
	d := deploy(t, nil)
	stop := d.both(d.start())
	kept := d.create(fileExport("kept", "hour", "hours"))
	stop()
	backup := d.copyOfDatabase()

	stop = d.both(d.api())
	for _, change := range []map[string]any{{"interval": "day"}, {"paused": false}, {"name": "another"}} {
		d.do(http.MethodPatch, at(kept), change, nil)
	}
	lost := d.create(fileExport("lost", "hour", "lost"))
	require.Equal(t, schedule{calendars: 1}, d.schedule(kept))
	require.Equal(t, schedule{intervals: 1, paused: true}, d.schedule(lost))
	stop()

	d.environment = append(d.environment, "TRANCHE_DATABASE_URL="+backup)
	stop = d.both(d.api())
	until(t, workPatience, "the schedule to be as the backup has it", func() bool { return d.schedule(kept) == schedule{intervals: 1, paused: true} })
	until(t, workPatience, "the schedule of the unknown export to be removed", func() bool { return !d.scheduled(lost) })
	d.do(http.MethodPatch, at(kept), map[string]any{"interval": "week"}, nil)
	require.Equal(t, schedule{calendars: 1, paused: true}, d.schedule(kept), "later changes take effect at once")
	stop()
}

// A schedule is what a test wants to know of one in Temporal.
type schedule struct {
	intervals, calendars int
	paused               bool
}

func (d *deployment) schedule(export uuid.UUID) schedule {
	d.t.Helper()
	found, err := d.temporal.ScheduleClient().GetHandle(d.t.Context(), export.String()).Describe(d.t.Context())
	require.NoError(d.t, err)
	s := found.Schedule
	return schedule{len(s.Spec.Intervals), len(s.Spec.Calendars), s.State.Paused}
}

// api starts the API again.
func (d *deployment) api() *program {
	d.t.Helper()
	p, address := d.serve("api")
	d.caller = &caller{t: d.t, base: address, key: d.key}
	return p
}

// both adds a worker to the API, and returns a function that stops the two.
func (d *deployment) both(api *program) (stop func()) {
	d.t.Helper()
	worker, _ := d.serve("worker")
	return func() {
		d.t.Helper()
		for _, p := range []*program{worker, api} {
			code, _ := p.terminate()
			require.Zero(d.t, code, "%s", p.stderr.String())
		}
	}
}

// scheduled says whether Temporal has the export's schedule.
func (d *deployment) scheduled(export uuid.UUID) bool {
	_, err := d.temporal.ScheduleClient().GetHandle(d.t.Context(), export.String()).Describe(d.t.Context())
	return err == nil
}

// counts are the intervals of a range by what became of them.
func (d *deployment) counts(export uuid.UUID, start, end time.Time) map[string]int64 {
	d.t.Helper()
	counts := map[string]int64{}
	for _, i := range d.coverage(export, start, end).Results {
		counts[i.Status]++
	}
	return counts
}

// copyOfDatabase is a backup of the service's database, which nobody may use meanwhile, and its address.
func (d *deployment) copyOfDatabase() string {
	d.t.Helper()
	for _, setting := range d.environment {
		address, found := strings.CutPrefix(setting, "TRANCHE_DATABASE_URL=")
		if !found {
			continue
		}
		u, err := url.Parse(address)
		require.NoError(d.t, err)
		name := strings.TrimPrefix(u.Path, "/")
		_, err = d.events.Exec(d.t.Context(), "CREATE DATABASE "+pgx.Identifier{name + "_backup"}.Sanitize()+" TEMPLATE "+pgx.Identifier{name}.Sanitize())
		require.NoError(d.t, err)
		u.Path += "_backup"
		return u.String()
	}
	require.FailNow(d.t, "there is no database")
	return ""
}
