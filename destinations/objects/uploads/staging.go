package uploads

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"hash"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/objects"
)

// staging makes the uploads of one attempt of one split.
type staging struct {
	*Destination
	job      destinations.Job
	manifest string // key
	fence    string // the manifest's upload; begun before the first file's
}

// Create is the objects.Store's.
func (s *staging) Create(ctx context.Context, key string) (objects.File, error) {
	if s.fence == "" {
		fence, err := s.begin(ctx, s.manifest, true)
		if err != nil {
			return nil, err
		}
		s.fence = fence
	}
	id, err := s.begin(ctx, key, false)
	if err != nil {
		return nil, err
	}
	f := &file{staging: s, upload: Upload{Key: key, ID: id}, size: singlePartBytes, sum: s.Bucket.Sum()}
	if s.Config.FileBytes() > 0 {
		f.size = partBytes
	}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	f.group, f.sending = errgroup.WithContext(f.ctx)
	f.group.SetLimit(partsAtOnce)
	return f, nil
}

// begin begins an upload, which the journal must know of before anything goes into it.
func (s *staging) begin(ctx context.Context, key string, fence bool) (string, error) {
	if err := s.reach(ctx, "begin "+key); err != nil {
		return "", err
	}
	id, err := s.Bucket.Begin(ctx, key, tagsOf(s.job.Run))
	if err != nil {
		return "", err
	}
	u := journaled{Upload: Upload{Key: key, ID: id}, Fence: fence}
	ref, err := json.Marshal(u)
	if err == nil {
		err = s.job.Journal.Record(ctx, destinations.Ref(ref))
	}
	if err != nil {
		// Nobody else knows of the upload, and the context may be over.
		return "", errors.Join(err, s.Bucket.Abort(context.WithoutCancel(ctx), u.Upload))
	}
	return id, nil
}

// A file is an upload whose parts are sent while the next one is filled.
type file struct {
	*staging
	upload  Upload
	size    int       // of all parts but the last
	sum     hash.Hash // of all parts; nil = none
	ctx     context.Context
	cancel  context.CancelCauseFunc
	group   *errgroup.Group
	sending context.Context // ends with the first part that fails

	part   *[]byte // being filled; nil = none
	number int     // of parts that were sent off

	mu   sync.Mutex
	tags []string
}

// Write is the objects.File's.
func (f *file) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if f.part == nil {
			part, err := f.Budget.take(f.sending, f.size)
			if err != nil {
				return written, err
			}
			f.part = part
		}
		n := min(len(p), f.size-len(*f.part))
		*f.part = append(*f.part, p[:n]...)
		p, written = p[n:], written+n
		if len(*f.part) == f.size {
			if err := f.send(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// send sends the part that was filled. It waits while too many are under way.
func (f *file) send() error {
	part := f.part
	f.part = nil
	if f.number == maxParts {
		f.Budget.give(part)
		return batch.Errorf(batch.CodeConfig, nil, "the file %q is too large for an object store: set max_file_size_mb", f.upload.Key)
	}
	if err := f.reach(f.sending, "send part"); err != nil {
		f.Budget.give(part)
		return err
	}
	f.number++
	number := f.number
	if f.sum != nil {
		f.sum.Write(*part)
	}
	f.group.Go(func() error {
		defer f.Budget.give(part)
		tag, err := f.Bucket.Send(f.sending, f.upload, number, *part)
		if err != nil {
			return fenced(err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.tags = append(f.tags, make([]string, max(0, number-len(f.tags)))...)
		f.tags[number-1] = tag
		return nil
	})
	return context.Cause(f.sending)
}

// Finish is the objects.File's: it sends the last part and waits for all.
func (f *file) Finish(ctx context.Context) (json.RawMessage, error) {
	var unsent error
	if f.part != nil {
		unsent = f.send()
	}
	err := f.group.Wait()
	f.cancel(nil)
	if err = cmp.Or(unsent, err); err != nil {
		return nil, err
	}
	if err := f.reach(ctx, "finish"); err != nil {
		return nil, err
	}
	ref := stagedRef{Upload: f.upload.ID, Tags: slices.Clone(f.tags), Manifest: f.fence}
	if f.sum != nil {
		ref.Sum = f.sum.Sum(nil)
	}
	return json.Marshal(ref)
}

// errDiscarded ends the parts of a file that is let go.
var errDiscarded = errors.New("the file is thrown away")

// Discard is the objects.File's. The journal knows of the upload.
func (f *file) Discard() {
	f.cancel(errDiscarded)
	_ = f.group.Wait() // whatever they say
	if f.part != nil {
		f.Budget.give(f.part)
		f.part = nil
	}
}
