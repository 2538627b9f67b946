package file

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"tranche/destinations"
	"tranche/destinations/objects"
)

// writeBytes is how much goes to the disk at once.
const writeBytes = 256 << 10

// staging makes the files of one attempt of one split, in a folder of their own.
type staging struct {
	*destination
	job   destinations.Job
	dir   string // made when the first file is
	files int
}

// A stagedRef is a destinations.StagedObject's Ref: where the file is below the run's folder.
type stagedRef struct {
	Path string `json:"path"`
}

// Create is the objects.Store's.
func (s *staging) Create(ctx context.Context, key string) (objects.File, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if s.dir == "" {
		if err := s.prepare(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.reach(ctx, "create"); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%06d", s.files)
	s.files++
	f, err := s.OpenFile(path.Join(s.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, superseded(err)
	}
	if err != nil {
		return nil, err
	}
	return &stagedFile{Writer: bufio.NewWriterSize(f, writeBytes), file: f, staging: s, name: name}, nil
}

// prepare makes the attempt's folder, which the journal must know of.
func (s *staging) prepare(ctx context.Context) error {
	run := runFolder(s.job.Run)
	if err := s.job.Journal.Record(ctx, destinations.Ref(run)); err != nil {
		return err
	}
	if err := s.reach(ctx, "make folder"); err != nil {
		return err
	}
	if err := s.makeAll(run); err != nil {
		return err
	}
	// Whoever fenced us before the folder was there could not remove it. The journal knows of every fence.
	if err := s.job.Journal.Record(ctx, destinations.Ref(run)); err != nil {
		return errors.Join(err, s.abort(run))
	}
	if err := s.replaceAttempts(run); err != nil {
		return err
	}
	dir := path.Join(run, attemptName(s.job.Split, s.job.Attempt))
	if err := s.Mkdir(dir, folderMode); err != nil {
		return s.fenced(run, err)
	}
	s.dir = dir
	return s.sync(run)
}

func attemptName(split, attempt int) string { return fmt.Sprintf("%d-%d", split, attempt) }

// replaceAttempts removes what earlier attempts staged for the split.
func (s *staging) replaceAttempts(run string) error {
	names, err := s.list(run)
	if err != nil {
		return err
	}
	for _, name := range names {
		digits, ours := strings.CutPrefix(name, strconv.Itoa(s.job.Split)+"-")
		attempt, err := strconv.Atoi(digits)
		if !ours || err != nil {
			continue
		}
		if attempt > s.job.Attempt {
			return superseded(nil)
		}
		if err := s.removeAll(path.Join(run, name)); err != nil {
			return err
		}
	}
	return nil
}

// fenced turns the absence of something into CodeSuperseded if it is because the run's folder is gone.
func (d *destination) fenced(run string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	there, statErr := d.exists(run)
	if statErr != nil {
		return errors.Join(err, statErr)
	}
	if there {
		return err
	}
	return superseded(err)
}

// A stagedFile is a file that no reader looks at.
type stagedFile struct {
	*bufio.Writer
	file    *os.File
	staging *staging
	name    string
}

// Finish is the objects.File's.
func (f *stagedFile) Finish(ctx context.Context) (json.RawMessage, error) {
	if err := f.staging.reach(ctx, "finish"); err != nil {
		return nil, errors.Join(err, f.file.Close())
	}
	if err := errors.Join(f.Flush(), f.file.Sync(), f.file.Close()); err != nil {
		return nil, err
	}
	if err := f.staging.sync(f.staging.dir); err != nil {
		return nil, f.staging.fenced(runFolder(f.staging.job.Run), err)
	}
	return json.Marshal(stagedRef{Path: path.Join(path.Base(f.staging.dir), f.name)})
}

// Discard is the objects.File's.
func (f *stagedFile) Discard() {
	_ = f.file.Close() // the file is thrown away with its folder
}
