package destinationtest

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"tranche/batch"
	"tranche/destinations"
)

func crashInStage(w *world) {
	rows := rowsFrom(0, several)
	scratch := w.newRun()
	steps := w.steps(func(d destinations.Destination) { w.stage(d, scratch, rows) })
	require.NoError(w, w.open().Abort(w.ctx, scratch.journal.all()))
	require.Positive(w, steps)
	var previous *batch.Delivery
	for n := range steps {
		r := w.newRun()
		_, err := w.openAt(killAt(n)).Stage(w.ctx, r.job(0, 1, 1), w.reader(rows))
		require.ErrorIs(w, err, errKilled)
		receipt, err := w.open().Stage(w.ctx, r.job(0, 1, 2), w.reader(rows))
		require.NoError(w, err)
		r.receipts = []destinations.Receipt{receipt}
		previous = w.commit(w.open(), r, previous)
		w.sees(rows)
		w.stagesNothing()
	}
}

func crashInCommit(w *world) {
	d := w.open()
	older, newer := rowsFrom(0, several), rowsFrom(300, few)
	previous := w.deliver(d, nil, w.parts(older)...)
	r := w.newRun()
	w.stage(d, r, newer)
	steps := w.steps(func(d destinations.Destination) { previous = w.commit(d, r, previous) })
	require.Positive(w, steps)
	for n := range steps {
		previous = w.deliver(d, previous, w.parts(older)...)
		r := w.newRun()
		w.stage(d, r, newer)
		_, err := w.openAt(killAt(n)).Commit(w.ctx, r.Run, r.receipts, previous)
		require.ErrorIs(w, err, errKilled, "step %d", n)
		previous = w.commit(w.open(), r, previous)
		w.sees(newer)
		w.stagesNothing()
	}
}

// removalAfterDeadCommit has a run die after each step of its commit, and then one without rows. Nobody recorded what the
// dead run published; it is fenced.
func removalAfterDeadCommit(w *world) {
	d := w.open()
	older, newer := w.parts(rowsFrom(0, several)), w.parts(rowsFrom(300, many))
	first := w.deliver(d, nil, older...)
	scratch := w.newRun()
	w.stage(d, scratch, newer...)
	steps := w.steps(func(d destinations.Destination) { first = w.commit(d, scratch, first) })
	require.Positive(w, steps)
	for n := range steps {
		previous := w.deliver(d, first, older...)
		dead := w.newRun()
		w.stage(d, dead, newer...)
		_, err := w.openAt(killAt(n)).Commit(w.ctx, dead.Run, dead.receipts, previous)
		require.ErrorIs(w, err, errKilled, "step %d", n)
		require.NoError(w, d.Abort(w.ctx, dead.journal.all()))
		for _, r := range dead.receipts {
			for _, o := range r.Objects {
				previous.Objects = append(previous.Objects, o.Object)
			}
		}
		previous.RunID = uuid.Nil
		_, err = d.Commit(w.ctx, w.newRun().Run, nil, previous)
		require.NoError(w, err, "step %d", n)
		w.sees()
		w.stagesNothing()
		first = nil
	}
}

func crashInRemoval(w *world) {
	d := w.open()
	parts := w.parts(rowsFrom(0, several))
	previous := w.deliver(d, nil, parts...)
	steps := w.steps(func(d destinations.Destination) {
		_, err := d.Commit(w.ctx, w.newRun().Run, nil, previous)
		require.NoError(w, err)
	})
	require.Positive(w, steps)
	for n := range steps {
		previous := w.deliver(d, nil, parts...)
		r := w.newRun()
		_, err := w.openAt(killAt(n)).Commit(w.ctx, r.Run, nil, previous)
		require.ErrorIs(w, err, errKilled, "step %d", n)
		_, err = d.Commit(w.ctx, r.Run, nil, previous)
		require.NoError(w, err)
		w.sees()
		w.stagesNothing()
	}
}

func sourceBreaks(w *world) {
	rows := rowsFrom(0, many)
	d, r := w.open(), w.newRun()
	_, err := d.Stage(w.ctx, r.job(0, 1, 1), &breakingReader{RecordReader: w.reader(rows)})
	require.ErrorIs(w, err, errSourceBroke)
	w.sees()
	receipt, err := d.Stage(w.ctx, r.job(0, 1, 2), w.reader(rows))
	require.NoError(w, err)
	r.receipts = []destinations.Receipt{receipt}
	w.commit(d, r, nil)
	w.sees(rows)
	w.stagesNothing()
}

// promptly is how soon a cancelled call must return.
const promptly = time.Second

func cancelStage(w *world) {
	d, r := w.open(), w.newRun()
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	endless := &endlessReader{RecordReader: w.reader(rowsFrom(0, few)), asked: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, err := d.Stage(ctx, r.job(0, 1, 1), endless)
		done <- err
	}()
	w.wait(endless.asked)
	cancel()
	select {
	case err := <-done:
		require.ErrorIs(w, err, context.Canceled)
	case <-time.After(promptly):
		require.NoError(w, <-done, "the stage went on after it was cancelled")
	}
	w.sees()
	w.fence(d, r)
	w.stagesNothing()
}

func abortBeforeStage(w *world) {
	d, r := w.open(), w.newRun()
	require.NoError(w, d.Abort(w.ctx, nil))
	w.fence(d, r)
	_, err := d.Stage(w.ctx, r.job(0, 1, 1), w.reader(rowsFrom(0, few)))
	require.Equal(w, batch.CodeSuperseded, batch.CodeOf(err))
	w.sees()
	w.stagesNothing()
}

