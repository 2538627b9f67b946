package encode

import (
	"math/big"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/float16"

	"tranche/query"
)

// A column writes the values of one column as JSON. It is chosen once per schema and bound once per batch, so that a
// row costs neither reflection nor an allocation.
type column interface {
	bind(arrow.Array)
	// append appends value i, which is not null.
	append(b []byte, i int) []byte
}

// A nullable is a column whose values may be null.
type nullable struct {
	column
	array arrow.Array
	nulls bool
}

func (n *nullable) bind(a arrow.Array) {
	n.array, n.nulls = a, a.NullN() != 0
	n.column.bind(a)
}

// append appends value i or null.
func (n *nullable) append(b []byte, i int) []byte {
	if n.nulls && n.array.IsNull(i) {
		return append(b, "null"...)
	}
	return n.column.append(b, i)
}

// columnOf returns the column for a field whose type Check accepts.
func columnOf(f arrow.Field) *nullable {
	return &nullable{column: plainColumn(f)}
}

func plainColumn(f arrow.Field) column {
	switch t := f.Type.(type) {
	case arrow.ExtensionType:
		return &extensionColumn{column: plainColumn(arrow.Field{Type: t.StorageType(), Metadata: f.Metadata})}
	case *arrow.DictionaryType:
		return &dictionaryColumn{values: columnOf(arrow.Field{Type: t.ValueType, Metadata: f.Metadata})}
	case *arrow.StructType:
		return newStructColumn(t)
	case *arrow.MapType:
		return &mapColumn{keys: columnOf(t.KeyField()), items: columnOf(t.ItemField())}
	case arrow.ListLikeType:
		return &listColumn{elements: columnOf(t.ElemField())}
	}
	return scalarColumn(f)
}

func scalarColumn(f arrow.Field) column {
	switch t := f.Type.(type) {
	case *arrow.TimestampType:
		return &timestampColumn{unit: t.Unit}
	case *arrow.Time32Type:
		return &timeColumn[arrow.Time32]{unit: t.Unit}
	case *arrow.Time64Type:
		return &timeColumn[arrow.Time64]{unit: t.Unit}
	case *arrow.Decimal32Type:
		return &smallDecimalColumn[decimal.Decimal32]{scale: t.Scale}
	case *arrow.Decimal64Type:
		return &smallDecimalColumn[decimal.Decimal64]{scale: t.Scale}
	case *arrow.Decimal128Type:
		return &bigDecimalColumn[decimal.Decimal128]{scale: t.Scale}
	case *arrow.Decimal256Type:
		return &bigDecimalColumn[decimal.Decimal256]{scale: t.Scale}
	}
	switch f.Type.ID() { //nolint:exhaustive // Check has refused the rest
	case arrow.BOOL:
		return &boolColumn{}
	case arrow.INT8:
		return &intColumn[int8]{}
	case arrow.INT16:
		return &intColumn[int16]{}
	case arrow.INT32:
		return &intColumn[int32]{}
	case arrow.INT64:
		return &intColumn[int64]{}
	case arrow.DURATION:
		return &intColumn[arrow.Duration]{}
	case arrow.UINT8:
		return &uintColumn[uint8]{}
	case arrow.UINT16:
		return &uintColumn[uint16]{}
	case arrow.UINT32:
		return &uintColumn[uint32]{}
	case arrow.UINT64:
		return &uintColumn[uint64]{}
	case arrow.FLOAT16:
		return &float16Column{}
	case arrow.FLOAT32:
		return &floatColumn[float32]{bits: 32}
	case arrow.FLOAT64:
		return &floatColumn[float64]{bits: 64}
	case arrow.DATE32:
		return &dateColumn[arrow.Date32]{perDay: 1}
	case arrow.DATE64:
		return &dateColumn[arrow.Date64]{perDay: secondsPerDay * 1000}
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		if holdsJSON(f) {
			return &jsonColumn{}
		}
		return &textColumn{}
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW, arrow.FIXED_SIZE_BINARY:
		return &binaryColumn{}
	}
	return nullColumn{}
}

// holdsJSON says whether a text column is marked as JSON.
func holdsJSON(f arrow.Field) bool {
	value, ok := f.Metadata.GetValue(query.JSONMetadata)
	return ok && value == "true"
}

// valuesOf returns the values of an array whose schema says that they are Ts.
func valuesOf[T any](a arrow.Array) []T { return a.(interface{ Values() []T }).Values() }

type nullColumn struct{}

func (nullColumn) bind(arrow.Array)              {}
func (nullColumn) append(b []byte, _ int) []byte { return append(b, "null"...) }

type boolColumn struct{ array *array.Boolean }

func (c *boolColumn) bind(a arrow.Array)            { c.array = a.(*array.Boolean) }
func (c *boolColumn) append(b []byte, i int) []byte { return strconv.AppendBool(b, c.array.Value(i)) }

type intColumn[T ~int8 | ~int16 | ~int32 | ~int64] struct{ values []T }

