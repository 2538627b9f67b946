// Package uploads delivers to stores that take an object as an upload of parts and show nothing of it before the upload
// is completed: S3 and what speaks its protocol, and any other store with these few verbs (Bucket).
//
// Every object is staged as an upload of its own, with all its parts sent. One upload more is the run's fence: the
// manifest's. It is begun before the others and aborted before them, and each step of a commit that changes what a
// reader sees is the completion of an upload of the run, or follows a part that the fence has just taken. So once
// Abort has come, a process that still believes in its run fails at its next step.
package uploads

import (
	"context"
	"errors"
	"hash"

	"github.com/google/uuid"

	"tranche/destinations"
)

// A Bucket is one customer's bucket in a store. Its errors are *batch.Error wherever the cause is known; those below
// are among the causes. Its methods may be called at once.
type Bucket interface {
	// Begin begins an upload of key, of which no reader sees anything.
	Begin(ctx context.Context, key string, tags Tags) (id string, err error)
	// Send sends a part, from 1, and returns what Complete needs to know of it. Sent again, it replaces. An upload that
	// was completed or aborted is ErrNoUpload.
	Send(ctx context.Context, u Upload, number int, body []byte) (tag string, err error)
	// Complete makes the object visible, whole and at once, of the parts from 1. An upload that was completed or aborted
	// is ErrNoUpload. Sum is what Sum has of all parts, or nil.
	Complete(ctx context.Context, u Upload, tags []string, sum []byte) error
	// Abort throws an upload away. One that is gone is no error.
	Abort(ctx context.Context, u Upload) error
	// Stat describes the object under a key, or ErrNoObject.
	Stat(ctx context.Context, key string) (Object, error)
	// Read returns the object under a key, if it is not larger than limit bytes.
	Read(ctx context.Context, key string, limit int64) ([]byte, error)
	// Remove removes the object under a key, if it is the version that Stat saw and the store can tell; otherwise it is
	// ErrOtherVersion. An empty version is any. One that is gone is no error.
	Remove(ctx context.Context, key, version string) error
	// Reach asks whether the bucket is there.
	Reach(ctx context.Context) error
	// Sum computes the checksum that the store keeps of a whole object; nil = the store keeps none that we know.
	Sum() hash.Hash
	// Close releases the connections.
	Close() error
}

// What a Bucket finds.
var (
	ErrNoUpload     = errors.New("no such upload")
	ErrNoObject     = errors.New("no such object")
	ErrOtherVersion = errors.New("the object is another one")
)

// An Upload names an upload.
type Upload struct {
	Key string `json:"key"`
	ID  string `json:"upload"`
}

// Tags are kept with an object: whose it is.
type Tags struct {
	Run        uuid.UUID
	Generation int
	Export     uuid.UUID
}

func tagsOf(run destinations.Run) Tags {
	return Tags{Run: run.ID, Generation: run.Generation, Export: run.ExportID}
}

// by says whether an object is of the run and generation.
func (t Tags) by(run uuid.UUID, generation int) bool {
	return t.Run == run && t.Generation == generation
}

// An Object is one that a reader sees.
type Object struct {
	Bytes   int64
	Version string // changes with the content; empty = the store does not say
	Tags    Tags   // zero = it has none
	Sum     []byte // see Bucket.Sum; nil = the store does not say
}
