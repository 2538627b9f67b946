// Package memory is a destination that lives in the memory of a test: an object store that records every state that a
// reader could see, and in which each operation can be made to fail, to stall, to lose its answer, or to kill its caller.
//
// World is the store, an HTTP handler, so that workers in other processes can use it too. Plugin is the destination.
package memory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"tranche/destinations/objects"
)

// A World is an object store. A group is what one run and generation has staged; it is also the fence: once it is
// aborted, no operation in its name changes anything any more.
type World struct {
	// Before and After, if not nil, are called around every operation, outside of the World's lock. The error of Before
	// keeps the operation from being done; that of After hides that it was.
	Before, After func(Op) error

	mu         sync.Mutex
	groups     map[string]*group
	visible    map[string]Object
	displaced  map[string]map[string]bool // groups whose object under a key was replaced by another group's
	states     int
	violations []string
}

// A group is what is staged under one name.
type group struct {
	staged  map[string][]byte
	aborted bool
}

// An Object is what a reader sees under a key.
type Object struct {
	Group string
	Body  []byte
}

// An Op is one operation of a client.
type Op struct {
	Worker string `json:"worker,omitempty"` // who asks
	Name   string `json:"name"`             // ping, open, stage, replace, stat, publish, trash, manifest, abort
	Group  string `json:"group,omitempty"`
	Staged string `json:"staged,omitempty"` // name within the group
	Key    string `json:"key,omitempty"`
	Of     string `json:"of,omitempty"` // trash only what this group published; empty = anybody's
	Body   []byte `json:"body,omitempty"`
}

// A Reply answers an Op.
type Reply struct {
	Found bool   `json:"found"`
	Group string `json:"group,omitempty"`
	Body  []byte `json:"body,omitempty"`
}

// The refusals of a World.
var (
	ErrAborted = errors.New("the group is aborted")
	ErrAbsent  = errors.New("there is no such thing")
)

// NewWorld returns an empty World.
func NewWorld() *World {
	return &World{groups: map[string]*group{}, visible: map[string]Object{}, displaced: map[string]map[string]bool{}}
}

// ServeHTTP does one Op. 410 is ErrAborted, 404 ErrAbsent, 503 what Before or After returned.
func (w *World) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	var op Op
	if err := json.NewDecoder(r.Body).Decode(&op); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	reply, err := w.Do(op)
	switch {
	case errors.Is(err, ErrAborted):
		http.Error(rw, err.Error(), http.StatusGone)
	case errors.Is(err, ErrAbsent):
		http.Error(rw, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(rw, err.Error(), http.StatusServiceUnavailable)
	default:
		if err := json.NewEncoder(rw).Encode(reply); err != nil {
			return // the caller is gone
		}
	}
}

// Do does one Op with its faults.
func (w *World) Do(op Op) (Reply, error) {
	if w.Before != nil {
		if err := w.Before(op); err != nil {
			return Reply{}, err
		}
	}
	reply, err := w.apply(op)
	if err == nil && w.After != nil {
		err = w.After(op)
	}
	return reply, err
}

func (w *World) apply(op Op) (Reply, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch op.Name {
	case "ping":
		return Reply{}, nil
	case "stat":
		o, ok := w.visible[op.Key]
		return Reply{Found: ok, Group: o.Group, Body: o.Body}, nil
	case "abort":
		w.abort(op.Group)
		return Reply{}, nil
	case "open":
		return Reply{}, w.open(op.Group)
	}
	g, ok := w.groups[op.Group]
	if !ok {
		return Reply{}, ErrAbsent
	}
	if g.aborted {
		return Reply{}, ErrAborted
	}
	switch op.Name {
	case "stage":
		g.staged[op.Staged] = op.Body
		return Reply{}, nil
	case "replace":
		g.replace(op.Staged)
		return Reply{}, nil
	case "has":
		body, ok := g.staged[op.Staged]
		return Reply{Found: ok, Body: body}, nil
	case "publish":
		body, ok := g.staged[op.Staged]
		if !ok {
			return Reply{}, ErrAbsent
		}
		delete(g.staged, op.Staged)
		w.show(op.Key, Object{Group: op.Group, Body: body})
	case "manifest":
		w.show(op.Key, Object{Group: op.Group, Body: op.Body})
	case "trash":
		if o, ok := w.visible[op.Key]; ok && (op.Of == "" || op.Of == o.Group) {
			if o.Group != op.Group {
				w.displace(op.Key, o.Group)
			}
			delete(w.visible, op.Key)
			w.look()
		}
	default:
		return Reply{}, fmt.Errorf("unknown operation %q", op.Name)
	}
	return Reply{}, nil
}

func (w *World) open(name string) error {
	g, ok := w.groups[name]
	if !ok {
		w.groups[name] = &group{staged: map[string][]byte{}}
		return nil
	}
	if g.aborted {
		return ErrAborted
	}
	return nil
}

// abort fences every group whose name begins with prefix, and remembers that it did.
func (w *World) abort(prefix string) {
	found := false
	for name, g := range w.groups {
		if name == prefix || strings.HasPrefix(name, prefix+"/") {
			g.aborted, g.staged, found = true, nil, true
		}
	}
	if !found {
		w.groups[prefix] = &group{aborted: true}
	}
}

// replace drops what earlier attempts staged for a split: own is "split-attempt/".
func (g *group) replace(own string) {
	split, _, _ := strings.Cut(own, "-")
	for name := range g.staged {
		if strings.HasPrefix(name, split+"-") && !strings.HasPrefix(name, own) {
			delete(g.staged, name)
		}
	}
}

// show makes an object visible. Nothing of a group may come back once another group has taken its place.
func (w *World) show(key string, o Object) {
	if w.displaced[key][o.Group] {
		w.violations = append(w.violations, fmt.Sprintf("state %d: %s published %s again, which another run had replaced", w.states, o.Group, key))
	}
	if before, ok := w.visible[key]; ok && before.Group != o.Group {
		w.displace(key, before.Group)
	}
	w.visible[key] = o
	w.look()
}

// displace remembers that a group's object under a key is gone.
func (w *World) displace(key, group string) {
	if w.displaced[key] == nil {
		w.displaced[key] = map[string]bool{}
	}
	w.displaced[key][group] = true
}

// look is a reader: it trusts manifests. Whenever one is visible, all that it lists must be, by the same group.
func (w *World) look() {
	w.states++
	for key, o := range w.visible {
		if !strings.HasSuffix(key, "_manifest.json") {
			continue
		}
		var m objects.Manifest
		if err := json.Unmarshal(o.Body, &m); err != nil {
			w.violations = append(w.violations, fmt.Sprintf("state %d: %s is no manifest: %v", w.states, key, err))
			continue
		}
		for _, listed := range m.Objects {
			seen, ok := w.visible[listed.Key]
			if !ok || seen.Group != o.Group || int64(len(seen.Body)) != listed.Bytes ||
				int64(bytes.Count(seen.Body, []byte("\n"))) != listed.Rows {
				w.violations = append(w.violations, fmt.Sprintf(
					"state %d: the manifest %s of %s lists %s, but a reader sees that of %q", w.states, key, o.Group, listed.Key, seen.Group))
			}
		}
	}
}

// Visible returns what a reader sees, by key.
func (w *World) Visible() map[string]Object {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.visible)
}

// Staged lists the groups that are neither published nor aborted.
func (w *World) Staged() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for name, g := range w.groups {
		if !g.aborted {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Violations lists the visible states in which a reader saw a part of something, or something that was replaced before;
// States is how many there were.
func (w *World) Violations() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.violations)
}

// States is how many visible states there were.
func (w *World) States() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.states
}
