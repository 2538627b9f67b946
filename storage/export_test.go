package storage_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/secret"
	"tranche/storage"
	"tranche/storage/storagetest"
)

func TestAnExportIsReadAsItWasCreated(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := storagetest.Export()
		e.OffsetDay, e.OffsetHour, e.Frequency, e.Timezone = ptr(3), ptr(0), batch.Weekly, "Europe/Berlin"
		e.StartAt, e.EndAt = ptr(storagetest.Noon.Add(time.Microsecond)), ptr(storagetest.Noon.AddDate(1, 0, 0))
		e.Destination.Integration = ptr(int64(1) << 60)
		e.Destination.Config = map[string]any{"a": "ü", "n": nil, "f": 1.5, "b": false, "l": []any{}, "m": map[string]any{}}
		require.NoError(t, db.CreateExport(t.Context(), e))

		got, err := db.Export(t.Context(), e.TeamID, e.ID)
		require.NoError(t, err)
		require.Equal(t, e, got)
		_, err = db.Export(t.Context(), e.TeamID+1, e.ID)
		require.ErrorIs(t, err, batch.ErrNotFound)
		_, err = db.ExportByID(t.Context(), uuid.New())
		require.ErrorIs(t, err, batch.ErrNotFound)
		require.Error(t, db.CreateExport(t.Context(), e), "the id exists")
	})
}

func TestASecretInSettingsIsStoredByItsText(t *testing.T) {
	t.Parallel()
	db := storagetest.SQLite(t)
	e := storagetest.Export()
	hidden := secret.New("hunter2")
	e.Destination.Config = map[string]any{"a": hidden, "b": &hidden, "c": map[string]any{"d": []any{hidden}}}
	require.NoError(t, db.CreateExport(t.Context(), e))
	got, err := db.Export(t.Context(), e.TeamID, e.ID)
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"a": "hunter2", "b": "hunter2", "c": map[string]any{"d": []any{"hunter2"}},
	}, got.Destination.Config)
}

func TestAnExportWithoutRevisionIsRefused(t *testing.T) {
	t.Parallel()
	db := storagetest.SQLite(t)
	e := storagetest.Export()
	e.Revision = 0
	require.Error(t, db.CreateExport(t.Context(), e))
}

func TestADeletedExportIsHidden(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e, other := createExport(t, db), createExport(t, db)
		_, err := db.UpdateExport(t.Context(), e.TeamID, e.ID, func(e *batch.Export) error {
			e.Deleted = true
			return nil
		})
		require.NoError(t, err)

		_, err = db.Export(t.Context(), e.TeamID, e.ID)
		require.ErrorIs(t, err, batch.ErrNotFound)
		_, err = db.UpdateExport(t.Context(), e.TeamID, e.ID, func(*batch.Export) error { return nil })
		require.ErrorIs(t, err, batch.ErrNotFound)
		list, total, err := db.ListExports(t.Context(), e.TeamID, 10, 0)
		require.NoError(t, err)
		require.Equal(t, []batch.Export{other}, list)
		require.EqualValues(t, 1, total)
		active, err := db.ActiveExports(t.Context(), uuid.Nil, 10)
		require.NoError(t, err)
		require.Equal(t, []batch.Export{other}, active)

		got, err := db.ExportByID(t.Context(), e.ID)
		require.NoError(t, err)
		require.True(t, got.Deleted)
		stale, err := db.StaleSchedules(t.Context(), 10)
		require.NoError(t, err)
		require.Contains(t, stale, got, "its schedule must be removed")
	})
}

func TestExportsAreListedNewestFirst(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		var want []batch.Export
		for i := range 5 {
			e := storagetest.Export()
			e.CreatedAt = storagetest.Noon.Add(time.Duration(i/2) * time.Second) // ties
			require.NoError(t, db.CreateExport(t.Context(), e))
			want = append([]batch.Export{e}, want...)
		}
		foreign := storagetest.Export()
		foreign.TeamID = 2
		require.NoError(t, db.CreateExport(t.Context(), foreign))

		var got []batch.Export
		for offset := 0; offset < 6; offset += 2 {
			page, total, err := db.ListExports(t.Context(), 1, 2, offset)
			require.NoError(t, err)
			require.EqualValues(t, 5, total)
			got = append(got, page...)
		}
		require.Equal(t, want, got)
	})
}

