package storage_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
	"tranche/internal/auth"
	"tranche/storage"
	"tranche/storage/sqlite"
	"tranche/storage/storagetest"
)

// lockerConfig has a secret, and one within a setting.
type lockerConfig struct {
	Bucket string `json:"bucket" required:"true"`
	Secret string `json:"secret" secret:"true"`
}

func lockers() *destinations.Registry {
	return destinations.NewRegistry(destinations.Define(destinations.Definition[lockerConfig]{Type: "Locker", Guarantee: destinations.ExactlyOnce}))
}

// byUser is the context of a request.
func byUser(t *testing.T) context.Context {
	t.Helper()
	return batch.WithAct(t.Context(), batch.Act{Actor: batch.Actor{
		Kind: batch.ActorUser, UserID: 7, KeyID: uuid.MustParse("0198e4b0-0000-7000-8000-000000000001"), KeyPrefix: "phx_ab",
		Address: "203.0.113.7", RequestID: "request-1",
	}})
}

// audited returns the team's entries, oldest first.
func audited(t *testing.T, db *storage.DB, f batch.AuditFilter) []batch.AuditEntry {
	t.Helper()
	if f.TeamID == 0 {
		f.TeamID = 1
	}
	entries, err := db.ListAudit(t.Context(), f)
	require.NoError(t, err)
	return entries
}

func actionsOf(entries []batch.AuditEntry) []batch.Action {
	actions := []batch.Action{}
	for _, e := range entries {
		actions = append(actions, e.Action)
	}
	return actions
}

// changed is a field's change as JSON texts.
func changed(t *testing.T, e batch.AuditEntry, field string) (before, after string) {
	t.Helper()
	i := slices.IndexFunc(e.Changes, func(c batch.FieldChange) bool { return c.Field == field })
	require.GreaterOrEqual(t, i, 0, "%s is not among %v", field, e.Changes)
	return string(e.Changes[i].Before), string(e.Changes[i].After)
}

func TestEveryChangeOfAnExportIsAudited(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		db = db.WithPlugins(lockers())
		e := storagetest.Export()
		e.Destination = batch.Destination{Type: "Locker", Config: map[string]any{"bucket": "b", "secret": "first secret"}}
		ctx := byUser(t)
		require.NoError(t, db.CreateExport(ctx, e))
		update := func(ctx context.Context, change func(*batch.Export)) {
			_, err := db.UpdateExport(ctx, 1, e.ID, func(e *batch.Export) error { change(e); return nil })
			require.NoError(t, err)
		}
		update(ctx, func(e *batch.Export) {
			e.Name = "Other"
			e.Destination.Config = map[string]any{"bucket": "c", "secret": "second secret"}
		})
		update(ctx, func(e *batch.Export) { e.Paused = true })
		update(ctx, func(e *batch.Export) { e.Paused = false })
		update(batch.WithAct(ctx, batch.Act{Actor: batch.Actor{Kind: batch.ActorSystem}, Action: batch.ActExportAutoPaused, Note: "why"}),
			func(e *batch.Export) { e.Paused = true })
		_, err := db.UpdateExport(ctx, 1, e.ID, func(*batch.Export) error { return batch.ErrUnchanged })
		require.NoError(t, err)
		_, err = db.UpdateExport(ctx, 1, e.ID, func(*batch.Export) error { return context.Canceled })
		require.Error(t, err, "a change that is not made leaves no entry")
		update(t.Context(), func(e *batch.Export) { e.Deleted, e.Paused = true, true })

		entries := audited(t, db, batch.AuditFilter{ExportID: &e.ID})
		require.Equal(t, []batch.Action{
			batch.ActExportCreated, batch.ActExportUpdated, batch.ActExportPaused, batch.ActExportUnpaused,
			batch.ActExportAutoPaused, batch.ActExportDeleted,
		}, actionsOf(entries))
		require.Equal(t, batch.ActOf(ctx).Actor, entries[0].Actor)
		require.Equal(t, batch.ActorSystem, entries[4].Actor.Kind)
		require.Equal(t, "why", entries[4].Note)
		require.Equal(t, batch.ActorSystem, entries[5].Actor.Kind)

		before, after := changed(t, entries[1], "name")
		require.Equal(t, []string{`"Events"`, `"Other"`}, []string{before, after})
		before, after = changed(t, entries[1], "destination.config.bucket")
		require.Equal(t, []string{`"b"`, `"c"`}, []string{before, after})
		before, after = changed(t, entries[1], "destination.config.secret")
		require.Contains(t, before, `"fingerprint:test:`)
		require.NotEqual(t, before, after)
		require.Len(t, entries[1].Changes, 3)
		_, first := changed(t, entries[0], "destination.config.secret")
		require.Equal(t, before, first, "the same secret has the same fingerprint")
		all, err := json.Marshal(entries)
		require.NoError(t, err)
		require.NotContains(t, string(all), "first secret")
		require.NotContains(t, string(all), "second secret")
	})
}

