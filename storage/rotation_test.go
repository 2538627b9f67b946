package storage_test

import (
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/internal/pgtest"
	"tranche/storage"
	"tranche/storage/sqlite"
	"tranche/storage/storagetest"
)

const planted = "pl4nted-plaintext"

// opener opens the same database with other keys.
type opener func(t *testing.T, keys ...storage.MasterKey) *storage.DB

// eachReopened runs the test on both databases, with a way to open the database again, and to see all that is in it.
func eachReopened(t *testing.T, test func(t *testing.T, open opener, dump func() []byte)) {
	t.Helper()
	opened := func(t *testing.T, db *storage.DB, err error) *storage.DB {
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		require.NoError(t, db.Migrate(t.Context()))
		return db
	}
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		dsn := server.Database(t)
		test(t, func(t *testing.T, keys ...storage.MasterKey) *storage.DB {
			db, err := storage.Open(t.Context(), dsn, sealer(t, keys...))
			return opened(t, db, err)
		}, func() []byte {
			bin, err := pgtest.Bin()
			require.NoError(t, err)
			out, err := exec.Command(filepath.Join(bin, "pg_dump"), "--inserts", dsn).Output()
			require.NoError(t, err)
			return out
		})
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "tranche.db")
		test(t, func(t *testing.T, keys ...storage.MasterKey) *storage.DB {
			db, err := sqlite.Open(t.Context(), path, sealer(t, keys...))
			return opened(t, db, err)
		}, func() []byte {
			var all []byte
			for _, file := range []string{path, path + "-wal"} {
				data, err := os.ReadFile(file)
				require.NoError(t, err)
				all = append(all, data...)
			}
			return all
		})
	})
}

func sealer(t *testing.T, keys ...storage.MasterKey) *storage.Sealer {
	t.Helper()
	s, err := storage.NewSealer(keys...)
	require.NoError(t, err)
	return s
}

func masterKey(t *testing.T, id string) storage.MasterKey {
	t.Helper()
	key, err := storage.NewMasterKey(id)
	require.NoError(t, err)
	return key
}

func TestADumpOfTheDatabaseHoldsNoSecret(t *testing.T) {
	t.Parallel()
	eachReopened(t, func(t *testing.T, open opener, dump func() []byte) {
		key := masterKey(t, "k1")
		db := open(t, key)
		e := storagetest.Export()
		e.Name = "a name that is not secret"
		e.Destination.Config = map[string]any{"password": planted}
		require.NoError(t, db.CreateExport(t.Context(), e))
		_, err := db.UpdateExport(t.Context(), e.TeamID, e.ID, func(e *batch.Export) error {
			e.Destination.Config["password"] = planted + "!"
			return nil
		})
		require.NoError(t, err)
		all := dump()
		require.Contains(t, string(all), e.Name, "the dump is one")
		for _, form := range []string{
			planted, hex.EncodeToString([]byte(planted)), base64.StdEncoding.EncodeToString([]byte(planted))[:20],
			key.Reveal()[3:], "password\\\"",
		} {
			require.NotContains(t, string(all), form)
		}
	})
}

func TestRotationPutsAllUnderTheNewestKey(t *testing.T) {
	t.Parallel()
	eachReopened(t, func(t *testing.T, open opener, _ func() []byte) {
		k1, k2 := masterKey(t, "k1"), masterKey(t, "k2")
		db := open(t, k1)
		var all []batch.Export
		for n := range 205 { // more than a batch
			e := storagetest.Export()
			e.Destination.Config["password"] = fmt.Sprint(planted, n)
			e.Deleted = n == 0
			require.NoError(t, db.CreateExport(t.Context(), e))
			all = append(all, e)
		}
		both := open(t, k2, k1)
		n, err := both.Rotate(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, len(all), n)
		n, err = both.Rotate(t.Context())
		require.NoError(t, err)
		require.Zero(t, n, "a repeat")
		rotated := open(t, k2)
		for _, e := range all {
			got, err := rotated.ExportByID(t.Context(), e.ID)
			require.NoError(t, err)
			require.Equal(t, e, got)
		}
		_, err = db.ExportByID(t.Context(), all[0].ID)
		require.ErrorIs(t, err, storage.ErrSealed)
		require.ErrorContains(t, err, `"k2"`)
	})
}

func TestRotationGoesOnBehindWhatItCannotOpen(t *testing.T) {
	t.Parallel()
	eachReopened(t, func(t *testing.T, open opener, _ func() []byte) {
		lost, k1, k2 := masterKey(t, "lost"), masterKey(t, "k1"), masterKey(t, "k2")
		a, b := storagetest.Export(), storagetest.Export()
		require.NoError(t, open(t, lost).CreateExport(t.Context(), a))
		require.NoError(t, open(t, k1).CreateExport(t.Context(), b))
		n, err := open(t, k2, k1).Rotate(t.Context())
		require.ErrorIs(t, err, storage.ErrSealed)
		require.ErrorContains(t, err, a.ID.String())
		require.EqualValues(t, 1, n)
		_, err = open(t, k2).ExportByID(t.Context(), b.ID)
		require.NoError(t, err)
	})
}

func TestSettingsThatWereMovedToAnotherRowDoNotOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tranche.db")
	db, err := sqlite.Open(t.Context(), path, sealer(t, masterKey(t, "k1")))
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context()))
	a, b := storagetest.Export(), storagetest.Export()
	require.NoError(t, errors.Join(db.CreateExport(t.Context(), a), db.CreateExport(t.Context(), b), db.Close()))

	raw, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	for _, column := range []string{"config_sealed", "config_data_key"} {
		_, err = raw.Exec("UPDATE exports SET "+column+" = (SELECT "+column+" FROM exports WHERE id = ?) WHERE id = ?",
			a.ID.String(), b.ID.String())
		require.NoError(t, err)
	}
	require.NoError(t, raw.Close())
	db, err = sqlite.Open(t.Context(), path, storagetest.Sealer(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExportByID(t.Context(), b.ID)
	require.ErrorIs(t, err, storage.ErrSealed)
}
