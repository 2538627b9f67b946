package memory

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/uuid"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/objects"
	"tranche/query"
)

// Type is the destination's name.
const Type = "Memory"

// A Config is what a customer would set.
type Config struct {
	objects.Config
	Token string `json:"token" secret:"true"`
}

// A Client reaches a World.
type Client struct {
	URL    string // of the World's handler
	Worker string // tells the World who asks
	// At, if not nil, is called before each step that changes something.
	At func(ctx context.Context, step string) error
}

// Plugin returns the kind of destination that delivers to the World.
func Plugin(client Client) destinations.Plugin {
	return destinations.Define(destinations.Definition[Config]{
		Type: Type, Name: "memory of a test", Guarantee: destinations.AtomicObjects,
		Validate:  func(c Config) error { return c.Config.Validate() },
		Columns:   func(_ Config, m query.Model) ([]query.Column, error) { return objects.Columns(m) },
		MaxSplits: func(c Config) int { return c.Splits() },
		Steps:     []destinations.Step{pingStep},
		Open: func(_ context.Context, c Config) (destinations.Destination, error) {
			return &Destination{client: client, config: c}, nil
		},
	})
}

var pingStep = destinations.Step{Name: "Reach the memory", Description: "Ask the test whether it is there."}

// A Destination is one customer's objects.
type Destination struct {
	client Client
	config Config
}

// Checks is the Destination's.
func (d *Destination) Checks() []destinations.Check {
	return []destinations.Check{{Name: pingStep.Name, Description: pingStep.Description, Run: d.ping}}
}

func (d *Destination) ping(ctx context.Context) error {
	_, err := d.client.do(ctx, Op{Name: "ping"})
	return err
}

// Stage is the Destination's.
func (d *Destination) Stage(ctx context.Context, job destinations.Job, records array.RecordReader) (destinations.Receipt, error) {
	return objects.Stage(ctx, job, d.config.Config, records, &staging{client: d.client, job: job, group: groupOf(job.Run)})
}

// groupOf is the group, and the Ref, of a run's generation.
func groupOf(run destinations.Run) string { return fmt.Sprintf("%s/%d", run.ID, run.Generation) }

// removalsOf is the group below which commits without rows of an interval work.
func removalsOf(run destinations.Run) string {
	return fmt.Sprintf("removal-%s-%d-%d", run.ExportID, run.Interval.Start.Unix(), run.Interval.End.Unix())
}

// A staging is one attempt of one split.
type staging struct {
	client Client
	job    destinations.Job
	group  string
	opened bool
	files  int
}

// Create is the objects.Store's.
func (s *staging) Create(ctx context.Context, _ string) (objects.File, error) {
	if !s.opened {
		if err := s.open(ctx); err != nil {
			return nil, err
		}
	}
	name := fmt.Sprintf("%s%d", s.own(), s.files)
	s.files++
	return &file{staging: s, name: name}, nil
}

func (s *staging) own() string { return fmt.Sprintf("%d-%d/", s.job.Split, s.job.Attempt) }

// open makes the group, which the journal must know of before and after.
func (s *staging) open(ctx context.Context) error {
	ref := destinations.Ref(s.group)
	if err := s.job.Journal.Record(ctx, ref); err != nil {
		return err
	}
	if err := s.client.change(ctx, Op{Name: "open", Group: s.group}); err != nil {
		return err
	}
	if err := s.job.Journal.Record(ctx, ref); err != nil {
		return err
	}
	err := s.client.change(ctx, Op{Name: "replace", Group: s.group, Staged: s.own()})
	s.opened = err == nil
	return err
}

// A file is an object being staged.
type file struct {
	bytes.Buffer
	staging *staging
	name    string
}

// Finish is the objects.File's.
func (f *file) Finish(ctx context.Context) (json.RawMessage, error) {
	op := Op{Name: "stage", Group: f.staging.group, Staged: f.name, Body: f.Bytes()}
	if err := f.staging.client.change(ctx, op); err != nil {
		return nil, err
	}
	return json.Marshal(f.name)
}

// Discard is the objects.File's.
func (f *file) Discard() {}

// Commit is the Destination's.
func (d *Destination) Commit(
	ctx context.Context, run destinations.Run, receipts []destinations.Receipt, previous *batch.Delivery,
) (destinations.Published, error) {
	keys := objects.KeysOf(run, d.config.Config)
	staged := objects.Ordered(receipts)
	if len(staged) == 0 {
		return destinations.Published{}, d.remove(ctx, run, keys.Manifest(), previous)
	}
	m := objects.ManifestOf(run, receipts)
	body, err := m.Encode()
	if err != nil {
		return destinations.Published{}, err
	}
	if err := d.publish(ctx, run, staged, keys.Manifest(), body, previous); err != nil {
		return destinations.Published{}, err
	}
	return m.Published(keys.Manifest()), nil
}