func TestSettingsOfAnUnknownDestinationCountAsSecrets(t *testing.T) {
	t.Parallel()
	db := storagetest.SQLite(t)
	e := createExport(t, db)
	_, after := changed(t, audited(t, db, batch.AuditFilter{})[0], "destination.config.prefix")
	require.Contains(t, after, "fingerprint:")
	require.NotContains(t, after, e.Destination.Config["prefix"])
}

func TestRunsAndBackfillsAreAudited(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		e := createExport(t, db)
		ctx := byUser(t)
		b := storagetest.Backfill(e, storagetest.Noon, storagetest.Noon.Add(time.Hour))
		require.NoError(t, db.CreateBackfill(ctx, b, 5))
		retry := storagetest.Backfill(e, storagetest.Noon, storagetest.Noon.Add(2*time.Hour))
		retry.Retry = true
		require.NoError(t, db.CreateBackfill(ctx, retry, 5))
		steer := func(ctx context.Context, change func(*batch.Backfill)) {
			_, err := db.UpdateBackfill(ctx, b.ID, func(b *batch.Backfill) error { change(b); return nil })
			require.NoError(t, err)
		}
		steer(ctx, func(b *batch.Backfill) { b.PausedAt = &storagetest.Noon })
		steer(ctx, func(b *batch.Backfill) { b.PausedAt = nil })
		steer(t.Context(), func(b *batch.Backfill) { b.Steered++ })
		steer(ctx, func(b *batch.Backfill) { b.Status = batch.BackfillCancelled })

		r := beginRun(t, db, e, storagetest.Hour(1))
		finish(t, db, beginRun(t, db, e, storagetest.Hour(2)), batch.RunCompleted, storagetest.Noon)
		_, err := db.UpdateRun(ctx, r.ID, func(r *batch.Run) error { r.Status = batch.RunCancelled; return nil })
		require.NoError(t, err)
		closed := beginRun(t, db, e, storagetest.Hour(3))
		act := batch.Act{Actor: batch.Actor{Kind: batch.ActorSystem}, Action: batch.ActRunClosed}
		_, err = db.UpdateRun(batch.WithAct(ctx, act), closed.ID, func(r *batch.Run) error { r.Status = batch.RunFailed; return nil })
		require.NoError(t, err)

		entries := audited(t, db, batch.AuditFilter{})
		require.Equal(t, []batch.Action{
			batch.ActExportCreated, batch.ActBackfillCreated, batch.ActRunRetried, batch.ActBackfillPaused, batch.ActBackfillResumed,
			batch.ActBackfillCancelled, batch.ActRunCancelled, batch.ActRunClosed,
		}, actionsOf(entries))
		require.Equal(t, b.ID, entries[5].SubjectID)
		before, after := changed(t, entries[7], "status")
		require.Equal(t, []string{`"Running"`, `"Failed"`}, []string{before, after})
	})
}

func TestKeysAreAuditedForTheirOrganization(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		require.NoError(t, db.EnsureProject(t.Context(), 4, 1, 7))
		key := auth.Key{ID: uuid.New(), Hash: "hash", Prefix: "phx_", Label: "l", OrganizationID: 4, UserID: 7, CreatedAt: storagetest.Noon}
		for range 2 { // the second time it is there already
			require.NoError(t, db.CreateKey(t.Context(), key))
			key.ID = uuid.New()
		}
		made, err := db.KeyByHash(t.Context(), "hash")
		require.NoError(t, err)
		for range 2 {
			require.NoError(t, db.RevokeKey(t.Context(), made.ID, storagetest.Noon))
		}
		require.ErrorIs(t, db.RevokeKey(t.Context(), uuid.New(), storagetest.Noon), batch.ErrNotFound)
		e := createExport(t, db)

		want := []batch.Action{batch.ActKeyCreated, batch.ActKeyRevoked, batch.ActExportCreated}
		require.Equal(t, want, actionsOf(audited(t, db, batch.AuditFilter{OrganizationID: 4})))
		require.Equal(t, want[2:], actionsOf(audited(t, db, batch.AuditFilter{OrganizationID: 5})))
		require.Equal(t, want[2:], actionsOf(audited(t, db, batch.AuditFilter{OrganizationID: 4, ExportID: &e.ID})))
		slices.Reverse(want)
		require.Equal(t, want[:2], actionsOf(audited(t, db, batch.AuditFilter{OrganizationID: 4, Desc: true, Limit: 2})))
	})
}

