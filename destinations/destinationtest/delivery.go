package destinationtest

import (
	"slices"
	"sync"

	"github.com/stretchr/testify/require"

	"tranche/destinations"
)

// Numbers of rows. With files of 1 MiB, many rows are several files in each of three splits, several rows are two files
// of one.
const (
	many    = 1200
	several = 500
	few     = 30
)

func visibleAfterCommit(w *world) {
	rows := rowsFrom(0, many)
	d, r := w.open(), w.newRun()
	w.stage(d, r, w.parts(rows)...)
	w.sees()
	w.commit(d, r, nil)
	w.sees(rows)
	w.stagesNothing()
}

func oneRow(w *world) {
	rows := rowsFrom(0, 1)
	w.deliver(w.open(), nil, rows)
	w.sees(rows)
	w.stagesNothing()
}

func noRows(w *world) {
	d, r := w.open(), w.newRun()
	w.stage(d, r, nil)
	p, err := d.Commit(w.ctx, r.Run, r.receipts, nil)
	require.NoError(w, err)
	require.Empty(w, p.Objects)
	require.Empty(w, p.Manifest)
	p, err = d.Commit(w.ctx, w.newRun().Run, nil, nil)
	require.NoError(w, err)
	require.Zero(w, p.Rows)
	w.sees()
	require.NoError(w, d.Abort(w.ctx, r.journal.all()))
	w.stagesNothing()
}

func noRowsRemovesPrevious(w *world) {
	d := w.open()
	previous := w.deliver(d, nil, w.parts(rowsFrom(0, many))...)
	empty := w.newRun()
	for range 2 { // the second time after a lost answer
		p, err := d.Commit(w.ctx, empty.Run, nil, previous)
		require.NoError(w, err)
		require.Empty(w, p.Objects)
		w.sees()
		w.stagesNothing()
	}
	rows := rowsFrom(5, few)
	w.deliver(d, nil, rows)
	w.sees(rows)
}

func stageTwice(w *world) {
	rows := rowsFrom(0, many)
	d, r := w.open(), w.newRun()
	_, err := d.Stage(w.ctx, r.job(0, 1, 1), w.reader(rowsFrom(7, many)))
	require.NoError(w, err)
	receipt, err := w.open().Stage(w.ctx, r.job(0, 1, 2), w.reader(rows))
	require.NoError(w, err)
	r.receipts = []destinations.Receipt{receipt}
	w.commit(d, r, nil)
	w.sees(rows)
	w.stagesNothing()
}

func manySplits(w *world) {
	rows := rowsFrom(0, many)
	parts := w.parts(rows)
	r := w.newRun()
	receipts := make([]destinations.Receipt, len(parts))
	errs := make([]error, len(parts))
	var staging sync.WaitGroup
	for i, part := range parts {
		d, reader := w.open(), w.reader(part)
		staging.Go(func() { receipts[i], errs[i] = d.Stage(w.ctx, r.job(i, len(parts), 1), reader) })
	}
	staging.Wait()
	for _, err := range errs {
		require.NoError(w, err)
	}
	var keys []string
	for _, receipt := range receipts {
		for _, o := range receipt.Objects {
			keys = append(keys, o.Key)
		}
	}
	slices.Reverse(receipts) // our database may return them in any order
	r.receipts = receipts
	done := w.commit(w.open(), r, nil)
	w.sees(rows)
	w.stagesNothing()
	for i, o := range done.Objects {
		require.Equal(w, keys[i], o.Key)
	}
}

func commitTwice(w *world) {
	rows := rowsFrom(0, many)
	d := w.open()
	previous := w.deliver(d, nil, w.parts(rowsFrom(100, many))...)
	r := w.newRun()
	w.stage(d, r, w.parts(rows)...)
	first, err := d.Commit(w.ctx, r.Run, r.receipts, previous)
	require.NoError(w, err)
	second, err := d.Commit(w.ctx, r.Run, r.receipts, previous)
	require.NoError(w, err)
	require.Equal(w, first, second)
	w.sees(rows)
}

func lostAnswer(w *world) {
	rows := rowsFrom(0, many)
	d, r := w.open(), w.newRun()
	w.stage(d, r, w.parts(rows)...)
	first, err := d.Commit(w.ctx, r.Run, r.receipts, nil)
	require.NoError(w, err)
	// The process died before the delivery was recorded, and another one had time to clean up.
	require.NoError(w, d.Abort(w.ctx, r.journal.all()))
	second, err := w.open().Commit(w.ctx, r.Run, r.receipts, nil)
	require.NoError(w, err)
	require.Equal(w, first, second)
	w.sees(rows)
	w.stagesNothing()
}

func fewerRows(w *world) {
	d := w.open()
	previous := w.deliver(d, nil, w.parts(rowsFrom(0, many))...)
	rows := rowsFrom(50, few)
	w.deliver(d, previous, rows)
	w.sees(rows)
	w.stagesNothing()
}

func moreRows(w *world) {
	d := w.open()
	previous := w.deliver(d, nil, rowsFrom(0, few))
	rows := rowsFrom(10, many)
	w.deliver(d, previous, w.parts(rows)...)
	w.sees(rows)
	w.stagesNothing()
}
