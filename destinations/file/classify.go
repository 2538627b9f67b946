package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"tranche/batch"
)

// escapes is what os.Root says of a link that leads out of it; it exports no error to compare with.
const escapes = "path escapes from parent"

// codes says what an error of the file system means, first match first.
var codes = []struct {
	err     error
	code    batch.Code
	message string
}{
	{syscall.ENOSPC, batch.CodeNoSpace, "the disk is full"},
	{syscall.EDQUOT, batch.CodeNoSpace, "the disk quota is used up"},
	// The disk is the operator's: no customer can mend it, another worker may have it in order, and runs wait for it.
	{syscall.EROFS, batch.CodeUnavailable, "the file system is read-only, which the operator of this server must mend"},
	{fs.ErrPermission, batch.CodeUnavailable, "this server may not write there, which its operator must mend"},
	{syscall.ENAMETOOLONG, batch.CodeConfig, "the name is too long"},
	{syscall.ENOTDIR, batch.CodeConfig, "a file is where a folder must be"},
	{syscall.EISDIR, batch.CodeConfig, "a folder is where the file must be"},
	{fs.ErrExist, batch.CodeConfig, "a folder is where the file must be"}, // what Rename says of it
	{syscall.ELOOP, batch.CodeConfig, "its links lead in a circle"},
	{syscall.EXDEV, batch.CodeConfig, "it is on another file system than the folder of exports"},
	{fs.ErrNotExist, batch.CodeNotFound, "it does not exist"},
	{syscall.EIO, batch.CodeUnavailable, "the disk has an error"},
	{syscall.ESTALE, batch.CodeUnavailable, "the file system was exchanged"},
	{syscall.EMFILE, batch.CodeUnavailable, "the server has too many open files"},
	{syscall.ENFILE, batch.CodeUnavailable, "the server has too many open files"},
}

// classify says whose fault an error of the file system is; what names the file or folder for the customer.
func classify(err error, what string) error {
	if err == nil {
		return nil
	}
	if _, known := errors.AsType[*batch.Error](err); known {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return batch.Errorf(c.code, err, "%s: %s", what, c.message)
		}
	}
	if strings.Contains(err.Error(), escapes) {
		return batch.Errorf(batch.CodeConfig, err, "%s: it leads out of the folder of exports", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// superseded is what a fenced process gets.
func superseded(cause error) error {
	return batch.Errorf(batch.CodeSuperseded, cause, "another run of the interval took over")
}
