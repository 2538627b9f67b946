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
	// pageBytes is how much of a column is compressed at once.
	pageBytes = 1 << 20
	// rowsAtOnce bounds what one call of the writer adds to a row group.
	rowsAtOnce = 8192
	zstdLevel  = 1
	createdBy  = "tranche"

	// sampleRows of the first batch decide which columns get a dictionary: those with fewer than half as many values.
	sampleRows = 1000
)

// parquetFile writes Parquet. Every column is nullable.
type parquetFile struct {
	written *counter
	codec   Compression
	source  *arrow.Schema
	schema  *arrow.Schema
	casts   []cast
	file    *pqarrow.FileWriter // nil until the first rows
	raw     []int64             // bytes of each column in the open row group, before encoding
	closed  bool
}

func newParquet(w io.Writer, schema *arrow.Schema, c Compression) *parquetFile {
	n := schema.NumFields()
	e := &parquetFile{written: &counter{w: w}, codec: c, source: schema, casts: make([]cast, n), raw: make([]int64, n)}
	fields := schema.Fields()
	for i, f := range fields {
		t, cast := castOf(f.Type)
		fields[i] = arrow.Field{Name: f.Name, Type: t, Nullable: true}
		e.casts[i] = cast
	}
	e.schema = arrow.NewSchema(fields, nil)
	return e
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
	if err := e.prepare(group); err != nil {
		return err
	}
	for i, c := range columns {
		e.raw[i] += rawBytes(c)
	}
	return e.file.WriteBuffered(group)
}

// prepare starts the file, or another row group if rows would not fit in the open one.
func (e *parquetFile) prepare(rows arrow.RecordBatch) error {
	if e.file == nil {
		return e.start(rows)
	}
	held, err := e.file.RowGroupNumRows()
	if err != nil {
		return err
	}
	if int64(held)+rows.NumRows() <= rowGroupRows && e.file.RowGroupTotalCompressedBytes() < rowGroupBytes {
		return nil
	}
	clear(e.raw)
	return e.file.NewBufferedRowGroupChecked()
}

// start begins the file. The first rows decide how columns are encoded; nil = there are none.
func (e *parquetFile) start(rows arrow.RecordBatch) error {
	options := []parquet.WriterProperty{
		parquet.WithCreatedBy(createdBy),
		parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithDataPageVersion(parquet.DataPageV1),
		parquet.WithDataPageSize(pageBytes),
		parquet.WithMaxRowGroupLength(rowGroupRows),
		parquet.WithCompression(parquetCodec(e.codec)),
	}
	if e.codec == Zstd {
		options = append(options, parquet.WithCompressionLevel(zstdLevel))
	}
	for i, f := range e.source.Fields() {
		path := parquet.ColumnPath{f.Name}
		if holdsJSON(f) { // nobody asks for the smallest JSON text
			options = append(options, parquet.WithStatsPath(path, false))
		}
		if rows != nil && !repeats(rows.Column(i)) {
			options = append(options, parquet.WithDictionaryPath(path, false))
		}
	}
	var err error
	props := parquet.NewWriterProperties(options...)
	e.file, err = pqarrow.NewFileWriter(e.schema, e.written, props, pqarrow.DefaultWriterProps())
	return err
}

// repeats says whether a column has the same values again and again.
func repeats(column arrow.Array) bool {
	if _, nested := column.DataType().(arrow.NestedType); nested {
		return true
	}
	n := min(column.Len(), sampleRows)
	values := make(map[string]struct{}, n)
	for i := range n {
		values[column.ValueStr(i)] = struct{}{}
	}
	return len(values) < n/2
}

// rawBytes is about how long the plain encoding of a column is.
func rawBytes(a arrow.Array) int64 {
	n := int64(a.Len())
	switch a := a.(type) {
	case array.BinaryLike:
		return int64(len(a.ValueBytes())) + 4*n
	case *array.Struct:
		var total int64
		for i := range a.NumField() {
			total += rawBytes(a.Field(i))
		}
		return total
	case array.ListLike:
		if n == 0 {
			return 0
		}
		start, _ := a.ValueOffsets(0)
		_, end := a.ValueOffsets(a.Len() - 1)
		elements := array.NewSlice(a.ListValues(), start, max(start, end))
		defer elements.Release()
		return n + rawBytes(elements)
	}
	if t, ok := a.DataType().(arrow.FixedWidthDataType); ok {
		return n * int64(t.BitWidth()) / 8
	}
	return n
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

// Close is the Encoder's.
func (e *parquetFile) Close() error {
	if e.file == nil {
		if err := e.start(nil); err != nil {
			return err
		}
	}
	e.closed = true
	return e.file.Close()
}

// Size is the Encoder's. What is in a column's open page is not compressed yet.
func (e *parquetFile) Size() int64 {
	if e.file == nil || e.closed {
		return e.written.n
	}
	var paged, open int64
	for _, n := range e.raw {
		open += n % pageBytes
		paged += n - n%pageBytes
	}
	compressed := e.file.RowGroupTotalCompressedBytes()
	ratio := firstGuess
	switch {
	case e.codec == None:
		ratio = 1
	case paged > 0:
		ratio = min(1, float64(compressed)/float64(paged))
	}
	return e.written.n + compressed + int64(float64(open)*ratio)
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
