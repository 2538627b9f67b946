package engine

import (
	"context"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"
)

// Rows are the rows of a statement, a chunk at a time. What is not fetched is not computed, but for a small buffer.
type Rows struct {
	conn      *Conn
	statement bindings.PreparedStatement
	result    bindings.Result
}

// Next fetches the next chunk; nil at the end. The caller closes the chunk.
func (r *Rows) Next(ctx context.Context) (*Chunk, error) {
	var native bindings.DataChunk
	err := r.conn.guard(ctx, func() error {
		// No chunk is the end or an error; only the result's message tells which.
		if native = bindings.FetchChunk(r.result); native.Ptr == nil && bindings.ResultError(&r.result) != "" {
			return resultError(&r.result)
		}
		return nil
	})
	if err != nil || native.Ptr == nil {
		return nil, err
	}
	chunk := &Chunk{native: native, Rows: int(bindings.DataChunkGetSize(native))}
	for i := range bindings.DataChunkGetColumnCount(native) {
		vector := bindings.DataChunkGetVector(native, i)
		chunk.columns = append(chunk.columns, columnOf(vector))
	}
	return chunk, nil
}

// Close ends the statement. It may be called more than once.
func (r *Rows) Close() {
	bindings.DestroyResult(&r.result)
	bindings.DestroyPrepare(&r.statement)
}

// A Chunk is some rows, by column.
type Chunk struct {
	Rows int

	native  bindings.DataChunk
	columns []Column
}

// Column returns the i-th column, from 0. It is valid until the chunk is closed.
func (c *Chunk) Column(i int) Column { return c.columns[i] }

// Close frees the chunk.
func (c *Chunk) Close() { bindings.DestroyDataChunk(&c.native) }

// A Column is DuckDB's own memory: values are read by the type that the statement gives the column.
type Column struct {
	data     unsafe.Pointer
	validity unsafe.Pointer // a bit per row, nil = no nulls
	vector   bindings.Vector
}

func columnOf(vector bindings.Vector) Column {
	return Column{data: bindings.VectorGetData(vector), validity: bindings.VectorGetValidity(vector), vector: vector}
}

const bitsPerWord = 64

// Null says whether the row's value is null.
func (c Column) Null(row int) bool {
	if c.validity == nil {
		return false
	}
	word := *(*uint64)(unsafe.Add(c.validity, row/bitsPerWord*8))
	return word&(1<<(row%bitsPerWord)) == 0
}

// Int64 reads a BIGINT, or the microseconds of a TIMESTAMP.
func (c Column) Int64(row int) int64 {
	return *(*int64)(unsafe.Add(c.data, row*8))
}

// Float64 reads a DOUBLE.
func (c Column) Float64(row int) float64 {
	return *(*float64)(unsafe.Add(c.data, row*8))
}

// Int32 reads an INTEGER, or the days of a DATE.
func (c Column) Int32(row int) int32 {
	return *(*int32)(unsafe.Add(c.data, row*4))
}

// Bool reads a BOOLEAN.
func (c Column) Bool(row int) bool {
	return *(*uint8)(unsafe.Add(c.data, row)) != 0
}

// List reads a list: the rows [from, to) of the elements' column.
func (c Column) List(row int) (elements Column, from, to int) {
	entry := (*[2]uint64)(unsafe.Add(c.data, row*16)) // offset and length
	return columnOf(bindings.ListVectorGetChild(c.vector)), int(entry[0]), int(entry[0] + entry[1])
}

// A text is DuckDB's string: short ones lie in it, of long ones it has a prefix and a pointer.
type text struct {
	length uint32
	prefix [4]byte
	rest   [8]byte
}

// inlineLength is the length of the longest string that lies within a text.
const inlineLength = 12

// Text reads a VARCHAR without copying: it is valid until the chunk is closed.
func (c Column) Text(row int) []byte {
	t := (*text)(unsafe.Add(c.data, row*int(unsafe.Sizeof(text{}))))
	if t.length <= inlineLength {
		return unsafe.Slice(&t.prefix[0], t.length)
	}
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&t.rest)), t.length)
}

// TextLength is the length of Text.
func (c Column) TextLength(row int) int {
	return int((*text)(unsafe.Add(c.data, row*int(unsafe.Sizeof(text{})))).length)
}
