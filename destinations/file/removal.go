package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/objects"
)

// removalFolder is where commits without rows put what was delivered before. It belongs to the interval, since such
// runs have staged nothing: every commit of the interval begins by fencing it.
func removalFolder(run destinations.Run) string {
	name := fmt.Sprintf(".removal-%s-%d-%d", run.ExportID, run.Interval.Start.Unix(), run.Interval.End.Unix())
	return path.Join(stagingFolder, name)
}

// remove is the commit of an interval without rows: what was delivered before goes away.
func (d *destination) remove(ctx context.Context, run destinations.Run, previous *batch.Delivery) error {
	if previous == nil || len(previous.Objects) == 0 && previous.Manifest == "" {
		return d.checkWritable(ctx)
	}
	interval := removalFolder(run)
	if err := d.fence(interval); err != nil {
		return err
	}
	if err := d.reach(ctx, "make folder"); err != nil {
		return err
	}
	dir := path.Join(interval, fmt.Sprintf("%s-%d", run.ID, run.Generation))
	if err := d.makeAll(dir); err != nil {
		return err
	}
	return d.removeBehind(dir, d.removePrevious(ctx, dir, previous))
}

// removeBehind clears up after err, which stays what the caller sees.
func (d *destination) removeBehind(dir string, err error) error {
	cleared := d.removeAll(dir)
	if cleared == nil {
		cleared = d.removeEmpty(path.Dir(dir))
	}
	if err != nil {
		return err // what could not be cleared, the next commit of the interval fences
	}
	return cleared
}

func (d *destination) removePrevious(ctx context.Context, dir string, previous *batch.Delivery) error {
	if err := d.checkOwner(previous); err != nil {
		return err
	}
	keys := make([]string, 0, 1+len(previous.Objects))
	if previous.Manifest != "" {
		keys = append(keys, previous.Manifest)
	}
	for _, o := range previous.Objects {
		keys = append(keys, o.Key)
	}
	for i, key := range keys {
		if err := d.reach(ctx, "remove "+key); err != nil {
			return err
		}
		if err := d.discard(dir, key, fmt.Sprint(i)); err != nil {
			return err
		}
	}
	return nil
}

// checkOwner makes sure that what is delivered is what the caller knows: a newer run's manifest is not ours to remove.
func (d *destination) checkOwner(previous *batch.Delivery) error {
	if previous.Manifest == "" {
		return nil
	}
	if err := checkKey(previous.Manifest); err != nil {
		return err
	}
	body, err := d.ReadFile(previous.Manifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var manifest objects.Manifest
	if err := json.Unmarshal(body, &manifest); err != nil {
		return nil //nolint:nilerr // whoever wrote it was not a run of ours
	}
	if manifest.RunID != previous.RunID || manifest.Attempt != previous.Generation {
		return superseded(fmt.Errorf("%q is of run %s", previous.Manifest, manifest.RunID))
	}
	return nil
}
