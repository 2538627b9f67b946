package uploads_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"maps"
	"slices"
	"sync"

	"tranche/destinations/objects/uploads"
)

// A shelf is a bucket in memory.
type shelf struct {
	mu      sync.Mutex
	number  int
	uploads map[string]*upload
	objects map[string]object
	closed  int
}

type upload struct {
	key   string
	tags  uploads.Tags
	parts map[int][]byte
}

type object struct {
	body []byte
	info uploads.Object
}

func newShelf() *shelf { return &shelf{uploads: map[string]*upload{}, objects: map[string]object{}} }

// Begin is the Bucket's.
func (s *shelf) Begin(_ context.Context, key string, tags uploads.Tags) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	id := fmt.Sprint(s.number)
	s.uploads[id] = &upload{key: key, tags: tags, parts: map[int][]byte{}}
	return id, nil
}

// Send is the Bucket's.
func (s *shelf) Send(ctx context.Context, u uploads.Upload, number int, body []byte) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	found, ok := s.uploads[u.ID]
	if !ok {
		return "", uploads.ErrNoUpload
	}
	found.parts[number] = slices.Clone(body)
	return fmt.Sprintf("%x", sha256.Sum256(body)), nil
}

// Complete is the Bucket's.
func (s *shelf) Complete(_ context.Context, u uploads.Upload, tags []string, sum []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.uploads[u.ID]
	if !ok {
		return uploads.ErrNoUpload
	}
	var body []byte
	for i, tag := range tags {
		part := found.parts[i+1]
		if fmt.Sprintf("%x", sha256.Sum256(part)) != tag {
			return fmt.Errorf("part %d is another one", i+1)
		}
		body = append(body, part...)
	}
	whole := sha256.Sum256(body)
	if !slices.Equal(whole[:], sum) {
		return fmt.Errorf("%q has another sum", u.Key)
	}
	delete(s.uploads, u.ID)
	s.objects[found.key] = object{body: body, info: uploads.Object{
		Bytes: int64(len(body)), Version: "v" + u.ID, Tags: found.tags, Sum: whole[:],
	}}
	return nil
}

// Abort is the Bucket's.
func (s *shelf) Abort(_ context.Context, u uploads.Upload) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uploads, u.ID)
	return nil
}

// Stat is the Bucket's.
func (s *shelf) Stat(_ context.Context, key string) (uploads.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	if !ok {
		return uploads.Object{}, uploads.ErrNoObject
	}
	return o.info, nil
}

// Read is the Bucket's.
func (s *shelf) Read(_ context.Context, key string, _ int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	if !ok {
		return nil, uploads.ErrNoObject
	}
	return o.body, nil
}

// Remove is the Bucket's.
func (s *shelf) Remove(_ context.Context, key, version string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	if ok && version != "" && o.info.Version != version {
		return uploads.ErrOtherVersion
	}
	delete(s.objects, key)
	return nil
}

// Reach is the Bucket's.
func (*shelf) Reach(context.Context) error { return nil }

// Sum is the Bucket's.
func (*shelf) Sum() hash.Hash { return sha256.New() }

// Close is the Bucket's.
func (s *shelf) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

// visible is what a reader sees.
func (s *shelf) visible() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string][]byte)
	for key, o := range s.objects {
		all[key] = o.body
	}
	return all
}

// staged lists uploads.
func (s *shelf) staged() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.uploads))
}
