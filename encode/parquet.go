package encode

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

const (
	// rowGroupRows and rowGroupBytes end a row group: what is held in memory is bounded by both.
	rowGroupRows  = 122_880
	rowGroupBytes = 64 << 20
	// rowsAtOnce bounds what one call of the writer adds to a row group.
	rowsAtOnce = 8192
	zstdLevel  = 1
	createdBy  = "tranche"
)

// parquetFile writes Parquet. Every column is nullable.
type parquetFile struct {
	written *counter
	file    *pqarrow.FileWriter
	schema  *arrow.Schema
	casts   []cast
	open    bool // whether a row group has rows
}

func newParquet(w io.Writer, schema *arrow.Schema, c Compression) (*parquetFile, error) {
	e := &parquetFile{written: &counter{w: w}, casts: make([]cast, schema.NumFields())}
	fields := schema.Fields()
	for i, f := range fields {
		t, cast := castOf(f.Type)
		fields[i] = arrow.Field{Name: f.Name, Type: t, Nullable: true}
		e.casts[i] = cast
	}
	e.schema = arrow.NewSchema(fields, nil)
	var err error
	e.file, err = pqarrow.NewFileWriter(e.schema, e.written, properties(c), pqarrow.DefaultWriterProps())
	return e, err
}

func properties(c Compression) *parquet.WriterProperties {
	options := []parquet.WriterProperty{
		parquet.WithCreatedBy(createdBy),
		parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithDataPageVersion(parquet.DataPageV1),
		parquet.WithMaxRowGroupLength(rowGroupRows),
		parquet.WithCompression(codecs()[c]),
	}
	if c == Zstd {
		options = append(options, parquet.WithCompressionLevel(zstdLevel))
	}
	return parquet.NewWriterProperties(options...)
}

func codecs() map[Compression]compress.Compression {
	return map[Compression]compress.Compression{
		None:   compress.Codecs.Uncompressed,
		Zstd:   compress.Codecs.Zstd,
		LZ4:    compress.Codecs.Lz4Raw, // the one that every reader agrees on
		Snappy: compress.Codecs.Snappy,
		Gzip:   compress.Codecs.Gzip,
		Brotli: compress.Codecs.Brotli,
	}
}

// Write is the Encoder's.
func (e *parquetFile) Write(rows arrow.RecordBatch) error {
	for start := int64(0); start < rows.NumRows(); start += rowsAtOnce {
		part := rows.NewSlice(start, min(start+rowsAtOnce, rows.NumRows()))
		err := e.write(part)
		part.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *parquetFile) write(rows arrow.RecordBatch) error {
	if e.open && e.file.RowGroupTotalCompressedBytes() >= rowGroupBytes {
		if err := e.file.NewBufferedRowGroupChecked(); err != nil {
			return err
		}
	}
	columns := make([]arrow.Array, len(e.casts))
	for i, cast := range e.casts {
		var err error
		if columns[i], err = cast(rows.Column(i)); err != nil {
			return err
		}
		defer columns[i].Release()
	}
	group := array.NewRecordBatch(e.schema, columns, rows.NumRows())
	defer group.Release()
	e.open = true
	return e.file.WriteBuffered(group)
}

// Close is the Encoder's.
func (e *parquetFile) Close() error {
	e.open = false
	return e.file.Close()
}

// Size is the Encoder's.
func (e *parquetFile) Size() int64 {
	if !e.open {
		return e.written.n
	}
	return e.written.n + e.file.RowGroupTotalCompressedBytes()
}

// A counter counts the bytes that go to w.
type counter struct {
	w io.Writer
	n int64
}

// Write passes on and counts.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
