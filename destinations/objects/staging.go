package objects

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"tranche/batch"
	"tranche/destinations"
	"tranche/encode"
)

// rowsBetweenChecks is how many rows are written before a file's size is looked at again.
const rowsBetweenChecks = 1000

// A Store is where a destination stages files.
type Store interface {
	// Create starts a file that Commit will give the key.
	Create(ctx context.Context, key string) (File, error)
}

// A File is one object being staged. Either Finish or Discard ends it.
type File interface {
	io.Writer
	// Finish makes the file durable and returns the destination's own name for it.
	Finish(ctx context.Context) (json.RawMessage, error)
	// Discard lets go of the file; what it leaves behind is the journal's to know.
	Discard()
}

// Stage writes the records of one split as files, a new one whenever the size of the config is passed. No rows, no
// files.
func Stage(ctx context.Context, job destinations.Job, c Config, records array.RecordReader, store Store) (destinations.Receipt, error) {
	return StageAs(ctx, job, c, KeysOf(job.Run, c), records, store)
}

// StageAs is Stage under other names than those of the config.
func StageAs(
	ctx context.Context, job destinations.Job, c Config, keys Keys, records array.RecordReader, store Store,
) (destinations.Receipt, error) {
	s := &staging{job: job, config: c, keys: keys, store: store, schema: records.Schema()}
	s.receipt = destinations.Receipt{Split: job.Split, Schema: columnsOf(s.schema)}
	s.timestamp = clockIndex(s.schema, job.Clock)
	defer s.discard()
	if err := encode.Check(s.schema, c.Options()); err != nil {
		return destinations.Receipt{}, err
	}
	for records.Next() {
		if err := s.write(ctx, records.RecordBatch()); err != nil {
			return destinations.Receipt{}, s.because(ctx, err)
		}
	}
	if err := records.Err(); err != nil {
		return destinations.Receipt{}, s.because(ctx, err)
	}
	if err := s.finish(ctx); err != nil {
		return destinations.Receipt{}, s.because(ctx, err)
	}
	return s.receipt, nil
}

// staging is the state of one Stage.
type staging struct {
	job       destinations.Job
	config    Config
	keys      Keys
	store     Store
	schema    *arrow.Schema
	timestamp int // index of the column; -1 = none
	receipt   destinations.Receipt

	file *openFile // nil = none is open
}

// because prefers the reason why the context ended to what it broke.
func (s *staging) because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("stage split %d: %w", s.job.Split, cause)
	}
	return err
}

// write adds a batch, in parts if files have a largest size.
func (s *staging) write(ctx context.Context, rows arrow.RecordBatch) error {
	step := rows.NumRows()
	if s.config.FileBytes() > 0 {
		step = rowsBetweenChecks
	}
	for start := int64(0); start < rows.NumRows(); start += step {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		part := rows.NewSlice(start, min(start+step, rows.NumRows()))
		err := s.writePart(ctx, part)
		part.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *staging) writePart(ctx context.Context, rows arrow.RecordBatch) error {
	if s.file == nil {
		if err := s.open(ctx); err != nil {
			return err
		}
	}
	if err := s.file.encoder.Write(rows); err != nil {
		return err
	}
	s.file.object.Rows += rows.NumRows()
	if s.timestamp >= 0 {
		s.file.times.add(rows.Column(s.timestamp))
	}
	if limit := s.config.FileBytes(); limit > 0 && s.file.encoder.Size() >= limit {
		return s.finish(ctx)
	}
	return nil
}

func (s *staging) open(ctx context.Context) error {
	n, err := number(s.job, len(s.receipt.Objects))
	if err != nil {
		return err
	}
	key := s.keys.Object(n)
	file, err := s.store.Create(ctx, key)
	if err != nil {
		return err
	}
	s.file = &openFile{File: file, wrote: s.job.Wrote, stopped: func() error { return context.Cause(ctx) }, object: batch.Object{Key: key}, sha: sha256.New()}
	s.file.encoder, err = encode.New(s.file, s.schema, s.config.Options())
	return err
}

// finish ends the open file, if there is one.
func (s *staging) finish(ctx context.Context) error {
	f := s.file
	if f == nil {
		return nil
	}
	if err := f.encoder.Close(); err != nil {
		return err
	}
	ref, err := f.Finish(ctx)
	if err != nil {
		return err
	}
	s.file = nil // the encoder holds nothing after Close
	f.object.SHA256 = hex.EncodeToString(f.sha.Sum(nil))
	f.object.MinTimestamp, f.object.MaxTimestamp = f.times.bounds()
	s.receipt.Objects = append(s.receipt.Objects, destinations.StagedObject{Object: f.object, Ref: ref})
	s.receipt.Rows += f.object.Rows
	s.receipt.Bytes += f.object.Bytes
	return nil
}

func (s *staging) discard() {
	if s.file == nil {
		return
	}
	if s.file.encoder != nil {
		s.file.encoder.Discard()
	}
	s.file.Discard()
}

// An openFile counts and hashes what is written to it.
type openFile struct {
	File
	wrote   func(bytes int64)
	stopped func() error
	encoder encode.Encoder
	object  batch.Object
	sha     hash.Hash
	times   timeRange
}

// Write passes on what the encoder made, until the context ends.
func (f *openFile) Write(p []byte) (int, error) {
	if err := f.stopped(); err != nil {
		return 0, err
	}
	n, err := f.File.Write(p)
	f.sha.Write(p[:n])
	f.object.Bytes += int64(n)
	f.wrote(int64(n))
	return n, err
}