func (c *intColumn[T]) bind(a arrow.Array) { c.values = valuesOf[T](a) }
func (c *intColumn[T]) append(b []byte, i int) []byte {
	return strconv.AppendInt(b, int64(c.values[i]), 10)
}

type uintColumn[T ~uint8 | ~uint16 | ~uint32 | ~uint64] struct{ values []T }

func (c *uintColumn[T]) bind(a arrow.Array) { c.values = valuesOf[T](a) }
func (c *uintColumn[T]) append(b []byte, i int) []byte {
	return strconv.AppendUint(b, uint64(c.values[i]), 10)
}

type floatColumn[T float32 | float64] struct {
	values []T
	bits   int
	words  bool // see appendFloat
}

func (c *floatColumn[T]) bind(a arrow.Array) { c.values = valuesOf[T](a) }
func (c *floatColumn[T]) append(b []byte, i int) []byte {
	return appendFloat(b, float64(c.values[i]), c.bits, c.words)
}

type float16Column struct {
	values []float16.Num
	words  bool // see appendFloat
}

func (c *float16Column) bind(a arrow.Array) { c.values = valuesOf[float16.Num](a) }
func (c *float16Column) append(b []byte, i int) []byte {
	return appendFloat(b, float64(c.values[i].Float32()), 32, c.words)
}

type smallDecimalColumn[T decimal.Decimal32 | decimal.Decimal64] struct {
	values []T
	scale  int32
	digits []byte
}

func (c *smallDecimalColumn[T]) bind(a arrow.Array) { c.values = valuesOf[T](a) }
func (c *smallDecimalColumn[T]) append(b []byte, i int) []byte {
	c.digits = strconv.AppendInt(c.digits[:0], int64(c.values[i]), 10)
	return appendDecimal(b, c.digits, c.scale)
}

type bigDecimalColumn[T interface{ BigInt() *big.Int }] struct {
	values []T
	scale  int32
	digits []byte
}

func (c *bigDecimalColumn[T]) bind(a arrow.Array) { c.values = valuesOf[T](a) }
func (c *bigDecimalColumn[T]) append(b []byte, i int) []byte {
	c.digits = c.values[i].BigInt().Append(c.digits[:0], 10)
	return appendDecimal(b, c.digits, c.scale)
}

type dateColumn[T arrow.Date32 | arrow.Date64] struct {
	calendar
	values []T
	perDay int64
}

func (c *dateColumn[T]) bind(a arrow.Array) { c.values = valuesOf[T](a) }
func (c *dateColumn[T]) append(b []byte, i int) []byte {
	day, _ := floorDivide(int64(c.values[i]), c.perDay)
	return append(c.appendDate(append(b, '"'), day), '"')
}

type timeColumn[T arrow.Time32 | arrow.Time64] struct {
	values []T
	unit   arrow.TimeUnit
}

func (c *timeColumn[T]) bind(a arrow.Array) { c.values = valuesOf[T](a) }
func (c *timeColumn[T]) append(b []byte, i int) []byte {
	return append(appendTime(append(b, '"'), int64(c.values[i]), c.unit), '"')
}

type timestampColumn struct {
	calendar
	values []arrow.Timestamp
	unit   arrow.TimeUnit
}

func (c *timestampColumn) bind(a arrow.Array) { c.values = valuesOf[arrow.Timestamp](a) }
func (c *timestampColumn) append(b []byte, i int) []byte {
	return append(c.appendTimestamp(append(b, '"'), int64(c.values[i]), c.unit), '"')
}

type textColumn struct{ array array.StringLike }

func (c *textColumn) bind(a arrow.Array)            { c.array = a.(array.StringLike) }
func (c *textColumn) append(b []byte, i int) []byte { return appendString(b, c.array.Value(i)) }

type jsonColumn struct {
	guard
	array array.StringLike
}

func (c *jsonColumn) bind(a arrow.Array)            { c.array = a.(array.StringLike) }
func (c *jsonColumn) append(b []byte, i int) []byte { return c.guard.append(b, c.array.Value(i)) }

type binaryColumn struct {
	array interface{ Value(int) []byte }
}

func (c *binaryColumn) bind(a arrow.Array)            { c.array = a.(interface{ Value(int) []byte }) }
func (c *binaryColumn) append(b []byte, i int) []byte { return appendBase64(b, c.array.Value(i)) }

type extensionColumn struct{ column }

func (c *extensionColumn) bind(a arrow.Array) { c.column.bind(a.(array.ExtensionArray).Storage()) }

type dictionaryColumn struct {
	array  *array.Dictionary
	values column
}

func (c *dictionaryColumn) bind(a arrow.Array) {
	c.array = a.(*array.Dictionary)
	c.values.bind(c.array.Dictionary())
}

func (c *dictionaryColumn) append(b []byte, i int) []byte {
	return c.values.append(b, c.array.GetValueIndex(i))
}
