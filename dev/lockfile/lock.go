// Package lockfile lets one process at a time own a directory or a file.
package lockfile

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrHeld says that somebody else holds the lock: another process, or this one through another Lock.
var ErrHeld = errors.New("in use by another process")

// A Lock is held until Release, or until the process ends, however it ends.
type Lock struct {
	file *os.File
}

// Acquire locks the file at path, which it makes if need be, without waiting. The error is ErrHeld when the lock is
// taken. The file stays after the release: removing it would let two processes lock two files of one name.
func Acquire(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrHeld
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &Lock{file: f}, nil
}

// Release gives the lock up.
func (l *Lock) Release() error { return l.file.Close() }
