package engine

import (
	"encoding/binary"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"
)

// A Type is the type of an appended column.
type Type int

// The types.
const (
	BigInt Type = iota
	Varchar
	Timestamp
	UUID
)

func (t Type) native() bindings.Type {
	switch t {
	case BigInt:
		return bindings.TypeBigInt
	case Varchar:
		return bindings.TypeVarchar
	case Timestamp:
		return bindings.TypeTimestamp
	case UUID:
		return bindings.TypeUUID
	}
	return bindings.TypeInvalid
}

// An Appender writes rows into a table, much faster than statements do. Set the columns of a row, all of them, then call
// Next.
type Appender struct {
	native   bindings.Appender
	chunk    bindings.DataChunk
	vectors  []bindings.Vector
	data     []unsafe.Pointer
	capacity int
	row      int
}

// Append opens an appender. Types are those of all the table's columns, in order.
func (c *Conn) Append(table string, types ...Type) (*Appender, error) {
	a := &Appender{capacity: int(bindings.VectorSize())}
	if bindings.AppenderCreate(c.native, "", table, &a.native) == bindings.StateError {
		err := a.failure()
		a.Discard()
		return nil, err
	}
	logical := make([]bindings.LogicalType, len(types))
	for i, t := range types {
		logical[i] = bindings.CreateLogicalType(t.native())
		defer bindings.DestroyLogicalType(&logical[i])
	}
	a.chunk = bindings.CreateDataChunk(logical)
	a.vectors, a.data = make([]bindings.Vector, len(types)), make([]unsafe.Pointer, len(types))
	a.begin()
	return a, nil
}

// begin starts an empty chunk. Resetting a chunk may move its memory.
func (a *Appender) begin() {
	a.row = 0
	bindings.DataChunkReset(a.chunk)
	for i := range a.vectors {
		a.vectors[i] = bindings.DataChunkGetVector(a.chunk, bindings.IdxT(i))
		a.data[i] = bindings.VectorGetData(a.vectors[i])
	}
}

// Int64 sets a BIGINT, or a TIMESTAMP in microseconds.
func (a *Appender) Int64(column int, v int64) {
	*(*int64)(unsafe.Add(a.data[column], a.row*8)) = v
}

// Text sets a VARCHAR, which must be valid UTF-8.
func (a *Appender) Text(column int, v []byte) {
	bindings.UnsafeVectorAssignStringElementLen(a.vectors[column], bindings.IdxT(a.row), v)
}

// UUID sets a UUID. DuckDB keeps it as a signed 128-bit integer that sorts as the text does.
func (a *Appender) UUID(column int, v [16]byte) {
	p := unsafe.Add(a.data[column], a.row*16)
	*(*uint64)(p) = binary.BigEndian.Uint64(v[8:])
	*(*uint64)(unsafe.Add(p, 8)) = binary.BigEndian.Uint64(v[:8]) ^ 1<<63
}

// Null sets a null.
func (a *Appender) Null(column int) {
	bindings.VectorEnsureValidityWritable(a.vectors[column])
	bindings.ValiditySetRowInvalid(bindings.VectorGetValidity(a.vectors[column]), bindings.IdxT(a.row))
}

// Next ends the row.
func (a *Appender) Next() error {
	if a.row++; a.row < a.capacity {
		return nil
	}
	return a.flush()
}

func (a *Appender) flush() error {
	if a.row == 0 {
		return nil
	}
	bindings.DataChunkSetSize(a.chunk, bindings.IdxT(a.row))
	if bindings.AppendDataChunk(a.native, a.chunk) == bindings.StateError {
		return a.failure()
	}
	a.begin()
	return nil
}

// Close writes the last rows and frees the appender.
func (a *Appender) Close() error {
	defer a.Discard()
	if err := a.flush(); err != nil {
		return err
	}
	if bindings.AppenderClose(a.native) == bindings.StateError {
		return a.failure()
	}
	return nil
}

// Discard frees the appender without writing what it still holds. It may be called after Close.
func (a *Appender) Discard() {
	bindings.DestroyDataChunk(&a.chunk)
	if a.native.Ptr != nil {
		bindings.AppenderClear(a.native)
		bindings.AppenderDestroy(&a.native)
	}
}

func (a *Appender) failure() error { return &Error{Message: bindings.AppenderError(a.native)} }
