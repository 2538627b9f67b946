package encode

import (
	"encoding/binary"
	"io"
	"slices"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

const (
	// rowGroupRows and rowGroupBytes end a row group, whose pages are held in memory until then. The bytes are those of
	// the values before compression: where a group ends depends on nothing else than its rows.
	rowGroupRows  = 122_880
	rowGroupBytes = 64 << 20

	parquetMagic = "PAR1"
	createdBy    = "tranche"
)

// parquetFile writes Parquet. Every column is nullable. Pages of texts, numbers and times, which is what events are
// made of, are built straight from Arrow's memory and compressed on other goroutines; all other types are left to
// arrow-go, as is the footer.
type parquetFile struct {
	written *counter
	codec   pageCodec
	props   *parquet.WriterProperties
	schema  *schema.Schema
	casts   []cast
	chunks  []chunk       // of each field; nil = it is one of others
	others  *otherColumns // nil = none
	about   *metadata.FileMetaDataBuilder

	press  press
	spare  [][]byte // memory for pages
	groups int
	rows   int   // in the open group
	raw    int64 // bytes in the open group, before they are encoded
	err    error // of a page; it stays
}

func newParquet(w io.Writer, from *arrow.Schema, c Compression) (*parquetFile, error) {
	codec, err := newPageCodec(c)
	if err != nil {
		return nil, err
	}
	e := &parquetFile{written: &counter{w: w}, codec: codec}
	fields := from.Fields()
	for i, f := range fields {
		to, cast := castOf(f.Type)
		fields[i] = arrow.Field{Name: f.Name, Type: to, Nullable: true}
		e.casts = append(e.casts, cast)
	}
	e.props = parquet.NewWriterProperties(
		parquet.WithCreatedBy(createdBy), parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithDataPageVersion(parquet.DataPageV1), parquet.WithDataPageSize(pageBytes),
		parquet.WithCompression(parquetCodec(c)),
	)
	if e.schema, err = parquetSchema(from, fields, e.props); err != nil {
		return nil, err
	}
	e.about = metadata.NewFileMetadataBuilder(e.schema, e.props, nil)
	e.chunks = make([]chunk, len(fields))
	var others []int
	for i, f := range fields {
		if e.chunks[i] = e.chunkOf(f.Type, !holdsJSON(from.Field(i))); e.chunks[i] == nil {
			others = append(others, i)
		}
	}
	if len(others) > 0 {
		e.others = newOtherColumns(fields, others, c)
	}
	_, err = io.WriteString(e.written, parquetMagic)
	return e, err
}

// parquetSchema is arrow-go's mapping of the fields, but for JSON, which is marked as such.
func parquetSchema(from *arrow.Schema, fields []arrow.Field, props *parquet.WriterProperties) (*schema.Schema, error) {
	mapped, err := pqarrow.ToParquet(arrow.NewSchema(fields, nil), props, pqarrow.DefaultWriterProps())
	if err != nil {
		return nil, err
	}
	root := mapped.Root()
	nodes := make(schema.FieldList, root.NumFields())
	for i := range nodes {
		nodes[i] = root.Field(i)
		if !holdsJSON(from.Field(i)) || !isText(fields[i].Type) {
			continue
		}
		nodes[i], err = schema.NewPrimitiveNodeLogical(nodes[i].Name(), parquet.Repetitions.Optional,
			schema.JSONLogicalType{}, parquet.Types.ByteArray, -1, -1)
		if err != nil {
			return nil, err
		}
	}
	if root, err = schema.NewGroupNode(root.Name(), root.RepetitionType(), nodes, -1); err != nil {
		return nil, err
	}
	return schema.NewSchema(root), nil
}

func isText(t arrow.DataType) bool { return t.ID() == arrow.STRING || t.ID() == arrow.LARGE_STRING }

func isSigned(o schema.SortOrder) bool { return o == schema.SortSIGNED }

// chunkOf returns the chunk for columns of a type that castOf has returned; nil = arrow-go writes it.
func (e *parquetFile) chunkOf(t arrow.DataType, bounds bool) chunk {
	switch t.ID() { //nolint:exhaustive // the rest is arrow-go's
	case arrow.STRING, arrow.LARGE_STRING, arrow.BINARY, arrow.LARGE_BINARY:
		return newTextChunk(e, bounds)
	case arrow.INT64, arrow.TIMESTAMP, arrow.TIME64:
		return newNumberChunk[int64](e)
	case arrow.INT32, arrow.DATE32:
		return newNumberChunk[int32](e)
	case arrow.UINT64:
		return newNumberChunk[uint64](e)
	case arrow.UINT32:
		return newNumberChunk[uint32](e)
	case arrow.FLOAT64:
		return newNumberChunk[float64](e)
	case arrow.FLOAT32:
		return newNumberChunk[float32](e)
	}
	return nil
}

// Write is the Encoder's.
func (e *parquetFile) Write(rows arrow.RecordBatch) error {
	columns := make([]arrow.Array, len(e.casts))
	for i, cast := range e.casts {
		var err error
		if columns[i], err = cast(rows.Column(i)); err != nil {
			return err
		}
		defer columns[i].Release()
	}
	n := int(rows.NumRows())
	for from := 0; from < n; {
		to := e.fit(columns, from, n)
		if to == from {
			if err := e.endGroup(); err != nil {
				return err
			}
			continue
		}
		if err := e.add(columns, from, to); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// fit returns the end of the rows that the open group has room for. An empty group has room for one.
func (e *parquetFile) fit(columns []arrow.Array, from, to int) int {
	to = min(to, from+rowGroupRows-e.rows)
	over := func(n int) bool { return e.raw+rawBytesOf(columns, from, from+n) > rowGroupBytes }
	n := to - from
	if over(n) {
		n = sort.Search(n, func(n int) bool { return over(n + 1) })
	}
	if n == 0 && e.rows == 0 {
		n = 1
	}
	return from + n
}

func (e *parquetFile) add(columns []arrow.Array, from, to int) error {
	e.rows += to - from
	e.raw += rawBytesOf(columns, from, to)
	for i, c := range e.chunks {
		if c == nil {
			continue
		}
		if err := c.add(columns[i], from, to); err != nil {
			return err
		}
	}
	if e.others == nil {
		return nil
	}
	return e.others.add(columns, from, to)
}

// room returns memory for a page, with room for its levels in front.
func (e *parquetFile) room() []byte {
	if n := len(e.spare); n > 0 {
		b := e.spare[n-1]
		e.spare = e.spare[:n-1]
		return b
	}
	return make([]byte, levelRoom, firstPage)
}

// compress compresses a page in the background. Its memory is used again, but for that which a long value needed.
func (e *parquetFile) compress(p *page, of *pages) error {
	whole := p.body
	p.close()
	return e.press.add(func() {
		scratch := e.codec.compress(nil, p.body)
		p.coded = append(appendPageHeader(make([]byte, 0, 48+len(scratch)), p, len(scratch)), scratch...)
		p.body = nil
	}, func() error {
		of.paged += p.raw
		of.coded += len(p.coded)
		if cap(whole) <= 2*pageBytes {
			e.spare = append(e.spare, whole[:levelRoom])
		}
		return nil
	})
}

// put writes to the file.
func (e *parquetFile) put(parts ...[]byte) error {
	for _, part := range parts {
		if _, err := e.written.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// endGroup writes the open row group, if it has rows.
func (e *parquetFile) endGroup() error {
	if e.rows == 0 || e.err != nil {
		return e.err
	}
	bounds := make([]bound, len(e.chunks))
	for i, c := range e.chunks {
		var err error
		if c == nil {
			continue
		}
		if bounds[i], err = c.end(); err != nil {
			return err
		}
	}
	if err := e.press.drain(0); err != nil {
		return err
	}
	group := e.about.AppendRowGroup()
	group.SetNumRows(e.rows)
	if e.others != nil {
		if err := e.others.end(); err != nil {
			return err
		}
	}
	for i, c := range e.chunks {
		if c == nil {
			if err := e.others.write(e, i, group); err != nil {
				return err
			}
			continue
		}
		about := group.NextColumnChunk()
		if err := c.shared().write(about, bounds[i]); err != nil {
			return err
		}
		inOrder(about)
	}
	if err := group.Finish(0, int16(e.groups)); err != nil {
		return err
	}
	e.groups++
	e.rows, e.raw = 0, 0
	return nil
}

// inOrder sorts what arrow-go lists in no order.
func inOrder(about *metadata.ColumnChunkMetaDataBuilder) {
	stats := about.Contents().MetaData.EncodingStats
	sort.SliceStable(stats, func(i, j int) bool {
		return stats[i].PageType > stats[j].PageType || stats[i].PageType == stats[j].PageType && stats[i].Encoding < stats[j].Encoding
	})
}

// Close is the Encoder's.
func (e *parquetFile) Close() error {
	if err := e.endGroup(); err != nil {
		return err
	}
	about, err := e.about.Finish()
	if err != nil {
		return err
	}
	start := e.written.n
	if _, err := about.WriteTo(e.written, nil); err != nil {
		return err
	}
	end := binary.LittleEndian.AppendUint32(nil, uint32(e.written.n-start))
	return e.put(slices.Concat(end, []byte(parquetMagic)))
}

// Discard is the Encoder's.
func (e *parquetFile) Discard() { e.press.discard() }

// Size is the Encoder's.
func (e *parquetFile) Size() int64 {
	size := e.written.n
	for _, c := range e.chunks {
		if c == nil {
			continue
		}
		p := c.shared()
		if p.paged == 0 && len(p.done) > 0 && e.err == nil {
			e.err = e.press.drain(0) // the first page of a column tells how short it gets
		}
		size += p.size()
	}
	if e.others != nil {
		size += e.others.size()
	}
	return size
}

func rawBytesOf(columns []arrow.Array, from, to int) int64 {
	var n int64
	for _, c := range columns {
		n += rawBytes(c, from, to)
	}
	return n
}

// rawBytes is about how long the plain encoding of the rows [from, to) is.
func rawBytes(a arrow.Array, from, to int) int64 {
	n := int64(to - from)
	if n == 0 {
		return 0
	}
	switch a := a.(type) {
	case array.BinaryLike:
		end := a.ValueOffset64(0) + int64(len(a.ValueBytes()))
		if to < a.Len() {
			end = a.ValueOffset64(to)
		}
		return end - a.ValueOffset64(from) + 4*n
	case *array.Struct:
		var total int64
		for i := range a.NumField() {
			total += rawBytes(a.Field(i), from, to)
		}
		return total
	case array.ListLike:
		start, _ := a.ValueOffsets(from)
		_, end := a.ValueOffsets(to - 1)
		return n + rawBytes(a.ListValues(), int(start), int(max(start, end)))
	}
	if t, ok := a.DataType().(arrow.FixedWidthDataType); ok {
		return n * int64(t.BitWidth()) / 8
	}
	return n
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
