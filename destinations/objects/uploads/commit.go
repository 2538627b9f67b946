package uploads

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"tranche/batch"
)

// Parts of the fence. The first one is the manifest; the second is never completed, but sent to ask whether the fence
// stands: an upload that was aborted takes no part.
const (
	manifestPart = 1
	askPart      = 2
)

// A commit publishes what one run staged.
type commit struct {
	*Destination
	tags     Tags
	objects  []staged
	manifest string // key
	body     []byte // of the manifest
	fence    Upload // the manifest's

	warnings []string
}

// publish follows the protocol: old manifest away, objects in place, leftovers away, new manifest. Called again, it
// finds what is done.
func (c *commit) publish(ctx context.Context, previous *batch.Delivery) error {
	tag, err := c.Bucket.Send(ctx, c.fence, manifestPart, c.body)
	if errors.Is(err, ErrNoUpload) {
		return c.isDone(ctx, err)
	}
	if err != nil {
		return err
	}
	for _, key := range oldManifests(c.manifest, previous) {
		if err := c.take(ctx, key, previous != nil); err != nil {
			return err
		}
	}
	for _, o := range c.objects {
		if err := c.show(ctx, o); err != nil {
			return err
		}
	}
	for _, key := range c.leftovers(previous) {
		if err := c.take(ctx, key, true); err != nil {
			return err
		}
	}
	return c.writeManifest(ctx, tag)
}

// stand makes sure that the fence stands: nobody has aborted the run.
func (c *commit) stand(ctx context.Context) error {
	_, err := c.Bucket.Send(ctx, c.fence, askPart, []byte{0})
	return fenced(err)
}

// isDone says whether the manifest is ours already, since its upload is gone: otherwise the run is fenced.
func (c *commit) isDone(ctx context.Context, gone error) error {
	body, err := c.Bucket.Read(ctx, c.manifest, int64(len(c.body)))
	switch {
	case errors.Is(err, ErrNoObject):
		return superseded(gone)
	case denied(err):
		// A fenced run cannot record its delivery, so that this can be said of both.
		c.warn("Whether the manifest %q is in place could not be verified: the credentials may not read it.", c.manifest)
		return nil
	case err != nil:
		return err
	case !bytes.Equal(body, c.body):
		return superseded(gone)
	}
	for _, o := range c.objects {
		if err := c.verify(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// show completes an object's upload. One that is gone was completed before, or aborted by whoever fenced the run.
func (c *commit) show(ctx context.Context, o staged) error {
	if err := c.reach(ctx, "publish "+o.Key); err != nil {
		return err
	}
	err := c.Bucket.Complete(ctx, o.upload(), o.ref.Tags, o.ref.Sum)
	if err != nil && !errors.Is(err, ErrNoUpload) {
		return err
	}
	if err == nil {
		return c.verify(ctx, o)
	}
	found, statErr := c.Bucket.Stat(ctx, o.Key)
	switch {
	case denied(statErr): // the fence is aborted before the uploads
		if err := c.stand(ctx); err != nil {
			return err
		}
	case errors.Is(statErr, ErrNoObject):
		return superseded(err)
	case statErr != nil:
		return statErr
	case !found.Tags.by(c.tags.Run, c.tags.Generation):
		return superseded(err)
	}
	return c.verify(ctx, o)
}

// verify compares what the store has with what was staged.
func (c *commit) verify(ctx context.Context, o staged) error {
	found, err := c.Bucket.Stat(ctx, o.Key)
	switch {
	case denied(err):
		c.warn("The sizes and checksums of the files could not be verified: the credentials may not read them.")
		return nil
	case errors.Is(err, ErrNoObject):
		return batch.Errorf(batch.CodeVerification, err, "the file %q is not there although it was published", o.Key)
	case err != nil:
		return err
	case found.Tags != (Tags{}) && !found.Tags.by(c.tags.Run, c.tags.Generation):
		return superseded(fmt.Errorf("%q is of run %s", o.Key, found.Tags.Run))
	case found.Bytes != o.Bytes:
		return batch.Errorf(batch.CodeVerification, nil, "the file %q has %d bytes, %d were written", o.Key, found.Bytes, o.Bytes)
	case found.Sum != nil && o.ref.Sum != nil && !bytes.Equal(found.Sum, o.ref.Sum):
		return batch.Errorf(batch.CodeVerification, nil, "the file %q has the checksum %x, that of what was written is %x", o.Key, found.Sum, o.ref.Sum)
	}
	return nil
}

// take removes an object that an earlier run delivered, if it is still the one that was there while the fence stood:
// what a newer run has published is not ours to remove. Expected says that something should be there.
func (c *commit) take(ctx context.Context, key string, expected bool) error {
	if err := c.reach(ctx, "remove "+key); err != nil {
		return err
	}
	found, err := c.Bucket.Stat(ctx, key)
	if errors.Is(err, ErrNoObject) || denied(err) && !expected { // stores deny what is absent to those who may not list
		return nil
	}
	if err != nil && !denied(err) {
		return err
	}
	if err := c.stand(ctx); err != nil {
		return err
	}
	err = c.Bucket.Remove(ctx, key, found.Version)
	switch {
	case errors.Is(err, ErrOtherVersion):
		return superseded(err)
	case denied(err):
		c.warn("The file %q of an earlier run could not be removed: the credentials may not delete.", key)
		return nil
	}
	return err
}

// writeManifest says that all is in place.
func (c *commit) writeManifest(ctx context.Context, tag string) error {
	if err := c.reach(ctx, "write manifest"); err != nil {
		return err
	}
	err := c.Bucket.Complete(ctx, c.fence, []string{tag}, c.sumOf(c.body))
	if errors.Is(err, ErrNoUpload) {
		return c.isDone(ctx, err)
	}
	return err
}

func (c *commit) sumOf(body []byte) []byte {
	sum := c.Bucket.Sum()
	if sum == nil {
		return nil
	}
	sum.Write(body)
	return sum.Sum(nil)
}

// warn keeps a sentence for the run's log, once.
func (c *commit) warn(format string, args ...any) {
	c.warnings = warned(c.warnings, format, args...)
}

func warned(warnings []string, format string, args ...any) []string {
	warning := fmt.Sprintf(format, args...)
	for _, w := range warnings {
		if w == warning {
			return warnings
		}
	}
	return append(warnings, warning)
}

// oldManifests are where a manifest of the interval may be.
func oldManifests(manifest string, previous *batch.Delivery) []string {
	keys := []string{manifest}
	if previous != nil && previous.Manifest != "" && previous.Manifest != manifest {
		keys = append(keys, previous.Manifest)
	}
	return keys
}

// leftovers are the objects of the previous delivery that this one does not replace.
func (c *commit) leftovers(previous *batch.Delivery) []string {
	if previous == nil {
		return nil
	}
	ours := make(map[string]bool, len(c.objects))
	for _, o := range c.objects {
		ours[o.Key] = true
	}
	var keys []string
	for _, o := range previous.Objects {
		if !ours[o.Key] {
			ours[o.Key] = true
			keys = append(keys, o.Key)
		}
	}
	return keys
}
