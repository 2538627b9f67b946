// Package objects is what all destinations that deliver files share: their settings, the names of objects, files that
// are rolled by size, and the manifest.
package objects

import (
	"tranche/batch"
	"tranche/destinations"
	"tranche/encode"
	"tranche/query"
)

// MaxSplits is how many splits may be staged at once when files are numbered.
const MaxSplits = 64

// A Config is the settings that say how files are named and written. Embed it in a destination's settings.
type Config struct {
	Prefix      string  `json:"prefix" description:"What keys start with: a template with the variables {year}, {month}, {day}, {hour}, {minute}, {second}, {data_interval_start}, {data_interval_end} and {table}."`
	FileFormat  string  `json:"file_format" default:"JSONLines" enum:"Parquet,JSONLines,CSV" description:"The format of the files."`
	Compression *string `json:"compression" enum:"zstd,lz4,snappy,gzip,brotli" description:"The codec of the files; null = none. Each format has its own."`
	MaxFileSize *int64  `json:"max_file_size_mb" description:"The size in MiB at which a file ends and the next one starts; null = one file."`
}

// Validate checks what tags cannot say. Errors are *destinations.ConfigError.
func (c Config) Validate() error {
	if err := c.Options().Validate(); err != nil {
		return &destinations.ConfigError{Detail: batch.MessageOf(err)}
	}
	if c.Compression != nil && *c.Compression == "" {
		return destinations.ConfigErrorf("Compression '' is not supported. Send null for files that are not compressed")
	}
	if c.MaxFileSize != nil && (*c.MaxFileSize < 0 || *c.MaxFileSize > maxFileSizeMB) {
		return destinations.ConfigErrorf("'max_file_size_mb' must be between 1 and %d", int64(maxFileSizeMB))
	}
	return nil
}

const (
	bytesPerMB = 1 << 20
	// maxFileSizeMB is the largest object that any store takes (5 TiB).
	maxFileSizeMB = 5 << 20
)

// Options say how files are encoded.
func (c Config) Options() encode.Options {
	o := encode.Options{Format: encode.Format(c.FileFormat)}
	if c.Compression != nil {
		o.Compression = encode.Compression(*c.Compression)
	}
	return o
}

// FileBytes is the size at which a file ends; 0 = there is one file.
func (c Config) FileBytes() int64 {
	if c.MaxFileSize == nil {
		return 0
	}
	return *c.MaxFileSize * bytesPerMB
}

// Splits is how many splits of an interval may be staged: one when files have no numbers.
func (c Config) Splits() int {
	if c.FileBytes() == 0 {
		return 1
	}
	return MaxSplits
}

// Memory is the most that staging files holds at once, beside what their Store does.
func (c Config) Memory() int64 { return c.Options().Memory() }

// Columns returns the columns of a model that files get.
func Columns(m query.Model) ([]query.Column, error) {
	if m.Name == batch.ModelEvents {
		return query.ObjectStoreEvents(), nil
	}
	return m.Columns(), nil
}
