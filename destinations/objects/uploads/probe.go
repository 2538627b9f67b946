package uploads

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/destinations"
)

// probeName is what the file is called that a connection test writes. It has always the same name and content, so that
// tests do not disturb each other, and credentials that may not delete leave one at most.
const probeName = ".tranche-test"

var probeBody = []byte("Tranche wrote this file to see that it may. It can be deleted.\n")

// Probe writes a file under the prefix, reads it back and deletes it.
func (d *Destination) Probe(ctx context.Context) error {
	key := d.probeKey()
	if err := d.writeProbe(ctx, key); err != nil {
		return err
	}
	read, readErr := d.Bucket.Read(ctx, key, int64(len(probeBody)))
	removeErr := d.Bucket.Remove(ctx, key, "")
	switch {
	case denied(readErr) && denied(removeErr):
		return &destinations.SkippedError{Reason: "The file \"" + key + "\" was written, but the credentials may neither read nor delete it. " +
			"Exports will work; what they wrote cannot be verified, and what a re-run replaces cannot be removed."}
	case denied(readErr):
		return &destinations.SkippedError{Reason: "A file was written, but the credentials may not read it. Exports will work; what they wrote cannot be verified."}
	case denied(removeErr):
		return &destinations.SkippedError{Reason: "The file \"" + key + "\" was written, but the credentials may not delete it. " +
			"Exports will work; what a re-run replaces cannot be removed."}
	case readErr != nil && !errors.Is(readErr, ErrNoObject): // another test may have deleted it
		return readErr
	case readErr == nil && !bytes.Equal(read, probeBody):
		return batch.Errorf(batch.CodeVerification, nil, "the file %q reads back as %d bytes, %d were written", key, len(read), len(probeBody))
	}
	return removeErr
}

func (d *Destination) writeProbe(ctx context.Context, key string) error {
	u, tag, err := d.sendProbe(ctx, key)
	if err != nil {
		return err
	}
	var sum []byte
	if h := d.Bucket.Sum(); h != nil {
		h.Write(probeBody)
		sum = h.Sum(nil)
	}
	return d.Bucket.Complete(ctx, u, []string{tag}, sum)
}

// sendProbe begins an upload of the probe and sends its only part. Nothing is left of what fails.
func (d *Destination) sendProbe(ctx context.Context, key string) (Upload, string, error) {
	id, err := d.Bucket.Begin(ctx, key, Tags{})
	if err != nil {
		return Upload{}, "", err
	}
	u := Upload{Key: key, ID: id}
	tag, err := d.Bucket.Send(ctx, u, 1, probeBody)
	if err != nil {
		err = errors.Join(err, d.Bucket.Abort(context.WithoutCancel(ctx), u))
	}
	return u, tag, err
}

// Reach makes sure that the bucket is there and may be written. Credentials that may not ask for the bucket may still
// write.
func (d *Destination) Reach(ctx context.Context) error {
	err := d.Bucket.Reach(ctx)
	if denied(err) {
		return d.Rehearse(ctx)
	}
	return err
}

// Rehearse writes a file under the prefix up to where it would become visible, and throws it away.
func (d *Destination) Rehearse(ctx context.Context) error {
	u, _, err := d.sendProbe(ctx, d.probeKey())
	if err != nil {
		return err
	}
	return d.Bucket.Abort(ctx, u)
}

func (d *Destination) probeKey() string {
	end := time.Now().UTC().Truncate(time.Hour)
	return d.Keys(destinations.Run{
		ID: uuid.New(), Model: batch.ModelEvents, Interval: batch.Interval{Start: end.Add(-time.Hour), End: end},
	}).Beside(probeName)
}
