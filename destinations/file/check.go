package file

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"path"
	"syscall"
	"time"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/objects"
)

// root names the folder of exports in what customers read.
const root = "the folder of exports"

// minFree is how much space a test asks for: less is not enough to export anything of use.
const minFree = 64 << 20 // bytes

// steps are the steps of the connection test, with what each does.
var steps = []struct {
	destinations.Step
	run func(*destination, context.Context) error
}{
	{destinations.Step{
		Name:        "Check that the prefix is inside the folder of exports",
		Description: "Make the name of a file from the prefix and see that no link leads out of the folder of exports.",
	}, (*destination).checkPrefix},
	{destinations.Step{
		Name:        "Check that the folder can be written",
		Description: "Create a file in the folder of exports, read it back and delete it.",
	}, (*destination).checkWritable},
	{destinations.Step{
		Name:        "Check that there is space",
		Description: "Ask the file system how much space is free.",
	}, (*destination).checkSpace},
}

func stepsOf() []destinations.Step {
	listed := make([]destinations.Step, len(steps))
	for i, step := range steps {
		listed[i] = step.Step
	}
	return listed
}

// Checks is the Destination's.
func (d *destination) Checks() []destinations.Check {
	checks := make([]destinations.Check, len(steps))
	for i, step := range steps {
		checks[i] = destinations.Check{
			Name: step.Name, Description: step.Description,
			Run: func(ctx context.Context) error { return step.run(d, ctx) },
		}
	}
	return checks
}

// checkPrefix looks where a file of the last hour would go.
func (d *destination) checkPrefix(ctx context.Context) error {
	if err := d.reach(ctx, "check"); err != nil {
		return err
	}
	end := time.Now().UTC().Truncate(time.Hour)
	key := objects.KeysOf(destinations.Run{
		ID: uuid.New(), Model: batch.ModelEvents, Interval: batch.Interval{Start: end.Add(-time.Hour), End: end},
	}, d.config.Config).Manifest()
	if err := checkKey(key); err != nil {
		return err
	}
	for dir := path.Dir(key); ; dir = path.Dir(dir) {
		info, err := d.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist) && dir != ".":
			continue // it is made when it is needed
		case err != nil:
			return classify(err, "the prefix")
		case !info.IsDir():
			return classify(&fs.PathError{Op: "stat", Path: dir, Err: syscall.ENOTDIR}, "the prefix")
		}
		return nil
	}
}

// checkWritable creates, reads back and deletes a file.
func (d *destination) checkWritable(ctx context.Context) error {
	if err := d.reach(ctx, "check"); err != nil {
		return err
	}
	if err := d.makeAll(stagingFolder); err != nil {
		return classify(err, root)
	}
	name, body := path.Join(stagingFolder, ".check-"+rand.Text()), []byte(rand.Text())
	if err := d.writeFile(name, body); err != nil {
		return classify(errors.Join(err, d.discardFile(name)), root)
	}
	read, err := d.ReadFile(name)
	if err = errors.Join(err, d.Remove(name)); err != nil {
		return classify(err, root)
	}
	if !bytes.Equal(read, body) {
		return batch.Errorf(batch.CodeVerification, nil, "%s: a file reads back as %d bytes, %d were written", root, len(read), len(body))
	}
	return nil
}

// checkSpace asks how much the server may still write.
func (d *destination) checkSpace(ctx context.Context) error {
	if err := d.reach(ctx, "check"); err != nil {
		return err
	}
	dir, err := d.Open(".")
	if err != nil {
		return classify(err, root)
	}
	defer dir.Close()
	var stat syscall.Statfs_t
	if err := syscall.Fstatfs(int(dir.Fd()), &stat); err != nil {
		return classify(err, root)
	}
	if free := stat.Bavail * uint64(stat.Bsize); free < minFree {
		return batch.Errorf(batch.CodeNoSpace, nil, "%s: only %d MiB are free", root, free>>20)
	}
	return nil
}

// discardFile removes a file that may not exist.
func (d *destination) discardFile(name string) error {
	if err := d.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
