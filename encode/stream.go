package encode

import (
	"bytes"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
)

const (
	// blockBytes is how much text is compressed at once. Each block of gzip is a member of its own, which readers of gzip
	// take for one text; it is long enough that the new beginning costs nothing that one can see.
	blockBytes = 1 << 20
	// plainBytes is how much text is gathered when it is not compressed.
	plainBytes = 256 << 10
	// gzipLevel makes files as long as zlib's default level does, at a fraction of its time.
	gzipLevel = 6
	// brotliQuality is what clients of the contract know.
	brotliQuality = 5
	// brotliMemory is about what brotli needs for its window and tables at that quality.
	brotliMemory = 16 << 20
	// firstGuess is how much shorter text is expected to get before something has come out of the codec.
	firstGuess = 0.25
)

// A stream gathers text, has it compressed block by block on other goroutines, and counts what comes out.
type stream struct {
	buf   []byte // callers append to it and call flushFull between rows
	full  int    // when buf is handed on
	w     io.Writer
	codec codec // nil = none
	press press
	free  []*block

	in, out int64 // bytes of text whose blocks are written, and what became of them
	held    int64 // bytes of text in the press
	err     error // of a block; it stays
}

// A block is text on its way through a codec. It is used again and again.
type block struct {
	text []byte
	out  bytes.Buffer
	gzip *gzip.Writer // nil until it is needed
	err  error
}

// A codec compresses blocks.
type codec interface {
	// compress makes b.out of b.text. Before is closed when the block before is done; nil = it is.
	compress(b *block, before <-chan struct{})
	// end returns what follows the last block. Some says whether there was any.
	end(some bool) ([]byte, error)
}

func newStream(w io.Writer, c Compression) *stream {
	s := &stream{w: w, full: blockBytes}
	switch c {
	case Gzip:
		s.codec = gzipMembers{}
	case Brotli:
		s.codec = newBrotliStream()
	case None, Zstd, LZ4, Snappy: // Validate leaves only None
		s.full = plainBytes
	}
	s.buf = make([]byte, 0, s.full+s.full/8)
	return s
}

// flushFull hands the text on when there is enough of it.
func (s *stream) flushFull() error {
	if len(s.buf) < s.full {
		return nil
	}
	return s.flush()
}

func (s *stream) flush() error {
	if s.err != nil || len(s.buf) == 0 {
		return s.err
	}
	if s.codec == nil {
		n, err := s.w.Write(s.buf)
		s.out += int64(n)
		s.buf, s.err = s.buf[:0], err
		return err
	}
	b := s.block()
	b.text, s.buf = s.buf, b.text[:0]
	s.held += int64(len(b.text))
	before := s.press.last()
	s.err = s.press.add(
		func() { s.codec.compress(b, before) },
		func() error { return s.written(b) },
	)
	return s.err
}

// block returns one that is free.
func (s *stream) block() *block {
	if n := len(s.free); n > 0 {
		b := s.free[n-1]
		s.free = s.free[:n-1]
		return b
	}
	return &block{text: make([]byte, 0, s.full+s.full/8)}
}

// written writes a block that is compressed.
func (s *stream) written(b *block) error {
	if b.err != nil {
		return b.err
	}
	n, err := s.w.Write(b.out.Bytes())
	s.out += int64(n)
	s.in += int64(len(b.text))
	s.held -= int64(len(b.text))
	b.out.Reset()
	s.free = append(s.free, b)
	return err
}

// drain waits until all blocks are written.
func (s *stream) drain() {
	if s.err == nil {
		s.err = s.press.drain(0)
	}
}

func (s *stream) close() error {
	if err := s.flush(); err != nil || s.codec == nil {
		return err
	}
	if s.drain(); s.err != nil {
		return s.err
	}
	rest, err := s.codec.end(s.in > 0)
	if err != nil {
		return err
	}
	n, err := s.w.Write(rest)
	s.out += int64(n)
	s.held = 0
	return err
}

// size estimates the length of the whole, see Encoder.
func (s *stream) size() int64 {
	if s.codec == nil {
		return s.out + int64(len(s.buf))
	}
	if s.in == 0 && s.held > 0 {
		s.drain() // the first blocks tell how short text gets
	}
	ratio := firstGuess
	if s.in > 0 {
		ratio = float64(s.out) / float64(s.in)
	}
	return s.out + int64(float64(s.held+int64(len(s.buf)))*ratio)
}

// gzipMembers makes a member of each block.
type gzipMembers struct{}

func (gzipMembers) compress(b *block, _ <-chan struct{}) {
	if b.gzip == nil {
		if b.gzip, b.err = gzip.NewWriterLevel(&b.out, gzipLevel); b.err != nil {
			return
		}
	} else {
		b.gzip.Reset(&b.out)
	}
	if _, b.err = b.gzip.Write(b.text); b.err == nil {
		b.err = b.gzip.Close()
	}
}

func (gzipMembers) end(some bool) ([]byte, error) {
	if some {
		return nil, nil
	}
	b := block{}
	gzipMembers{}.compress(&b, nil) // a file of no bytes is not gzip
	return b.out.Bytes(), b.err
}

// brotliStream is one stream: its blocks follow each other, but on another goroutine than the one that makes the text.
type brotliStream struct {
	writer *brotli.Writer
	out    *bytes.Buffer // of the block that is being compressed
}

func newBrotliStream() *brotliStream {
	s := &brotliStream{}
	s.writer = brotli.NewWriterLevel(s, brotliQuality)
	return s
}

// Write takes what comes out of the codec.
func (s *brotliStream) Write(p []byte) (int, error) { return s.out.Write(p) }

func (s *brotliStream) compress(b *block, before <-chan struct{}) {
	if before != nil {
		<-before
	}
	s.out = &b.out
	if _, b.err = s.writer.Write(b.text); b.err == nil {
		b.err = s.writer.Flush() // it would hold back megabytes
	}
}

func (s *brotliStream) end(bool) ([]byte, error) {
	var rest bytes.Buffer
	s.out = &rest
	err := s.writer.Close()
	return rest.Bytes(), err
}
