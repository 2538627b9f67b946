package model

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A kind is what happens at a point.
type kind string

// The kinds of faults.
const (
	fail   kind = "fail"   // the step is not done and answers an error that passes
	lose   kind = "lose"   // the step is done and answers an error all the same
	stall  kind = "stall"  // the step takes longer than a heartbeat
	kill   kind = "kill"   // the worker dies, SIGKILL
	freeze kind = "freeze" // the worker sleeps past its heartbeat, SIGSTOP, and wakes later
)

var kinds = []kind{fail, lose, stall, kill, freeze}

// points are where a fault can be put: the named points of the delivery protocol, each before and after what is done
// there. The steps at the destination come on top.
var points = []string{
	"before Begin", "after Begin", "before Plan", "after Plan",
	"before Stage", "mid-stage", "before receipt", "after receipt", "after Stage",
	"before Recount", "after Recount", "before Commit", "before lease", "after lease", "after fence",
	"before publish", "after publish", "before trash", "after trash", "before manifest", "after manifest",
	"before record", "after record", "after Commit", "before Finish", "after Finish",
	"before PrepareBackfill", "after PrepareBackfill", "before NextIntervals", "before FinishBackfill", "after FinishBackfill",
}

// stallFor is longer than the heartbeat timeout of the model's workers.
const stallFor = 3 * time.Second

// errFault is what a step answers at a fault.
var errFault = errors.New("a fault of the model")

// faults are the faults that wait for somebody to come by, and a record of what was met.
type faults struct {
	mu    sync.Mutex
	armed map[string]kind
	met   map[string]int
	// strike ends or stops the process of a worker, before anything else happens at the point.
	strike func(worker string, k kind)
}

func newFaults() *faults {
	return &faults{armed: map[string]kind{}, met: map[string]int{}}
}

// arm puts a fault at a point; it strikes once.
func (f *faults) arm(point string, k kind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed[point] = k
}

// disarm takes all faults away.
func (f *faults) disarm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.armed)
}

// reach is called when a worker comes to a point. The error is what the step answers.
func (f *faults) reach(worker, point string) error {
	f.mu.Lock()
	k, ok := f.armed[point]
	if ok {
		delete(f.armed, point)
		f.met[fmt.Sprintf("%s %s", k, point)]++
	}
	f.mu.Unlock()
	if !ok {
		return nil
	}
	switch k {
	case kill, freeze:
		f.strike(worker, k)
		return errFault // nobody hears it, or much later
	case stall:
		time.Sleep(stallFor) //nolint:forbidigo // the fault is that time passes
		return nil
	case fail, lose:
	}
	return errFault
}

// report lists the faults that struck, with how often.
func (f *faults) report() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for what, n := range f.met {
		lines = append(lines, fmt.Sprintf("%s: %d", what, n))
	}
	slices.Sort(lines)
	return lines
}
