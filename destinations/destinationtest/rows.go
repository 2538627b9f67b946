package destinationtest

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"

	"tranche/query"
)

// epoch is when the interval of the suite begins.
var epoch = time.Date(2024, time.February, 29, 23, 0, 0, 0, time.UTC)

const (
	// batchRows is small, so that a split has several batches.
	batchRows = 100
	// bulk is how long a property is that makes files roll at 1 MiB: a few hundred rows are enough.
	bulk = 8 << 10
)

// rowsFrom makes n rows, numbered from first. Every third one has bulk that does not compress away.
func rowsFrom(first, n int) []Row {
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = rowAt(first + i)
	}
	return rows
}

func rowAt(n int) Row {
	var seed [8]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n))
	properties := fmt.Sprintf(`{"n":%d,"text":"it's \"quoted\", \u00e9 😀\\n"}`, n)
	if n%3 == 0 {
		properties = fmt.Sprintf(`{"n":%d,"bulk":%q}`, n, noise(n))
	}
	return Row{
		UUID:       uuid.NewSHA1(uuid.Nil, seed[:]).String(),
		Event:      []string{"$pageview", "sign, \"up\"", "line\nbreak", "naïve ☃"}[n%4],
		Timestamp:  epoch.Add(time.Duration(n) * time.Millisecond * 7).Add(time.Duration(n%1000) * time.Microsecond),
		Properties: properties,
	}
}

// noise is text without repetitions.
func noise(n int) string {
	random := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	raw := make([]byte, bulk/4*3)
	_, _ = random.Read(raw) // never fails
	return base64.StdEncoding.EncodeToString(raw)
}

// schemaOf is what a source delivers for the columns.
func schemaOf(columns []query.Column) *arrow.Schema {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{Name: c.Name, Type: arrow.BinaryTypes.String, Nullable: true}
		switch {
		case c.Field == query.FieldTimestamp || c.Field == query.FieldInsertedAt || c.Field == query.FieldCreatedAt:
			fields[i].Type = arrow.FixedWidthTypes.Timestamp_us
		case c.Field == query.FieldTeamID:
			fields[i].Type = arrow.PrimitiveTypes.Int64
		case c.Field.JSON():
			fields[i].Metadata = arrow.NewMetadata([]string{query.JSONMetadata}, []string{"true"})
		}
	}
	return arrow.NewSchema(fields, nil)
}

// readerOf streams rows as a source would. The caller releases it.
func readerOf(mem memory.Allocator, columns []query.Column, rows []Row) (array.RecordReader, error) {
	schema := schemaOf(columns)
	var batches []arrow.RecordBatch
	for start := 0; start < len(rows); start += batchRows {
		b := array.NewRecordBuilder(mem, schema)
		for _, row := range rows[start:min(start+batchRows, len(rows))] {
			for i, c := range columns {
				appendField(b.Field(i), c.Field, row)
			}
		}
		batches = append(batches, b.NewRecordBatch())
		b.Release()
	}
	reader, err := array.NewRecordReader(schema, batches)
	for _, b := range batches {
		b.Release() // the reader has its own hold
	}
	return reader, err
}

func appendField(b array.Builder, field query.Field, row Row) {
	switch b := b.(type) {
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(row.Timestamp.UnixMicro()))
	case *array.Int64Builder:
		b.Append(1)
	case *array.StringBuilder:
		switch field {
		case query.FieldUUID:
			b.Append(row.UUID)
		case query.FieldEvent:
			b.Append(row.Event)
		case query.FieldProperties:
			b.Append(row.Properties)
		case query.FieldDistinctID:
			b.Append("someone")
		case query.FieldElementsChain:
			b.Append("")
		default: // person_id and person_properties may be null
			b.AppendNull()
		}
	}
}

var errSourceBroke = errors.New("the source broke off")

// A breakingReader fails after its first batch.
type breakingReader struct {
	array.RecordReader
	read int
}

// Next delivers one batch.
func (r *breakingReader) Next() bool {
	r.read++
	return r.read == 1 && r.RecordReader.Next()
}

// Err tells the end from a failure.
func (r *breakingReader) Err() error { return errSourceBroke }

// An endlessReader delivers its first batch for ever, and tells when the second one is asked for.
type endlessReader struct {
	array.RecordReader
	read  int
	asked chan struct{}
}

// Next never ends.
func (r *endlessReader) Next() bool {
	r.read++
	if r.read == 1 {
		return r.RecordReader.Next()
	}
	if r.read == 2 {
		close(r.asked)
	}
	return true
}

// A pausingReader waits before its second batch.
type pausingReader struct {
	array.RecordReader
	read    int
	waiting chan struct{}
	resume  chan struct{}
}

// Next pauses once.
func (r *pausingReader) Next() bool {
	if r.read++; r.read == 2 {
		close(r.waiting)
		<-r.resume
	}
	return r.RecordReader.Next()
}
