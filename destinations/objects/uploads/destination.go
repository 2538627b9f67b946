package uploads

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/array"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/objects"
)

// A Destination delivers to a bucket. A kind of store embeds it, and adds its Checks.
type Destination struct {
	Bucket Bucket
	Config objects.Config
	// Keys names the objects of a run.
	Keys   func(destinations.Run) objects.Keys
	Budget *Budget
	// At is called before everything that changes something, so that tests can stop there; nil = nothing stops it.
	At func(ctx context.Context, point string) error
}

// Stage is the destinations.Destination's.
func (d *Destination) Stage(ctx context.Context, job destinations.Job, records array.RecordReader) (destinations.Receipt, error) {
	if job.Splits > d.Config.Splits() {
		return destinations.Receipt{}, batch.Errorf(batch.CodeInternal, nil, "%d splits for files without numbers", job.Splits)
	}
	keys := d.Keys(job.Run)
	return objects.StageAs(ctx, job, d.Config, keys, records, &staging{Destination: d, job: job, manifest: keys.Manifest()})
}

// Commit is the destinations.Destination's.
func (d *Destination) Commit(
	ctx context.Context, run destinations.Run, receipts []destinations.Receipt, previous *batch.Delivery,
) (destinations.Published, error) {
	keys := d.Keys(run)
	staged := objects.Ordered(receipts)
	if len(staged) == 0 {
		return d.remove(ctx, run, keys.Manifest(), previous)
	}
	manifest := objects.ManifestOf(run, receipts)
	body, err := manifest.Encode()
	if err != nil {
		return destinations.Published{}, err
	}
	c := &commit{Destination: d, tags: tagsOf(run), manifest: keys.Manifest(), body: body}
	if c.objects, err = stagedObjects(staged); err != nil {
		return destinations.Published{}, err
	}
	c.fence = Upload{Key: c.manifest, ID: c.objects[0].ref.Manifest}
	if err := c.publish(ctx, previous); err != nil {
		return destinations.Published{}, err
	}
	published := manifest.Published(c.manifest)
	published.Warnings = c.warnings
	if keys.Warning != "" {
		published.Warnings = append(published.Warnings, keys.Warning)
	}
	return published, nil
}

// Abort is the destinations.Destination's. A ref is an upload. The fences come first: while one stands, nobody has
// aborted the uploads behind it.
func (d *Destination) Abort(ctx context.Context, refs []destinations.Ref) error {
	uploads := make([]journaled, len(refs))
	for i, ref := range refs {
		if err := json.Unmarshal([]byte(ref), &uploads[i]); err != nil || uploads[i].Key == "" || uploads[i].ID == "" {
			return batch.Errorf(batch.CodeInternal, err, "%q is not an upload", string(ref))
		}
	}
	slices.SortStableFunc(uploads, func(a, b journaled) int { return rank(a) - rank(b) })
	for _, u := range uploads {
		if err := d.Bucket.Abort(ctx, u.Upload); err != nil {
			return err // the fence first, or nothing
		}
	}
	return nil
}

// Close is the destinations.Destination's.
func (d *Destination) Close() error { return d.Bucket.Close() }

// reach is called before everything that changes something.
func (d *Destination) reach(ctx context.Context, point string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if d.At == nil {
		return nil
	}
	return d.At(ctx, point)
}

// A journaled upload is what a destinations.Ref holds, as JSON.
type journaled struct {
	Upload
	Fence bool `json:"fence,omitempty"`
}

func rank(u journaled) int {
	if u.Fence {
		return 0
	}
	return 1
}

// A stagedRef is a destinations.StagedObject's Ref.
type stagedRef struct {
	Upload   string   `json:"upload"`
	Tags     []string `json:"tags"`          // of the parts, from 1
	Sum      []byte   `json:"sum,omitempty"` // see Bucket.Sum
	Manifest string   `json:"manifest"`      // the upload that the split began for the manifest
}

// A staged object is a receipt's, with its ref read.
type staged struct {
	destinations.StagedObject
	ref stagedRef
}

func (s staged) upload() Upload { return Upload{Key: s.Key, ID: s.ref.Upload} }

func stagedObjects(all []destinations.StagedObject) ([]staged, error) {
	objs := make([]staged, len(all))
	for i, o := range all {
		objs[i].StagedObject = o
		err := json.Unmarshal(o.Ref, &objs[i].ref)
		if err != nil || objs[i].ref.Upload == "" || objs[i].ref.Manifest == "" {
			return nil, batch.Errorf(batch.CodeInternal, err, "the receipt of %q names no upload", o.Key)
		}
	}
	return objs, nil
}

// superseded is what a fenced process gets.
func superseded(cause error) error {
	return batch.Errorf(batch.CodeSuperseded, cause, "another run of the interval took over")
}

// fenced turns the absence of an upload into CodeSuperseded.
func fenced(err error) error {
	if errors.Is(err, ErrNoUpload) {
		return superseded(err)
	}
	return err
}

// denied says whether the store refused: the credentials lack a right.
func denied(err error) bool { return batch.CodeOf(err) == batch.CodePermission }
