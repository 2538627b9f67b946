package encode

import (
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
)

const (
	// flushBytes is how much text is gathered before it goes to the codec.
	flushBytes = 256 << 10
	// gzipLevel 1 takes half the time of level 6 for files that are a fifth longer.
	gzipLevel = gzip.BestSpeed
	// brotliQuality is what clients of the contract know.
	brotliQuality = 5
	// guessAfter is how many bytes must have come out of a codec before its ratio says something.
	guessAfter = 4 << 10
	// firstGuess is how much shorter text is expected to get before that.
	firstGuess = 0.25
)

// A stream gathers text, compresses it and counts what comes out.
type stream struct {
	buf   []byte // callers append to it and call flushFull between rows
	w     io.Writer
	codec io.WriteCloser // nil = none

	in      int64 // bytes given to the codec
	out     int64 // bytes given to w
	inAtOut int64 // in when w was last written to
}

func newStream(w io.Writer, c Compression) (*stream, error) {
	s := &stream{w: w, buf: make([]byte, 0, flushBytes+flushBytes/8)}
	switch c {
	case Gzip:
		codec, err := gzip.NewWriterLevel(output{s}, gzipLevel)
		if err != nil {
			return nil, err
		}
		s.codec = codec
	case Brotli:
		s.codec = brotli.NewWriterLevel(output{s}, brotliQuality)
	case None, Zstd, LZ4, Snappy: // Validate leaves only None
	}
	return s, nil
}

// output is what a stream's codec writes to.
type output struct{ s *stream }

// Write passes on and counts.
func (o output) Write(p []byte) (int, error) {
	n, err := o.s.w.Write(p)
	o.s.out += int64(n)
	o.s.inAtOut = o.s.in
	return n, err
}

// flushFull hands the text on when there is enough of it.
func (s *stream) flushFull() error {
	if len(s.buf) < flushBytes {
		return nil
	}
	return s.flush()
}

func (s *stream) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	s.in += int64(len(s.buf))
	var err error
	if s.codec != nil {
		_, err = s.codec.Write(s.buf)
	} else {
		_, err = output{s}.Write(s.buf)
	}
	s.buf = s.buf[:0]
	return err
}

func (s *stream) close() error {
	if err := s.flush(); err != nil {
		return err
	}
	if s.codec == nil {
		return nil
	}
	return s.codec.Close()
}

// size estimates the length of the whole, see Encoder.
func (s *stream) size() int64 {
	if s.codec == nil {
		return s.out + int64(len(s.buf))
	}
	ratio := firstGuess
	if s.out > guessAfter && s.inAtOut > 0 {
		ratio = float64(s.out) / float64(s.inAtOut)
	}
	held := s.in - s.inAtOut + int64(len(s.buf))
	return s.out + int64(float64(held)*ratio)
}