func TestTheAuditLogIsFiltered(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		at := storagetest.Noon
		db = db.WithClock(func() time.Time { return at })
		e := storagetest.Export()
		require.NoError(t, db.CreateExport(byUser(t), e))
		at = at.Add(time.Minute)
		require.NoError(t, db.AppendAudit(t.Context(), batch.AuditEntry{ExportID: e.ID, Action: batch.ActIntervalStarted, Note: "Some."}))
		require.ErrorIs(t, db.AppendAudit(t.Context(), batch.AuditEntry{ExportID: uuid.New(), Action: batch.ActIntervalStarted}), batch.ErrNotFound)

		user, nobody := int64(7), int64(8)
		for name, c := range map[string]struct {
			filter batch.AuditFilter
			want   int
		}{
			"everything":                   {batch.AuditFilter{}, 2},
			"another team":                 {batch.AuditFilter{TeamID: 2}, 0},
			"an action":                    {batch.AuditFilter{Actions: []batch.Action{batch.ActExportCreated}}, 1},
			"a kind of actor":              {batch.AuditFilter{ActorKind: batch.ActorSystem}, 1},
			"a user":                       {batch.AuditFilter{UserID: &user}, 1},
			"another user":                 {batch.AuditFilter{UserID: &nobody}, 0},
			"a key":                        {batch.AuditFilter{KeyPrefix: "phx_ab"}, 1},
			"since a time, which counts":   {batch.AuditFilter{CreatedAfter: &at}, 1},
			"before a time, which doesn't": {batch.AuditFilter{CreatedBefore: &at}, 1},
		} {
			require.Len(t, audited(t, db, c.filter), c.want, name)
		}
		all := audited(t, db, batch.AuditFilter{})
		behind := audited(t, db, batch.AuditFilter{After: &batch.Position{Value: &all[0].CreatedAt, ID: all[0].ID}})
		require.Equal(t, all[1:], behind)
	})
}

func TestTheDatabaseRefusesToChangeTheAuditLog(t *testing.T) {
	t.Parallel()
	statements := []string{
		"UPDATE audit_log SET note = 'another'", "DELETE FROM audit_log", "DELETE FROM audit_log WHERE team_id = 1",
	}
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		db := storagetest.Postgres(t, &server)
		createExport(t, db)
		for _, statement := range append(statements, "TRUNCATE audit_log") {
			require.ErrorContains(t, db.Exec(t.Context(), statement), "append-only", statement)
		}
		require.Len(t, audited(t, db, batch.AuditFilter{}), 1)
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		db := storagetest.SQLite(t)
		createExport(t, db)
		for _, statement := range statements {
			require.ErrorContains(t, db.Exec(t.Context(), statement), "append-only", statement)
		}
		require.Len(t, audited(t, db, batch.AuditFilter{}), 1)
	})
}

func TestOldEntriesAreRemovedByTheirAgeOnly(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		t.Helper()
		at := storagetest.Noon
		db = db.WithClock(func() time.Time { return at })
		for range 3 {
			createExport(t, db)
			at = at.Add(time.Hour)
		}
		for _, want := range []int64{1, 1, 0} {
			n, err := db.DeleteAudit(t.Context(), storagetest.Noon.Add(2*time.Hour), 1)
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		left := audited(t, db, batch.AuditFilter{})
		require.Len(t, left, 1)
		require.Equal(t, storagetest.Noon.Add(2*time.Hour), left[0].CreatedAt)
		require.ErrorContains(t, db.Exec(t.Context(), "DELETE FROM audit_log"), "append-only", "nothing is left open")
	})
}

// TestAFingerprintDoesNotTellTheSecret takes the fingerprint apart: it depends on the team and on the master key.
func TestAFingerprintDoesNotTellTheSecret(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 2 {
		key, err := storage.NewMasterKey("test")
		require.NoError(t, err)
		sealer, err := storage.NewSealer(key)
		require.NoError(t, err)
		db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tranche.db"), sealer)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		require.NoError(t, db.Migrate(t.Context()))
		for team := range int64(2) {
			e := storagetest.Export()
			e.TeamID = team + 1
			require.NoError(t, db.CreateExport(t.Context(), e))
			_, after := changed(t, audited(t, db, batch.AuditFilter{TeamID: e.TeamID})[0], "destination.config.prefix")
			require.Len(t, strings.Trim(after, `"`), len("fingerprint:test:")+16)
			seen[after] = true
		}
	}
	require.Len(t, seen, 4)
}
