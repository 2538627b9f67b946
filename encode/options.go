// Package encode writes Arrow record batches as files: Parquet, JSONLines and CSV, compressed or not, as a stream.
package encode

import (
	"slices"
	"strings"

	"tranche/batch"
)

// A Format is a file format, named as the API names it.
type Format string

// The formats.
const (
	Parquet   Format = "Parquet"
	JSONLines Format = "JSONLines"
	CSV       Format = "CSV"
)

// A Compression is a codec, named as the API names it.
type Compression string

// The codecs. None is how the absence of one is written here; the API says null.
const (
	None   Compression = ""
	Zstd   Compression = "zstd"
	LZ4    Compression = "lz4"
	Snappy Compression = "snappy"
	Gzip   Compression = "gzip"
	Brotli Compression = "brotli"
)

// Options say how files are written.
type Options struct {
	Format      Format
	Compression Compression
}

// Formats returns every format.
func Formats() []Format { return []Format{Parquet, JSONLines, CSV} }

// Compressions returns the codecs of a format, beside None.
func Compressions(f Format) []Compression {
	switch f {
	case Parquet:
		return []Compression{Zstd, LZ4, Snappy, Gzip, Brotli}
	case JSONLines:
		return []Compression{Gzip, Brotli}
	case CSV:
		return []Compression{Gzip}
	}
	return nil
}

// Validate refuses a format that is unknown and a codec that the format does not have.
func (o Options) Validate() error {
	if !slices.Contains(Formats(), o.Format) {
		return batch.Errorf(batch.CodeConfig, nil, "File format %s is not supported. Supported file formats are %s",
			o.Format, listed(Formats()))
	}
	if codecs := Compressions(o.Format); o.Compression != None && !slices.Contains(codecs, o.Compression) {
		return batch.Errorf(batch.CodeConfig, nil,
			"Compression %s is not supported for file format %s. Supported compressions are %s",
			o.Compression, o.Format, listed(codecs))
	}
	return nil
}

// Memory is the most that one file holds at once while it is written, in bytes, beside the batch that it is given.
func (o Options) Memory() int64 {
	const (
		jobs      = pressWidth + 1 // and the one that is being filled
		codecSize = 2 << 20        // tables and windows of one codec
	)
	switch {
	case o.Format == Parquet: // pages that do not get shorter
		return rowGroupBytes + jobs*(2*pageBytes+codecSize)
	case o.Compression == None:
		return 2 * plainBytes
	case o.Compression == Brotli:
		return jobs*2*blockBytes + brotliMemory
	}
	return jobs * (2*blockBytes + codecSize)
}

// Extension is what file names end in, without the first dot. Parquet compresses inside the file and has no suffix
// for the codec.
func (o Options) Extension() string {
	switch o.Format {
	case Parquet:
		return "parquet"
	case JSONLines:
		return "jsonl" + o.Compression.suffix()
	case CSV:
		return "csv" + o.Compression.suffix()
	}
	return strings.ToLower(string(o.Format)) + o.Compression.suffix()
}

// LegacyExtension is Extension with the codec's suffix for Parquet too, as old exports have it.
func (o Options) LegacyExtension() string {
	if o.Format == Parquet {
		return o.Extension() + o.Compression.suffix()
	}
	return o.Extension()
}

func (c Compression) suffix() string {
	switch c {
	case None:
		return ""
	case Zstd:
		return ".zst"
	case LZ4:
		return ".lz4"
	case Snappy:
		return ".sz"
	case Gzip:
		return ".gz"
	case Brotli:
		return ".br"
	}
	return ""
}

// listed prints names as clients of the contract know lists: ['a', 'b'].
func listed[S ~string](names []S) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = "'" + string(name) + "'"
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
