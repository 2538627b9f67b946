package encode

import (
	"bytes"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// otherColumns are columns of types that arrow-go encodes: it writes those of a row group as a file of their own, in
// memory, whose column chunks are then moved into ours.
type otherColumns struct {
	schema *arrow.Schema
	fields []int // their indexes in our schema
	props  *parquet.WriterProperties

	file   *pqarrow.FileWriter // of the open group; nil until there are rows
	body   bytes.Buffer
	groups *metadata.FileMetaData // of the group that has ended
	next   int                    // its next column chunk
}

// rowsAtOnce bounds what one call of arrow-go's writer adds.
const rowsAtOnce = 8192

func newOtherColumns(fields []arrow.Field, which []int, c Compression) *otherColumns {
	o := &otherColumns{fields: which}
	var own []arrow.Field
	for _, i := range which {
		own = append(own, fields[i])
	}
	o.schema = arrow.NewSchema(own, nil)
	options := []parquet.WriterProperty{
		parquet.WithVersion(parquet.V2_LATEST), parquet.WithDataPageVersion(parquet.DataPageV1),
		parquet.WithDataPageSize(pageBytes), parquet.WithMaxRowGroupLength(rowGroupRows),
		parquet.WithCompression(parquetCodec(c)),
	}
	if c == Zstd {
		options = append(options, parquet.WithCompressionLevel(int(zstdLevel)))
	}
	o.props = parquet.NewWriterProperties(options...)
	return o
}

func (o *otherColumns) add(columns []arrow.Array, from, to int) error {
	if o.file == nil {
		var err error
		o.body.Reset()
		if o.file, err = pqarrow.NewFileWriter(o.schema, &o.body, o.props, pqarrow.DefaultWriterProps()); err != nil {
			return err
		}
	}
	for start := from; start < to; start += rowsAtOnce {
		if err := o.addSlice(columns, start, min(start+rowsAtOnce, to)); err != nil {
			return err
		}
	}
	return nil
}

func (o *otherColumns) addSlice(columns []arrow.Array, from, to int) error {
	own := make([]arrow.Array, len(o.fields))
	for i, field := range o.fields {
		own[i] = array.NewSlice(columns[field], int64(from), int64(to))
		defer own[i].Release()
	}
	rows := array.NewRecordBatch(o.schema, own, int64(to-from))
	defer rows.Release()
	return o.file.WriteBuffered(rows)
}

// end completes the group's file in memory.
func (o *otherColumns) end() error {
	if err := o.file.Close(); err != nil {
		return err
	}
	about, err := o.file.FileMetadata()
	o.file, o.groups, o.next = nil, about, 0
	return err
}

// write moves the column chunks of a field into the file.
func (o *otherColumns) write(to *parquetFile, field int, group *metadata.RowGroupMetaDataBuilder) error {
	for range leaves(to.schema.Root().Field(field)) {
		from := o.groups.RowGroups[0].Columns[o.next]
		o.next++
		start := from.MetaData.DataPageOffset
		if dictionary := from.MetaData.DictionaryPageOffset; dictionary != nil {
			start = *dictionary
		}
		shift := to.written.n - start
		if err := to.put(o.body.Bytes()[start : start+from.MetaData.TotalCompressedSize]); err != nil {
			return err
		}
		from.MetaData.DataPageOffset += shift
		if from.MetaData.DictionaryPageOffset != nil {
			*from.MetaData.DictionaryPageOffset += shift
		}
		about := group.NextColumnChunk()
		if err := about.Finish(metadata.ChunkMetaInfo{DataPageOffset: start + shift}, false, false, metadata.EncodingStats{}); err != nil {
			return err
		}
		about.Contents().MetaData = from.MetaData
		inOrder(about)
	}
	return nil
}

// size estimates how long the columns would be if the group ended now.
func (o *otherColumns) size() int64 {
	if o.file == nil {
		return 0
	}
	return o.file.RowGroupTotalCompressedBytes()
}

// leaves counts the columns below a node.
func leaves(n schema.Node) int {
	group, ok := n.(*schema.GroupNode)
	if !ok {
		return 1
	}
	count := 0
	for i := range group.NumFields() {
		count += leaves(group.Field(i))
	}
	return count
}
