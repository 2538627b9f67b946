package file

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

const (
	// stagingFolder holds all that is not published, below the root.
	stagingFolder = ".staging"
	// fencedPrefix starts the names of folders in stagingFolder that are being removed.
	fencedPrefix = ".fenced-"

	folderMode = 0o755
	fileMode   = 0o644

	// attempts bounds how often an operation is tried again when another process removes folders at the same time.
	attempts = 5
)

// A folder does what file systems lack: durable folders, and folders that vanish at once. All paths are below the
// root, with slashes; os.Root refuses those that lead out of it.
type folder struct {
	*os.Root
}

// makeAll makes a folder and its parents, durably.
func (f folder) makeAll(dir string) error {
	var err error
	for range attempts {
		if err = f.tryMakeAll(dir); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

func (f folder) tryMakeAll(dir string) error {
	if dir == "." {
		return nil
	}
	if info, err := f.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := path.Dir(dir)
	if err := f.tryMakeAll(parent); err != nil {
		return err
	}
	switch err := f.Mkdir(dir, folderMode); {
	case errors.Is(err, fs.ErrExist):
		return f.mustBeFolder(dir)
	case err != nil:
		return err
	}
	return f.sync(parent)
}

func (f folder) mustBeFolder(dir string) error {
	info, err := f.Stat(dir)
	if err == nil && !info.IsDir() {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	return err
}

// sync makes the names in a folder durable.
func (f folder) sync(dir string) error {
	d, err := f.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// exists says whether anything has the name.
func (f folder) exists(name string) (bool, error) {
	_, err := f.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// writeFile writes a new file durably, but for its name.
func (f folder) writeFile(name string, body []byte) error {
	file, err := f.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = file.Write(body)
	return errors.Join(err, file.Sync(), file.Close())
}

// holds says whether a file has this size and SHA-256.
func (f folder) holds(name string, size int64, sha string) (bool, error) {
	file, err := f.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() != size {
		return false, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return false, err
	}
	return hex.EncodeToString(sum.Sum(nil)) == sha, nil
}

// fence makes a folder in stagingFolder vanish at once, and then removes what was in it. It is safe when the folder is
// gone already.
func (f folder) fence(dir string) error {
	away := path.Join(stagingFolder, fencedPrefix+rand.Text())
	if err := f.Rename(dir, away); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.removeFenced()
}

// removeFenced removes what this and other processes fenced; one that died left it to the next.
func (f folder) removeFenced() error {
	entries, err := f.list(stagingFolder)
	if err != nil {
		return err
	}
	for _, name := range entries {
		if !strings.HasPrefix(name, fencedPrefix) {
			continue
		}
		if err := f.removeAll(path.Join(stagingFolder, name)); err != nil {
			return err
		}
	}
	return nil
}

// removeAll removes a folder into which another process may just have put something.
func (f folder) removeAll(dir string) error {
	var err error
	for range attempts {
		if err = f.RemoveAll(dir); !errors.Is(err, syscall.ENOTEMPTY) {
			return err
		}
	}
	return err
}

// list returns the names in a folder; one that does not exist is empty.
func (f folder) list(dir string) ([]string, error) {
	d, err := f.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// removeEmpty removes a folder if nothing is in it.
func (f folder) removeEmpty(dir string) error {
	err := f.Remove(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTEMPTY) {
		return nil
	}
	return err
}