func TestAnUpdateRaisesTheRevision(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		now := storagetest.Noon.Add(time.Hour)
		db = db.WithClock(func() time.Time { return now })
		e := createExport(t, db)
		updated, err := db.UpdateExport(t.Context(), e.TeamID, e.ID, func(e *batch.Export) error {
			e.Name, e.Destination.Config["prefix"], e.OffsetHour = "New", "other", nil
			e.ID, e.TeamID, e.Revision, e.ScheduledRevision = uuid.New(), 99, 99, 99 // not theirs to change
			return nil
		})
		require.NoError(t, err)
		want := storagetest.Export()
		want.ID, want.Name, want.Destination.Config["prefix"] = e.ID, "New", "other"
		want.Revision, want.LastUpdatedAt = 2, now
		require.Equal(t, want, updated)
		got, err := db.Export(t.Context(), e.TeamID, e.ID)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestAnUpdateThatChangesNothingWritesNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		returned, err := db.UpdateExport(t.Context(), e.TeamID, e.ID, func(e *batch.Export) error {
			e.Name, e.Destination.Config["prefix"] = "New", "other"
			return fmt.Errorf("nothing to do: %w", batch.ErrUnchanged)
		})
		require.NoError(t, err)
		require.Equal(t, e, returned)
		refusal := errors.New("refused")
		_, err = db.UpdateExport(t.Context(), e.TeamID, e.ID, func(*batch.Export) error { return refusal })
		require.ErrorIs(t, err, refusal)
		got, err := db.Export(t.Context(), e.TeamID, e.ID)
		require.NoError(t, err)
		require.Equal(t, e, got)
	})
}

func TestUpdatesDoNotOverwriteEachOther(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		const writers = 8
		var group sync.WaitGroup
		for range writers {
			group.Go(func() {
				_, err := db.UpdateExport(t.Context(), e.TeamID, e.ID, func(e *batch.Export) error {
					e.LastModifiedBy++
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		got, err := db.Export(t.Context(), e.TeamID, e.ID)
		require.NoError(t, err)
		require.Equal(t, int64(1+writers), got.Revision)
		require.Equal(t, e.LastModifiedBy+writers, got.LastModifiedBy)
	})
}

func TestAScheduleIsStaleUntilItIsMarked(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		e := createExport(t, db)
		stale := func() int {
			exports, err := db.StaleSchedules(t.Context(), 10)
			require.NoError(t, err)
			return len(exports)
		}
		require.Equal(t, 1, stale())
		require.NoError(t, db.MarkScheduled(t.Context(), e.ID, 1))
		require.Zero(t, stale())
		_, err := db.UpdateExport(t.Context(), e.TeamID, e.ID, func(*batch.Export) error { return nil })
		require.NoError(t, err)
		require.Equal(t, 1, stale())
		require.NoError(t, db.MarkScheduled(t.Context(), e.ID, 2))
		require.NoError(t, db.MarkScheduled(t.Context(), e.ID, 1), "a late answer")
		require.Zero(t, stale())
		got, err := db.Export(t.Context(), e.TeamID, e.ID)
		require.NoError(t, err)
		require.EqualValues(t, 2, got.ScheduledRevision)
		require.EqualValues(t, 2, got.Revision)
	})
}

func TestActiveExportsArePagedById(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		var want, got []uuid.UUID
		for range 5 {
			want = append(want, createExport(t, db).ID)
		}
		after := uuid.Nil
		for {
			page, err := db.ActiveExports(t.Context(), after, 2)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				got = append(got, e.ID)
			}
			after = got[len(got)-1]
		}
		require.Equal(t, want, got)
	})
}