func abortDuringStage(w *world) {
	d, r := w.open(), w.newRun()
	reader := &pausingReader{RecordReader: w.reader(rowsFrom(0, many)), waiting: make(chan struct{}), resume: make(chan struct{})}
	var receipt destinations.Receipt
	done := make(chan error, 1)
	go func() {
		var err error
		receipt, err = d.Stage(w.ctx, r.job(0, 1, 1), reader)
		done <- err
	}()
	w.wait(reader.waiting)
	w.fence(w.open(), r)
	close(reader.resume)
	if err := <-done; err == nil { // it may not have noticed, but must not come to a commit
		_, err = d.Commit(w.ctx, r.Run, []destinations.Receipt{receipt}, nil)
		require.Equal(w, batch.CodeSuperseded, batch.CodeOf(err), "%v", err)
	} else {
		require.Equal(w, batch.CodeSuperseded, batch.CodeOf(err), "%v", err)
	}
	w.sees()
	w.fence(d, r)
	w.stagesNothing()
}

// abortAtEachStep stops a stage at each of its steps and fences it there: what it does when it wakes must leave nothing.
func abortAtEachStep(w *world) {
	rows := rowsFrom(0, several)
	scratch := w.newRun()
	steps := w.steps(func(d destinations.Destination) { w.stage(d, scratch, rows) })
	require.NoError(w, w.open().Abort(w.ctx, scratch.journal.all()))
	for n := range steps {
		r, s := w.newRun(), newStop()
		sleeper, reader := w.openAt(s.at(n)), w.reader(rows)
		var receipt destinations.Receipt
		done := make(chan error, 1)
		go func() {
			var err error
			receipt, err = sleeper.Stage(w.ctx, r.job(0, 1, 1), reader)
			done <- err
		}()
		w.wait(s.reached)
		w.fence(w.open(), r)
		close(s.resume)
		err := <-done
		if err == nil {
			_, err = sleeper.Commit(w.ctx, r.Run, []destinations.Receipt{receipt}, nil)
		}
		require.Equal(w, batch.CodeSuperseded, batch.CodeOf(err), "step %d: %v", n, err)
		w.sees()
		w.stagesNothing()
	}
}

func abortAfterStage(w *world) {
	d, r := w.open(), w.newRun()
	w.stage(d, r, rowsFrom(0, many))
	for range 2 {
		w.fence(d, r)
		w.stagesNothing()
	}
	_, err := d.Commit(w.ctx, r.Run, r.receipts, nil)
	require.Equal(w, batch.CodeSuperseded, batch.CodeOf(err), "%v", err)
	w.sees()
	w.stagesNothing()
}

func abortAfterCommit(w *world) {
	rows := rowsFrom(0, many)
	d, r := w.open(), w.newRun()
	w.stage(d, r, w.parts(rows)...)
	w.commit(d, r, nil)
	for range 2 {
		w.fence(d, r)
		w.sees(rows)
		w.stagesNothing()
	}
}

func staleRun(w *world) {
	w.wakeAtEachStep(rowsFrom(300, several), rowsFrom(100, few))
}

func staleTwin(w *world) {
	rows := rowsFrom(300, several)
	w.wakeAtEachStep(rows, rows)
}

// wakeAtEachStep stops a stale run's commit at each of its steps, lets a fresh run deliver, and wakes the stale one.
func (w *world) wakeAtEachStep(stale, fresh []Row) {
	d := w.open()
	older := rowsFrom(0, few)
	previous := w.deliver(d, nil, w.parts(older)...)
	r := w.newRun()
	w.stage(d, r, stale)
	steps := w.steps(func(d destinations.Destination) { previous = w.commit(d, r, previous) })
	for n := range steps {
		previous = w.deliver(d, previous, w.parts(older)...)
		r := w.newRun()
		w.stage(d, r, stale)
		previous = w.wakeAt(n, r, previous, fresh)
	}
}

// wakeAt stops r's commit at step n, delivers fresh by another run, and wakes r, which must find itself fenced.
func (w *world) wakeAt(n int, r *run, previous *batch.Delivery, fresh []Row) *batch.Delivery {
	w.Helper()
	s := newStop()
	sleeper := w.openAt(s.at(n))
	done := make(chan error, 1)
	go func() {
		_, err := sleeper.Commit(w.ctx, r.Run, r.receipts, previous)
		done <- err
	}()
	w.wait(s.reached)
	d := w.open()
	w.fence(d, r)
	delivered := w.deliver(d, withFenced(previous, r), w.parts(fresh)...)
	w.sees(fresh)
	close(s.resume)
	err := <-done
	require.Equal(w, batch.CodeSuperseded, batch.CodeOf(err), "step %d: %v", n, err)
	w.sees(fresh)
	w.stagesNothing()
	return delivered
}

// withFenced is what a commit gets as the previous delivery when a run was fenced while it committed: the objects that
// it may have made visible are of no use to anyone.
func withFenced(previous *batch.Delivery, fenced *run) *batch.Delivery {
	all := batch.Delivery{}
	if previous != nil {
		all = *previous
	}
	all.Objects = slices.Clone(all.Objects)
	for _, receipt := range fenced.receipts {
		for _, o := range receipt.Objects {
			all.Objects = append(all.Objects, o.Object)
		}
	}
	return &all
}

func staleRemoval(w *world) {
	d := w.open()
	older, fresh := rowsFrom(0, several), rowsFrom(300, few)
	previous := w.deliver(d, nil, w.parts(older)...)
	steps := w.steps(func(d destinations.Destination) {
		_, err := d.Commit(w.ctx, w.newRun().Run, nil, previous)
		require.NoError(w, err)
	})
	previous = nil
	for n := range steps {
		previous = w.deliver(d, previous, w.parts(older)...)
		previous = w.wakeAt(n, w.newRun(), previous, fresh)
	}
}