func (d *Destination) publish(
	ctx context.Context, run destinations.Run, staged []destinations.StagedObject, manifest string, body []byte, previous *batch.Delivery,
) error {
	seen, err := d.client.do(ctx, Op{Name: "stat", Key: manifest})
	if err != nil || seen.Found && bytes.Equal(seen.Body, body) {
		return err
	}
	if err := d.client.change(ctx, Op{Name: "abort", Group: removalsOf(run)}); err != nil {
		return err
	}
	group := groupOf(run)
	waiting, err := d.waiting(ctx, group, staged)
	if err != nil {
		return err
	}
	if err := d.trash(ctx, group, manifest); err != nil {
		return err
	}
	for name, key := range waiting {
		if err := d.client.change(ctx, Op{Name: "publish", Group: group, Staged: name, Key: key}); err != nil {
			return err
		}
	}
	ours := map[string]bool{}
	for _, o := range staged {
		ours[o.Key] = true
	}
	if previous != nil {
		for _, o := range previous.Objects {
			if !ours[o.Key] {
				if err := d.trash(ctx, group, o.Key); err != nil {
					return err
				}
			}
		}
	}
	return d.client.change(ctx, Op{Name: "manifest", Group: group, Key: manifest, Body: body})
}

// waiting returns what is still to be published, by its name in the group.
func (d *Destination) waiting(ctx context.Context, group string, staged []destinations.StagedObject) (map[string]string, error) {
	waiting := map[string]string{}
	for _, o := range staged {
		var name string
		if err := json.Unmarshal(o.Ref, &name); err != nil {
			return nil, err
		}
		has, err := d.client.do(ctx, Op{Name: "has", Group: group, Staged: name})
		if err != nil {
			return nil, err
		}
		if has.Found {
			waiting[name] = o.Key
			continue
		}
		seen, err := d.client.do(ctx, Op{Name: "stat", Key: o.Key})
		if err != nil {
			return nil, err
		}
		if !seen.Found || seen.Group != group {
			return nil, batch.Errorf(batch.CodeSuperseded, nil, "what was staged for %q is gone", o.Key)
		}
	}
	return waiting, nil
}

func (d *Destination) trash(ctx context.Context, group, key string) error {
	return d.client.change(ctx, Op{Name: "trash", Group: group, Key: key})
}

// remove is the commit of an interval without rows.
func (d *Destination) remove(ctx context.Context, run destinations.Run, manifest string, previous *batch.Delivery) error {
	if previous == nil {
		return d.ping(ctx)
	}
	removals := removalsOf(run)
	if err := d.client.change(ctx, Op{Name: "abort", Group: removals}); err != nil {
		return err
	}
	group := removals + "/" + rand.Text()
	if err := d.client.change(ctx, Op{Name: "open", Group: group}); err != nil {
		return err
	}
	seen, err := d.client.do(ctx, Op{Name: "stat", Key: manifest})
	if err != nil {
		return err
	}
	last := fmt.Sprintf("%s/%d", previous.RunID, previous.Generation)
	if previous.RunID == uuid.Nil {
		last = seen.Group // a run that died in its commit recorded nothing
	}
	if seen.Found && seen.Group != last {
		if _, err := d.client.do(ctx, Op{Name: "abort", Group: group}); err != nil {
			return err
		}
		return batch.Errorf(batch.CodeSuperseded, nil, "%q belongs to another run", manifest)
	}
	for _, key := range append([]string{manifest}, keysOf(previous)...) {
		if err := d.client.change(ctx, Op{Name: "trash", Group: group, Key: key, Of: last}); err != nil {
			return err
		}
	}
	// Was it still ours to the end?
	if err := d.client.change(ctx, Op{Name: "open", Group: group}); err != nil {
		return err
	}
	_, err = d.client.do(ctx, Op{Name: "abort", Group: group})
	return err
}

func keysOf(d *batch.Delivery) []string {
	keys := make([]string, len(d.Objects))
	for i, o := range d.Objects {
		keys[i] = o.Key
	}
	return keys
}

// Abort is the Destination's.
func (d *Destination) Abort(ctx context.Context, refs []destinations.Ref) error {
	for _, ref := range refs {
		if _, err := d.client.do(ctx, Op{Name: "abort", Group: string(ref)}); err != nil {
			return err
		}
	}
	return nil
}

// Close is the Destination's.
func (d *Destination) Close() error { return nil }

// change is do, for what changes something.
func (c Client) change(ctx context.Context, op Op) error {
	if c.At != nil {
		if err := c.At(ctx, op.Name+" "+op.Key+op.Staged); err != nil {
			return err
		}
	}
	_, err := c.do(ctx, op)
	return err
}

func (c Client) do(ctx context.Context, op Op) (Reply, error) {
	op.Worker = c.Worker
	body, err := json.Marshal(op)
	if err != nil {
		return Reply{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return Reply{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return Reply{}, context.Cause(ctx)
		}
		return Reply{}, batch.Errorf(batch.CodeUnavailable, err, "the memory does not answer")
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		var reply Reply
		err := json.NewDecoder(response.Body).Decode(&reply)
		return reply, err
	case http.StatusGone, http.StatusNotFound:
		return Reply{}, batch.Errorf(batch.CodeSuperseded, nil, "another run has taken the place of this one")
	}
	return Reply{}, batch.Errorf(batch.CodeUnavailable, nil, "the memory cannot do that now")
}
