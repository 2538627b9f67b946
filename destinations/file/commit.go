package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"

	"tranche/batch"
	"tranche/destinations"
)

const (
	trashName    = "trash"
	manifestName = "manifest.json"
)

// A commit publishes what one run staged. Every destructive step is a rename out of or into the run's folder.
type commit struct {
	*destination
	staged   string // the run's folder
	objects  []destinations.StagedObject
	manifest string // key
	body     []byte // of the manifest

	trashed int
}

// publish follows the protocol: old manifest away, files in place, leftovers away, new manifest. Called again, it
// finds what is done.
func (c *commit) publish(ctx context.Context, run destinations.Run, previous *batch.Delivery) error {
	done, err := c.isDone()
	if err != nil || done {
		return err
	}
	if err := c.fence(removalFolder(run)); err != nil {
		return err
	}
	if err := c.Mkdir(path.Join(c.staged, trashName), folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return c.fenced(c.staged, err)
	}
	waiting, err := c.waiting()
	if err != nil {
		return err
	}
	for _, key := range c.oldManifests(previous) {
		if err := c.trash(ctx, key); err != nil {
			return err
		}
	}
	if err := c.moveAll(ctx, waiting); err != nil {
		return err
	}
	if err := c.checkSizes(); err != nil {
		return err
	}
	for _, key := range c.leftovers(previous) {
		if err := c.trash(ctx, key); err != nil {
			return err
		}
	}
	return c.writeManifest(ctx)
}

// isDone says whether the manifest is ours already: it comes last.
func (c *commit) isDone() (bool, error) {
	body, err := c.ReadFile(c.manifest)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || !bytes.Equal(body, c.body) {
		return false, err
	}
	if err := c.checkSizes(); err != nil {
		return false, err
	}
	return true, c.sync(path.Dir(c.manifest)) // whoever put it there may have died before
}

// waiting returns the files that are still to be published. Before anything is changed, it makes sure that all are
// there: in the run's folder, or in place already because an answer was lost.
func (c *commit) waiting() ([]destinations.StagedObject, error) {
	var waiting []destinations.StagedObject
	for _, o := range c.objects {
		if err := checkKey(o.Key); err != nil {
			return nil, err
		}
		source, err := c.source(o)
		if err != nil {
			return nil, err
		}
		info, err := c.Lstat(source)
		switch {
		case err == nil && info.Size() != o.Bytes:
			return nil, mismatch("the staged file for", o, info.Size())
		case err == nil:
			waiting = append(waiting, o)
			continue
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
		inPlace, err := c.holds(o.Key, o.Bytes, o.SHA256)
		if err != nil {
			return nil, err
		}
		if !inPlace {
			return nil, superseded(fmt.Errorf("the staged file of %q is gone", o.Key))
		}
	}
	return waiting, nil
}

// source is where a file is staged.
func (c *commit) source(o destinations.StagedObject) (string, error) {
	var ref stagedRef
	if err := json.Unmarshal(o.Ref, &ref); err != nil || !filepath.IsLocal(ref.Path) {
		return "", batch.Errorf(batch.CodeInternal, err, "the receipt of %q names no staged file", o.Key)
	}
	return path.Join(c.staged, ref.Path), nil
}

// moveAll puts files in their places and makes their names durable.
func (c *commit) moveAll(ctx context.Context, waiting []destinations.StagedObject) error {
	dirs := make(map[string]bool)
	for _, o := range waiting {
		source, err := c.source(o)
		if err != nil {
			return err
		}
		if err := c.move(ctx, source, o.Key); err != nil {
			return err
		}
		dirs[path.Dir(o.Key)] = true
	}
	for dir := range dirs {
		if err := c.sync(dir); err != nil {
			return err
		}
	}
	return nil
}

// move renames out of the run's folder.
func (c *commit) move(ctx context.Context, source, key string) error {
	if err := c.makeAll(path.Dir(key)); err != nil {
		return classify(err, fmt.Sprintf("the folder of %q", key))
	}
	if err := c.reach(ctx, "publish "+key); err != nil {
		return err
	}
	if err := c.Rename(source, key); err != nil {
		return classify(c.fenced(c.staged, err), fmt.Sprintf("the file %q", key))
	}
	return nil
}

// trash renames into the run's folder. What is gone already is fine.
func (c *commit) trash(ctx context.Context, key string) error {
	c.trashed++
	if err := c.reach(ctx, "remove "+key); err != nil {
		return err
	}
	return c.discard(c.staged, key, path.Join(trashName, fmt.Sprint(c.trashed)))
}

// discard takes a published file out of sight, into a folder that vanishes when its owner is fenced.
func (d *destination) discard(owner, key, name string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	there, err := d.exists(key)
	if err != nil {
		return classify(err, fmt.Sprintf("the file %q", key))
	}
	if !there {
		return nil
	}
	err = d.fenced(owner, d.Rename(key, path.Join(owner, name)))
	if errors.Is(err, fs.ErrNotExist) && batch.CodeOf(err) != batch.CodeSuperseded {
		return nil // another process was faster
	}
	if err != nil {
		return classify(err, fmt.Sprintf("the file %q", key))
	}
	return d.sync(path.Dir(key))
}

// checkSizes compares what is in place with what was staged.
func (c *commit) checkSizes() error {
	for _, o := range c.objects {
		info, err := c.Stat(o.Key)
		if err != nil {
			return classify(err, fmt.Sprintf("the file %q", o.Key))
		}
		if info.Size() != o.Bytes {
			return mismatch("the file", o, info.Size())
		}
	}
	return nil
}

func mismatch(what string, o destinations.StagedObject, size int64) error {
	return batch.Errorf(batch.CodeVerification, nil, "%s %q has %d bytes, %d were written", what, o.Key, size, o.Bytes)
}

// oldManifests are where a manifest of the interval may be.
func (c *commit) oldManifests(previous *batch.Delivery) []string {
	keys := []string{c.manifest}
	if previous != nil && previous.Manifest != "" && previous.Manifest != c.manifest {
		keys = append(keys, previous.Manifest)
	}
	return keys
}

// leftovers are the files of the previous delivery that this one does not replace.
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
			keys = append(keys, o.Key)
		}
	}
	return keys
}

// writeManifest says that all is in place.
func (c *commit) writeManifest(ctx context.Context) error {
	if err := c.reach(ctx, "write manifest"); err != nil {
		return err
	}
	staged := path.Join(c.staged, manifestName)
	if err := c.writeFile(staged, c.body); err != nil {
		return c.fenced(c.staged, err)
	}
	if err := c.move(ctx, staged, c.manifest); err != nil {
		return err
	}
	return c.sync(path.Dir(c.manifest))
}
