package postgres

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"

	"tranche/batch"
)

// A number is where a number goes.
type number struct {
	name string
	kind string
	form form
}

// append appends value in the column's form; large says that it is beyond 63 bits.
func (n number) append(b []byte, value int64, large bool) ([]byte, error) {
	least, most := int64(math.MinInt64), int64(math.MaxInt64)
	switch n.form { //nolint:exhaustive // the others hold every number
	case int16Form:
		least, most = math.MinInt16, math.MaxInt16
	case int32Form:
		least, most = math.MinInt32, math.MaxInt32
	case float64Form:
		return binary.BigEndian.AppendUint64(b, math.Float64bits(float64(value))), nil
	}
	if large || value < least || value > most {
		return b, batch.Errorf(batch.CodeSchema, nil, "a number is out of the range of the column %q, which is %s", n.name, n.kind)
	}
	switch n.form { //nolint:exhaustive // those of whole numbers
	case int16Form:
		return binary.BigEndian.AppendUint16(b, uint16(value)), nil //nolint:gosec // in range
	case int32Form:
		return binary.BigEndian.AppendUint32(b, uint32(value)), nil //nolint:gosec // in range
	}
	return binary.BigEndian.AppendUint64(b, uint64(value)), nil //nolint:gosec // two's complement
}

type intWriter[T ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64] struct {
	number
	array  arrow.Array
	values []T
}

func (w *intWriter[T]) bind(a arrow.Array) {
	w.array, w.values = a, a.(interface{ Values() []T }).Values()
}
func (w *intWriter[T]) null(i int) bool { return w.array.IsNull(i) }
func (w *intWriter[T]) append(b []byte, i int) ([]byte, error) {
	value := w.values[i]
	return w.number.append(b, int64(value), value > 0 && int64(value) < 0)
}

type floatWriter[T float32 | float64] struct {
	form   form
	array  arrow.Array
	values []T
}

func (w *floatWriter[T]) bind(a arrow.Array) {
	w.array, w.values = a, a.(interface{ Values() []T }).Values()
}
func (w *floatWriter[T]) null(i int) bool { return w.array.IsNull(i) }
func (w *floatWriter[T]) append(b []byte, i int) ([]byte, error) {
	if w.form == float32Form {
		return binary.BigEndian.AppendUint32(b, math.Float32bits(float32(w.values[i]))), nil
	}
	return binary.BigEndian.AppendUint64(b, math.Float64bits(float64(w.values[i]))), nil
}
