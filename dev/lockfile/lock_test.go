package lockfile_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/dev/lockfile"
)

func TestASecondOwnerIsRefusedUntilTheFirstReleases(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")

	first, err := lockfile.Acquire(path)
	require.NoError(t, err)
	_, err = lockfile.Acquire(path)
	require.ErrorIs(t, err, lockfile.ErrHeld)

	require.NoError(t, first.Release())
	second, err := lockfile.Acquire(path)
	require.NoError(t, err)
	require.NoError(t, second.Release())
}

func TestAFolderThatDoesNotExistIsAnError(t *testing.T) {
	t.Parallel()
	_, err := lockfile.Acquire(filepath.Join(t.TempDir(), "nowhere", "lock"))
	require.Error(t, err)
	require.NotErrorIs(t, err, lockfile.ErrHeld)
}
