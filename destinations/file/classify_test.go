package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"tranche/batch"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		code batch.Code
	}{
		"a full disk":         {syscall.ENOSPC, batch.CodeNoSpace},
		"a full quota":        {syscall.EDQUOT, batch.CodeNoSpace},
		"no right":            {syscall.EACCES, batch.CodeUnavailable},
		"no operation":        {syscall.EPERM, batch.CodeUnavailable},
		"a read-only disk":    {syscall.EROFS, batch.CodeUnavailable},
		"a name too long":     {syscall.ENAMETOOLONG, batch.CodeConfig},
		"a circle of links":   {syscall.ELOOP, batch.CodeConfig},
		"another file system": {syscall.EXDEV, batch.CodeConfig},
		"nothing there":       {fs.ErrNotExist, batch.CodeNotFound},
		"a broken disk":       {syscall.EIO, batch.CodeUnavailable},
		"too many files":      {syscall.EMFILE, batch.CodeUnavailable},
		"anything else":       {errors.New("boom"), batch.CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := classify(fmt.Errorf("stage: %w", &fs.PathError{Op: "write", Path: "/secret/path", Err: c.err}), "the file")
			require.Equal(t, c.code, batch.CodeOf(err))
			require.ErrorIs(t, err, c.err)
			require.NotContains(t, batch.MessageOf(err), "secret")
		})
	}
	require.NoError(t, classify(nil, "x"))
	require.Equal(t, context.Canceled, classify(context.Canceled, "x"))
	known := batch.Errorf(batch.CodeBusy, nil, "busy")
	require.Equal(t, error(known), classify(known, "x"))
}

// TestEscapes quotes the text that classify knows links by.
func TestEscapes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Symlink("/", dir+"/link"))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	_, err = root.Stat("link/etc")
	require.ErrorContains(t, err, "path escapes from parent")
	require.Equal(t, batch.CodeConfig, batch.CodeOf(classify(err, "x")))
}
