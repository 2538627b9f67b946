package storage_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/auth"
	"tranche/storage"
	"tranche/storage/storagetest"
)

func apiKey(organization int64, text string) auth.Key {
	return auth.Key{
		ID: storagetest.NewID(), Label: "CI", Prefix: auth.Prefix(text), Hash: auth.Hash(text),
		OrganizationID: organization, UserID: 1, Scopes: []auth.Scope{auth.ScopeRead, auth.ScopeWrite},
		CreatedAt: storagetest.Noon, ExpiresAt: ptr(storagetest.Noon.AddDate(1, 0, 0)),
	}
}

func TestAKeyIsFoundByItsHash(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		require.NoError(t, db.EnsureProject(t.Context(), 1, 1, 1))
		require.NoError(t, db.EnsureProject(t.Context(), 2, 2, 1))
		k := apiKey(1, "a-secret-of-some-length")
		require.NoError(t, db.CreateKey(t.Context(), k))
		again := apiKey(1, "a-secret-of-some-length")
		require.NoError(t, db.CreateKey(t.Context(), again), "the same secret once more")
		got, err := db.KeyByHash(t.Context(), k.Hash)
		require.NoError(t, err)
		require.Equal(t, k, got)
		_, err = db.KeyByHash(t.Context(), auth.Hash("another"))
		require.ErrorIs(t, err, batch.ErrNotFound)

		second, foreign := apiKey(1, "another-secret-of-ours"), apiKey(2, "a-secret-of-another")
		require.NoError(t, db.CreateKey(t.Context(), second))
		require.NoError(t, db.CreateKey(t.Context(), foreign))
		keys, err := db.ListKeys(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, []auth.Key{k, second}, keys)
		require.ErrorIs(t, db.CreateKey(t.Context(), apiKey(3, "no-such-organization")), batch.ErrNotFound)
	})
}

func TestAKeyIsRevokedOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		require.NoError(t, db.EnsureProject(t.Context(), 1, 1, 1))
		k := apiKey(1, "a-secret-of-some-length")
		require.NoError(t, db.CreateKey(t.Context(), k))
		require.NoError(t, db.RevokeKey(t.Context(), k.ID, storagetest.Noon))
		require.NoError(t, db.RevokeKey(t.Context(), k.ID, storagetest.Noon.Add(time.Hour)))
		got, err := db.KeyByHash(t.Context(), k.Hash)
		require.NoError(t, err)
		require.Equal(t, &storagetest.Noon, got.RevokedAt)
		require.ErrorIs(t, db.RevokeKey(t.Context(), uuid.New(), storagetest.Noon), batch.ErrNotFound)
	})
}

func TestTheLastUseOfAKeyIsWrittenOnceAMinute(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		require.NoError(t, db.EnsureProject(t.Context(), 1, 1, 1))
		k := apiKey(1, "a-secret-of-some-length")
		require.NoError(t, db.CreateKey(t.Context(), k))
		for _, use := range []struct{ at, want time.Duration }{
			{0, 0}, {59 * time.Second, 0}, {time.Minute, time.Minute}, {30 * time.Second, time.Minute},
		} {
			require.NoError(t, db.TouchKey(t.Context(), k.ID, storagetest.Noon.Add(use.at)))
			got, err := db.KeyByHash(t.Context(), k.Hash)
			require.NoError(t, err)
			require.Equal(t, storagetest.Noon.Add(use.want), *got.LastUsedAt)
		}
		require.NoError(t, db.TouchKey(t.Context(), uuid.New(), storagetest.Noon))
	})
}

func TestAProjectIsMadeOnceAndStaysWhereItIs(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *storage.DB) {
		_, err := db.Project(t.Context(), 7)
		require.ErrorIs(t, err, batch.ErrNotFound)
		require.NoError(t, db.EnsureProject(t.Context(), 1, 7, 1))
		require.NoError(t, db.EnsureProject(t.Context(), 1, 7, 2), "another user")
		require.Error(t, db.EnsureProject(t.Context(), 2, 7, 1), "another organization")
		got, err := db.Project(t.Context(), 7)
		require.NoError(t, err)
		require.Equal(t, auth.Project{ID: 7, OrganizationID: 1, Name: "Project 7", Timezone: "UTC"}, got)
	})
}
