package stack

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tranche/dev/lockfile"
	"tranche/storage"
)

// layout is the version of the data directory's layout; a larger one was made by a newer binary.
const layout = 1

// A dataDir is an open data directory: ours alone until it is closed.
type dataDir struct {
	path      string
	secret    []byte // of which everything that must be secret derives
	masterKey storage.MasterKey
	lock      *lockfile.Lock
}

// openDataDir makes the directory when it is missing, locks it, and checks its version.
func openDataDir(path string) (_ *dataDir, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("data directory %s cannot be written: %w", path, err)
	}
	d := &dataDir{path: path}
	d.lock, err = lockfile.Acquire(filepath.Join(path, "lock"))
	if errors.Is(err, lockfile.ErrHeld) {
		return nil, fmt.Errorf("data directory %s is in use by another process", path)
	}
	if err != nil {
		return nil, fmt.Errorf("data directory %s cannot be written: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if err := checkLayout(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(path, "exports"), 0o755); err != nil {
		return nil, fmt.Errorf("data directory %s cannot be written: %w", path, err)
	}
	if d.secret, err = secretOf(filepath.Join(path, "master.key")); err != nil {
		return nil, err
	}
	d.masterKey, err = storage.ParseMasterKey("dev:" + base64.StdEncoding.EncodeToString(d.secret))
	return d, err
}

// checkLayout refuses a directory of a newer version, and marks a new one.
func checkLayout(path string) error {
	file := filepath.Join(path, "VERSION")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return writeFile(file, []byte(strconv.Itoa(layout)+"\n"), 0o644)
	}
	if err != nil {
		return err
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("data directory %s is not one of ours: its file VERSION holds no number", path)
	}
	if version > layout {
		return fmt.Errorf("data directory %s was made by a newer version (layout %d, this binary knows %d): use that version, or another directory",
			path, version, layout)
	}
	return nil
}

// secretOf reads the directory's secret, and makes it the first time.
func secretOf(file string) ([]byte, error) {
	secret, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		secret = make([]byte, 32)
		_, _ = rand.Read(secret) // never fails: the runtime aborts instead
		err = writeFile(file, secret, 0o600)
	}
	return secret, err
}

// writeFile writes a whole file or none: a kill in between leaves no half of it.
func writeFile(file string, content []byte, mode fs.FileMode) error {
	aside := file + ".new"
	if err := os.WriteFile(aside, content, mode); err != nil {
		return err
	}
	return os.Rename(aside, file)
}

func (d *dataDir) close() error { return d.lock.Release() }
