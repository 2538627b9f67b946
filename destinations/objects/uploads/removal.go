package uploads

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"tranche/batch"
	"tranche/destinations"
)

// A removal is the commit of an interval without rows: what was delivered before goes away. Such a run has staged
// nothing, so there is no fence to ask; what is there must be what the caller knows of, and no manifest may come back.
type removal struct {
	*Destination
	run      destinations.Run
	previous *batch.Delivery
	manifest string // where a manifest of this run would be

	first    map[string]Object // the manifests that were there when the removal began
	reads    bool              // the credentials may read: something was read
	blind    bool              // they may not
	warnings []string
}

func (d *Destination) remove(
	ctx context.Context, run destinations.Run, manifest string, previous *batch.Delivery,
) (destinations.Published, error) {
	if previous == nil || len(previous.Objects) == 0 && previous.Manifest == "" {
		return destinations.Published{}, d.Reach(ctx)
	}
	r := &removal{Destination: d, run: run, previous: previous, manifest: manifest, first: make(map[string]Object)}
	err := r.removeAll(ctx)
	return destinations.Published{Warnings: r.warnings}, err
}

func (r *removal) removeAll(ctx context.Context) error {
	manifests := oldManifests(r.manifest, r.previous)
	for _, key := range manifests {
		found, err := r.stat(ctx, key)
		if err != nil && !errors.Is(err, ErrNoObject) {
			return err
		}
		if err == nil && !r.blind {
			if err := r.checkOwner(key, found); err != nil {
				return err
			}
			r.first[key] = found
		}
	}
	for _, key := range manifests {
		if err := r.removeManifest(ctx, key); err != nil {
			return err
		}
	}
	for _, o := range r.previous.Objects {
		if err := r.removeObject(ctx, o); err != nil {
			return err
		}
	}
	return r.checkManifests(ctx, manifests)
}

// removeManifest removes the manifest that was there when the removal began.
func (r *removal) removeManifest(ctx context.Context, key string) error {
	if err := r.reach(ctx, "remove "+key); err != nil {
		return err
	}
	found, err := r.stat(ctx, key)
	if errors.Is(err, ErrNoObject) {
		return nil
	}
	if err != nil {
		return err
	}
	if !r.blind && found.Version != r.first[key].Version {
		return superseded(ErrOtherVersion)
	}
	removed, err := r.discard(ctx, key, found.Version)
	if removed {
		delete(r.first, key)
	}
	return err
}

func (r *removal) removeObject(ctx context.Context, o batch.Object) error {
	if err := r.reach(ctx, "remove "+o.Key); err != nil {
		return err
	}
	if err := r.checkManifests(ctx, oldManifests(r.manifest, r.previous)); err != nil {
		return err
	}
	found, err := r.stat(ctx, o.Key)
	if errors.Is(err, ErrNoObject) {
		return nil
	}
	if err != nil {
		return err
	}
	if !r.blind {
		if err := r.checkOwner(o.Key, found); err != nil {
			return err
		}
	}
	_, err = r.discard(ctx, o.Key, found.Version)
	return err
}

// checkManifests makes sure that no manifest came back: a newer run's is the last thing that it writes.
func (r *removal) checkManifests(ctx context.Context, keys []string) error {
	for _, key := range keys {
		found, err := r.stat(ctx, key)
		if errors.Is(err, ErrNoObject) || err == nil && r.blind {
			continue
		}
		if err != nil {
			return err
		}
		if left, ok := r.first[key]; !ok || left.Version != found.Version {
			return superseded(fmt.Errorf("%q is of run %s", key, found.Tags.Run))
		}
	}
	return nil
}

// checkOwner makes sure that an object is what the caller knows of. When a run died in its commit, nobody knows whose
// objects are there, but only how large they may be.
func (r *removal) checkOwner(key string, found Object) error {
	if found.Tags == (Tags{}) || found.Tags.by(r.previous.RunID, r.previous.Generation) {
		return nil
	}
	if r.previous.RunID != uuid.Nil {
		return superseded(fmt.Errorf("%q is of run %s", key, found.Tags.Run))
	}
	for _, o := range r.previous.Objects {
		if o.Key == key && o.Bytes == found.Bytes {
			return nil
		}
	}
	if key == r.manifest || key == r.previous.Manifest {
		return nil
	}
	return superseded(fmt.Errorf("%q is of run %s", key, found.Tags.Run))
}

// stat is the Bucket's. Credentials that may not read see nothing, and do without the checks. Stores deny what is absent
// to those who may read, but not list.
func (r *removal) stat(ctx context.Context, key string) (Object, error) {
	found, err := r.Bucket.Stat(ctx, key)
	if err == nil {
		r.reads = true
	}
	if denied(err) && r.reads {
		return Object{}, ErrNoObject
	}
	if denied(err) {
		r.blind = true
		r.warnings = warned(r.warnings, "Whose files were removed could not be verified: the credentials may not read them.")
		return Object{}, nil
	}
	return found, err
}

// discard removes an object, and says whether it is gone.
func (r *removal) discard(ctx context.Context, key, version string) (bool, error) {
	err := r.Bucket.Remove(ctx, key, version)
	switch {
	case errors.Is(err, ErrOtherVersion):
		return false, superseded(err)
	case denied(err):
		r.warnings = warned(r.warnings, "The file %q of an earlier run could not be removed: the credentials may not delete.", key)
		return false, nil
	}
	return err == nil, err
}
