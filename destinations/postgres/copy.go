package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"math"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"tranche/batch"
)

// What the binary form of COPY begins and ends with.
var (
	copyHeader  = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	copyTrailer = []byte{0xff, 0xff}
)

// chunk is how many bytes are encoded at once: as many as the driver takes.
const chunk = 64 << 10

// errAborted is what the server is told of a failure on our side; it may write it into its log.
var errAborted = errors.New("the export broke off")

// A stream is record batches in the binary form of COPY. The driver may go on reading after it has returned: stop keeps
// it off the records.
type stream struct {
	columns []*column
	clock   int // the field that says when a row happened; -1 = none

	mu      sync.Mutex
	records array.RecordReader // which stands at its first batch
	stopped bool
	batch   arrow.RecordBatch
	row     int
	buffer  []byte
	offset  int
	ended   bool
	err     error // the source's, or that of a value

	wrote    func(bytes int64) // is told of progress
	rows     int64
	bytes    int64
	checksum hash.Hash
	min, max int64 // microseconds
}

func newStream(records array.RecordReader, columns []*column, clock int) *stream {
	s := &stream{
		records: records, columns: columns, clock: clock, checksum: sha256.New(),
		buffer: append(make([]byte, 0, 2*chunk), copyHeader...), min: math.MaxInt64, max: math.MinInt64,
	}
	s.bind(records.RecordBatch())
	return s
}

// Read is the io.Reader's.
func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.offset == len(s.buffer) && s.err == nil && !s.ended {
		if s.stopped {
			return 0, io.ErrClosedPipe
		}
		s.buffer, s.offset = s.buffer[:0], 0
		s.fill()
	}
	if s.err != nil {
		return 0, errAborted
	}
	n := copy(p, s.buffer[s.offset:])
	s.offset += n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// stop waits for a read that is under way; after it, the records are left alone.
func (s *stream) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

// failure is what went wrong on our side of the stream.
func (s *stream) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// fill encodes rows until there is a chunk.
func (s *stream) fill() {
	for len(s.buffer) < chunk {
		if s.row == int(s.batch.NumRows()) && !s.next() {
			break
		}
		if s.err = s.encode(); s.err != nil {
			return
		}
	}
	_, _ = s.checksum.Write(s.buffer) // never fails
	s.bytes += int64(len(s.buffer))
	s.wrote(int64(len(s.buffer)))
}

// next goes to the next batch that has rows. At the end it adds the trailer.
func (s *stream) next() bool {
	for s.records.Next() {
		if s.bind(s.records.RecordBatch()); s.batch.NumRows() > 0 {
			return true
		}
	}
	s.ended = true
	if s.err = s.records.Err(); s.err == nil {
		s.buffer = append(s.buffer, copyTrailer...)
	}
	return false
}

func (s *stream) bind(b arrow.RecordBatch) {
	s.batch, s.row = b, 0
	for _, c := range s.columns {
		if c.index >= 0 {
			c.bind(b.Column(c.index))
		}
	}
	if s.clock < 0 {
		return
	}
	times := b.Column(s.clock).(*array.Timestamp)
	unit := times.DataType().(*arrow.TimestampType).Unit
	for i, at := range times.TimestampValues() {
		if times.IsValid(i) {
			s.min, s.max = min(s.min, micros(int64(at), unit)), max(s.max, micros(int64(at), unit))
		}
	}
}

// encode appends one row.
func (s *stream) encode() (err error) {
	s.buffer = binary.BigEndian.AppendUint16(s.buffer, uint16(len(s.columns))) //nolint:gosec // a table has 1600 at most
	for _, c := range s.columns {
		if s.buffer, err = c.append(s.buffer, s.row); err != nil {
			return err
		}
	}
	s.row++
	s.rows++
	return nil
}

// copy runs COPY with the stream.
func (d *destination) copy(ctx context.Context, s *session, into string, from *stream) error {
	if err := s.relax(ctx); err != nil {
		return classify(ctx, err)
	}
	var rows int64
	err := d.watch(ctx, s, func(ctx context.Context) error {
		defer from.stop()
		tag, err := s.PgConn().CopyFrom(ctx, from, "COPY "+into+" FROM STDIN (FORMAT binary)")
		rows = tag.RowsAffected()
		return err
	})
	if failure := from.failure(); failure != nil {
		return failure
	}
	if err != nil {
		return classify(ctx, err)
	}
	if rows != from.rows {
		return batch.Errorf(batch.CodeVerification, nil, "%d rows were written, but the server reports %d", from.rows, rows)
	}
	return nil
}

// times returns the first and the last instant of the rows; nil = they have none.
func (s *stream) times() (first, last *time.Time) {
	if s.min > s.max {
		return nil, nil
	}
	from, to := time.UnixMicro(s.min).UTC(), time.UnixMicro(s.max).UTC()
	return &from, &to
}
