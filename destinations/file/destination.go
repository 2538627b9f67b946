package file

import (
	"context"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/uuid"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/objects"
)

// A destination writes one customer's files.
type destination struct {
	folder
	config Config
	at     func(ctx context.Context, point string) error // see Server
}

// Stage is the Destination's.
func (d *destination) Stage(ctx context.Context, job destinations.Job, records array.RecordReader) (destinations.Receipt, error) {
	if job.Splits > d.config.Splits() {
		return destinations.Receipt{}, batch.Errorf(batch.CodeInternal, nil, "%d splits for files without numbers", job.Splits)
	}
	receipt, err := objects.Stage(ctx, job, d.config.Config, records, &staging{destination: d, job: job})
	return receipt, classify(err, "the folder of exports")
}

// Commit is the Destination's.
func (d *destination) Commit(
	ctx context.Context, run destinations.Run, receipts []destinations.Receipt, previous *batch.Delivery,
) (destinations.Published, error) {
	objs := objects.Ordered(receipts)
	if len(objs) == 0 {
		return destinations.Published{}, classify(d.remove(ctx, run, objects.KeysOf(run, d.config.Config).Manifest(), previous), "the folder of exports")
	}
	keys := objects.KeysOf(run, d.config.Config)
	manifest := objects.ManifestOf(run, receipts)
	body, err := manifest.Encode()
	if err != nil {
		return destinations.Published{}, err
	}
	c := &commit{destination: d, staged: runFolder(run), objects: objs, manifest: keys.Manifest(), body: body}
	if err := c.publish(ctx, run, previous); err != nil {
		return destinations.Published{}, classify(err, "the folder of exports")
	}
	published := manifest.Published(keys.Manifest())
	if keys.Warning != "" {
		published.Warnings = append(published.Warnings, keys.Warning)
	}
	return published, nil
}

// Abort is the Destination's. A ref is a run's folder.
func (d *destination) Abort(ctx context.Context, refs []destinations.Ref) error {
	var failed error
	for _, ref := range refs {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if !isRunFolder(string(ref)) {
			failed = batch.Errorf(batch.CodeInternal, nil, "%q is not a staged folder", string(ref))
			continue
		}
		if err := d.abort(string(ref)); err != nil {
			failed = classify(err, "the folder of exports")
		}
	}
	return failed
}

func (d *destination) abort(dir string) error {
	if err := d.fence(dir); err != nil {
		return err
	}
	return d.removeEmpty(path.Dir(dir)) // another generation of the run may still be in it
}

// Close is the Destination's.
func (d *destination) Close() error { return d.Root.Close() }

// reach is called before everything that changes something, so that tests can stop there.
func (d *destination) reach(ctx context.Context, point string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if d.at == nil {
		return nil
	}
	return d.at(ctx, point)
}

// runFolder is where everything of a run's generation is staged.
func runFolder(run destinations.Run) string {
	return path.Join(stagingFolder, run.ID.String(), strconv.Itoa(run.Generation))
}

func isRunFolder(dir string) bool {
	parts := strings.Split(dir, "/")
	if len(parts) != 3 || parts[0] != stagingFolder {
		return false
	}
	_, err := uuid.Parse(parts[1])
	_, generationErr := strconv.Atoi(parts[2])
	return err == nil && generationErr == nil
}

// checkKey refuses keys that lie elsewhere than published files may.
func checkKey(key string) error {
	if !filepath.IsLocal(key) || inStaging(key) {
		return batch.Errorf(batch.CodeConfig, nil, "the key %q leads out of the folder of exports", key)
	}
	return nil
}
