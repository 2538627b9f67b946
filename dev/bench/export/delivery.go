package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/uuid"

	"tranche/batch"
	"tranche/destinations"
	"tranche/destinations/file"
	"tranche/dev/duckdb"
	"tranche/query"
	"tranche/sources"
)

// forever is an interval with all events in it.
var forever = batch.Interval{End: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)}

// toFile exports to a File destination.
func toFile(format, compression string) func(context.Context, options, string) (result, error) {
	return func(ctx context.Context, o options, dir string) (result, error) {
		sent := map[string]any{"file_format": format}
		if compression != "" {
			sent["compression"] = compression
		}
		return export(ctx, o, file.Plugin(file.Server{Root: dir}), sent)
	}
}

// export does what a run of one split does between source and destination: stage, then commit.
func export(ctx context.Context, o options, plugin destinations.Plugin, sent map[string]any) (_ result, err error) {
	config, err := plugin.Parse(sent, nil)
	if err != nil {
		return result{}, err
	}
	events, _ := query.PostHog().Model(batch.ModelEvents)
	columns, err := plugin.Columns(config, events)
	if err != nil {
		return result{}, err
	}
	records, closeSource, err := read(ctx, o, columns)
	if err != nil {
		return result{}, err
	}
	defer closeSource()
	destination, err := plugin.Open(ctx, config)
	if err != nil {
		return result{}, err
	}
	defer destination.Close()
	run := destinations.Run{
		ID: uuid.New(), ExportID: uuid.New(), TeamID: 1, Model: batch.ModelEvents, Interval: forever, Generation: 1,
	}
	weighed := &weighing{RecordReader: records}
	receipt, err := destination.Stage(ctx, destinations.Job{Run: run, Splits: 1, Attempt: 1, Journal: &notebook{}}, weighed)
	if err != nil {
		return result{}, err
	}
	run.Token = 1
	published, err := destination.Commit(ctx, run, []destinations.Receipt{receipt}, nil)
	if err != nil {
		return result{}, err
	}
	if published.Rows != weighed.rows {
		return result{}, fmt.Errorf("%d rows were read and %d published", weighed.rows, published.Rows)
	}
	return result{rows: published.Rows, in: weighed.bytes, out: published.Bytes}, nil
}

// scan reads and does nothing with it.
func scan(ctx context.Context, o options, _ string) (result, error) {
	records, closeSource, err := read(ctx, o, query.ObjectStoreEvents())
	if err != nil {
		return result{}, err
	}
	defer closeSource()
	weighed := &weighing{RecordReader: records}
	for weighed.Next() {
		continue
	}
	return result{rows: weighed.rows, in: weighed.bytes}, weighed.Err()
}

// read opens all events, as an activity does.
func read(ctx context.Context, o options, columns []query.Column) (array.RecordReader, func(), error) {
	store, err := duckdb.Open(ctx, o.store(), duckdb.Options{MemoryLimit: o.memory, Threads: o.threads})
	if err != nil {
		return nil, nil, err
	}
	q := query.Query{TeamID: 1, Model: batch.ModelEvents, Interval: forever, Columns: columns}
	records, err := sources.ReadAhead(ctx, sources.ReadAheadBytes, func(ctx context.Context) (array.RecordReader, error) {
		return store.Open(ctx, q, sources.Split{Range: forever})
	})
	if err != nil {
		store.Close()
		return nil, nil, err
	}
	return records, func() {
		records.Release()
		store.Close()
	}, nil
}

// weighing counts rows, and bytes of their values.
type weighing struct {
	array.RecordReader
	rows, bytes int64
}

// Next is the RecordReader's.
func (w *weighing) Next() bool {
	if !w.RecordReader.Next() {
		return false
	}
	rows := w.RecordBatch()
	w.rows += rows.NumRows()
	for _, c := range rows.Columns() {
		if texts, ok := c.(array.BinaryLike); ok {
			w.bytes += int64(len(texts.ValueBytes()))
		} else if t, ok := c.DataType().(arrow.FixedWidthDataType); ok {
			w.bytes += int64(t.BitWidth()) / 8 * rows.NumRows()
		}
	}
	return true
}

// A notebook is a journal for a run that nobody will have to clean up after.
type notebook struct {
	mu   sync.Mutex
	refs []destinations.Ref
}

// Record is the Journal's.
func (n *notebook) Record(_ context.Context, ref destinations.Ref) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refs = append(n.refs, ref)
	return nil
}
