package encode

import (
	"sync"

	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/klauspost/compress/zstd"
)

// zstdLevel is what DuckDB, Spark and pyarrow call level 1.
const zstdLevel = zstd.SpeedFastest

// A pageCodec compresses pages, also several at once.
type pageCodec interface {
	// compress appends the compressed text to dst.
	compress(dst, text []byte) []byte
}

func newPageCodec(c Compression) (pageCodec, error) {
	switch c {
	case None:
		return storedPages{}, nil
	case Zstd:
		return newZstdPages()
	case LZ4, Snappy, Gzip, Brotli:
	}
	codec, err := compress.GetCodec(parquetCodec(c))
	return libraryPages{codec}, err
}

func parquetCodec(c Compression) compress.Compression {
	switch c {
	case Zstd:
		return compress.Codecs.Zstd
	case LZ4:
		return compress.Codecs.Lz4Raw // the framing that all readers agree on
	case Snappy:
		return compress.Codecs.Snappy
	case Gzip:
		return compress.Codecs.Gzip
	case Brotli:
		return compress.Codecs.Brotli
	case None:
	}
	return compress.Codecs.Uncompressed
}

type storedPages struct{}

func (storedPages) compress(dst, text []byte) []byte { return append(dst, text...) }

// libraryPages are compressed by arrow-go.
type libraryPages struct{ codec compress.Codec }

func (p libraryPages) compress(dst, text []byte) []byte {
	if len(text) == 0 {
		return append(dst, p.codec.Encode(nil, text)...)
	}
	return append(dst, p.codec.Encode(make([]byte, p.codec.CompressBound(int64(len(text)))), text)...)
}

// zstdPages have a zstd encoder for each page that is compressed at the same time.
type zstdPages struct{ encoders sync.Pool }

func newZstdPages() (*zstdPages, error) {
	first, err := newZstd()
	if err != nil {
		return nil, err
	}
	p := &zstdPages{}
	p.encoders.Put(first)
	return p, nil
}

// newZstd makes an encoder for whole pages. Parquet has no use for checksums inside of them.
func newZstd() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstdLevel), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(zstdWindow), zstd.WithZeroFrames(true))
}

// zstdWindow is how far back an encoder looks: not further than a page is long.
const zstdWindow = pageBytes

func (p *zstdPages) compress(dst, text []byte) []byte {
	encoder, ok := p.encoders.Get().(*zstd.Encoder)
	if !ok {
		var err error
		if encoder, err = newZstd(); err != nil {
			panic(err) // the same options were fine before
		}
	}
	defer p.encoders.Put(encoder)
	return encoder.EncodeAll(text, dst)
}
