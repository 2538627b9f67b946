package postgres

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// PostgreSQL's epoch, 2000-01-01, in microseconds and in days after Unix's.
const (
	epoch     = 946_684_800_000_000
	epochDays = 10_957
)

// What a value cannot be.
var (
	errInfinite = errors.New("infinity is not a timestamp")
	errList     = errors.New("the list is not one of texts")
)

// appendValue appends a value in PostgreSQL's binary format; nil = null.
func appendValue(builder array.Builder, value []byte) error {
	if value == nil {
		builder.AppendNull()
		return nil
	}
	switch b := builder.(type) {
	case *array.StringBuilder:
		b.BinaryBuilder.Append(value)
	case *array.Int64Builder:
		b.Append(int64(binary.BigEndian.Uint64(value)))
	case *array.Float64Builder:
		b.Append(math.Float64frombits(binary.BigEndian.Uint64(value)))
	case *array.BooleanBuilder:
		b.Append(value[0] != 0)
	case *array.Date32Builder:
		days := int32(binary.BigEndian.Uint32(value))
		if days == math.MinInt32 || days > math.MaxInt32-epochDays {
			return errInfinite
		}
		b.Append(arrow.Date32(days + epochDays))
	case *array.TimestampBuilder:
		micros := int64(binary.BigEndian.Uint64(value))
		if micros == math.MinInt64 || micros > math.MaxInt64-epoch {
			return errInfinite
		}
		b.Append(arrow.Timestamp(micros + epoch))
	case *array.ListBuilder:
		return appendList(b, value)
	}
	return nil
}

// appendList appends an array of texts: a header of 12 bytes, 8 for each dimension, then the elements with their lengths.
func appendList(b *array.ListBuilder, value []byte) error {
	const header, dimension, length = 12, 8, 4
	if len(value) < header {
		return errList
	}
	b.Append(true)
	texts, ok := b.ValueBuilder().(*array.StringBuilder)
	dimensions := binary.BigEndian.Uint32(value)
	if dimensions == 0 {
		return nil
	}
	if !ok || dimensions != 1 || len(value) < header+dimension {
		return errList
	}
	n := int(binary.BigEndian.Uint32(value[header:]))
	rest := value[header+dimension:]
	for range n {
		if len(rest) < length {
			return errList
		}
		size := int32(binary.BigEndian.Uint32(rest))
		rest = rest[length:]
		if size < 0 {
			texts.AppendNull()
			continue
		}
		if len(rest) < int(size) {
			return errList
		}
		texts.BinaryBuilder.Append(rest[:size])
		rest = rest[size:]
	}
	return nil
}
