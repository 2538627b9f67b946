package app_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"tranche/batch"
	"tranche/destinations"
	"tranche/internal/app"
	"tranche/query"
	"tranche/storage"
	"tranche/storage/storagetest"
)

// Whatever is changed, and whenever, what is due never overlaps, and without pauses it leaves nothing out.
func TestDueIntervalsTileWhateverIsChanged(t *testing.T) {
	t.Parallel()
	db := storagetest.SQLite(t)
	calendars := []app.Change{
		{Interval: app.SentValue("hour")},
		{Interval: app.SentValue("every 15 minutes")},
		{Interval: app.SentValue("day")},
		{Interval: app.SentValue("week")},
		{Interval: app.SentValue("day"), OffsetHour: app.SentValue(new(7))},
		{Interval: app.SentValue("week"), OffsetDay: app.SentValue(new(3))},
		{Timezone: app.SentValue("Europe/Berlin")},
		{Timezone: app.SentValue("Australia/Lord_Howe")},
		{Timezone: app.SentValue("UTC")},
	}
	rapid.Check(t, func(r *rapid.T) {
		created := storagetest.Noon.AddDate(0, 0, rapid.IntRange(0, 60).Draw(r, "day")) // the clocks change meanwhile
		now := created
		clock := func() time.Time { return now }
		e := storagetest.Export()
		e.CreatedAt, e.LastUpdatedAt = created, created
		// A boundary may pass between the decision and its being stored.
		lag := rapid.SampledFrom([]time.Duration{0, 90 * time.Second}).Draw(r, "lag")
		store := db.WithClock(func() time.Time { return now.Add(lag) })
		require.NoError(r, store.CreateExport(t.Context(), e))
		exports := &app.Exports{
			Store: store, Schedules: newTemporal(), Models: query.PostHog(), Plugins: destinations.NewRegistry(), Log: zap.NewNop(), Now: clock,
		}
		pauses := rapid.Bool().Draw(r, "with pauses")
		for range rapid.IntRange(1, 8).Draw(r, "changes") {
			now = now.Add(time.Duration(rapid.IntRange(1, 3*24*60).Draw(r, "minutes")) * time.Minute)
			change := rapid.SampledFrom(calendars).Draw(r, "change")
			if pauses && rapid.Bool().Draw(r, "pause?") {
				change = app.Change{Paused: app.SentValue(rapid.Bool().Draw(r, "paused"))}
			}
			_, err := exports.Update(t.Context(), e.TeamID, 1, e.ID, nil, change)
			require.NoError(r, err)
		}
		now = now.AddDate(0, 0, 20)
		requireTiles(t, r, store, e.ID, now, pauses)
	})
}

// requireTiles checks what was due until now.
func requireTiles(t *testing.T, r *rapid.T, db *storage.DB, id uuid.UUID, now time.Time, pauses bool) {
	t.Helper()
	all, err := db.Spans(t.Context(), id, batch.Interval{End: now.AddDate(1, 0, 0)})
	require.NoError(r, err)
	var due []batch.Interval
	for _, s := range all {
		due = slices.AppendSeq(due, s.Due(s.StartedAt, now))
	}
	for i := 1; i < len(due); i++ {
		if pauses {
			require.False(r, due[i].Start.Before(due[i-1].End), "%s overlaps %s", due[i], due[i-1])
		} else {
			require.Equal(r, due[i-1].End, due[i].Start, "%s does not begin where %s ends", due[i], due[i-1])
		}
	}
	require.True(r, pauses || len(due) > 0)
}
